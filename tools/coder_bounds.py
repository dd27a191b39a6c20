"""What finer entropy coding of the bit planes could save at most (docs/experiments/0018).

    python -m tools.coder_bounds photo PHOTOS [EXTRA ...]

Fits the plan of a checkpoint to training pictures, codes others, and compares the bits with the
length of an ideal code that knows more: about the refinement bits, the signs, the channels, the
picture. Prints a Markdown table.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pnc.codec.checkpoint import Checkpoint
from pnc.codec.planes import NUM_CLASSES, PlanePlan
from pnc.codec.runs import encode_segments
from tools.samples import encoded_pictures
from training.plan import fit_plan_on

FITTED, MEASURED = 240, 100
"""Pictures."""

NUM_GROUPS = 6
"""Groups of channels in coded order that get probabilities of their own."""

NUM_KINDS = 8
"""Kinds of refinement: by the leading bits of what is known of a magnitude."""

Counts = NDArray[np.float64]
"""``[..., 2]``: how often no (positive) and how often yes (negative)."""


@dataclass(frozen=True)
class Coded:
    """What was counted over some pictures.

    Attributes:
        decisions: ``[pictures, planes, classes, groups, 2]``.
        refinements: ``[planes, kinds, 2]``.
        signs: ``[channels, 5, 5, 2]``: by the signs of both neighbours across and both down.
        bits: real ones, ``[planes, 2]``: decisions with their signs, refinement.
    """

    decisions: Counts
    refinements: Counts
    signs: Counts
    bits: NDArray[np.float64]


def count(plan: PlanePlan, pictures: list[NDArray[np.int16]]) -> Coded:
    """Code pictures, int16 ``[height, width, channels]`` each, and count."""
    planes, channels = len(plan.priors), plan.grid.num_channels
    coded = Coded(
        np.zeros((len(pictures), planes, NUM_CLASSES, NUM_GROUPS, 2)),
        np.zeros((planes, NUM_KINDS, 2)),
        np.zeros((channels, 5, 5, 2)),
        np.zeros((planes, 2)),
    )
    group = np.arange(channels) * NUM_GROUPS // channels
    for picture, coefficients in enumerate(pictures):
        ordered = plan.in_order(coefficients)
        magnitudes = np.minimum(np.abs(ordered), plan.limits[plan.channels])
        for plane in range(planes):
            arranged = plan.arrange(plane, magnitudes)
            digits = (magnitudes >> plane & 1).astype(np.int8).ravel()
            of_class = np.repeat(np.arange(NUM_CLASSES), arranged.lengths)
            groups = group[arranged.undecided % channels]
            yes = digits[arranged.undecided]
            np.add.at(coded.decisions[picture, plane], (of_class, groups, yes), 1)
            signed = (np.sign(ordered).ravel() * digits)[arranged.undecided].astype(np.int8)
            words, _ = encode_segments(signed, arranged.lengths, plan.priors[plane].orders)
            coded.bits[plane] += len(words), len(arranged.refined)
            known = magnitudes.ravel()[arranged.refined] >> (plane + 1)
            kind = np.minimum(known, NUM_KINDS) - 1
            np.add.at(coded.refinements[plane], (kind, digits[arranged.refined]), 1)
        signs = np.sign(coefficients).astype(np.intp)
        padded = np.pad(signs, ((1, 1), (1, 1), (0, 0)))
        across = (padded[1:-1, :-2] + padded[1:-1, 2:])[signs != 0] + 2
        down = (padded[:-2, 1:-1] + padded[2:, 1:-1])[signs != 0] + 2
        negative = (signs[signs != 0] < 0).astype(np.intp)
        np.add.at(coded.signs, (np.nonzero(signs)[2], across, down, negative), 1)
    return coded


def cost(seen: Counts, told: Counts) -> NDArray[np.float64]:
    """Bits of what was seen under the probabilities that something else tells."""
    yes = (told[..., 1] + 0.5) / (told.sum(axis=-1) + 1)
    bits: NDArray[np.float64] = -(seen[..., 1] * np.log2(yes) + seen[..., 0] * np.log2(1 - yes))
    return bits


def render(fitted: Coded, seen: Coded) -> str:
    """The savings of each idea as a Markdown table, for streams without and with plane 0."""
    by_class, told = (side.decisions.sum(axis=3) for side in (seen, fitted))
    fixed = cost(by_class, told.sum(axis=0)).sum(axis=(0, 2))
    words = seen.bits[:, 0] - seen.decisions[..., 1].sum(axis=(0, 2, 3))
    groups = cost(seen.decisions, fitted.decisions.sum(axis=0)).sum(axis=(0, 2, 3))
    saved = {
        "an ideal arithmetic coder": fixed - words,
        "probabilities of each picture's own, told for nothing": (
            cost(by_class, by_class).sum(axis=(0, 2)) - fixed
        ),
        f"probabilities of {NUM_GROUPS} groups of channels": groups - fixed,
        "probabilities of refinement bits": (
            cost(seen.refinements, fitted.refinements).sum(axis=-1) - seen.bits[:, 1]
        ),
    }
    signs = cost(seen.signs, fitted.signs).sum() / seen.signs.sum() - 1
    saved["signs told by all their neighbours"] = signs * seen.decisions[..., 1].sum(axis=(0, 2, 3))
    lines = ["| bytes saved, percent | planes from 1 | all planes |", "|---|---:|---:|"]
    sizes = [seen.bits[first:].sum() for first in (1, 0)]
    for title, bits in saved.items():
        shares = [
            100 * bits[first:].sum() / size for first, size in zip((1, 0), sizes, strict=True)
        ]
        lines.append(f"| {title} | {shares[0]:.1f} | {shares[1]:.1f} |")
    means = [size / 8 / len(seen.decisions) for size in sizes]
    lines.append(f"| mean bytes of a stream | {means[0]:,.0f} | {means[1]:,.0f} |")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Measure the checkpoint named first on the pictures in the folders after it."""
    if len(arguments) < 2:
        sys.stderr.write("usage: python -m tools.coder_bounds CHECKPOINT DATA [EXTRA ...]\n")
        return 2
    checkpoint = Checkpoint.load(arguments[0])
    symbols = encoded_pictures(checkpoint, arguments[1:], FITTED + MEASURED)
    grid = checkpoint.plan.grid
    plan = fit_plan_on(grid, symbols[:FITTED]).plan.planes
    coefficients = [grid.forward(grid.values(picture)) for picture in symbols]
    print(render(count(plan, coefficients[:FITTED]), count(plan, coefficients[FITTED:])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
