"""Fit the order and the predictions of bit planes to coefficients of training pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pnc.codec.coefficients import TOP_PLANE, CoefficientGrid
from pnc.codec.context import Context
from pnc.codec.planes import NUM_CLASSES, PlanePlan, PlanePrior
from pnc.codec.runs import MAX_ORDER, best_order
from training.context import fit_context

SEGMENTS = NUM_CLASSES + 1
"""Segments of a plane: its classes and the refinement."""

RARE = 1e-5
"""Share of a channel's coefficients in a plane that is worth beginning with it."""


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
    fitted = tuple(
        _unordered(fit_context(grid, first_planes, plane, magnitudes, neighbours=neighbours))
        for plane in range(max(first_planes) + 1)
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


def _unordered(context: Context) -> PlanePrior:
    return PlanePrior(context, (0,) * NUM_CLASSES, 0)


def _ordered(plan: PlanePlan, plane: int, magnitudes: NDArray[np.int16]) -> PlanePrior:
    """The prior with the orders that cost least, and refinement where it gains as much a bit."""
    yes = np.zeros(NUM_CLASSES)
    all_ = np.zeros(NUM_CLASSES)
    gain_refined = bits_refined = 0.0
    gains = np.zeros(NUM_CLASSES)
    for picture in magnitudes:
        ordered = plan.in_order(picture)
        arrangement = plan.arrange(plane, ordered)
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
    return PlanePrior(prior.context, orders, refined_after)
