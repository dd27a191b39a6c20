"""Fit the network that tells how likely coefficients of a plane are to become something.

Logistic regression with one hidden layer, by Adam on the bits that it costs, in NumPy: it is small,
and so it is the same wherever Keras runs. What comes out is rounded to the integers of
:mod:`pnc.codec.context`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from pnc.codec.coefficients import CoefficientGrid
from pnc.codec.context import HIDDEN_BITS, LARGEST_HIDDEN, LOGIT_BITS, Context, level

NUM_HIDDEN = 40
"""Hidden units."""

HIDDEN_UNIT = 16
"""An activation of 1 as an integer."""

EPOCHS = 8
"""Times that every place is looked at."""

BATCH_SIZE = 512
"""Places of a step."""

LEARNING_RATE = 4e-3
"""Of Adam at the beginning; it falls to 0 along a cosine."""

SEED = (0, 7)
"""Of the first weights and the order of places: what the pictures are decides all else."""

LEVEL_UNIT = 4
"""Levels as the fit sees them are divided by this, so that they are about 1."""


def fit_context(
    grid: CoefficientGrid,
    first_planes: tuple[int, ...],
    plane: int,
    magnitudes: NDArray[np.int16],
    *,
    neighbours: bool = True,
) -> Context:
    """The network of one plane.

    Args:
        grid: where the coefficients come from.
        first_planes: the highest plane of each channel.
        plane: which one.
        magnitudes: int16 ``[n, height, width, channels]``.
        neighbours: whether it looks at them.
    """
    first = np.array(first_planes)
    known = magnitudes >> (plane + 1)
    undecided, reached = _decisions(first, plane, magnitudes)
    bias = _mean_logits(undecided, reached, grid.smooth)
    if not known.any():
        return Context.of_bias(_rounded(bias, LOGIT_BITS), NUM_HIDDEN)
    middles = (2 * known + (known > 0)).astype(np.float32)
    channels = grid.num_channels
    here, around = (
        level(numbers).reshape(-1, channels).astype(np.int8)
        for numbers in (middles, _around(middles))
    )
    if not neighbours:
        around = np.zeros_like(around)
    above = np.flatnonzero(first > plane)
    rough = ~np.isin(np.arange(channels), grid.smooth)
    network = _Network(2 * len(above), bias[0, 0])
    with threadpool_limits(1, user_api="blas"):  # matrices so small that threads only wait
        network.fit(
            np.concatenate([here[:, above], around[:, above]], axis=1),
            around,
            (undecided & rough).reshape(-1, channels),
            reached.reshape(-1, channels),
        )
    inner = np.zeros((2, channels, NUM_HIDDEN), np.int16)
    inner[:, above] = _rounded(
        network.inner.reshape(2, len(above), -1) * (HIDDEN_UNIT / LEVEL_UNIT), HIDDEN_BITS
    )
    if not neighbours:
        inner[1] = 0
    bias[..., rough] = network.bias[rough]
    return Context(
        inner,
        np.rint(network.inner_bias * (HIDDEN_UNIT << HIDDEN_BITS)).astype(np.int32),
        _rounded(network.outer / HIDDEN_UNIT, LOGIT_BITS),
        _rounded(network.neighbours / LEVEL_UNIT, LOGIT_BITS),
        _rounded(bias, LOGIT_BITS),
    )


def mean_context(
    first_planes: tuple[int, ...], plane: int, magnitudes: NDArray[np.int16]
) -> Context:
    """The network of a plane that looks at nothing: a mean of each place and channel."""
    channels = tuple(range(magnitudes.shape[-1]))
    decisions = _decisions(np.array(first_planes), plane, magnitudes)
    bias = _mean_logits(*decisions, channels)
    return Context.of_bias(_rounded(bias, LOGIT_BITS), NUM_HIDDEN)


def _decisions(
    first: NDArray[np.int64], plane: int, magnitudes: NDArray[np.int16]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which coefficients a plane decides, and which reach it."""
    undecided = (magnitudes >> (plane + 1) == 0) & (first >= plane)
    return undecided, (magnitudes >> plane & 1).astype(bool)


def _rounded(numbers: NDArray[Any], bits: int) -> NDArray[np.int16]:
    return np.clip(np.rint(numbers * (1 << bits)), -32767, 32767).astype(np.int16)


