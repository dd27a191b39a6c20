"""The network of a plane learns what the places around tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from pnc.codec.coefficients import CoefficientGrid
from pnc.codec.context import Context
from pnc.codec.plane_coder import encode_planes
from pnc.codec.planes import PlanePlan
from training.context import fit_context, mean_context
from training.planes import fit_planes, order_planes

CHANNELS = 4
PLANE = 2


def make_coefficients(seed: int, count: int = 60) -> NDArray[np.int16]:
    """Loud and quiet regions, alike in all channels."""
    rng = np.random.default_rng(seed)
    loud = np.repeat(np.repeat(rng.gamma(0.3, 12, (count, 2, 2, 1)), 4, axis=1), 4, axis=2)
    return (
        np.rint(rng.laplace(0, 1, (count, 8, 8, CHANNELS)) * loud).clip(-500, 500).astype(np.int16)
    )


@pytest.fixture(scope="module")
def plan() -> PlanePlan:
    grid = CoefficientGrid(8, 8, CHANNELS, 128, (), np.ones((8, 8, CHANNELS), np.float32))
    return fit_planes(grid, make_coefficients(0))


def num_bytes(plan: PlanePlan) -> int:
    return sum(len(encode_planes(plan, picture)) for picture in make_coefficients(1))


def with_context(plan: PlanePlan, context: Context) -> PlanePlan:
    priors = list(plan.priors)
    priors[PLANE] = replace(priors[PLANE], context=context)
    return order_planes(replace(plan, priors=tuple(priors)), make_coefficients(0))


def test_what_is_known_saves_bytes(plan: PlanePlan) -> None:
    magnitudes = np.abs(make_coefficients(0))
    blind = mean_context(plan.first_planes, PLANE, magnitudes)
    alone = fit_context(plan.grid, plan.first_planes, PLANE, magnitudes, neighbours=False)
    sizes = [num_bytes(with_context(plan, context)) for context in (blind, alone)]
    assert num_bytes(plan) < sizes[1] < sizes[0]


def test_the_same_pictures_give_the_same_network(plan: PlanePlan) -> None:
    magnitudes = np.abs(make_coefficients(0))
    again = fit_context(plan.grid, plan.first_planes, PLANE, magnitudes)
    assert np.array_equal(again.inner, plan.priors[PLANE].context.inner)
    assert np.array_equal(again.outer, plan.priors[PLANE].context.outer)
