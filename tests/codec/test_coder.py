"""Runs: what any number of their bytes determines."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pnc.codec.entropy.coder import code_picture, count_arrived, cut_picture, decode_run, encode_run
from pnc.codec.entropy.prior import LayerPrior, fit_priors
from pnc.codec.layers import Knowledge, LayerPlan
from pnc.errors import CorruptBitstreamError
from tests.codec.cases import (
    Case,
    Symbols,
    laplacian,
    plan_of,
    priors_of,
    skewed,
    skewed_priors,
    symbols_of,
)
from tests.codec.reference_decoder import lefts

PLAN = LayerPlan(4, 5, 2, 128, ((0, 5), (1, 6), (0, 3), (1, 4), (0, 0)))
PRIORS = fit_priors(PLAN, laplacian(PLAN, [40.0, 15.0], seed=11, count=30))


@st.composite
def pictures(draw: st.DrawFn) -> Symbols:
    likely = st.integers(108, 148)
    flat = draw(st.lists(st.one_of(likely, st.integers(0, 255)), min_size=40, max_size=40))
    return np.array(flat, np.uint8).reshape(4, 5, 2)


def coded_order(plan: LayerPlan, priors: tuple[LayerPrior, ...], source: Knowledge) -> list[int]:
    return [
        int(symbol)
        for layer in code_picture(plan, priors, source)
        for _, symbols in layer
        for symbol in symbols
    ]


def known_from(start: int, source: Knowledge) -> Knowledge:
    """What a receiver knows that has all symbols before a place."""
    run = encode_run(PLAN, code_picture(PLAN, PRIORS, source), 0, 1000)
    for num_bytes in range(len(run) + 1):
        knowledge = Knowledge(PLAN)
        if decode_run(PLAN, PRIORS, knowledge, 0, run[:num_bytes]) >= start:
            break
    return knowledge


def test_the_picture_has_a_symbol_for_each_layer_and_position(case: Case) -> None:
    plan, priors = plan_of(case), priors_of(case)
    source = Knowledge.complete(plan, symbols_of(case))
    assert len(coded_order(plan, priors, source)) == plan.num_symbols


@given(pictures(), st.integers(0, 5 * 20 - 1))
def test_a_run_gives_back_the_picture_from_any_place(symbols: Symbols, start: int) -> None:
    source = Knowledge.complete(PLAN, symbols)
    run = encode_run(PLAN, code_picture(PLAN, PRIORS, source), start, 1000)
    knowledge = known_from(start, source)
    assert decode_run(PLAN, PRIORS, knowledge, start, run) == PLAN.num_symbols - start
    assert (knowledge.values[0] == source.values[0]).all()
    assert (knowledge.shifts[1] == 4).all()


@given(pictures(), st.integers(0, 5 * 20 - 1))
def test_both_sides_count_the_symbols_of_a_cut_run_alike(symbols: Symbols, start: int) -> None:
    picture = code_picture(PLAN, PRIORS, Knowledge.complete(PLAN, symbols))
    run = encode_run(PLAN, picture, start, 1000)
    counts = []
    for num_bytes in range(len(run) + 1):
        receiver = Knowledge.complete(PLAN, symbols)
        counts.append(count_arrived(PLAN, picture, start, run[:num_bytes]))
        assert counts[-1] == decode_run(PLAN, PRIORS, receiver, start, run[:num_bytes])
        assert (receiver.values == Knowledge.complete(PLAN, symbols).values).all()
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, PLAN.num_symbols - start)


@given(pictures(), st.integers(0, 80))
def test_a_cut_run_is_a_prefix_of_the_whole_one(symbols: Symbols, max_bytes: int) -> None:
    picture = code_picture(PLAN, PRIORS, Knowledge.complete(PLAN, symbols))
    whole = encode_run(PLAN, picture, 0, 1000)
    assert encode_run(PLAN, picture, 0, max_bytes) == whole[:max_bytes]


def test_a_run_behind_the_last_symbol_is_empty() -> None:
    picture = code_picture(PLAN, PRIORS, Knowledge(PLAN))
    assert encode_run(PLAN, picture, PLAN.num_symbols, 1000) == b""


def test_a_run_ends_at_a_layer_whose_values_are_missing() -> None:
    source = Knowledge.complete(PLAN, laplacian(PLAN, [40.0, 15.0], seed=12)[0])
    run = encode_run(PLAN, code_picture(PLAN, PRIORS, source), 20, 1000)
    knowledge = Knowledge(PLAN)
    assert decode_run(PLAN, PRIORS, knowledge, 20, run) == 20
    assert (knowledge.shifts[0] == 8).all()
    assert (knowledge.shifts[1] == 6).all()


@pytest.mark.parametrize("surplus", [b"\0", b"\xff", b"\0\0\0\0", b"\0" * 9])
def test_surplus_bytes_are_refused(case: Case, surplus: bytes) -> None:
    plan, priors = plan_of(case), priors_of(case)
    picture = code_picture(plan, priors, Knowledge.complete(plan, symbols_of(case)))
    run = encode_run(plan, picture, 0, 10_000)
    with pytest.raises(CorruptBitstreamError, match="after the end"):
        decode_run(plan, priors, Knowledge(plan), 0, run + surplus)


def test_bytes_that_no_coder_writes_are_refused_once_they_are_there() -> None:
    data = b"\xff" * 8
    for num_bytes in range(8):
        assert decode_run(PLAN, PRIORS, Knowledge(PLAN), 0, data[:num_bytes]) == 0
    with pytest.raises(CorruptBitstreamError, match="no picture is coded like this"):
        decode_run(PLAN, PRIORS, Knowledge(PLAN), 0, data)


def test_impossible_bytes_behind_a_symbol_are_refused() -> None:
    """The last ``range mod 2**24`` numbers of a range belong to no symbol."""
    plan = LayerPlan(1, 8, 1, 0, ((0, 7),))
    priors = (LayerPrior(skewed(2, 1), None),)
    end_of_zero = ((1 << 64) - 1 >> 24) * lefts(list(priors[0].significance.frequencies))[1]
    assert end_of_zero >= 1 << 32
    assert end_of_zero % (1 << 24)
    data = (end_of_zero - 1).to_bytes(8, "big")
    assert decode_run(plan, priors, Knowledge(plan), 0, data[:7]) == 1
    with pytest.raises(CorruptBitstreamError, match="no picture is coded like this"):
        decode_run(plan, priors, Knowledge(plan), 0, data)


def test_symbols_of_no_cost_arrive_with_the_bytes_that_rule_out_others() -> None:
    plan = LayerPlan(8, 8, 2, 128, ((0, 3), (1, 3)))
    picture = code_picture(plan, skewed_priors(plan), Knowledge(plan))
    run = encode_run(plan, picture, 0, 1000)
    counts = [count_arrived(plan, picture, 0, run[:n]) for n in range(len(run) + 1)]
    assert counts[0] == 0
    assert 64 < counts[1] < counts[-1] == plan.num_symbols


@given(pictures(), st.integers(0, 5 * 20))
def test_a_cut_picture_begins_with_the_same_symbols_and_one_that_stays_open(
    symbols: Symbols, num_symbols: int
) -> None:
    source = Knowledge.complete(PLAN, symbols)
    picture = cut_picture(PLAN, code_picture(PLAN, PRIORS, source), num_symbols)
    flat = [int(symbol) for layer in picture for _, part in layer for symbol in part]
    assert flat[:num_symbols] == coded_order(PLAN, PRIORS, source)[:num_symbols]
    assert (len(flat) > num_symbols) == (num_symbols < PLAN.num_symbols)
    for table, part in [stretch for layer in picture for stretch in layer]:
        assert (part < len(table.frequencies)).all()
