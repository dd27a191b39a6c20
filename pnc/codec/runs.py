"""Sparse signed decisions as bits: run lengths, whole arrays at a time.

A *decision* is 0 (no), 1 or -1 (yes, with a sign). Decisions stand in *segments*; those of one
segment are about equally likely to be yes, and both sides know how likely. A segment of order
``m >= 0`` is a sequence of these code words (Golomb, 1966, with a power of two as in JPEG-LS,
ITU-T T.87, A.7):

    0           the next ``2**m`` decisions are no, or as many as the segment still has
    1 r s       ``r`` noes, then a yes; ``r`` has ``m`` bits, most significant first; s = 1: -1

A segment of order :data:`DENSE` has one code word for each decision: ``0`` for 1, ``10`` for -1,
``11`` for 0. No segment marks its end: it is over when its decisions are known.

Against an arithmetic coder with the same knowledge this costs 1 % more, needs no table beyond one
order a segment, no carry and no state, and runs at the speed of numpy on any machine.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pnc.errors import CorruptBitstreamError

DENSE = -1
"""Order of segments where a yes is likelier than a no."""

MAX_ORDER = 12
"""Largest order: runs of 4,096."""

Bits = NDArray[np.uint8]
"""One bit an element, 0 or 1."""

Decisions = NDArray[np.int8]
"""-1, 0 or 1."""

_YES, _NO, _NEGATIVE = b"\x01", b"\x00", b"\xff"

_SINGLE_WORDS = {
    DENSE: {b"11": _NO, b"10": _NEGATIVE, b"0": _YES},
    0: {b"11": _NEGATIVE, b"10": _YES, b"0": _NO},
}
"""What the code words of single decisions tell, as int8, in the order in which they are found."""


def best_order(share: float) -> int:
    """The order that costs least where this share of the decisions is yes.

    A run of geometric length reaches ``2**m`` with probability ``(1 - share) ** 2**m``, and so on.
    """
    if share > 0.5:
        return DENSE
    if share <= 0:
        return MAX_ORDER
    long = (1 - share) ** 2.0 ** np.arange(MAX_ORDER + 1)
    costs = long / (1 - long) + np.arange(MAX_ORDER + 1)
    return int(np.argmin(costs))


class _Words(NamedTuple):
    """The code words of segments of given orders.

    Attributes:
        is_dense, m: of each segment.
        kinds: of each segment the kind of the words that say 0; -1 is the kind before, 1 the next.
        sizes: of each kind the bits, without the zeros before the first 1.
        values: of each kind these bits as a number if ``r`` is 0.
    """

    is_dense: NDArray[np.bool_]
    m: NDArray[np.intp]
    kinds: NDArray[np.intp]
    sizes: NDArray[np.intp]
    values: NDArray[np.intp]


@lru_cache
def _words(orders: tuple[int, ...]) -> _Words:
    of_order = {DENSE: ([2, 2, 1], [0b10, 0b11, 0])}
    for m in range(MAX_ORDER + 1):
        of_order[m] = ([m + 2] * 3, [(2 << m) + 1, 0, 2 << m])
    sizes, values = zip(*[of_order[order] for order in orders], strict=True)
    return _Words(
        np.array(orders) == DENSE,
        np.maximum(orders, 0).astype(np.intp),
        3 * np.arange(len(orders)) + 1,
        np.array(sizes, np.intp).ravel(),
        np.array(values, np.intp).ravel(),
    )


def encode_segments(
    decisions: Decisions, lengths: NDArray[np.intp], orders: tuple[int, ...]
) -> tuple[Bits, NDArray[np.intp]]:
    """Code segments that follow each other.

    Args:
        decisions: int8 ``[n]`` in -1, 0, 1.
        lengths: decisions of each segment, ``[segments]``, summing to ``n``.
        orders: of each segment.

    Returns:
        The bits, and between which of them each segment lies, ``[segments + 1]``.
    """
    words = _words(orders)
    ends = lengths.cumsum()
    starts = ends - lengths
    place = ((decisions != 0) | words.is_dense.repeat(lengths)).nonzero()[0]
    upto = place.searchsorted(ends)
    num_words = upto.copy()
    num_words[1:] -= upto[:-1]
    behind = np.zeros(len(place) + 1, np.intp)
    np.add(place, 1, out=behind[1:])
    num_trailing = -(np.maximum(behind[upto], starts) - ends >> words.m)
    trailing = num_trailing.cumsum()
    behind[upto - num_words] = starts

    # In place where it can be: these arrays are what makes the allocator ask for new pages.
    kind = words.kinds.repeat(num_words)
    kind += decisions[place]
    m = words.m.repeat(num_words)
    run = np.subtract(place, behind[:-1], out=place)
    size = run >> m
    run -= size << m
    size += words.sizes[kind]
    word = np.left_shift(run, 1, out=run)
    word += words.values[kind]
    end = behind
    end[0] = 0
    np.cumsum(size, out=end[1:])
    bounds = np.zeros(len(lengths) + 1, np.intp)
    np.add(end[upto], trailing, out=bounds[1:])
    last = end[1:]
    last += (trailing - num_trailing - 1).repeat(num_words)
    return _place(word, last, int(bounds[-1])), bounds


def _place(words: NDArray[np.intp], last: NDArray[np.intp], num_bits: int) -> Bits:
    """Numbers of at most 14 bits as bits that do not overlap, each up to a last one.

    Those that end in the same 32 bits are added up; what reaches into the 32 before is carried.
    So no sum has more than 46 bits, and the doubles of ``bincount`` hold it exactly.
    """
    shifted = words.astype(np.int64, copy=False) << (~last & 31)
    sums = np.bincount(last >> 5, shifted, num_bits // 32 + 1).astype(np.int64)
    sums[:-1] += sums[1:] >> 32
    return np.unpackbits(sums.astype(">u4").view(np.uint8), count=num_bits)


@lru_cache
def _numbers(order: int) -> dict[bytes, int]:
    """What the bits behind a 1 say: ``r`` twice, 1 more for a negative yes."""
    return {f"{number:0{order + 1}b}".encode(): number for number in range(2 << order)}


class SegmentReader:
    """Decodes segments that follow each other.

    One step a code word unless each decision has one, whatever the number of decisions in it:
    there are few words in most segments, and arrays would take longer to set up.

    Args:
        text: bits as characters ``0`` and ``1``; more may follow the segments.
        at: their first bit.
        num_decisions: of all segments.

    Attributes:
        at: the first bit that is not read.
    """

    def __init__(self, text: bytes, at: int, num_decisions: int) -> None:
        self.at = at
        self._text = text
        self._decisions = np.zeros(num_decisions, np.int8)
        self._num_known = 0
        self._yeses: list[int] = []  # twice the place of each, 1 more if it is negative

    def read(self, length: int, order: int) -> int:
        """Decode one segment, as far as its bits go.

        Args:
            length: decisions of the segment.
            order: of the segment.

        Returns:
            How many of them are known; after fewer than all there is nothing more to read.

        Raises:
            CorruptBitstreamError: a run ends beyond the segment.
        """
        begin = self._num_known
        if order > 0:
            self._read_runs(begin + length, order)
        else:
            self._read_single(length, _SINGLE_WORDS[order])
        return self._num_known - begin

    def _read_runs(self, end: int, order: int) -> None:
        text, yeses = self._text, self._yeses
        numbers, size = _numbers(order), 2 + order
        at, place = self.at, self._num_known
        most_zeros = -((place - end) >> order)
        while place < end:
            marker = text.find(b"1", at, at + most_zeros)
            if marker < 0:
                marker = min(len(text), at + most_zeros)
            behind = place + ((marker - at) << order)
            if behind >= end:
                at -= (place - end) >> order
                place = end
                break
            at, place = marker, behind
            number = numbers.get(text[at + 1 : at + size])
            if number is None:
                break
            number += 2 * place
            yeses.append(number)
            at += size
            place = (number >> 1) + 1
        if place > end:
            raise CorruptBitstreamError("corrupt stream: a run is longer than what it runs over")
        self.at, self._num_known = at, place

    def _read_single(self, length: int, decided: dict[bytes, bytes]) -> None:
        """Read a segment in which each decision has a code word.

        A 0 always ends a word, so words begin with each run of ones, and from left to right two of
        them are ``11``, a last one and the 0 behind it ``10``.
        """
        text = self._text[self.at : self.at + 2 * length]
        for word, decision in decided.items():
            text = text.replace(word, decision)
        text = text.rstrip(b"1")[:length]
        known = self._num_known + len(text)
        self._decisions[self._num_known : known] = np.frombuffer(text, np.int8)
        self._num_known = known
        self.at += 2 * len(text) - text.count(decided[b"0"])

    def decisions(self) -> Decisions:
        """What is known of all segments, int8 ``[known]``."""
        yeses = np.array(self._yeses, np.intp)
        self._decisions[yeses >> 1] = 1 - 2 * (yeses & 1)
        return self._decisions[: self._num_known]
