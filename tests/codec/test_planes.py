"""Planes: classes as the page computes them, and plans that do not fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pnc.codec.context import MAX_HIDDEN, Context
from pnc.codec.planes import NUM_CLASSES, PlanePlan, PlanePrior
from pnc.errors import CheckpointError
from tests.codec.cases import LARGEST, loud_plan, make_grid, one_plane
from tests.codec.reference_decoder import level_of


def class_of(
    plan: PlanePlan, plane: int, row: int, column: int, channel: int, known: NDArray[np.int16]
) -> int:
    """The class of a coefficient as docs/bitstream.md says it, in Python's integers."""
    height, width, num_channels = plan.grid.shape
    network, first = plan.priors[plane].context, plan.first_planes

    def middle(y: int, x: int, a: int) -> int:
        if not (0 <= y < height and 0 <= x < width):
            return 0
        m = int(known[y, x, a])
        return (m >> plane) + 1 if m > 0 else 0

    def level_around(a: int) -> int:
        return level_of(
            sum(
                (1 if dy and dx else 2) * middle(row + dy, column + dx, a)
                for dy in (-1, 0, 1)
                for dx in (-1, 0, 1)
                if dy or dx
            )
        )

    above = [a for a in range(num_channels) if first[a] > plane]
    logit = int(network.bias[row, column, channel])
    for unit, total in enumerate(network.inner_bias.tolist()):
        for a in above:
            total += int(network.inner[0, a, unit]) * level_of(middle(row, column, a))
            total += int(network.inner[1, a, unit]) * level_around(a)
        logit += int(network.outer[unit, channel]) * min(max(total >> 6, 0), 255)
    if channel in above:
        logit += int(network.neighbours[channel]) * level_around(channel)
    return min(max(3072 - logit >> 10, 0), 17)


def rank(plan: PlanePlan, at: int) -> tuple[int, int, int]:
    """What positions are sorted by."""
    height, width, _ = plan.grid.shape
    row, column = divmod(at, width)
    step = next(n for n in (8, 4, 2, 1) if row % n == 0 and column % n == 0)
    return -step, (2 * row - height + 1) ** 2 + (2 * column - width + 1) ** 2, at


def places(plan: PlanePlan, indices: NDArray[np.intp]) -> list[tuple[int, int]]:
    """Position and channel of each index of an arrangement."""
    position, column = np.divmod(indices, plan.grid.num_channels)
    return list(zip(plan.scan[position].tolist(), plan.channels[column].tolist(), strict=True))


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 9), st.integers(1, 9), st.integers(1, 4))
def test_the_classes_are_those_of_the_page(
    seed: int, height: int, width: int, num_channels: int
) -> None:
    rng = np.random.default_rng(seed)
    grid = make_grid(height, width, num_channels)
    first = tuple(int(plane) for plane in rng.integers(0, 12, num_channels))
    plan = loud_plan(grid, first, seed)
    plane = int(rng.integers(0, max(first), endpoint=True))
    magnitudes = rng.integers(0, plan.limits + 1, grid.shape) * rng.integers(0, 2, grid.shape)
    known = (magnitudes >> plane + 1 << plane + 1).astype(np.int16)
    classes: list[list[tuple[int, int]]] = [[] for _ in range(NUM_CLASSES)]
    refined = []
    for at in sorted(range(height * width), key=lambda at: rank(plan, at)):
        row, column = divmod(at, width)
        for channel in sorted(range(num_channels), key=lambda c: (-first[c], c)):
            if first[channel] < plane:
                continue
            index = (at, channel)
            if known[row, column, channel]:
                refined.append(index)
            else:
                classes[class_of(plan, plane, row, column, channel, known)].append(index)
    found = plan.arrange(plane, plan.in_order(known))
    assert found.lengths.tolist() == [len(members) for members in classes]
    assert places(plan, found.undecided) == [index for members in classes for index in members]
    assert places(plan, found.refined) == refined


def test_sums_as_large_as_they_can_be_are_exact() -> None:
    """Hidden units that cancel each other, beside biases on both sides of a class's border."""
    signs = np.repeat([1, -1], MAX_HIDDEN // 2)[:, None]
    network = Context(
        np.zeros((2, 2, MAX_HIDDEN), np.int16),
        np.full(MAX_HIDDEN, 1 << 30, np.int32),
        np.tile(signs * LARGEST, 2).astype(np.int16),
        np.zeros(2, np.int16),
        np.full((1, 1, 2), (2048, 2049), np.int16),
    )
    plan = PlanePlan(make_grid(1, 1, 2), (0, 0), (PlanePrior(network, (0,) * NUM_CLASSES, 0),))
    nothing = np.zeros((1, 1, 2), np.int16)
    assert [class_of(plan, 0, 0, 0, channel, nothing) for channel in (0, 1)] == [1, 0]
    found = plan.arrange(0, plan.in_order(nothing))
    assert found.lengths[:2].tolist() == [1, 1]
    assert places(plan, found.undecided) == [(0, 1), (0, 0)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"orders": (0,) * 17}, "18 orders"),
        ({"orders": (0,) * 19}, "18 orders"),
        ({"orders": (-2,) * 18}, "orders of -1 to 12"),
        ({"orders": (13,) * 18}, "orders of -1 to 12"),
        ({"refined_after": -1}, "refinement after class -1"),
        ({"refined_after": 19}, "refinement after class 19"),
    ],
)
def test_an_impossible_prior_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        replace(one_plane(0).priors[0], **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"first_planes": ()}, "one first plane"),
        ({"first_planes": (0, 0)}, "one first plane"),
        ({"first_planes": (-1,)}, "below 12"),
        ({"first_planes": (12,)}, "below 12"),
        ({"first_planes": (1,)}, "1 priors for other first planes"),
        ({"priors": ()}, "0 priors"),
        ({"priors": one_plane(0, length=4).priors}, "the network of a plane"),
        ({"grid": make_grid(3, 1, 1)}, "the network of a plane"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        replace(one_plane(0), **change)
