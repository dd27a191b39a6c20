"""A range coder in pure Python that writes and reads the bits of constriction's.

For machines that constriction has no wheel for, a Raspberry Pi among them;
:mod:`pnc.codec.entropy.backend` chooses. It is the range coder (G. N. N. Martin, 1979) of
constriction's ``stream.queue`` in its default preset: 64 bits of state, 32-bit words, probabilities
of 24 bits. Where constriction holds words back until their carry is known, this one keeps a carry
as bit 32 of its word until the words are asked for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

STATE_BITS = 64
WORD_BITS = 32
PRECISION = 24
"""Bits of a model's probabilities."""

FREQUENCY_BITS = 16
"""A model's frequencies sum to ``2**16``."""

FULL_RANGE = (1 << STATE_BITS) - 1
MIN_SCALE = 1 << WORD_BITS - PRECISION
"""``range >> PRECISION`` below which a word leaves the state."""

WORD_MASK = (1 << WORD_BITS) - 1


class Categorical:
    """The entropy model of the symbols ``0..n-1``, 24 bits wide, from 16-bit frequencies.

    Symbol i begins at ``floor(F_i * (2**24 - n) / 2**16) + i``, where ``F_i`` is the sum of the
    frequencies before it.

    Args:
        frequencies: of each symbol; they sum to ``2**16``, and there are two or more.
    """

    def __init__(self, frequencies: Sequence[int]) -> None:
        free = (1 << PRECISION) - len(frequencies)
        sums = accumulate(frequencies, initial=0)
        bounds = [(total * free >> FREQUENCY_BITS) + index for index, total in enumerate(sums)]
        self.begins = bounds[:-1]
        self.intervals = {
            symbol: (begin, end - begin) for symbol, (begin, end) in enumerate(pairwise(bounds))
        }
        self.likeliest = max(self.intervals, key=lambda symbol: self.intervals[symbol][1])


class RangeEncoder:
    """Symbols to words, first in, first out."""

    def __init__(self) -> None:
        self._words: list[int] = []
        self._lower = 0
        self._range = FULL_RANGE

    def encode(self, symbols: NDArray[np.int32], model: Categorical) -> None:
        """Append symbols, int32 ``[n]``.

        Raises:
            KeyError: the model has no such symbol; the coder is then as it was.
        """
        words: list[int] = []
        lower, range_ = self._lower, self._range
        scale = range_ >> PRECISION
        intervals, likeliest = model.intervals, model.likeliest
        begin, width = intervals[likeliest]
        # A symbol adds scale * begin to lower; for the likeliest only the scales are added up.
        pending = 0
        for symbol in symbols.tolist():
            if symbol == likeliest:
                pending += scale
                range_ = scale * width
            else:
                own_begin, own_width = intervals[symbol]
                lower += pending * begin + scale * own_begin
                pending = 0
                range_ = scale * own_width
            scale = range_ >> PRECISION
            if scale < MIN_SCALE:
                lower += pending * begin
                pending = 0
                words.append(lower >> WORD_BITS)
                lower = (lower & WORD_MASK) << WORD_BITS
                range_ <<= WORD_BITS
                scale = range_ >> PRECISION
        self._words += words
        self._lower, self._range = lower + pending * begin, range_

    def get_compressed(self) -> NDArray[np.uint32]:
        """The words, uint32 ``[num_words]``, sealed; the coder itself may go on."""
        carry, compressed = 0, []
        for word in reversed(self._words + self._seal()):
            carry += word
            compressed.append(carry & WORD_MASK)
            carry >>= WORD_BITS
        return np.array(compressed[::-1], np.uint32)

    def num_words(self) -> int:
        """Words that :meth:`get_compressed` would give now."""
        return len(self._words) + len(self._seal())

    def num_bits(self) -> int:
        """Bits that :meth:`get_compressed` would give now."""
        return WORD_BITS * self.num_words()

    def pos(self) -> tuple[int, tuple[int, int]]:
        """Words that have left the state, and the state: lower bound mod ``2**64``, range."""
        return len(self._words), (self._lower & FULL_RANGE, self._range)

    def is_empty(self) -> bool:
        """Whether nothing has been encoded."""
        return self._range == FULL_RANGE

    def clone(self) -> RangeEncoder:
        """An independent copy."""
        twin = RangeEncoder()
        twin._words = self._words.copy()
        twin._lower, twin._range = self._lower, self._range
        return twin

    def _seal(self) -> list[int]:
        """The one or two words after which any others may follow."""
        if self.is_empty():
            return []
        point = self._lower + WORD_MASK >> WORD_BITS
        end = self._lower + self._range >> WORD_BITS
        return [point, 0] if point == end else [point]


class RangeDecoder:
    """Words to symbols; behind the last word stand zeros.

    Args:
        words: uint32 ``[num_words]``, of any content.
    """

    def __init__(self, words: NDArray[np.uint32]) -> None:
        self._words: list[int] = [*words.tolist(), 0, 0]
        self._next = 2
        self._range = FULL_RANGE
        self._distance = self._words[0] << WORD_BITS | self._words[1]
        """From the lower bound to the words."""

    def decode(self, model: Categorical, num_symbols: int) -> NDArray[np.int32]:
        """The next symbols, int32 ``[num_symbols]``.

        Raises:
            AssertionError: no encoder writes such words; the decoder is then as it was.
        """
        symbols = np.full(num_symbols, model.likeliest, np.int32)
        words, next_, distance, range_ = self._words, self._next, self._distance, self._range
        scale = range_ >> PRECISION
        intervals, begins = model.intervals, model.begins
        begin, width = intervals[model.likeliest]
        for index in range(num_symbols):
            beyond = distance - scale * begin
            range_ = scale * width
            if 0 <= beyond < range_:
                distance = beyond
            else:
                quantile = distance // scale
                if quantile >> PRECISION:
                    raise AssertionError("these words are not the beginning of any coded symbols")
                symbol = bisect_right(begins, quantile) - 1
                symbols[index] = symbol
                own_begin, own_width = intervals[symbol]
                distance -= scale * own_begin
                range_ = scale * own_width
            scale = range_ >> PRECISION
            if scale < MIN_SCALE:
                distance <<= WORD_BITS
                if next_ < len(words):
                    distance |= words[next_]
                    next_ += 1
                range_ <<= WORD_BITS
                scale = range_ >> PRECISION
        self._next, self._distance, self._range = next_, distance, range_
        return symbols

    def clone(self) -> RangeDecoder:
        """An independent copy."""
        twin = RangeDecoder(np.empty(0, np.uint32))
        twin._words, twin._next = self._words, self._next
        twin._distance, twin._range = self._distance, self._range
        return twin
