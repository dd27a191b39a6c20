"""Layers: what they code, in which order, and what is known after them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pnc.codec.layers import (
    MAX_GRID,
    MAX_LAYERS,
    UNKNOWN_SHIFT,
    Knowledge,
    Layer,
    LayerPlan,
    at_shift,
    layer_symbols,
    layer_values,
    picture_symbols,
    plan_steps,
    scan_order,
)
from pnc.errors import CheckpointError
from tests.codec.cases import laplacian

PLAN = LayerPlan(3, 4, 2, 128, ((0, 6), (1, 5), (0, 3), (1, 0), (0, 2)))


def values_of(symbols: list[int]) -> NDArray[np.int16]:
    return np.array(symbols, np.int16)


@pytest.mark.parametrize(
    ("height", "width", "num_channels", "zero_point", "steps"),
    [
        (0, 4, 1, 128, ((0, 0),)),
        (4, MAX_GRID + 1, 1, 128, ((0, 0),)),
        (4, 4, 0, 128, ((0, 0),)),
        (4, 4, MAX_LAYERS + 1, 128, ((0, 0),)),
        (4, 4, 1, -1, ((0, 0),)),
        (4, 4, 1, 256, ((0, 0),)),
        (4, 4, 1, 128, ()),
        (4, 4, 1, 128, ((0, 7), (0, 6)) * 1000),
        (4, 4, 1, 128, ((1, 0),)),
        (4, 4, 1, 128, ((-1, 0),)),
        (4, 4, 1, 128, ((0, UNKNOWN_SHIFT),)),
        (4, 4, 1, 128, ((0, -1),)),
        (4, 4, 1, 128, ((0, 4), (0, 4))),
        (4, 4, 1, 128, ((0, 4), (0, 5))),
    ],
)
def test_impossible_plans_are_refused(
    height: int, width: int, num_channels: int, zero_point: int, steps: tuple[tuple[int, int], ...]
) -> None:
    with pytest.raises(CheckpointError, match="layer plan"):
        LayerPlan(height, width, num_channels, zero_point, steps)


def test_a_layer_starts_where_the_one_before_of_its_channel_ended() -> None:
    assert PLAN.layers == (
        Layer(0, 8, 6),
        Layer(1, 8, 5),
        Layer(0, 6, 3),
        Layer(1, 5, 0),
        Layer(0, 3, 2),
    )
    assert [layer.num_bits for layer in PLAN.layers] == [2, 3, 3, 5, 1]
    assert PLAN.num_symbols == 5 * 12


@pytest.mark.parametrize(
    ("zero_point", "layer", "largest"),
    [
        (128, Layer(0, 8, 6), 2),
        (128, Layer(0, 8, 0), 128),
        (127, Layer(0, 8, 6), 2),
        (0, Layer(0, 8, 6), 3),
        (0, Layer(0, 8, 7), 1),
        (255, Layer(0, 8, 0), 255),
        (128, Layer(0, 6, 4), 3),
        (128, Layer(0, 6, 5), 1),
    ],
)
def test_the_largest_new_magnitude(zero_point: int, layer: Layer, largest: int) -> None:
    plan = LayerPlan(1, 1, 1, zero_point, ((0, 0),))
    assert plan.largest(layer) == largest
    assert plan.offset(layer) == (largest if zero_point else 0)


def test_scan_order_of_a_small_grid() -> None:
    assert scan_order(2, 3).tolist() == [0, 2, 1, 4, 3, 5]


@given(st.integers(1, MAX_GRID), st.integers(1, MAX_GRID))
def test_scan_order_visits_each_position_once_and_coarse_ones_first(
    height: int, width: int
) -> None:
    order = scan_order(height, width)
    assert sorted(order.tolist()) == list(range(height * width))
    rows, columns = np.divmod(order, width)
    for step in (8, 4, 2):
        coarse = (rows % step == 0) & (columns % step == 0)
        assert not coarse[np.argmin(coarse) :].any() or coarse.all()


@given(st.lists(st.integers(-255, 255), min_size=1), st.integers(0, 8), st.integers(0, 8))
def test_coarser_values_lose_low_bits_and_keep_their_sign(
    values: list[int], known: int, wanted: int
) -> None:
    at_known = at_shift(values_of(values), 0, known)
    assert at_known.dtype == np.int16
    assert at_known.tolist() == [int(value / 2**known) for value in values]
    coarsest = max(known, wanted)
    assert at_shift(at_known, known, wanted).tolist() == [int(v / 2**coarsest) for v in values]


@st.composite
def layer_cases(draw: st.DrawFn) -> tuple[LayerPlan, Layer, list[int]]:
    zero_point = draw(st.integers(0, 255))
    from_shift = draw(st.integers(1, 8))
    layer = Layer(0, from_shift, draw(st.integers(0, from_shift - 1)))
    values = draw(st.lists(st.integers(-zero_point, 255 - zero_point), min_size=1, max_size=40))
    return LayerPlan(1, 1, 1, zero_point, ((0, 0),)), layer, values


@given(layer_cases())
def test_symbols_and_values_of_a_layer_are_inverse(
    drawn: tuple[LayerPlan, Layer, list[int]],
) -> None:
    plan, layer, values = drawn
    before, after = (
        at_shift(values_of(values), 0, shift) for shift in (layer.from_shift, layer.shift)
    )
    new, low = layer_symbols(plan, layer, before, after)
    alphabet = plan.largest(layer) * (2 if plan.signed else 1) + 1
    assert ((new >= 0) & (new < alphabet)).all()
    assert ((low >= 0) & (low < 1 << layer.num_bits)).all()
    order = np.argsort(before != 0, kind="stable")
    decoded = layer_values(plan, layer, before[order], new, low)
    assert decoded.dtype == np.int16
    assert decoded.tolist() == after[order].tolist()


@pytest.mark.parametrize("seed", range(3))
def test_all_layers_at_once_give_what_single_layers_give(seed: int) -> None:
    source = Knowledge.complete(PLAN, laplacian(PLAN, [40.0, 25.0], seed)[0])
    source.values[1] //= 8
    source.shifts[1] = 3
    together = picture_symbols(PLAN, source)
    assert len(together) == len(PLAN.layers)
    for layer, (new, low) in zip(PLAN.layers, together, strict=True):
        values, shifts = source.values[layer.channel], source.shifts[layer.channel]
        expected = layer_symbols(
            PLAN,
            layer,
            at_shift(values, shifts, layer.from_shift),
            at_shift(values, shifts, layer.shift),
        )
        for found, wanted in zip((new, low), expected, strict=True):
            assert found.dtype == np.int32
            assert found.tolist() == wanted.tolist()


def test_values_stand_in_scan_order_around_the_zero_point() -> None:
    symbols = np.arange(24, dtype=np.uint8).reshape(3, 4, 2)
    values = PLAN.values(symbols)
    assert values.shape == (2, 12)
    assert values.dtype == np.int16
    assert (values[1] == values[0] + 1).all()
    assert values[0].tolist() == [2 * int(position) - 128 for position in PLAN.scan]


def test_grid_undoes_the_scan() -> None:
    symbols = laplacian(PLAN, [40.0, 25.0], seed=7)[0]
    values, shifts = Knowledge.complete(PLAN, symbols).grid()
    assert (values + 128 == symbols).all()
    assert values.dtype == np.int16
    assert not shifts.any()
    assert (Knowledge(PLAN).grid()[1] == UNKNOWN_SHIFT).all()


def test_a_layer_waits_for_all_values_that_it_refines() -> None:
    first, _, second, *_ = PLAN.layers
    knowledge = Knowledge(PLAN)
    positions = np.arange(12)
    known = knowledge.before(first)
    assert known is not None
    assert not known.any()
    assert knowledge.before(second) is None
    knowledge.learn(first, positions[:11], np.full(11, -1, np.int16))
    assert knowledge.before(second) is None
    knowledge.learn(first, positions[11:], np.full(1, 1, np.int16))
    known = knowledge.before(second)
    assert known is not None
    assert known.tolist() == [-1] * 11 + [1]


def test_finer_values_stay_and_are_coarsened_for_a_layer() -> None:
    first, _, second, _, third = PLAN.layers
    knowledge = Knowledge(PLAN)
    knowledge.learn(first, np.arange(12), np.ones(12, np.int16))
    knowledge.learn(second, np.arange(12), np.arange(8, 20, dtype=np.int16))
    knowledge.learn(third, np.array([3]), np.array([23], np.int16))
    knowledge.learn(second, np.arange(12), np.zeros(12, np.int16))
    assert knowledge.values[0].tolist() == [8, 9, 10, 23, *range(12, 20)]
    assert knowledge.shifts[0].tolist() == [3, 3, 3, 2] + [3] * 8
    known = knowledge.before(third)
    assert known is not None
    assert known.tolist() == list(range(8, 20))


def test_steps_of_a_manifest() -> None:
    assert plan_steps([[0, 6], [1, 5]]) == ((0, 6), (1, 5))


@pytest.mark.parametrize("steps", [[[1]], [[1, 2, 3]], [["a", 1]], [1], [[None, 1]], [[1e999, 1]]])
def test_steps_that_are_no_pairs_are_refused(steps: list[list[int]]) -> None:
    with pytest.raises(CheckpointError, match="pairs"):
        plan_steps(steps)
