"""Runs: stretches of coded symbols through a range coder, decodable from any number of their bytes.

All coded symbols of a picture stand in one order: layer by layer; within a layer the significance
symbols, then the refinement symbols, each in scan order. A run starts at any place of that order
and goes on until its bytes end.

A byte string that stops anywhere is an interval of numbers: all its continuations. A symbol has
arrived exactly when every continuation decodes to it, that is when the interval lies within the
coder's own. So no symbol is guessed, none is lost, nothing marks the end, and every byte counts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pnc.codec.entropy import backend
from pnc.codec.entropy.prior import TOTAL, LayerPrior, Table
from pnc.codec.entropy.range_coder import PRECISION
from pnc.codec.layers import Knowledge, LayerPlan, layer_values, picture_symbols
from pnc.errors import CorruptBitstreamError

STATE_BITS = 64
"""Width of the range coder's state."""

WORD_BYTES = 4
"""The coder moves 32-bit words; they are written with the most significant byte first."""

MARGIN_WORDS = 6
"""Words coded beyond a cut. Two are the coder's state; a carry would have to run through all others
to change a byte before the cut, which happens once in 2**128 runs and costs nothing then."""

_IMPOSSIBLE = "corrupt stream: no picture is coded like this"

Stretch = tuple[Table, NDArray[np.int32]]
"""Coded symbols that follow each other and the table that codes them."""


def code_picture(
    plan: LayerPlan, priors: Sequence[LayerPrior], source: Knowledge
) -> list[list[Stretch]]:
    """All coded symbols of a picture in coded order, for each layer its stretches.

    Args:
        plan: the layers.
        priors: their tables.
        source: the picture's values; what is not known of them counts as 0.
    """
    return [
        [(prior.significance, new), *([(prior.refinement, low)] if prior.refinement else [])]
        for prior, (new, low) in zip(priors, picture_symbols(plan, source), strict=True)
    ]


