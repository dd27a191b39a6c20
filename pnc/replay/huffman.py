"""Static Huffman codes, as the published system sends its features with.

    counts  ->  fit_lengths  ->  HuffmanCode.encode / decode

Codes are canonical: the lengths alone say them (D. A. Huffman, "A method for the construction of
minimum-redundancy codes", 1952; RFC 1951, section 3.2.2).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pnc.errors import ConfigError

MAX_LENGTH = 62
"""Bits of a code at most: they are shifted in 64-bit integers."""


def fit_lengths(counts: Sequence[int]) -> tuple[int, ...]:
    """Return the code length of each symbol, bits.

    Args:
        counts: How often each occurs, at least 1 of two symbols or more.

    Raises:
        ConfigError: There are fewer symbols, or one has no count.
    """
    if len(counts) < 2 or min(counts) < 1:
        raise ConfigError("a Huffman code needs a positive count of each of two symbols or more")
    lengths = [0] * len(counts)
    heap = [(int(count), symbol, [symbol]) for symbol, count in enumerate(counts)]
    heapq.heapify(heap)
    while len(heap) > 1:
        first, tie, left = heapq.heappop(heap)
        second, _, right = heapq.heappop(heap)
        for symbol in (*left, *right):
            lengths[symbol] += 1
        heapq.heappush(heap, (first + second, tie, left + right))
    return tuple(lengths)


class HuffmanCode:
    """A code for symbols 0 to n - 1.

    Args:
        lengths: Of each symbol's code, bits.

    Raises:
        ConfigError: No code has such lengths.
    """

    def __init__(self, lengths: Sequence[int]) -> None:
        self.lengths = tuple(int(length) for length in lengths)
        if (
            not self.lengths
            or min(self.lengths) < 1
            or max(self.lengths) > MAX_LENGTH
            or sum(2 ** (MAX_LENGTH - length) for length in self.lengths) > 2**MAX_LENGTH
        ):
            raise ConfigError(f"no prefix code has the lengths {list(self.lengths)}")

    @cached_property
    def codes(self) -> tuple[int, ...]:
        """The code of each symbol: shorter ones first, equally long ones by symbol."""
        codes = [0] * len(self.lengths)
        code = length = 0
        for symbol in sorted(range(len(codes)), key=lambda s: (self.lengths[s], s)):
            code <<= self.lengths[symbol] - length
            length = self.lengths[symbol]
            codes[symbol] = code
            code += 1
        return tuple(codes)

    def encode(self, symbols: NDArray[np.integer]) -> bytes:
        """Return symbols [n] as bytes, the last one filled with zeros."""
        lengths = np.array(self.lengths)[symbols]
        codes = np.array(self.codes, np.uint64)[symbols]
        ends = np.cumsum(lengths)
        shifts = np.repeat(ends, lengths) - 1 - np.arange(ends[-1] if ends.size else 0)
        bits = np.repeat(codes, lengths) >> shifts.astype(np.uint64) & np.uint64(1)
        return np.packbits(bits.astype(np.uint8)).tobytes()

    def decode(self, data: bytes, num_symbols: int) -> tuple[NDArray[np.uint8], int] | None:
        """Return symbols uint8 [num_symbols] and how many bytes they took, None if some lack.

        Bits that begin no code count as lacking, too.
        """
        symbols = np.empty(num_symbols, np.uint8)
        num_found = code = length = 0
        for place, bit in enumerate(np.unpackbits(np.frombuffer(data, np.uint8)).tolist()):
            code, length = code << 1 | bit, length + 1
            symbol = self._symbols.get((length, code))
            if symbol is not None:
                symbols[num_found] = symbol
                num_found, code, length = num_found + 1, 0, 0
                if num_found == num_symbols:
                    return symbols, place // 8 + 1
        return None

    @cached_property
    def _symbols(self) -> dict[tuple[int, int], int]:
        pairs = zip(self.lengths, self.codes, strict=True)
        return {pair: symbol for symbol, pair in enumerate(pairs)}
