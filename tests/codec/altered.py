"""Copies of a checkpoint that are sealed properly and wrong on purpose."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from pnc.codec.checkpoint import Checkpoint, write_manifest

MODELS = ("encoder.tflite", "decoder.tflite", "classifier.tflite", "priors.json")


def altered(
    checkpoint: Checkpoint,
    folder: Path,
    *,
    num_channels: int | None = None,
    classes: Sequence[str] | None = None,
    files: Mapping[str, str] | None = None,
) -> Checkpoint:
    """A copy with fewer channels in its plan, other classes, or one file in place of another."""
    for file in MODELS:
        shutil.copyfile(checkpoint.folder / (files or {}).get(file, file), folder / file)
    plan = checkpoint.plan
    if num_channels is not None:
        steps = tuple(step for step in plan.steps if step[0] < num_channels)
        plan = dataclasses.replace(plan, num_channels=num_channels, steps=steps)
    write_manifest(
        folder,
        name=checkpoint.name,
        architecture=checkpoint.architecture,
        fit=checkpoint.fit,
        classes=checkpoint.classes if classes is None else classes,
        plan=plan,
        files=MODELS,
    )
    return Checkpoint.load(folder)