def cut_picture(
    plan: LayerPlan, picture: list[list[Stretch]], num_symbols: int
) -> list[list[Stretch]]:
    """The first symbols of a picture, and something behind them that bytes leave open.

    The bytes that determine the last symbol may happen to determine more, which a receiver would
    take for the picture's. So the next symbol is one whose interval begins near the middle, and 0
    follows, which keeps the run at this beginning: bytes that come near it hold both sides of it.
    """
    layer, rest = divmod(num_symbols, plan.num_positions)
    last: list[Stretch] = []
    for table, symbols in picture[layer] if layer < len(picture) else []:
        last.append((table, symbols[:rest]))
        if rest < len(symbols):
            begins = np.cumsum(table.frequencies)[:-1]
            middle = np.argmin(np.abs(begins - TOTAL // 2)) + 1
            filling = np.zeros(len(symbols) - rest, np.int32)
            filling[0] = middle
            last.append((table, filling))
            break
        rest -= len(symbols)
    return [*picture[:layer], last]


def encode_run(plan: LayerPlan, picture: list[list[Stretch]], start: int, max_bytes: int) -> bytes:
    """Code a picture's symbols from place ``start`` until they end or fill ``max_bytes``.

    Args:
        plan: the layers.
        picture: see :func:`code_picture`.
        start: place in the order of coded symbols.
        max_bytes: where the run is cut; the cut may fall anywhere.

    Returns:
        At most ``max_bytes`` bytes.
    """
    encoder = backend.BACKEND.make_encoder()
    for table, symbols in _stretches_from(plan, picture, start):
        encoder.encode(symbols, table.model)
        if encoder.num_words() > max_bytes // WORD_BYTES + MARGIN_WORDS:
            break
    return _written(encoder)[:max_bytes]


def encode_packet_run(
    plan: LayerPlan, picture: list[list[Stretch]], start: int, max_bytes: int
) -> tuple[bytes, int]:
    """:func:`encode_run` and :func:`count_arrived` of all that it gives, for little more than one.

    Args:
        plan: the layers.
        picture: see :func:`code_picture`.
        start: place in the order of coded symbols.
        max_bytes: where the run is cut; the cut may fall anywhere.

    Returns:
        The run and how many symbols it determines.
    """
    encoder = backend.BACKEND.make_encoder()
    marks: list[tuple[int, Any, NDArray[np.int32], Table]] = []
    total = 0
    for table, symbols in _stretches_from(plan, picture, start):
        marks.append((total, encoder.clone(), symbols, table))
        encoder.encode(symbols, table.model)
        total += len(symbols)
        if encoder.num_words() > max_bytes // WORD_BYTES + MARGIN_WORDS:
            break
    run = _written(encoder)[:max_bytes]
    interval = _Interval(run)
    for before, coder, symbols, table in reversed(marks):
        if not before or interval.contains(coder):
            interval.coder = coder
            return run, before + interval.narrow(symbols, table.model)
    return run, 0


def count_arrived(plan: LayerPlan, picture: list[list[Stretch]], start: int, data: bytes) -> int:
    """How many symbols the first bytes of a run determine, for a receiver that misses nothing.

    Args:
        plan: the layers.
        picture: see :func:`code_picture`.
        start: place of the run's first symbol.
        data: a prefix of what :func:`encode_run` made of these.
    """
    interval = _Interval(data)
    total = 0
    for table, symbols in _stretches_from(plan, picture, start):
        num_arrived = interval.narrow(symbols, table.model)
        total += num_arrived
        if num_arrived < len(symbols):
            break
    return total


def decode_run(
    plan: LayerPlan, priors: Sequence[LayerPrior], knowledge: Knowledge, start: int, data: bytes
) -> int:
    """Decode all symbols that a run's bytes determine, into ``knowledge``.

    Decoding ends where the bytes end, where the picture ends, or at a layer that refines values
    which have not arrived.

    Args:
        plan: the layers.
        priors: their tables.
        knowledge: what is known so far; grows.
        start: place of the run's first symbol in the order of coded symbols.
        data: the run, whole or cut anywhere.

    Returns:
        The number of symbols that were determined.

    Raises:
        CorruptBitstreamError: the bytes are the beginning of no run.
    """
    decoder = _Decoder(data)
    first_layer, skip = divmod(start, plan.num_positions)
    total = 0
    for layer, prior in zip(plan.layers[first_layer:], priors[first_layer:], strict=True):
        before = knowledge.before(layer)
        if before is None:
            return total
        nonzero = before != 0
        order = np.argsort(nonzero, kind="stable")[skip:]
        num_zero = max(0, len(before) - int(np.count_nonzero(nonzero)) - skip)
        new = decoder.decode(prior.significance.model, num_zero)
        low = new[:0]
        if prior.refinement and len(new) == num_zero:
            low = decoder.decode(prior.refinement.model, len(order) - num_zero)
        num_known = len(new) + len(low)
        arrived = order[:num_known]
        knowledge.learn(layer, arrived, layer_values(plan, layer, before[arrived], new, low))
        total += num_known
        if num_known < len(order):
            return total
        skip = 0
    decoder.check_end()
    return total


def _stretches_from(plan: LayerPlan, picture: list[list[Stretch]], start: int) -> Iterator[Stretch]:
    first_layer, skip = divmod(start, plan.num_positions)
    for layer in picture[first_layer:]:
        for table, symbols in layer:
            if skip < len(symbols):
                yield table, symbols[skip:]
            skip = max(0, skip - len(symbols))


def _written(encoder: Any) -> bytes:
    """What a coder has written, sealed; nothing where nothing was coded."""
    words: NDArray[np.uint32] = encoder.get_compressed()
    return words.astype(">u4").tobytes()


class _Interval:
    """All continuations of a cut byte string, and how far coded symbols stay around them.

    A coder that has coded some symbols holds the interval of all numbers that begin with them.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.coder = backend.BACKEND.make_encoder()

    def narrow(self, symbols: NDArray[np.int32], model: Any) -> int:
        """Code symbols that agree with the bytes, as far as the bytes determine them.

        Returns:
            How many that are.
        """

        def coded(num_symbols: int) -> Any:
            encoder = self.coder.clone()
            encoder.encode(symbols[:num_symbols], model)
            return encoder

        num_determined = len(symbols)
        encoder = coded(num_determined)
        if not self.contains(encoder):
            num_determined = bisect_left(
                range(1, num_determined), True, key=lambda n: not self.contains(coded(n))
            )
            encoder = coded(num_determined)
        self.coder = encoder
        return num_determined

    def surely_determines(self, num_symbols: int) -> bool:
        """Whether the bytes reach beyond the next symbols, however unlikely these are."""
        longest = num_symbols * PRECISION // 8 + 2 * WORD_BYTES
        return self._num_unknown_bits(int(self.coder.pos()[0])) + 8 * longest <= 0

    @property
    def is_exhausted(self) -> bool:
        """Whether the next symbol depends on bytes that have not arrived."""
        return self._num_unknown_bits(int(self.coder.pos()[0])) > 0

    def check_end(self) -> None:
        """Refuse bytes that no coder writes after the symbols so far.

        Raises:
            CorruptBitstreamError: there are some.
        """
        if not _written(self.coder).startswith(self._data):
            raise CorruptBitstreamError("corrupt stream: it goes on after the end of the picture")

    def _num_unknown_bits(self, position: int) -> int:
        """Bits that have not arrived of the coder's state, which begins at word ``position``."""
        return STATE_BITS + 8 * (WORD_BYTES * position - len(self._data))

    def contains(self, encoder: Any) -> bool:
        """Whether all continuations lie in a coder's interval."""
        position, (lower, width) = encoder.pos()
        unknown = self._num_unknown_bits(position)
        if unknown <= 0:
            return True
        if unknown >= STATE_BITS:
            return False
        known = int.from_bytes(self._data[WORD_BYTES * position :], "big")
        distance = ((known << unknown) - lower) % (1 << STATE_BITS)
        return bool(distance + (1 << unknown) <= width)


class _Decoder:
    """A range decoder over a cut byte string that knows which symbols the bytes determine."""

    def __init__(self, data: bytes) -> None:
        padded = data + bytes(STATE_BITS // 8 + -len(data) % WORD_BYTES)
        words = np.frombuffer(padded, ">u4").astype(np.uint32)
        self._decoder = backend.BACKEND.make_decoder(words)
        self._interval = _Interval(data)

    def decode(self, model: Any, num_symbols: int) -> NDArray[np.int32]:
        """Decode symbols: fewer than asked for where the bytes determine no more, then it is over.

        Raises:
            CorruptBitstreamError: the bytes are not the beginning of any coded symbols.
        """
        if self._interval.surely_determines(num_symbols):
            try:
                symbols = self._decoder.decode(model, num_symbols)
            except AssertionError:
                raise CorruptBitstreamError(_IMPOSSIBLE) from None
            self._interval.coder.encode(symbols, model)
            return symbols
        symbols = self._read(model, num_symbols)
        num_determined = self._interval.narrow(symbols, model)
        if num_determined == len(symbols) < num_symbols and not self._interval.is_exhausted:
            raise CorruptBitstreamError(_IMPOSSIBLE)
        return symbols[:num_determined]

    def check_end(self) -> None:
        """See :meth:`_Interval.check_end`."""
        self._interval.check_end()

    def _read(self, model: Any, num_symbols: int) -> NDArray[np.int32]:
        """Decode up to the first impossible symbol, taking missing bytes for zeros."""

        def attempt(number: int) -> tuple[Any, NDArray[np.int32] | None]:
            decoder = self._decoder.clone()
            try:
                return decoder, decoder.decode(model, number)
            except AssertionError:
                return decoder, None

        decoder, symbols = attempt(num_symbols)
        if symbols is None:
            possible = bisect_left(range(num_symbols), True, key=lambda n: attempt(n)[1] is None)
            decoder, symbols = attempt(possible - 1)
        self._decoder = decoder
        return np.empty(0, np.int32) if symbols is None else symbols
