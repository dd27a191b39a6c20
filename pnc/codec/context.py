"""How likely each undecided coefficient of a plane is to become something, told by what is known.

A small network, in integers, so that both sides compute the same on any machine::

    level   of a magnitude, or of a sum of magnitudes: its half octaves above the plane above
    hidden  from the levels at the place and of the eight neighbours around it, in all channels
    logit   from the hidden units and the levels around in the coefficient's own channel

Every place goes through the same network; only the bias of the logit is the place's own. All sums
are of whole numbers that floats hold exactly, in whatever order they are added up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pnc.errors import CheckpointError

HIDDEN_BITS = 6
"""Sums of a hidden unit are in units of ``2**-6`` of it."""

LARGEST_HIDDEN = 255
"""Hidden units are 0 to 255."""

MAX_HIDDEN = 256
"""Hidden units at most: bounds the work."""

LOGIT_BITS = 11
"""Logits are in units of ``2**-11``."""

LARGEST_LEVEL = 28
"""Of 12 times the middle of the largest magnitude, 4095 units of plane 0."""

_SINGLE_INTEGERS = 1 << 24
"""Below this every integer is a number of single precision."""

_SINGLE_THREAD_PRODUCTS = 1 << 18
"""OpenBLAS starts threads for larger products of matrices, which costs more than it gains."""


@dataclass(frozen=True)
class Context:
    """The network of one plane.

    Args:
        inner: int16 ``[2, channels, hidden]``: from the levels at the place, then those around it.
        inner_bias: int32 ``[hidden]``.
        outer: int16 ``[hidden, channels]``.
        neighbours: int16 ``[channels]``: of the level around in the same channel.
        bias: int16 ``[height, width, channels]``.

    Raises:
        CheckpointError: these do not fit each other.
    """

    inner: NDArray[np.int16]
    inner_bias: NDArray[np.int32]
    outer: NDArray[np.int16]
    neighbours: NDArray[np.int16]
    bias: NDArray[np.int16]

    def __post_init__(self) -> None:
        hidden, channels = self.outer.shape
        found = (self.inner.shape, self.inner_bias.shape, self.neighbours.shape)
        fitting = ((2, channels, hidden), (hidden,), (channels,))
        if hidden > MAX_HIDDEN or found != fitting or self.bias.shape[-1] != channels:
            raise CheckpointError(f"context: {hidden} hidden units with arrays of shapes {found}")

    @classmethod
    def of_bias(cls, bias: NDArray[np.int16], num_hidden: int = 1) -> Context:
        """A network that looks at nothing."""
        channels = bias.shape[-1]
        return cls(
            np.zeros((2, channels, num_hidden), np.int16),
            np.zeros(num_hidden, np.int32),
            np.zeros((num_hidden, channels), np.int16),
            np.zeros(channels, np.int16),
            bias,
        )

    def prepare(
        self, scan: NDArray[np.intp], above: NDArray[np.intp], here: NDArray[np.intp]
    ) -> Prepared:
        """The network for coefficients in coding order.

        Args:
            scan: positions in this order.
            above: channels that something may be known of, in this order.
            here: those that take part in the plane; ``above`` are the first of them.
        """
        inner = np.concatenate([*self.inner[:, above]]).astype(np.int64)
        outer = self.outer[:, here].astype(np.int64)
        neighbours = self.neighbours[above].astype(np.int64)
        bias = self.bias.reshape(-1, self.bias.shape[-1])[np.ix_(scan, here)]
        largest = np.abs(outer).sum(axis=0) * LARGEST_HIDDEN + (1 << 15)
        largest[: len(above)] += np.abs(neighbours) * LARGEST_LEVEL
        sums = np.abs(inner).sum(axis=0) * LARGEST_LEVEL + np.abs(self.inner_bias.astype(np.int64))
        bound = max(largest.max(initial=0), sums.max(initial=0))
        dtype = np.float32 if bound < _SINGLE_INTEGERS else np.float64
        arrays = (inner, self.inner_bias, outer, neighbours, bias)
        return Prepared(*(np.ascontiguousarray(array, dtype) for array in arrays))


@dataclass(frozen=True)
class Prepared:
    """A network as floats that are whole numbers, see :meth:`Context.prepare`."""

    inner: NDArray[Any]
    inner_bias: NDArray[Any]
    outer: NDArray[Any]
    neighbours: NDArray[Any]
    bias: NDArray[Any]

    def logits(self, middles: NDArray[Any], around: NDArray[Any]) -> NDArray[Any]:
        """Logits of all coefficients of the plane, ``[positions, channels]``.

        Args:
            middles: of the intervals that magnitudes lie in, in units of the plane,
                ``[positions, channels above]``.
            around: their sums over the neighbours.
        """
        count = middles.shape[1]
        levels = np.empty((len(middles), 2 * count), self.inner.dtype)
        levels[:, :count] = level(middles)
        levels[:, count:] = level(around)
        hidden = _product(levels, self.inner)
        hidden += self.inner_bias
        hidden *= 2.0**-HIDDEN_BITS
        np.floor(hidden, out=hidden)
        np.clip(hidden, 0, LARGEST_HIDDEN, out=hidden)
        logits = _product(hidden, self.outer)
        logits += self.bias
        around_own = levels[:, count:]
        around_own *= self.neighbours
        logits[:, :count] += around_own
        return logits


def level(numbers: NDArray[Any]) -> NDArray[np.int32]:
    """Half octaves of whole numbers above 2: 1 for 3, 2 for 4 and 5, 3 for 6 and 7; 0 below 3.

    Args:
        numbers: floats; from their exponents and the first bit behind each.
    """
    single = numbers.dtype == np.float32
    bits = numbers.view(np.int32) >> 22 if single else (numbers.view(np.int64) >> 51)
    octaves = bits.astype(np.int32, copy=False)
    octaves -= 2 * (127 if single else 1023) + 2
    np.maximum(octaves, 0, out=octaves)
    return octaves


def _product(left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    """A product of matrices, by as many rows at a time as one thread does."""
    step = max(1, _SINGLE_THREAD_PRODUCTS // max(1, right.size))
    product = np.empty((len(left), right.shape[1]), left.dtype)
    for start in range(0, len(left), step):
        np.matmul(left[start : start + step], right, out=product[start : start + step])
    return product
