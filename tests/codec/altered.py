"""Copies of a checkpoint that are sealed properly and wrong on purpose."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from pnc.codec.checkpoint import PLAN, Checkpoint, write_manifest
from pnc.codec.plan import CodingPlan, plan_to_bytes

FILES = ("encoder.tflite", "decoder.tflite", "classifier.tflite", PLAN)


def altered(
    checkpoint: Checkpoint,
    folder: Path,
    *,
    plan: CodingPlan | None = None,
    classes: Sequence[str] | None = None,
    files: Mapping[str, str] | None = None,
) -> Checkpoint:
    """A copy with another plan, other classes, or one file in place of another."""
    for file in FILES:
        shutil.copyfile(checkpoint.folder / (files or {}).get(file, file), folder / file)
    if plan is not None:
        (folder / PLAN).write_bytes(plan_to_bytes(plan))
    write_manifest(
        folder,
        name=checkpoint.name,
        architecture=checkpoint.architecture,
        fit=checkpoint.fit,
        classes=checkpoint.classes if classes is None else classes,
        files=FILES,
    )
    return Checkpoint.load(folder)
