"""Planes: classes as the page computes them, every cut of the bits, and plans that do not fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pnc.codec.coefficients import CoefficientGrid
from pnc.codec.planes import (
    NUM_CLASSES,
    Knowledge,
    PlanePlan,
    PlanePrior,
    decode_planes,
    encode_planes,
    plane_bits,
)
from pnc.codec.runs import DENSE, MAX_ORDER
from pnc.errors import CheckpointError, CorruptBitstreamError
from tests.codec.cases import (
    CASES,
    Case,
    coefficients_of,
    plan_of,
    random_planes,
    tells_the_truth,
)

LARGEST = 32_767


def make_grid(height: int, width: int, num_channels: int) -> CoefficientGrid:
    scale = np.ones((height, width, num_channels), np.float32)
    return CoefficientGrid(height, width, num_channels, 128, (), scale)


def loud_plan(grid: CoefficientGrid, first: tuple[int, ...], seed: int) -> PlanePlan:
    """Priors with numbers as large as they can be."""
    rng = np.random.default_rng(seed)
    channels = grid.num_channels

    def numbers(*shape: int) -> NDArray[np.int16]:
        size = int(rng.choice([3, 100, LARGEST]))
        return rng.integers(-size, size, shape, endpoint=True).astype(np.int16)

    priors = tuple(
        PlanePrior(
            numbers(channels, channels),
            numbers(channels),
            numbers(*grid.shape),
            tuple(rng.integers(DENSE, MAX_ORDER, NUM_CLASSES, endpoint=True).tolist()),
            int(rng.integers(0, NUM_CLASSES, endpoint=True)),
        )
        for _ in range(max(first) + 1)
    )
    return PlanePlan(grid, first, priors)


def class_of(
    plan: PlanePlan, plane: int, row: int, column: int, channel: int, known: NDArray[np.int16]
) -> int:
    """The class of a coefficient as docs/bitstream.md says it, in Python's integers."""
    height, width, num_channels = plan.grid.shape
    prior, first = plan.priors[plane], plan.first_planes

    def middle(y: int, x: int, a: int) -> int:
        if not (0 <= y < height and 0 <= x < width):
            return 0
        m = int(known[y, x, a])
        return m + 2**plane if m > 0 else 0

    p = int(prior.bias[row, column, channel])
    for a in range(num_channels):
        if first[a] > plane:
            p += int(prior.weights[a, channel]) * middle(row, column, a)
    if first[channel] > plane:
        around = sum(
            (1 if dy and dx else 2) * middle(row + dy, column + dx, channel)
            for dy in (-1, 0, 1)
            for dx in (-1, 0, 1)
            if dy or dx
        )
        p += int(prior.neighbours[channel]) * around
    q = max(p, 1)
    e = q.bit_length() - 1
    h = 2 * e + (1 if 2 * q >= 3 << e else 0)
    return min(max(2 * plane + 14 - h, 0), 13)


def rank(plan: PlanePlan, at: int) -> tuple[int, int, int]:
    """What positions are sorted by."""
    height, width, _ = plan.grid.shape
    row, column = divmod(at, width)
    level = next(step for step in (8, 4, 2, 1) if row % step == 0 and column % step == 0)
    return -level, (2 * row - height + 1) ** 2 + (2 * column - width + 1) ** 2, at


def places(plan: PlanePlan, indices: NDArray[np.intp]) -> list[tuple[int, int]]:
    """Position and channel of each index of an arrangement."""
    position, column = np.divmod(indices, plan.grid.num_channels)
    return list(zip(position.tolist(), plan.channels[column].tolist(), strict=True))


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
    """Everything at its limit, and a bias that decides on which side of a class it falls."""
    channels = 64
    grid = make_grid(3, 3, channels)
    classes = []
    for bias in (-1, 0):
        weights = np.full((channels, channels), LARGEST, np.int16)
        weights[0, 0] = 1
        prior = PlanePrior(
            weights,
            np.full(channels, -LARGEST, np.int16),
            np.full(grid.shape, bias, np.int16),
            (0,) * NUM_CLASSES,
            0,
        )
        plan = PlanePlan(grid, (11,) * channels, (prior,) * 12)
        known = np.full((9, channels), 4094, np.int16)
        known[:, 0] = 0
        raster = np.zeros(grid.shape, np.int16)
        raster[:, :, 1:] = 4094
        found = plan.arrange(0, known)
        assert found.lengths[class_of(plan, 0, 1, 1, 0, raster)] == len(found.undecided) == 9
        classes.append(class_of(plan, 0, 1, 1, 0, raster))
    assert classes == [0, 0]


