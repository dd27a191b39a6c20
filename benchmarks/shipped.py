"""What is measured of the shipped checkpoints: the tables and plots of the README."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.rate_accuracy import RateAccuracyPlan

TUNE_LIMIT = 100
"""Pictures of each tuning set at most."""


def belt_plan(rivals: Sequence[str], limit: int, num_processes: int) -> RateAccuracyPlan:
    """Return what the README's table of the belt measures.

    Args:
        rivals: See `benchmarks.codecs`.
        limit: Pictures.
        num_processes: See `Plan`.
    """
    return RateAccuracyPlan(
        data=("belt",),
        judges=("belt",),
        codecs=("belt", *rivals),
        tune=("belt#tune",),
        limit=limit,
        tune_limit=min(limit, TUNE_LIMIT),
        num_processes=num_processes,
    )


def photograph_sets(folder: Path) -> tuple[str, str]:
    """Return the sets of photographs that are reported on, see docs/benchmarks.md."""
    return (
        f"imagenet-sample={folder / 'imagenet-sample-224'}#odd",
        f"imagenette-val={folder / 'imagenette-224' / 'val'}",
    )


def photograph_plan(
    folder: Path,
    checkpoints: Sequence[str],
    rivals: Sequence[str],
    limit: int,
    num_processes: int,
) -> RateAccuracyPlan:
    """Return what the README's table of photographs measures.

    Args:
        folder: Holds imagenet-sample-224, imagenette-224 and teacher, see docs/benchmarks.md.
        checkpoints: Ours; the first one's classifier is a judge, too.
        rivals: See `benchmarks.codecs`.
        limit: Pictures of each set.
        num_processes: See `Plan`.
    """
    teacher = folder / "teacher"
    stranger = teacher / "stranger_mobilenet_v1_0.5_160_uint8.tflite"
    return RateAccuracyPlan(
        data=photograph_sets(folder),
        judges=(
            f"MobileNetV2={teacher / 'mobilenet_v2_imagenet_uint8.tflite'}",
            f"EfficientNetB0={checkpoints[0]}",
            f"MobileNetV1-0.5={stranger},crop=0.875,report-only",
        ),
        codecs=(*checkpoints, *rivals),
        tune=(
            f"imagenet-sample={folder / 'imagenet-sample-224'}#even",
            f"imagenette-tune={folder / 'imagenette-224' / 'train'}#tune",
        ),
        train=(
            f"imagenet-sample={folder / 'imagenet-sample-224'}#even",
            f"imagenette-train={folder / 'imagenette-224' / 'train'}",
        ),
        limit=limit,
        tune_limit=min(limit, TUNE_LIMIT),
        num_processes=num_processes,
    )