def _mean_logits(
    undecided: NDArray[np.bool_], reached: NDArray[np.bool_], smooth: tuple[int, ...]
) -> NDArray[np.float64]:
    """Logits of mean frequencies: of each channel, for smooth ones of each place."""
    yes = (undecided & reached).sum(axis=0).astype(np.float64)
    count = undecided.sum(axis=0).astype(np.float64)
    rough = np.setdiff1d(np.arange(yes.shape[-1]), smooth)
    for sums in (yes, count):
        sums[..., rough] = sums[..., rough].sum(axis=(0, 1))
    return np.asarray(np.log((yes + 0.02) / (count - yes + 0.02)))


def _around(fields: NDArray[Any]) -> NDArray[Any]:
    """See :meth:`pnc.codec.planes.PlanePlan._around`, for ``[n, height, width, channels]``."""
    padded = np.pad(fields, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows = padded[:, :-2] + padded[:, 2:] + 2 * padded[:, 1:-1]
    total: NDArray[Any] = rows[:, :, :-2] + rows[:, :, 2:] + 2 * rows[:, :, 1:-1]
    return total - 4 * fields


class _Network:
    """The network in floats; what it never learns of stays 0, but for ``inner``.

    Attributes:
        inner: ``[inputs, hidden]``.
        inner_bias: ``[hidden]``.
        outer: ``[hidden, channels]``.
        neighbours: ``[channels]``, of the level around in the same channel.
        bias: ``[channels]``.
    """

    def __init__(self, num_inputs: int, bias: NDArray[np.float64]) -> None:
        self._rng = np.random.default_rng(SEED)
        limit = np.sqrt(6 / (num_inputs + NUM_HIDDEN))
        inner = self._rng.uniform(-limit, limit, (num_inputs, NUM_HIDDEN))
        self.inner = inner.astype(np.float32)
        self.inner_bias = np.zeros(NUM_HIDDEN, np.float32)
        self.outer = np.zeros((NUM_HIDDEN, len(bias)), np.float32)
        self.neighbours = np.zeros(len(bias), np.float32)
        self.bias = bias.astype(np.float32)

    def fit(
        self,
        levels: NDArray[np.int8],
        around: NDArray[np.int8],
        undecided: NDArray[np.bool_],
        reached: NDArray[np.bool_],
    ) -> None:
        """Train on places.

        Args:
            levels: ``[n, inputs]``.
            around: of each coefficient's own channel, ``[n, channels]``.
            undecided: which decisions count, ``[n, channels]``.
            reached: how they fell, ``[n, channels]``.
        """
        batch = min(BATCH_SIZE, len(levels))
        per_epoch = len(levels) // batch
        parameters = [self.inner, self.inner_bias, self.outer, self.neighbours, self.bias]
        moments = [(np.zeros_like(p), np.zeros_like(p)) for p in parameters]
        for step in range(EPOCHS * per_epoch):
            if step % per_epoch == 0:
                order = self._rng.permutation(len(levels))
            at = step % per_epoch * batch
            chosen = order[at : at + batch]
            gradients = self._gradients(
                np.divide(levels[chosen], LEVEL_UNIT, dtype=np.float32),
                np.divide(around[chosen], LEVEL_UNIT, dtype=np.float32),
                undecided[chosen],
                reached[chosen],
            )
            rate = LEARNING_RATE * 0.5 * (1 + np.cos(np.pi * step / (EPOCHS * per_epoch)))
            for parameter, gradient, (mean, square) in zip(
                parameters, gradients, moments, strict=True
            ):
                mean += 0.1 * (gradient - mean)
                square += 0.001 * (np.square(gradient) - square)
                unbiased = np.sqrt(square / (1 - 0.999 ** (step + 1))) + 1e-7
                parameter -= rate / (1 - 0.9 ** (step + 1)) * mean / unbiased

    def _gradients(
        self,
        levels: NDArray[np.float32],
        around: NDArray[np.float32],
        undecided: NDArray[np.bool_],
        reached: NDArray[np.bool_],
    ) -> list[NDArray[np.float32]]:
        """Of the mean cost of a place, nats; of each parameter."""
        largest = LARGEST_HIDDEN / HIDDEN_UNIT
        hidden = np.clip(levels @ self.inner + self.inner_bias, 0, largest)
        logits = np.clip(hidden @ self.outer + around * self.neighbours + self.bias, -30, 30)
        error = (1 / (1 + np.exp(-logits)) - reached) * undecided / np.float32(len(levels))
        back = (error @ self.outer.T) * ((hidden > 0) & (hidden < largest))
        return [
            levels.T @ back,
            back.sum(axis=0),
            hidden.T @ error,
            (around * error).sum(axis=0),
            error.sum(axis=0),
        ]