def cuts(plan: PlanePlan, data: bytes, step: int = 1) -> Iterator[Knowledge]:
    """What prefixes tell, the whole one at last."""
    for num_bytes in range(len(data) % step, len(data) + 1, step):
        yield decode_planes(plan, data[:num_bytes])


def test_every_cut_tells_the_truth_and_nothing_is_taken_back(case: Case) -> None:
    plan, coefficients = plan_of(case).whole, coefficients_of(case)
    data = encode_planes(plan, coefficients)
    last = np.broadcast_to(np.array(plan.first_planes) + 1, plan.grid.shape)
    num_bits = 0
    for num_bytes, knowledge in enumerate(cuts(plan, data)):
        assert tells_the_truth(knowledge, coefficients)
        assert (knowledge.planes <= last).all()
        assert num_bits <= knowledge.num_bits <= 8 * num_bytes
        assert knowledge.is_complete == (num_bytes == len(data))
        last, num_bits = knowledge.planes, knowledge.num_bits
    assert not last.any()
    assert 8 * len(data) - num_bits < 8


def test_segments_say_what_arrived(case: Case) -> None:
    plan = plan_of(case).whole
    data = encode_planes(plan, coefficients_of(case))
    for knowledge in cuts(plan, data, step=5):
        assert all(s.num_known == s.num_coefficients for s in knowledge.segments[:-1])
        order = [
            (
                -s.plane,
                plan.priors[s.plane].refined_after - 0.5 if s.of_class is None else s.of_class,
            )
            for s in knowledge.segments
        ]
        assert order == sorted(set(order))
        known = np.array(plan.first_planes) + 1 - knowledge.planes.astype(int)
        assert sum(segment.num_known for segment in knowledge.segments) == known.sum()
    assert sum(s.num_coefficients for s in knowledge.segments) == known.sum()


def test_a_limit_cuts_the_same_bytes(case: Case) -> None:
    plan, coefficients = plan_of(case).whole, coefficients_of(case)
    data = encode_planes(plan, coefficients)
    for max_bytes in range(len(data) + 3):
        assert encode_planes(plan, coefficients, max_bytes) == data[:max_bytes]


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(1, 9), st.integers(1, 9), st.integers(1, 3))
def test_any_coefficients_come_back_clipped(
    seed: int, height: int, width: int, num_channels: int
) -> None:
    rng = np.random.default_rng(seed)
    grid = make_grid(height, width, num_channels)
    first = tuple(int(plane) for plane in rng.integers(0, 12, num_channels))
    plan = loud_plan(grid, first, seed) if seed % 2 else random_planes(grid, first, seed)
    spread = rng.choice([0.1, 5, 300, 4000])
    coefficients = np.clip(rng.laplace(0, spread, grid.shape), -4095, 4095).astype(np.int16)
    knowledge = decode_planes(plan, encode_planes(plan, coefficients))
    assert knowledge.is_complete
    assert tells_the_truth(knowledge, np.clip(coefficients, -plan.limits, plan.limits))


