"""Runs: stretches of coded symbols through a range coder, decodable from any number of their bytes.

All coded symbols of a picture stand in one order: layer by layer; within a layer the significance symbols, then the
refinement symbols, each in scan order. A run starts at any place of that order and goes on until its bytes end.

A byte string that stops anywhere is an interval of numbers: all its continuations. A symbol has arrived exactly when
every continuation decodes to it, that is when the interval lies within the coder's own. So no symbol is guessed, none
is lost, nothing marks the end, and every byte counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

from pnc.codec.entropy.prior import LayerPrior, Table
from pnc.codec.layers import Knowledge, LayerPlan, at_shift, layer_symbols, refined
from pnc.errors import CorruptBitstreamError

STATE_BITS = 64
"""Width of the range coder's state in constriction's default preset."""

WORD_BYTES = 4
"""The coder moves 32-bit words; they are written with the most significant byte first."""


@dataclass(frozen=True)
class Stretch:
    """Part of a layer that one table codes."""

    positions: NDArray[np.intp]
    table: Table
    is_refinement: bool


def stretches(prior: LayerPrior, before: NDArray[np.int16]) -> Iterator[Stretch]:
    """The one or two stretches of a layer, given the channel's values before it."""
    yield Stretch(np.flatnonzero(before == 0), prior.significance, is_refinement=False)
    if prior.refinement:
        yield Stretch(np.flatnonzero(before), prior.refinement, is_refinement=True)


def encode_run(
    plan: LayerPlan, priors: Sequence[LayerPrior], source: Knowledge, start: int, max_bytes: int
) -> bytes:
    """Code a picture's symbols from place ``start`` until they end or fill ``max_bytes``.

    Args:
        source: the picture's values; what is not known of them is coded as 0.
        start: place in the order of coded symbols.
        max_bytes: where the run is cut; the cut may fall anywhere.

    Returns:
        At most ``max_bytes`` bytes.
    """
    encoder = constriction.stream.queue.RangeEncoder()
    first_layer, skip = divmod(start, plan.num_positions)
    for layer, prior in zip(plan.layers[first_layer:], priors[first_layer:], strict=True):
        values, shifts = source.values[layer.channel], source.shifts[layer.channel]
        before, after = (
            at_shift(values, shifts, shift) for shift in (layer.from_shift, layer.shift)
        )
        for symbols, table in zip(
            layer_symbols(plan, layer, before, after),
            (prior.significance, prior.refinement),
            strict=True,
        ):
            wanted, skip = symbols[skip:], max(0, skip - len(symbols))
            if table and len(wanted):
                encoder.encode(wanted, table.model)
        if encoder.num_bits() // 8 > max_bytes + 2 * WORD_BYTES:
            break
    if encoder.is_empty():
        return b""
    data: bytes = encoder.get_compressed().astype(">u4").tobytes()
    return data[:max_bytes]


def decode_run(
    plan: LayerPlan, priors: Sequence[LayerPrior], knowledge: Knowledge, start: int, data: bytes
) -> int:
    """Decode all symbols that a run's bytes determine, into ``knowledge``.

    Decoding ends where the bytes end, where the picture ends, or at a layer that refines values which have not
    arrived.

    Args:
        knowledge: what is known so far; grows.
        start: place of the run's first symbol in the order of coded symbols.
        data: the run, whole or cut anywhere.

    Returns:
        The number of symbols that were determined.

    Raises:
        CorruptBitstreamError: the bytes are the beginning of no run.
    """
    window = _Window(data)
    first_layer, skip = divmod(start, plan.num_positions)
    total = 0
    for layer, prior in zip(plan.layers[first_layer:], priors[first_layer:], strict=True):
        before = knowledge.before(layer)
        if before is None:
            return total
        for stretch in stretches(prior, before):
            positions, skip = stretch.positions[skip:], max(0, skip - len(stretch.positions))
            symbols = window.decode(stretch.table.model, len(positions))
            arrived = positions[: len(symbols)]
            if stretch.is_refinement:
                values = refined(layer, before[arrived], symbols)
            else:
                values = (symbols - plan.offset(layer)).astype(np.int16)
            knowledge.learn(layer, arrived, values)
            total += len(symbols)
            if len(symbols) < len(positions):
                return total
    if window.num_surplus_bytes > 0:
        raise CorruptBitstreamError(
            f"corrupt stream: {window.num_surplus_bytes} bytes after the end of the picture",
            num_surplus_bytes=window.num_surplus_bytes,
        )
    return total


class _Window:
    """A range decoder over a cut byte string that knows which symbols the bytes determine.

    A second coder encodes what was decoded; its state is the interval of the symbols so far, to be compared with the
    interval of all continuations of the bytes.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data + bytes(2 * STATE_BITS // 8 + -len(data) % WORD_BYTES)
        self._num_bits = 8 * len(data)
        words = np.frombuffer(self._data, ">u4").astype(np.uint32)
        self._decoder = constriction.stream.queue.RangeDecoder(words)
        self._encoder = constriction.stream.queue.RangeEncoder()

    def decode(self, model: Any, num_symbols: int) -> NDArray[np.int32]:
        """Decode up to ``num_symbols`` symbols; fewer where the bytes determine no more."""
        symbols = self._try(model, num_symbols)
        if symbols is not None:
            return symbols
        if self._num_unknown_bits(self._encoder) >= STATE_BITS:
            return np.empty(0, np.int32)
        known, unknown = 0, num_symbols
        while unknown - known > 1:
            middle = (known + unknown) // 2
            if self._probe(model, middle):
                known = middle
            else:
                unknown = middle
        symbols = self._try(model, known) if known else None
        if self._num_unknown_bits(self._encoder) <= 0:
            raise CorruptBitstreamError(
                "corrupt stream: its bytes are not the beginning of any coded picture"
            )
        return np.empty(0, np.int32) if symbols is None else symbols

    @property
    def num_surplus_bytes(self) -> int:
        """Bytes beyond the coder's window: none are left where a picture's own run ends."""
        return max(0, -self._num_unknown_bits(self._encoder) // 8)

    def _try(self, model: Any, num_symbols: int) -> NDArray[np.int32] | None:
        decoder, encoder = self._decoder.clone(), self._encoder.clone()
        try:
            symbols: NDArray[np.int32] = decoder.decode(model, num_symbols)
        except AssertionError:
            return None
        encoder.encode(symbols, model)
        if self._num_unknown_bits(encoder) > 0 and not self._inside(encoder):
            return None
        self._decoder, self._encoder = decoder, encoder
        return symbols

    def _probe(self, model: Any, num_symbols: int) -> bool:
        kept = self._decoder, self._encoder
        decodable = self._try(model, num_symbols) is not None
        self._decoder, self._encoder = kept
        return decodable

    def _num_unknown_bits(self, encoder: Any) -> int:
        """Bits of the coder's window that have not arrived."""
        position, _ = encoder.pos()
        return 8 * WORD_BYTES * int(position) + STATE_BITS - self._num_bits

    def _inside(self, encoder: Any) -> bool:
        """Whether every continuation of the bytes lies in the interval of the symbols so far."""
        unknown = self._num_unknown_bits(encoder)
        if unknown >= STATE_BITS:
            return False
        position, (lower, width) = encoder.pos()
        begin = WORD_BYTES * int(position)
        point = int.from_bytes(self._data[begin : begin + STATE_BITS // 8], "big")
        distance = (point - int(lower)) % (1 << STATE_BITS)
        return distance + (1 << unknown) - 1 < int(width)
