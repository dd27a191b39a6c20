"""Checkpoints that are like another one but for one part of its coding plan: what each is worth.

    checkpoint, training pictures  ->  a folder with all parts, and one without each of PARTS

All plans, that with all parts too, are fitted to the same pictures anew. The networks stay as they
are: what the decoder has learned of a part is not unlearned. ``python -m benchmarks rate-accuracy``
compares the folders.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pnc.codec.checkpoint import PLAN, Checkpoint, write_manifest
from pnc.codec.plan import CodingPlan, plan_to_bytes
from pnc.codec.planes import NUM_CLASSES
from training.context import mean_context
from training.export import MODEL_FILES, PLAN_PICTURES, run_encoder
from training.pictures import Pictures
from training.plan import fit_plan_on
from training.planes import order_planes

Symbols = NDArray[np.uint8]
WithoutPart = Callable[[CodingPlan, Symbols], CodingPlan]


def write_ablation(checkpoint: Checkpoint, images: Pictures, folder: Path) -> list[Path]:
    """Write a checkpoint with all parts and one without each part.

    Args:
        checkpoint: what they are made of.
        images: training pictures, uint8 ``[n, 224, 224, 3]``.
        folder: gets a folder for each.

    Returns:
        The folders, that with all parts first.
    """
    symbols = run_encoder(
        checkpoint.read("encoder.tflite"), images[:PLAN_PICTURES], checkpoint.lapping
    )
    whole = fit_plan_on(checkpoint.plan.grid, symbols).plan
    written = [_write(checkpoint, "whole", whole, folder)]
    for part, without in PARTS.items():
        written.append(_write(checkpoint, f"no-{part}", without(whole, symbols), folder))
    return written


def _write(checkpoint: Checkpoint, name: str, plan: CodingPlan, folder: Path) -> Path:
    target = folder / name
    target.mkdir(parents=True, exist_ok=True)
    for file in MODEL_FILES:
        if file != PLAN:
            shutil.copyfile(checkpoint.folder / file, target / file)
    (target / PLAN).write_bytes(plan_to_bytes(plan))
    write_manifest(
        target,
        name=name,
        architecture=checkpoint.architecture,
        fit=checkpoint.fit,
        classes=checkpoint.classes,
        files=MODEL_FILES,
    )
    return target


def _without_second_transform(whole: CodingPlan, symbols: Symbols) -> CodingPlan:
    return fit_plan_on(replace(whole.grid, smooth=()), symbols).plan


def _without_scales(whole: CodingPlan, symbols: Symbols) -> CodingPlan:
    grid = whole.grid
    even = np.full_like(grid.scale, np.exp(np.log(grid.scale).mean((0, 1))))
    return fit_plan_on(replace(grid, scale=even), symbols).plan


def _without_points(whole: CodingPlan, symbols: Symbols) -> CodingPlan:
    middle = np.full_like(whole.points, 0.5)
    middle[:, 0] = 0.0
    return replace(whole, points=middle)


def _without_neighbours(whole: CodingPlan, symbols: Symbols) -> CodingPlan:
    return fit_plan_on(whole.grid, symbols, neighbours=False).plan


def _without_predictions(whole: CodingPlan, symbols: Symbols) -> CodingPlan:
    grid = whole.grid
    coefficients = np.stack([grid.forward(grid.values(picture)) for picture in symbols])
    magnitudes = np.minimum(np.abs(coefficients), whole.planes.limits)
    priors = tuple(
        replace(prior, context=mean_context(whole.planes.first_planes, plane, magnitudes))
        for plane, prior in enumerate(whole.planes.priors)
    )
    planes = replace(whole.planes, priors=priors)
    return replace(whole, planes=order_planes(planes, coefficients))


def _without_early_refinement(whole: CodingPlan, symbols: Symbols) -> CodingPlan:
    last = [replace(prior, refined_after=NUM_CLASSES) for prior in whole.planes.priors]
    return replace(whole, planes=replace(whole.planes, priors=tuple(last)))


PARTS: dict[str, WithoutPart] = {
    "predictions": _without_predictions,
    "neighbours": _without_neighbours,
    "second-transform": _without_second_transform,
    "scales": _without_scales,
    "points": _without_points,
    "early-refinement": _without_early_refinement,
}
"""What can be left out: predictions altogether (a mean of each place and channel is left), those
from neighbours, the second transform of smooth channels, scales of places (all are their geometric
mean), reconstruction points (the middle of each interval), refinement before the last class."""