def test_planes_that_are_not_asked_for_are_not_coded(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, coefficients = plan_of(CASES["signed"]()).whole, coefficients_of(CASES["signed"]())
    highest = next(plane_bits(plan, coefficients))
    coded = []
    arrange = PlanePlan.arrange

    def watch(self: PlanePlan, plane: int, magnitudes: NDArray[np.int16]) -> Any:
        coded.append(plane)
        return arrange(self, plane, magnitudes)

    monkeypatch.setattr(PlanePlan, "arrange", watch)
    encode_planes(plan, coefficients, len(highest) // 8)
    assert coded == [max(plan.first_planes)]


def test_surplus_bytes_and_padding_that_is_not_zero_are_refused(case: Case) -> None:
    plan = plan_of(case).whole
    data = encode_planes(plan, coefficients_of(case))
    num_padding = 8 * len(data) - decode_planes(plan, data).num_bits
    refused = [data + b"\0", data + b"\xff", data + bytes(100)]
    refused += [data[:-1] + bytes([data[-1] | 1 << bit]) for bit in range(num_padding)]
    for surplus in refused:
        with pytest.raises(CorruptBitstreamError, match="complete after"):
            decode_planes(plan, surplus)


def one_plane(order: int, length: int = 3) -> PlanePlan:
    """One plane, one channel; all coefficients are of class 13."""
    grid = make_grid(1, length, 1)
    prior = PlanePrior(
        np.zeros((1, 1), np.int16),
        np.zeros(1, np.int16),
        np.zeros(grid.shape, np.int16),
        (order,) * NUM_CLASSES,
        0,
    )
    return PlanePlan(grid, (0,), (prior,))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x00", [0, 0, 0]),
        (b"\xd0", [0, 0, -1]),
        (b"\x9a", [-1, 0, 1]),
    ],
)
def test_code_words_are_those_of_the_page(data: bytes, expected: list[int]) -> None:
    plan = one_plane(2)
    knowledge = decode_planes(plan, data)
    assert knowledge.is_complete
    assert (knowledge.signs * knowledge.magnitudes).ravel()[plan.scan].tolist() == expected


@pytest.mark.parametrize("data", [b"\xe0", b"\xba"])
def test_a_run_beyond_its_segment_is_refused(data: bytes) -> None:
    """Three noes of three coefficients and then a yes; one no and a yes, the same again."""
    with pytest.raises(CorruptBitstreamError, match="run is longer"):
        decode_planes(one_plane(2), data)


@settings(max_examples=200)
@given(st.binary(max_size=150))
def test_any_bytes_are_some_knowledge_or_corrupt(data: bytes) -> None:
    plan = PLANS["unsigned"]
    try:
        knowledge = decode_planes(plan, data)
    except CorruptBitstreamError:
        return
    assert (knowledge.magnitudes <= plan.limits).all()
    assert (
        (knowledge.magnitudes >> knowledge.planes << knowledge.planes) == knowledge.magnitudes
    ).all()
    assert ((knowledge.signs != 0) == (knowledge.magnitudes > 0)).all()
    assert knowledge.num_bits <= 8 * len(data)


PLANS = {"unsigned": plan_of(CASES["unsigned"]()).whole}


def test_restored_values_lie_in_their_intervals() -> None:
    case = CASES["signed"]()
    plan, coefficients = plan_of(case).whole, coefficients_of(case)
    true = plan.grid.inverse(coefficients)
    data = encode_planes(plan, coefficients)
    points = np.full((case["channels"], 13), 0.25, np.float32)
    for knowledge in cuts(plan, data):
        values, spread = knowledge.restore(points)
        assert values.dtype == spread.dtype == np.float32
        assert values.shape == spread.shape == plan.grid.shape
        widths = np.exp2(knowledge.planes.astype(np.float32))
        assert spread == pytest.approx(widths / plan.grid.scale)
        assert (np.abs(values - true) <= 1.001 * spread).all()
        magnitudes = knowledge.magnitudes
        offset = 0.25 * widths * (magnitudes > 0)
        assert np.abs(values) * plan.grid.scale == pytest.approx(magnitudes + offset, rel=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"orders": (0,) * 13}, "14 orders"),
        ({"orders": (0,) * 15}, "14 orders"),
        ({"orders": (-2,) * 14}, "orders of -1 to 12"),
        ({"orders": (13,) * 14}, "orders of -1 to 12"),
        ({"refined_after": -1}, "refinement after class -1"),
        ({"refined_after": 15}, "refinement after class 15"),
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
        ({"priors": one_plane(0, length=4).priors}, "a prior has shapes"),
        ({"grid": make_grid(3, 1, 1)}, "a prior has shapes"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        replace(one_plane(0), **change)
