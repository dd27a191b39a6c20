"""Layers: the units of the priority order, and what a decoder knows after any number of them.

The encoder's output is a grid of symbols, uint8 ``[height, width, channels]``. Seen from the zero
point each symbol is a signed value ``v``. A layer sends one channel at a precision: it turns
``sign(v) * (|v| >> from_shift)``, which the decoder has, into ``sign(v) * (|v| >> shift)``. A
channel's first layer starts at :data:`UNKNOWN_SHIFT`, where every value is 0. This is embedded
quantisation with a dead zone (Taubman, Marcellin, "JPEG2000", 2002, section 3.2), with as many bit
planes a layer as the checkpoint finds worth it.

What a layer codes are its *coded symbols*: one for each position, first for the positions whose
value is still 0 (the *significance* symbols), then for all others (the *refinement* symbols).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pnc.codec.scan import scan_order
from pnc.errors import CheckpointError

ScalarT = TypeVar("ScalarT", bound=np.generic)

UNKNOWN_SHIFT = 8
"""The shift at which nothing of a value is known: |v| < 2**8 always holds."""

MAX_LAYERS = 1024
"""Layers of a plan at most, and channels: bounds the work; shipped ones have about 300 layers."""

MAX_GRID = 64
"""Side of the symbol grid at most: a stride of 3.5 pixels, finer than any useful latent."""


@dataclass(frozen=True)
class Layer:
    """One step in the precision of one channel."""

    channel: int
    """Which channel, from 0."""
    from_shift: int
    """Precision that must have arrived before; :data:`UNKNOWN_SHIFT` for none."""
    shift: int
    """Precision after this layer."""

    @property
    def num_bits(self) -> int:
        """Bit planes that this layer adds."""
        return self.from_shift - self.shift


@dataclass(frozen=True)
class LayerPlan:
    """The grid and its layers in priority order: what encoder and decoder must agree on.

    Args:
        height, width, num_channels: the grid.
        zero_point: the symbol that means 0; 0 for encoders whose values are never negative.
        steps: ``(channel, shift)`` in priority order; a channel's shifts fall from step to step.

    Raises:
        CheckpointError: the steps are no such order or exceed a limit.
    """

    height: int
    width: int
    num_channels: int
    zero_point: int
    steps: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        grid = (self.height, self.width)
        if not all(1 <= side <= MAX_GRID for side in grid) or not 0 <= self.zero_point < 256:
            raise CheckpointError(
                f"layer plan: impossible grid {grid} or zero point {self.zero_point}"
            )
        for name, count in (("channels", self.num_channels), ("layers", len(self.steps))):
            if not 1 <= count <= MAX_LAYERS:
                raise CheckpointError(f"layer plan: {count} {name}, not 1 to {MAX_LAYERS}")
        shifts = [UNKNOWN_SHIFT] * self.num_channels
        for channel, shift in self.steps:
            if not 0 <= channel < self.num_channels or not 0 <= shift < shifts[channel]:
                raise CheckpointError(f"layer plan: step ({channel}, {shift}) refines nothing")
            shifts[channel] = shift

    @property
    def num_positions(self) -> int:
        """Symbols of one channel."""
        return self.height * self.width

    @property
    def signed(self) -> bool:
        """Whether values may be negative."""
        return self.zero_point > 0

    @property
    def num_symbols(self) -> int:
        """Coded symbols of a whole picture: every layer codes each position once."""
        return len(self.steps) * self.num_positions

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The steps with what each starts from."""
        shifts = [UNKNOWN_SHIFT] * self.num_channels
        layers = []
        for channel, shift in self.steps:
            layers.append(Layer(channel, shifts[channel], shift))
            shifts[channel] = shift
        return tuple(layers)

    @cached_property
    def scan(self) -> NDArray[np.intp]:
        """Positions in coding order, see :func:`scan_order`."""
        return scan_order(self.height, self.width)

    @cached_property
    def columns(self) -> tuple[NDArray[np.int32], ...]:
        """The layers' numbers, to work on all at once: ``[layers]``, then four ``[layers, 1]``.

        Channel; shift before, shift after, offset and mask of the new low bits.
        """
        rows = [
            (layer.from_shift, layer.shift, self.offset(layer), (1 << layer.num_bits) - 1)
            for layer in self.layers
        ]
        channels = np.array([layer.channel for layer in self.layers], np.int32)
        return (channels, *np.array(rows, np.int32).T[:, :, None])

    def largest(self, layer: Layer) -> int:
        """The largest magnitude that a layer codes where nothing was significant before."""
        top = max(self.zero_point, 255 - self.zero_point)
        return min((1 << layer.num_bits) - 1, top >> layer.shift)

    def offset(self, layer: Layer) -> int:
        """The significance symbol that stands for 0."""
        return self.largest(layer) if self.signed else 0

    def values(self, symbols: NDArray[np.uint8]) -> NDArray[np.int16]:
        """Symbols as signed values.

        Args:
            symbols: uint8 ``[height, width, channels]``.

        Returns:
            int16 ``[channels, positions in scan order]``.
        """
        flat = symbols.reshape(self.num_positions, self.num_channels)[self.scan]
        return flat.T.astype(np.int16) - np.int16(self.zero_point)


