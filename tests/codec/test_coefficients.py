"""Coefficients: the second transform, scales, rounding, and how uncertain values are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pnc.codec.coefficients import TOP_PLANE, CoefficientGrid, dct, second_transform
from pnc.errors import CheckpointError


def make_grid(
    height: int = 8,
    width: int = 4,
    num_channels: int = 3,
    zero_point: int = 128,
    smooth: tuple[int, ...] = (1,),
    scale: float | NDArray[np.float32] = 1.0,
) -> CoefficientGrid:
    shape = (height, width, num_channels)
    scales = np.broadcast_to(np.float32(scale), shape).copy()
    return CoefficientGrid(height, width, num_channels, zero_point, smooth, scales)


def random_values(grid: CoefficientGrid, seed: int = 0) -> NDArray[np.float32]:
    symbols = np.random.default_rng(seed).integers(0, 256, grid.shape).astype(np.uint8)
    return grid.values(symbols)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 16])
def test_the_dct_is_the_textbooks(length: int) -> None:
    matrix = dct(length)
    for row in range(length):
        for column in range(length):
            norm = math.sqrt((1 if row == 0 else 2) / length)
            expected = norm * math.cos(math.pi * (column + 0.5) * row / length)
            assert matrix[row, column] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("length", [4, 8, 16, 28, 64])
def test_the_second_transform_is_orthonormal(length: int) -> None:
    matrix = second_transform(length)
    assert matrix.dtype == np.float64
    assert np.abs(matrix @ matrix.T - np.eye(length)).max() < 1e-6


def test_the_second_transform_is_a_dct_of_blocks_and_one_of_their_means() -> None:
    signal = np.random.default_rng(0).normal(size=12)
    blocks = [dct(4) @ signal[start : start + 4] for start in (0, 4, 8)]
    means = dct(3) @ [block[0] for block in blocks]
    expected = [[mean, *block[1:]] for mean, block in zip(means, blocks, strict=True)]
    assert second_transform(12) @ signal == pytest.approx(np.ravel(expected), abs=1e-6)


def test_smooth_channels_are_transformed_and_the_others_are_not() -> None:
    grid = make_grid(scale=0.5)
    values = random_values(grid)
    coefficients = grid.forward(values)
    assert coefficients.dtype == np.int16
    for channel in (0, 2):
        expected = np.rint(values[:, :, channel] * 0.5)
        assert (coefficients[:, :, channel] == expected).all()
    transformed = second_transform(8) @ values[:, :, 1] @ second_transform(4).T
    assert np.abs(coefficients[:, :, 1] - 0.5 * transformed).max() <= 0.501


def test_an_even_smooth_channel_is_one_coefficient() -> None:
    grid = make_grid(8, 8, 1, 0, (0,))
    coefficients = grid.forward(np.full(grid.shape, 10, np.float32))
    assert coefficients[0, 0, 0] == 80
    assert np.count_nonzero(coefficients) == 1


def test_halves_are_rounded_to_the_even_one() -> None:
    grid = make_grid(1, 4, 1, 0, (), 0.5)
    values = np.array([1, 3, -1, -3], np.float32).reshape(grid.shape)
    assert grid.forward(values).ravel().tolist() == [0, 2, 0, -2]


@given(st.integers(0, 2**32), st.sampled_from([(), (0,), (0, 2)]))
def test_coefficients_come_back_within_half_a_step(seed: int, smooth: tuple[int, ...]) -> None:
    scale = np.random.default_rng(seed).uniform(0.5, 2, (8, 4, 3)).astype(np.float32)
    grid = make_grid(smooth=smooth, scale=scale)
    values = random_values(grid, seed)
    back = grid.inverse(grid.forward(values))
    assert back.dtype == np.float32
    for channel in range(3):
        error = np.abs(back - values)[:, :, channel]
        if channel in smooth:
            assert np.sqrt(np.square(error).mean()) <= 0.5 / scale[:, :, channel].min() + 1e-3
        else:
            assert (error <= 0.5 / scale[:, :, channel] + 1e-3).all()


def test_what_was_rounded_once_is_rounded_to_the_same() -> None:
    grid = make_grid(16, 16, 3, smooth=(0, 1), scale=0.7)
    coefficients = grid.forward(random_values(grid))
    assert (grid.forward(grid.inverse(coefficients)) == coefficients).all()


def test_large_coefficients_are_clipped() -> None:
    grid = make_grid(1, 2, 1, 128, (), 1000)
    values = np.array([-128, 127], np.float32).reshape(grid.shape)
    limit = (1 << TOP_PLANE) - 1
    assert grid.forward(values).ravel().tolist() == [-limit, limit]


def test_the_spread_is_the_root_of_the_mean_square() -> None:
    rng = np.random.default_rng(2)
    scale = rng.uniform(0.5, 2, (4, 4, 2)).astype(np.float32)
    grid = make_grid(4, 4, 2, smooth=(1,), scale=scale)
    widths = np.exp2(rng.integers(0, 9, grid.shape)).astype(np.float32)
    spread = grid.spread(widths)
    assert spread[:, :, 0] == pytest.approx((widths / scale)[:, :, 0])
    matrix = second_transform(4).astype(np.float64)
    for row in range(4):
        for column in range(4):
            square = sum(
                (matrix[a, row] * matrix[b, column] * widths[a, b, 1] / scale[a, b, 1]) ** 2
                for a in range(4)
                for b in range(4)
            )
            assert spread[row, column, 1] == pytest.approx(math.sqrt(square), rel=1e-5)


def test_alike_coefficients_make_alike_values() -> None:
    grid = make_grid(smooth=(0, 1, 2), scale=2)
    assert grid.spread(np.full(grid.shape, 8, np.float32)) == pytest.approx(4)


def test_symbols_lose_their_zero_point() -> None:
    grid = make_grid(1, 3, 1, 100, ())
    symbols = np.array([0, 100, 255], np.uint8).reshape(grid.shape)
    assert grid.values(symbols).ravel().tolist() == [-100, 0, 155]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"height": 0}, "impossible grid"),
        ({"width": 65}, "impossible grid"),
        ({"num_channels": 0}, "impossible grid"),
        ({"num_channels": 1025}, "impossible grid"),
        ({"zero_point": -1}, "zero point -1"),
        ({"zero_point": 256}, "zero point 256"),
        ({"scale": 0.0}, "1/65536"),
        ({"scale": -1.0}, "1/65536"),
        ({"scale": math.inf}, "1/65536"),
        ({"scale": math.nan}, "1/65536"),
        ({"smooth": (3,)}, "no such smooth"),
        ({"smooth": (-1,)}, "no such smooth"),
        ({"smooth": (1, 1)}, "no such smooth"),
        ({"height": 6}, "4x4 blocks"),
        ({"width": 5}, "4x4 blocks"),
    ],
)
def test_an_impossible_grid_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        make_grid(**change)


def test_scales_of_another_shape_are_refused() -> None:
    with pytest.raises(CheckpointError, match=r"scales must be \(4, 4, 2\)"):
        CoefficientGrid(4, 4, 2, 0, (), np.ones((4, 4), np.float32))
