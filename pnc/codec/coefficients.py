"""Coefficients: what is coded of the encoder's symbols.

Three things stand between a grid of symbols and its coefficients, all linear and all without loss
of anything but rounding:

1. the zero point is taken off, which leaves *values*;
2. *smooth* channels, whose neighbours are alike (brightness, colour), are transformed once more:
   an orthonormal DCT of 4x4 positions, then one of the 4x4 first coefficients of these;
3. every coefficient is scaled by how much it matters at its place.

Only the encoder's rounding decides a bit, so decoders need not agree on the last one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pnc.errors import CheckpointError

TOP_PLANE = 12
"""Every coefficient's magnitude is below ``2**TOP_PLANE``."""

BLOCK = 4
"""Side of the blocks of the second transform, positions."""

MAX_SIDE = 64
"""Side of the grid at most: a stride of 3.5 pixels, finer than any useful latent."""

MAX_CHANNELS = 1024
"""Channels at most: bounds the work."""

MAX_SCALE = 1 << 16
"""Coefficients are at most so many times their values, and at least this part of them."""


@dataclass(frozen=True)
class CoefficientGrid:
    """How symbols become coefficients and back.

    Args:
        height, width, num_channels: the grid.
        zero_point: the symbol that means 0; 0 for encoders whose values are never negative.
        smooth: channels that are transformed once more; the sides are then multiples of 4.
        scale: float32 ``[height, width, channels]``, :data:`MAX_SCALE` at most, 1 over it at least.

    Raises:
        CheckpointError: these do not fit each other.
    """

    height: int
    width: int
    num_channels: int
    zero_point: int
    smooth: tuple[int, ...]
    scale: NDArray[np.float32]

    def __post_init__(self) -> None:
        shape = (self.height, self.width, self.num_channels)
        if not all(1 <= side <= MAX_SIDE for side in shape[:2]) or not (
            1 <= self.num_channels <= MAX_CHANNELS and 0 <= self.zero_point < 256
        ):
            raise CheckpointError(
                f"coefficients: impossible grid {shape} or zero point {self.zero_point}"
            )
        in_range = (self.scale >= 1 / MAX_SCALE) & (self.scale <= MAX_SCALE)
        if self.scale.shape != shape or not in_range.all():
            raise CheckpointError(
                f"coefficients: scales must be {shape} and 1/{MAX_SCALE} to {MAX_SCALE}"
            )
        if len(set(self.smooth)) < len(self.smooth) or not all(
            0 <= channel < self.num_channels for channel in self.smooth
        ):
            raise CheckpointError("coefficients: no such smooth channels")
        if self.smooth and (self.height % BLOCK or self.width % BLOCK):
            raise CheckpointError(f"coefficients: {shape} is not made of 4x4 blocks")

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(height, width, channels)``."""
        return self.height, self.width, self.num_channels

    @cached_property
    def _smooth(self) -> NDArray[np.intp]:
        return np.array(self.smooth, np.intp)

    @cached_property
    def _matrices(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return second_transform(self.height), second_transform(self.width).T

    @cached_property
    def _inverses(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        down, across = self._matrices
        return down.T, across.T

    @cached_property
    def _squares(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        down, across = self._inverses
        return down**2, across**2

    def values(self, symbols: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Symbols without their zero point, float32."""
        return symbols.astype(np.float32) - np.float32(self.zero_point)

    def forward(self, values: NDArray[np.float32]) -> NDArray[np.int16]:
        """Values, float32, as coefficients, int16; both ``[height, width, channels]``."""
        scaled = values * self.scale
        if len(self._smooth):
            part = _multiply(values[:, :, self._smooth], self._matrices)
            scaled[:, :, self._smooth] = part * self.scale[:, :, self._smooth]
        limit = (1 << TOP_PLANE) - 1
        whole: NDArray[np.int16] = np.clip(np.rint(scaled), -limit, limit).astype(np.int16)
        return whole

    def inverse(self, coefficients: NDArray[Any]) -> NDArray[np.float32]:
        """Coefficients as values, float32, not rounded; both ``[height, width, channels]``."""
        return self._back(coefficients / self.scale, squared=False)

    def spread(self, widths: NDArray[np.float32]) -> NDArray[np.float32]:
        """How uncertain each value is, if each coefficient lies in an interval of its own.

        Args:
            widths: of the intervals, float32 ``[height, width, channels]``.

        Returns:
            Root of the mean square over the coefficients that make the value, in its units.
        """
        spread: NDArray[np.float32] = np.sqrt(
            self._back(np.square(widths / self.scale), squared=True)
        )
        return spread

    def _back(self, given: NDArray[Any], *, squared: bool) -> NDArray[np.float32]:
        back = given.astype(np.float32)
        if len(self._smooth):
            matrices = self._squares if squared else self._inverses
            back[:, :, self._smooth] = _multiply(back[:, :, self._smooth], matrices)
        return back


def _multiply(
    channels: NDArray[np.float32], matrices: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Each channel of ``[height, width, channels]`` between two matrices, in double precision.

    So exact that machines differ in a coefficient only where it lies within 1e-7 of a half.
    """
    left, right = matrices
    product: NDArray[np.float64] = left @ channels.transpose(2, 0, 1) @ right
    return product.transpose(1, 2, 0)


@lru_cache
def second_transform(length: int) -> NDArray[np.float64]:
    """The orthonormal matrix of the second transform along one side.

    Args:
        length: a multiple of 4.

    Returns:
        float64 ``[length, length]``, one basis vector a row.
    """
    blocks = length // BLOCK
    matrix: NDArray[np.float64] = np.kron(np.eye(blocks), dct(BLOCK)).astype(np.float64)
    first = np.arange(blocks) * BLOCK
    matrix[first] = dct(blocks) @ matrix[first]
    return matrix


def dct(length: int) -> NDArray[np.float64]:
    """The orthonormal DCT-II, float64 ``[length, length]``, one basis vector a row."""
    rows, columns = np.mgrid[0:length, 0:length]
    matrix: NDArray[np.float64] = np.cos(math.pi * (2 * columns + 1) * rows / (2 * length))
    matrix *= math.sqrt(2 / length)
    matrix[0] = math.sqrt(1 / length)
    return matrix
