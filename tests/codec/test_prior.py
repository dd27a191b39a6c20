"""Priors: integer tables, and the intervals that the range coder makes of them."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pnc.codec.entropy.backend import BACKEND
from pnc.codec.entropy.prior import (
    TOTAL,
    LayerPrior,
    Table,
    check_priors,
    fit_priors,
    refinement_size,
    significance_size,
)
from pnc.codec.layers import Layer, LayerPlan
from pnc.errors import CheckpointError
from tests.codec.cases import laplacian, skewed
from tests.codec.reference_decoder import lefts

PLAN = LayerPlan(4, 4, 2, 128, ((0, 5), (1, 6), (0, 3)))


@st.composite
def tables(draw: st.DrawFn) -> Table:
    weights = draw(st.lists(st.integers(0, 10**6), min_size=2, max_size=300))
    return Table.fitted(np.array(weights))


@pytest.mark.parametrize("frequencies", [(), (TOTAL - 1,), (TOTAL, 0), (TOTAL + 1, -1), (1, 2)])
def test_frequencies_must_be_positive_and_complete(frequencies: tuple[int, ...]) -> None:
    with pytest.raises(CheckpointError, match="frequencies"):
        Table(frequencies)


@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=511))
def test_fitted_tables_follow_the_counts(counts: list[int]) -> None:
    table = Table.fitted(np.array(counts))
    ideal = (np.array(counts) + 0.4) * TOTAL / (sum(counts) + 0.4 * len(counts))
    assert (np.abs(np.array(table.frequencies) - ideal) <= len(counts)).all()


def test_the_rarest_symbols_never_cost_the_others_everything() -> None:
    for num_frequent in range(1, 511):
        counts = np.array([10**9] * num_frequent + [0] * (511 - num_frequent))
        assert min(Table.fitted(counts).frequencies) >= 1


def test_bits_are_code_lengths() -> None:
    assert Table((TOTAL // 2, TOTAL // 4, TOTAL // 4)).bits.tolist() == [1, 2, 2]


@pytest.mark.parametrize("table", [skewed(3, 1), skewed(511, 255), skewed(2, 1), skewed(256, 0)])
def test_extreme_tables_are_scaled_as_documented(table: Table) -> None:
    assert_scaled(table)


@given(tables())
def test_tables_are_scaled_as_documented(table: Table) -> None:
    assert_scaled(table)


def assert_scaled(table: Table) -> None:
    begins = lefts(list(table.frequencies))
    assert (begins[0], begins[-1]) == (0, 1 << 24)
    scale = (2**64 - 1) >> 24
    for symbol, (begin, end) in enumerate(pairwise(begins)):
        encoder = BACKEND.make_encoder()
        encoder.encode(np.array([symbol], np.int32), table.model)
        position, (lower, width) = encoder.pos()
        assert position == 0
        assert lower == scale * begin
        assert width == scale * (end - begin)


def test_sizes_of_alphabets() -> None:
    unsigned = dataclasses.replace(PLAN, zero_point=0)
    assert [significance_size(PLAN, layer) for layer in PLAN.layers] == [9, 5, 7]
    assert [significance_size(unsigned, layer) for layer in unsigned.layers] == [8, 4, 4]
    assert [refinement_size(layer) for layer in PLAN.layers] == [0, 0, 4]
    assert refinement_size(Layer(0, 7, 0)) == 128


def test_fitted_priors_fit_their_plan_and_prefer_what_they_saw() -> None:
    pictures = laplacian(PLAN, [40.0, 15.0], seed=4, count=50)
    priors = fit_priors(PLAN, pictures)
    check_priors(PLAN, priors)
    coarse = PLAN.values(pictures[0])[0] // 32
    assert coarse.any()
    assert np.argmax(priors[1].significance.frequencies) == PLAN.offset(PLAN.layers[1])
    assert priors[0].refinement is None
    assert priors[2].refinement is not None


def test_priors_of_another_plan_are_refused() -> None:
    priors = fit_priors(PLAN, laplacian(PLAN, [40.0, 15.0], seed=4, count=2))
    with pytest.raises(CheckpointError, match="2 layers, the plan has 3"):
        check_priors(PLAN, priors[:2])
    with pytest.raises(CheckpointError, match="layer 0 has alphabets"):
        check_priors(PLAN, (priors[1], *priors[1:]))
    with pytest.raises(CheckpointError, match="layer 2 has alphabets"):
        check_priors(PLAN, (*priors[:2], LayerPrior(priors[2].significance, None)))
