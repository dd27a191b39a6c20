"""Fit the order and the predictions of bit planes to coefficients of training pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pnc.codec.coefficients import TOP_PLANE, CoefficientGrid
from pnc.codec.planes import (
    FRACTION_BITS,
    NUM_CLASSES,
    PlanePlan,
    PlanePrior,
)
from pnc.codec.runs import MAX_ORDER, best_order

SEGMENTS = NUM_CLASSES + 1
"""Segments of a plane: its classes and the refinement."""

RIDGE = 1e-2
"""Ridge of the regressions, per sample, in squared units of a coefficient."""

RARE = 1e-5
"""Share of a channel's coefficients in a plane that is worth beginning with it."""

CAP = 4
"""Magnitudes count as at most so many thresholds: how large a yes is does not matter."""


def fit_planes(
    grid: CoefficientGrid, coefficients: NDArray[np.int16], *, neighbours: bool = True
) -> PlanePlan:
    """The plan for coefficients like these.

    Args:
        grid: where they come from.
        coefficients: int16 ``[n, height, width, channels]``.
        neighbours: whether predictions look at them.
    """
    magnitudes = np.abs(coefficients)
    first_planes = _first_planes(magnitudes)
    limits = ((2 << np.array(first_planes)) - 1).astype(np.int16)
    magnitudes = np.minimum(magnitudes, limits)
    planes = range(max(first_planes) + 1)
    fitted = tuple(
        _predict(grid, first_planes, plane, magnitudes, neighbours=neighbours) for plane in planes
    )
    return order_planes(PlanePlan(grid, first_planes, fitted), coefficients)


def order_planes(plan: PlanePlan, coefficients: NDArray[np.int16]) -> PlanePlan:
    """The plan with the orders of runs and the places of refinement that suit coefficients best.

    Args:
        plan: its predictions are taken as they are.
        coefficients: int16 ``[n, height, width, channels]``.
    """
    magnitudes = np.minimum(np.abs(coefficients), plan.limits)
    priors = tuple(_ordered(plan, plane, magnitudes) for plane in range(len(plan.priors)))
    return replace(plan, priors=priors)


def segment_turn(of_class: int | None, refined_after: int) -> int:
    """Which of a plane's segments a class is, or the refinement if of none."""
    if of_class is None:
        return refined_after
    return of_class + (of_class >= refined_after)


def _first_planes(magnitudes: NDArray[np.int16]) -> tuple[int, ...]:
    channels = magnitudes.reshape(-1, magnitudes.shape[-1])
    shares = np.stack([(channels >= 1 << plane).mean(axis=0) for plane in range(TOP_PLANE)])
    return tuple(int(max(0, np.flatnonzero(share > RARE).max(initial=0))) for share in shares.T)


def _unfitted(grid: CoefficientGrid) -> PlanePrior:
    shape = (grid.height, grid.width, grid.num_channels)
    return PlanePrior(
        np.zeros((grid.num_channels, grid.num_channels), np.int16),
        np.zeros(grid.num_channels, np.int16),
        np.zeros(shape, np.int16),
        (0,) * NUM_CLASSES,
        0,
    )


def _predict(
    grid: CoefficientGrid,
    first_planes: tuple[int, ...],
    plane: int,
    magnitudes: NDArray[np.int16],
    *,
    neighbours: bool,
) -> PlanePrior:
    """Weights by ridge regression of what is undecided on what is known."""
    prior = _unfitted(grid)
    first = np.array(first_planes)
    above = np.flatnonzero(first > plane)
    known = (magnitudes >> (plane + 1)) << (plane + 1)
    undecided = known == 0
    middle = known + (1 << plane) * (known > 0)
    wanted = np.minimum(magnitudes, CAP << plane)
    # Whole numbers, so that all sums are exact and their order is no matter.
    columns = np.concatenate(
        [
            middle[..., above],
            np.ones((*middle.shape[:-1], 1)),
            _around(middle)[..., above],
            wanted,
        ],
        axis=-1,
        dtype=np.float64,
    ).reshape(-1, 2 * len(above) + 1 + wanted.shape[-1])
    moments = columns.T @ columns
    scale = float(1 << FRACTION_BITS)
    for channel in np.flatnonzero(first >= plane):
        here = undecided[..., channel]
        if not here.any():
            continue
        if channel in grid.smooth:
            count = here.sum(axis=0)
            mean = (wanted[..., channel] * here).sum(axis=0) / np.maximum(count, 1)
            prior.bias[..., channel] = np.clip(np.rint(mean * scale), 0, 32767)
            continue
        mine = [*range(len(above) + 1), 2 * len(above) + 1 + channel]
        looks_around = neighbours and channel in above
        if looks_around:
            mine.insert(-1, len(above) + 1 + int(np.searchsorted(above, channel)))
        part = _moments_where(columns, moments, mine, here.ravel())
        size = len(mine) - 1
        gram = part[:size, :size] + RIDGE * here.sum() * np.eye(size)
        solved = np.linalg.solve(gram, part[:size, -1]) * scale
        weights = np.clip(np.rint(solved), -32767, 32767).astype(np.int16)
        prior.weights[above, channel] = weights[: len(above)]
        prior.bias[..., channel] = weights[len(above)]
        if looks_around:
            prior.neighbours[channel] = weights[-1]
    return prior


