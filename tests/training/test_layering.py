from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pnc.codec.entropy.prior import fit_priors
from pnc.codec.layers import UNKNOWN_SHIFT
from training.layering import (
    channel_steps,
    entropy_bits,
    fit_layering,
    reconstruction_points,
    restore,
)


def laplacian(spread: float, shape: tuple[int, ...], seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).laplace(0, spread, shape)


@pytest.fixture(scope="module")
def symbols() -> NDArray[np.uint8]:
    """Twenty pictures whose channels have falling energy; the last is always 0."""
    spreads = (40, 20, 10, 3, 0.01)
    values = np.stack([laplacian(s, (20, 8, 8), i) for i, s in enumerate(spreads)], axis=-1)
    return np.clip(np.round(values) + 128, 0, 255).astype(np.uint8)


def test_bit_planes_are_ordered_by_what_they_gain(symbols: NDArray[np.uint8]) -> None:
    layering = fit_layering(symbols, 128)
    plan = layering.plan
    assert (plan.height, plan.width, plan.num_channels, plan.zero_point) == (8, 8, 5, 128)
    first = [plan.steps.index(next(s for s in plan.steps if s[0] == c)) for c in range(4)]
    assert first == sorted(first)
    assert 4 not in {channel for channel, _ in plan.steps}
    assert all(layer.shift < layer.from_shift for layer in plan.layers)
    assert dict(plan.steps) == dict.fromkeys(range(4), 0)


def test_weights_move_channels_forward(symbols: NDArray[np.uint8]) -> None:
    plain = fit_layering(symbols, 128).plan.steps
    weighted = fit_layering(symbols, 128, weights=np.array([1.0, 1, 1, 1e6, 1])).plan.steps
    assert weighted[0][0] == 3
    assert sorted(weighted) == sorted(plain)


def test_whole_channels_go_in_index_order(symbols: NDArray[np.uint8]) -> None:
    layering = fit_layering(symbols, 128, whole_channels=2)
    assert layering.plan.steps == tuple((channel, 2) for channel in range(5))
    assert layering.layer_bytes.shape == (5,)
    assert layering.layer_bytes[0] > layering.layer_bytes[2] > layering.layer_bytes[4]


def test_sizes_are_near_the_entropy(symbols: NDArray[np.uint8]) -> None:
    layering = fit_layering(symbols, 128, whole_channels=0)
    for channel in range(4):
        bits = entropy_bits(symbols[..., channel]) / len(symbols)
        assert layering.layer_bytes[channel] * 8 == pytest.approx(bits, rel=0.05, abs=8)
    assert len(fit_priors(layering.plan, symbols)) == 5


def test_the_hull_is_convex_and_ends_at_full_precision() -> None:
    values = np.round(laplacian(20, (5000,))).astype(np.int16)
    points = reconstruction_points(values[None])[0]
    slopes, shifts = zip(*channel_steps(values, points), strict=True)
    assert list(slopes) == sorted(slopes, reverse=True)
    assert list(shifts) == sorted(shifts, reverse=True)
    assert shifts[-1] == 0
    assert channel_steps(np.zeros(100, np.int16), points) == []


def test_reconstruction_points_beat_the_middle() -> None:
    values = np.round(laplacian(20, (20_000,))).astype(np.int16)
    points = reconstruction_points(values[None])
    assert points.shape == (1, UNKNOWN_SHIFT)
    assert points[0, 0] == 0
    assert points[0, 7] == np.float32(0.45)
    middle = np.full(UNKNOWN_SHIFT, 0.6, np.float32)
    for shift in (3, 4, 5):
        errors = [np.square(values - restore(values, shift, p)).sum() for p in (points[0], middle)]
        assert errors[0] < errors[1]
    assert np.array_equal(restore(values, 0, points[0]), values)
    assert not restore(values, UNKNOWN_SHIFT, points[0]).any()


def test_entropy_of_fair_coins() -> None:
    assert entropy_bits(np.array([], np.int16)) == 0
    assert entropy_bits(np.array([0, 1] * 50)) == pytest.approx(100)
