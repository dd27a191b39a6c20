"""What is measured of the shipped checkpoints: the tables and plots of accuracy in the README.

A plan by the file of its results, see `benchmarks/results/`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.bench import Plan
from benchmarks.loss import LossPlan
from benchmarks.rate_accuracy import RateAccuracyPlan
from benchmarks.steps import StepsPlan
from pnc.replay.rtss23 import FAMILY as PUBLISHED

PUBLISHED_BUDGETS = (512, 1024, 2048, 3072, 4096, 5120)
"""Bytes; the last ones hold all ten features of the published system."""

LOSSES = (0.0, 0.05, 0.2)
"""Of packets of `LOSS_MTU` bytes."""

LOSS_MTU = 64


def belt_plans(rivals: Sequence[str]) -> dict[str, Plan]:
    """Return what is measured of `belt`.

    Args:
        rivals: See `benchmarks.codecs`.
    """
    data, judges = ("belt",), ("belt",)
    return {
        "rate_accuracy_belt.json": RateAccuracyPlan(
            data=data,
            judges=judges,
            codecs=("belt", *rivals, PUBLISHED),
            tune=("belt#tune",),
            limit=300,
            tune_limit=100,
        ),
        "steps_belt.json": StepsPlan(data=data, judges=judges, checkpoint="belt", limit=100),
        "loss_belt.json": _loss_plan(data, judges, "belt"),
    }


def photograph_sets(folder: Path) -> tuple[str, str]:
    """Return the sets of photographs that are reported on, see docs/benchmarks.md."""
    return (
        f"imagenet-sample={folder / 'imagenet-sample-224'}#odd",
        f"imagenette-val={folder / 'imagenette-224' / 'val'}",
    )


def photo_plans(folder: Path, rivals: Sequence[str]) -> dict[str, Plan]:
    """Return what is measured of `photo`.

    Args:
        folder: Holds imagenet-sample-224, imagenette-224 and teacher, see docs/benchmarks.md.
        rivals: See `benchmarks.codecs`.
    """
    sets = photograph_sets(folder)
    teacher = f"MobileNetV2={folder / 'teacher' / 'mobilenet_v2_imagenet_uint8.tflite'}"
    stranger = folder / "teacher" / "stranger_mobilenet_v1_0.5_160_uint8.tflite"
    own = "EfficientNetB0=photo"
    against_rivals = RateAccuracyPlan(
        data=sets,
        judges=(teacher, own, f"MobileNetV1-0.5={stranger},crop=0.875,report-only"),
        codecs=("photo", *rivals),
        tune=(
            f"imagenet-sample={folder / 'imagenet-sample-224'}#even",
            f"imagenette-tune={folder / 'imagenette-224' / 'train'}#tune",
        ),
        limit=150,
        tune_limit=40,
    )
    return {
        "rate_accuracy.json": against_rivals,
        "rate_accuracy_published.json": replace(
            against_rivals,
            codecs=("photo", PUBLISHED),
            tune=(),
            budgets=PUBLISHED_BUDGETS,
            limit=100,
        ),
        "steps.json": StepsPlan(
            data=sets[1:], judges=(teacher, own), checkpoint="photo", limit=100
        ),
        "loss.json": _loss_plan(sets, (teacher, own), "photo"),
    }


def _loss_plan(data: tuple[str, ...], judges: tuple[str, ...], checkpoint: str) -> LossPlan:
    return LossPlan(
        data=data,
        judges=judges,
        checkpoints=(checkpoint,),
        losses=LOSSES,
        mtus=(LOSS_MTU,),
        limit=100,
    )
