"""Numbers by chance that are the same in every version of numpy."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pnc.belt.fields import Field


class Random:
    """Uniform numbers from raw 64-bit words, whose stream numpy guarantees never to change."""

    def __init__(self, *entropy: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(entropy))

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Return a number in [low, high)."""
        return low + (high - low) * ((int(self._bits.random_raw()) >> 11) * 2.0**-53)

    def integer(self, low: int, high: int) -> int:
        """Return an integer in [low, high)."""
        return low + int(self._bits.random_raw()) % (high - low)

    def chance(self, probability: float) -> bool:
        """Return whether something of this probability happens."""
        return self.uniform() < probability

    def sign(self) -> float:
        """Return 1 or -1."""
        return 1.0 if self.chance(0.5) else -1.0

    def permutation(self, length: int) -> list[int]:
        """Return the numbers below `length` in any order."""
        order = list(range(length))
        for last in range(length - 1, 0, -1):
            other = self.integer(0, last + 1)
            order[last], order[other] = order[other], order[last]
        return order

    def bytes(self, count: int) -> NDArray[np.uint8]:
        """Return `count` bytes."""
        words = self._bits.random_raw((count + 7) // 8)
        drawn: NDArray[np.uint8] = np.asarray(words, "<u8").view(np.uint8)[:count]
        return drawn

    def gaussian(self, shape: tuple[int, ...]) -> Field:
        """Return nearly normal noise of unit variance: the sum of four random bytes."""
        drawn = self.bytes(4 * math.prod(shape)).reshape(4, *shape).astype(np.int16)
        total = drawn[0] + drawn[1] + drawn[2] + drawn[3] - 510
        noise: Field = total.astype(np.float32) * np.float32(1 / 147.8)
        return noise
