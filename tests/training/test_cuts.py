from __future__ import annotations

import numpy as np
import pytest

from training.autoencoder import Autoencoder
from training.cuts import (
    MAX_BUDGET_BYTES,
    MIN_BUDGET_BYTES,
    FeatureCuts,
    StreamCuts,
)


def test_random_cuts_are_byte_budgets(lite: Autoencoder) -> None:
    cuts = lite.cuts.random(4000, np.random.default_rng(0))
    assert cuts.shape == (4000,)
    ends = np.concatenate([[0], np.cumsum(lite.fitted.segment_bytes)])
    num_bytes = np.interp(cuts, np.arange(len(ends)), ends)
    middle = np.sqrt(MIN_BUDGET_BYTES * MAX_BUDGET_BYTES)
    assert num_bytes.min() >= MIN_BUDGET_BYTES - 1
    assert 0.4 < (num_bytes < middle).mean() < 0.6
    assert (cuts != np.round(cuts)).any()


def test_cuts_follow_the_segments(lite: Autoencoder) -> None:
    sizes = lite.fitted.segment_bytes
    first = np.flatnonzero(sizes)[0]
    assert lite.cuts.at(0.0, 2).tolist() == [first] * 2
    second = np.flatnonzero(sizes)[1]
    assert lite.cuts.at(sizes[: first + 1].sum(), 1)[0] == pytest.approx(second)
    assert lite.cuts.at(1e9, 1)[0] == len(sizes)
    assert isinstance(lite.cuts, StreamCuts)


def test_features_are_cut_whole_and_have_six_bits() -> None:
    cuts = FeatureCuts(10, 300.0)
    numbers = cuts.random(500, np.random.default_rng(0))
    assert set(numbers) == set(range(1, 11))
    assert cuts.at(950.0, 2).tolist() == [3.0, 3.0]
    assert cuts.at(1e6, 1).tolist() == [10.0]
    values = np.full((2, 1, 1, 10), 9.4, np.float32)
    values[:, :, :, 0] = [[[300.0]], [[2.0]]]
    left, _ = cuts.drop(values, np.array([1.0, 3.0], np.float32))
    assert np.asarray(left)[:, 0, 0].tolist() == [
        [254.0] + [0.0] * 9,
        [0.0, 10.0, 10.0] + [0.0] * 7,
    ]