def _moments_where(
    columns: NDArray[np.float64], moments: NDArray[np.float64], mine: list[int], here: NDArray[Any]
) -> NDArray[np.float64]:
    """``x.T @ x`` of some columns where ``here``: from the fewer rows of those and the others.

    Args:
        columns: whole numbers ``[n, columns]``.
        moments: ``columns.T @ columns``.
        mine: the columns that are wanted.
        here: bool ``[n]``.
    """
    rest = 2 * np.count_nonzero(here) > len(here)
    rows = columns[np.flatnonzero(here != rest)][:, mine]
    part: NDArray[np.float64] = rows.T @ rows
    return moments[np.ix_(mine, mine)] - part if rest else part


def _around(fields: NDArray[Any]) -> NDArray[Any]:
    """See :meth:`pnc.codec.planes.PlanePlan._around`, for ``[n, height, width, channels]``."""
    padded = np.pad(fields, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows = padded[:, :-2] + padded[:, 2:] + 2 * padded[:, 1:-1]
    total: NDArray[Any] = rows[:, :, :-2] + rows[:, :, 2:] + 2 * rows[:, :, 1:-1]
    return total - 4 * fields


def _ordered(plan: PlanePlan, plane: int, magnitudes: NDArray[np.int16]) -> PlanePrior:
    """The prior with the orders that cost least, and refinement where it gains as much a bit."""
    yes = np.zeros(NUM_CLASSES)
    all_ = np.zeros(NUM_CLASSES)
    gain_refined = bits_refined = 0.0
    gains = np.zeros(NUM_CLASSES)
    for picture in magnitudes:
        ordered = plan.in_order(picture)
        known = (ordered >> (plane + 1)) << (plane + 1)
        arrangement = plan.arrange(plane, known)
        flat = ordered.ravel()
        decided = flat[arrangement.undecided]
        owner = np.repeat(np.arange(NUM_CLASSES), arrangement.lengths)
        reached = decided >> plane > 0
        yes += np.bincount(owner, reached, NUM_CLASSES)
        all_ += arrangement.lengths
        error = decided.astype(np.float64) ** 2
        after = (decided - 1.45 * 2**plane) ** 2
        gains += np.bincount(owner, np.where(reached, error - after, 0.0), NUM_CLASSES)
        refined = flat[arrangement.refined].astype(np.float64)
        coarse = (flat[arrangement.refined] >> (plane + 1)) * 2.0 ** (plane + 1) + 2**plane
        fine = (flat[arrangement.refined] >> plane) * 2.0**plane + 2.0 ** (plane - 1)
        gain_refined += float(((refined - coarse) ** 2 - (refined - fine) ** 2).sum())
        bits_refined += len(refined)
    share = (yes + 0.02) / (all_ + 0.04)
    entropy = -share * np.log2(share) - (1 - share) * np.log2(1 - share) + share
    per_bit = gains / np.maximum(all_ * entropy, 1e-9)
    refined_per_bit = gain_refined / max(bits_refined, 1.0)
    orders = tuple(
        best_order(float(s)) if n else MAX_ORDER for s, n in zip(share, all_, strict=True)
    )
    prior = plan.priors[plane]
    better = np.flatnonzero((per_bit < refined_per_bit) & (all_ > 0))
    refined_after = int(better[0]) if len(better) else NUM_CLASSES
    return PlanePrior(prior.weights, prior.neighbours, prior.bias, orders, refined_after)