class Knowledge:
    """What is known of one picture's values: filled layer by layer, possibly with holes.

    Attributes:
        values: int16 ``[channels, positions in scan order]``: ``sign(v) * (|v| >> shift)``, 0 where
            nothing is known.
        shifts: uint8, same shape: the precision of each value; :data:`UNKNOWN_SHIFT` where nothing
            arrived.
    """

    def __init__(self, plan: LayerPlan) -> None:
        self.plan = plan
        shape = (plan.num_channels, plan.num_positions)
        self.values = np.zeros(shape, np.int16)
        self.shifts = np.full(shape, UNKNOWN_SHIFT, np.uint8)

    @classmethod
    def complete(cls, plan: LayerPlan, symbols: NDArray[np.uint8]) -> Knowledge:
        """Everything that the encoder made, at full precision."""
        knowledge = cls(plan)
        knowledge.values = plan.values(symbols)
        knowledge.shifts[:] = 0
        return knowledge

    def before(self, layer: Layer) -> NDArray[np.int16] | None:
        """The values ``[positions]`` that a layer refines, or None where some have not arrived."""
        values: NDArray[np.int16] = self.values[layer.channel]
        shifts = self.shifts[layer.channel]
        if (shifts == layer.from_shift).all():
            return values
        if (shifts > layer.from_shift).any():
            return None
        return at_shift(values, shifts, layer.from_shift)

    def learn(self, layer: Layer, positions: NDArray[np.intp], values: NDArray[np.int16]) -> None:
        """Take in values at a layer's precision, unless something finer is known already."""
        known, shifts = self.values[layer.channel], self.shifts[layer.channel]
        if shifts.min() <= layer.shift:
            coarser = shifts[positions] > layer.shift
            positions, values = positions[coarser], values[coarser]
        known[positions] = values
        shifts[positions] = layer.shift

    def grid(self) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
        """Values and shifts as int16 and uint8 ``[height, width, channels]``."""
        return self._unscan(self.values), self._unscan(self.shifts)

    def _unscan(self, scanned: NDArray[ScalarT]) -> NDArray[ScalarT]:
        plan = self.plan
        raster = np.empty((plan.num_positions, plan.num_channels), scanned.dtype)
        raster[plan.scan] = scanned.T
        return raster.reshape(plan.height, plan.width, plan.num_channels)


def at_shift(
    values: NDArray[np.int16],
    shifts: NDArray[np.integer[Any]] | int,
    shift: NDArray[np.integer[Any]] | int,
) -> NDArray[np.int16]:
    """Values known at ``shifts``, coarsened to ``shift``; what is coarser already stays.

    Magnitudes lose low bits, signs stay: integer division by a power of two towards 0.
    """
    lost = np.maximum(np.asarray(shift, np.int16) - np.asarray(shifts, np.int16), 0)
    magnitude = np.abs(values) >> lost
    return np.where(values < 0, -magnitude, magnitude)


def plan_steps(sequence: Sequence[Sequence[int]]) -> tuple[tuple[int, int], ...]:
    """Steps as a manifest stores them, checked for shape.

    Raises:
        CheckpointError: not a list of pairs of integers.
    """
    try:
        return tuple((int(channel), int(shift)) for channel, shift in sequence)
    except (TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(
            f"layer plan: steps must be pairs (channel, shift): {error}"
        ) from error


def layer_symbols(
    plan: LayerPlan, layer: Layer, before: NDArray[np.int16], after: NDArray[np.int16]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The coded symbols of one layer.

    Args:
        plan: the plan that the layer belongs to.
        layer: the layer.
        before, after: int16 ``[positions]``, the values at its ``from_shift`` and its ``shift``.

    Returns:
        Significance symbols and refinement symbols, int32, each in scan order.
    """
    zero = before == 0
    new = after[zero].astype(np.int32) + plan.offset(layer)
    low = np.abs(after[~zero]).astype(np.int32) & ((1 << layer.num_bits) - 1)
    return new, low


def picture_symbols(
    plan: LayerPlan, source: Knowledge
) -> list[tuple[NDArray[np.int32], NDArray[np.int32]]]:
    """The coded symbols of all layers of a picture, see :func:`layer_symbols`, in one sweep.

    Args:
        plan: the layers.
        source: the values of the picture; what is not known of them counts as 0.
    """
    channel, from_shift, shift, offset, mask = plan.columns
    values, shifts = source.values[channel], source.shifts[channel]
    before, after = at_shift(values, shifts, from_shift), at_shift(values, shifts, shift)
    zero = before == 0
    new = (after + offset)[zero]
    low = (np.abs(after) & mask)[~zero]
    num_new = zero.sum(axis=1)
    return list(
        zip(
            np.split(new, np.cumsum(num_new)[:-1]),
            np.split(low, np.cumsum(plan.num_positions - num_new)[:-1]),
            strict=True,
        )
    )


def layer_values(
    plan: LayerPlan,
    layer: Layer,
    before: NDArray[np.int16],
    new: NDArray[np.int32],
    low: NDArray[np.int32],
) -> NDArray[np.int16]:
    """Values at a layer's precision, the inverse of :func:`layer_symbols`.

    Args:
        plan: the plan that the layer belongs to.
        layer: the layer.
        before: int16 ``[len(new) + len(low)]``: the values that the symbols refine, in coded order.
        new: int32, significance symbols.
        low: int32, refinement symbols.

    Returns:
        int16 ``[len(new) + len(low)]``, in coded order.
    """
    values = before << layer.num_bits
    values[: len(new)] = new - plan.offset(layer)
    if len(low):
        negative = before[len(new) :] < 0
        values[len(new) :] += np.where(negative, -low, low).astype(np.int16)
    return values
