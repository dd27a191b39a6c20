from __future__ import annotations

import numpy as np
import pytest

from pnc.replay.rtss23 import dequantise, quantise
from training.autoencoder import Autoencoder
from training.cuts import (
    MAX_BUDGET_BYTES,
    MIN_BUDGET_BYTES,
    FeatureCuts,
    StreamCuts,
)


def test_random_cuts_are_byte_budgets(lapped: Autoencoder) -> None:
    cuts = lapped.cuts.random(4000, np.random.default_rng(0))
    assert cuts.shape == (4000,)
    ends = np.concatenate([[0], np.cumsum(lapped.fitted.segment_bytes)])
    num_bytes = np.interp(cuts, np.arange(len(ends)), ends)
    middle = np.sqrt(MIN_BUDGET_BYTES * MAX_BUDGET_BYTES)
    assert num_bytes.min() >= MIN_BUDGET_BYTES - 1
    assert 0.4 < (num_bytes < middle).mean() < 0.6
    assert (cuts != np.round(cuts)).any()


def test_cuts_follow_the_segments(lapped: Autoencoder) -> None:
    sizes = lapped.fitted.segment_bytes
    first = np.flatnonzero(sizes)[0]
    assert lapped.cuts.at(0.0, 2).tolist() == [first] * 2
    second = np.flatnonzero(sizes)[1]
    assert lapped.cuts.at(sizes[: first + 1].sum(), 1)[0] == pytest.approx(second)
    assert lapped.cuts.at(1e9, 1)[0] == len(sizes)
    assert isinstance(lapped.cuts, StreamCuts)


def test_features_are_cut_whole() -> None:
    cuts = FeatureCuts(10, 300.0)
    numbers = cuts.random(500, np.random.default_rng(0))
    assert set(numbers) == set(range(1, 11))
    assert cuts.at(950.0, 2).tolist() == [3.0, 3.0]
    assert cuts.at(1e6, 1).tolist() == [10.0]
    left, _ = cuts.drop(np.full((2, 1, 1, 10), 255, np.float32), np.array([1, 3], np.float32))
    assert (np.asarray(left)[:, 0, 0] > 0).sum(-1).tolist() == [1, 3]


def test_features_arrive_in_training_as_they_are_sent() -> None:
    symbols = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    left, _ = FeatureCuts(1, 300.0).drop(symbols + np.float32(0.4), np.array([1], np.float32))
    assert np.array_equal(np.asarray(left), dequantise(quantise(symbols)))
