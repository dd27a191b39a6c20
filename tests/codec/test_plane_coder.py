"""Every cut of the bits of all planes, whatever they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pnc.codec.plane_coder import (
    Knowledge,
    decode_planes,
    encode_planes,
    plane_bits,
)
from pnc.codec.planes import PlanePlan
from pnc.errors import CorruptBitstreamError
from tests.codec.cases import (
    CASES,
    Case,
    bits_read,
    coefficients_of,
    loud_plan,
    make_grid,
    one_plane,
    plan_of,
    random_planes,
    tells_the_truth,
)


def cuts(plan: PlanePlan, data: bytes, step: int = 1) -> Iterator[Knowledge]:
    """What prefixes tell, the whole one at last."""
    for num_bytes in range(len(data) % step, len(data) + 1, step):
        yield decode_planes(plan, data[:num_bytes])


def test_every_cut_tells_the_truth_and_nothing_is_taken_back(case: Case) -> None:
    plan, coefficients = plan_of(case).planes, coefficients_of(case)
    data = encode_planes(plan, coefficients)
    last = np.broadcast_to(np.array(plan.first_planes) + 1, plan.grid.shape)
    num_bits = 0
    for num_bytes, knowledge in enumerate(cuts(plan, data)):
        assert tells_the_truth(knowledge, coefficients)
        assert (knowledge.planes <= last).all()
        assert num_bits <= bits_read(knowledge) <= 8 * num_bytes
        assert knowledge.is_complete == (num_bytes == len(data))
        last, num_bits = knowledge.planes, bits_read(knowledge)
    assert not last.any()
    assert 8 * len(data) - num_bits < 8


def test_segments_say_what_arrived(case: Case) -> None:
    plan = plan_of(case).planes
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
    plan, coefficients = plan_of(case).planes, coefficients_of(case)
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
    plan, coefficients = plan_of(CASES["signed"]()).planes, coefficients_of(CASES["signed"]())
    highest = next(plane_bits(plan, coefficients))
    coded = []
    arrange = PlanePlan.arrange

    def watch(self: PlanePlan, plane: int, magnitudes: NDArray[np.int16]) -> Any:
        coded.append(plane)
        return arrange(self, plane, magnitudes)

    monkeypatch.setattr(PlanePlan, "arrange", watch)
    encode_planes(plan, coefficients, len(highest) // 8)
    assert coded == list(plan.together[0])
    assert plan.together[0][0] == max(plan.first_planes)
    assert sum(map(len, plan.together)) == len(plan.priors) > len(plan.together[0])


def test_surplus_bytes_and_padding_that_is_not_zero_are_refused(case: Case) -> None:
    plan = plan_of(case).planes
    data = encode_planes(plan, coefficients_of(case))
    num_padding = 8 * len(data) - bits_read(decode_planes(plan, data))
    refused = [data + b"\0", data + b"\xff", data + bytes(100)]
    refused += [data[:-1] + bytes([data[-1] | 1 << bit]) for bit in range(num_padding)]
    for surplus in refused:
        with pytest.raises(CorruptBitstreamError, match="complete after"):
            decode_planes(plan, surplus)


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
    assert bits_read(knowledge) <= 8 * len(data)


PLANS = {"unsigned": plan_of(CASES["unsigned"]()).planes}


def test_restored_values_lie_in_their_intervals() -> None:
    case = CASES["signed"]()
    plan, coefficients = plan_of(case).planes, coefficients_of(case)
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
