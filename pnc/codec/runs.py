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

import re

import numpy as np
from numpy.typing import NDArray

from pnc.errors import CorruptBitstreamError

DENSE = -1
"""Order of segments where a yes is likelier than a no."""

MAX_ORDER = 12
"""Largest order: runs of 4,096."""

Bits = NDArray[np.uint8]
"""One bit an element, 0 or 1."""

_DENSE_WORD = re.compile("0|1[01]")
_DENSE_DECISION = {"0": 1, "10": -1, "11": 0}


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


def encode_segments(
    decisions: NDArray[np.int8], lengths: NDArray[np.int64], orders: NDArray[np.int64]
) -> tuple[Bits, NDArray[np.int64]]:
    """Code segments that follow each other.

    Args:
        decisions: int8 ``[n]`` in -1, 0, 1.
        lengths: decisions of each segment, ``[segments]``, summing to ``n``.
        orders: of each segment.

    Returns:
        The bits, and how many of them each segment took, ``[segments]``.
    """
    ends = np.cumsum(lengths)
    starts = ends - lengths
    is_dense = orders == DENSE
    has_word = decisions != 0
    for index in np.flatnonzero(is_dense):
        has_word[starts[index] : ends[index]] = True
    place = np.flatnonzero(has_word)
    segment, decision = np.searchsorted(ends, place, side="right"), decisions[place]
    dense = is_dense[segment]
    order = np.maximum(orders, 0)
    m = order[segment]
    previous = np.append(-1, place[:-1])[: len(place)]
    run = place - np.maximum(previous + 1, starts[segment])
    size = np.where(dense, 2 - (decision == 1), (run >> m) + m + 2)
    after_last = starts.copy()
    after_last[segment] = place + 1
    trailing = -(-(ends - after_last) >> order)
    word_bits = np.bincount(segment, size, len(lengths)).astype(np.int64)
    num_bits = word_bits + trailing
    shift = np.cumsum(num_bits) - num_bits - (np.cumsum(word_bits) - word_bits)
    word = np.cumsum(size) - size + shift[segment]
    bits = np.zeros(int(num_bits.sum()), np.uint8)
    bits[word[dense & (decision != 1)]] = 1
    bits[word[dense & (decision == 0)] + 1] = 1
    sparse = ~dense
    marker, low, m = (word + (run >> m))[sparse], run[sparse], m[sparse]
    bits[marker] = 1
    for bit in range(int(m.max(initial=0))):
        has = m > bit
        bits[(marker + m - bit)[has]] = (low[has] >> bit) & 1
    bits[marker + m + 1] = decision[sparse] < 0
    return bits, num_bits


def decode_segment(text: str, start: int, length: int, order: int) -> tuple[NDArray[np.int8], int]:
    """Decode one segment, as far as its bits go.

    One step a code word, whatever the number of decisions in it: there are few words in most
    segments, and arrays would take longer to set up.

    Args:
        text: bits as characters ``0`` and ``1``; more may follow the segment.
        start: its first bit.
        length: decisions of the segment.
        order: of the segment.

    Returns:
        The decisions that are known, int8 ``[length]`` if all are, and the bits of the segment.

    Raises:
        CorruptBitstreamError: a run ends beyond the segment.
    """
    if order == DENSE:
        words = _DENSE_WORD.findall(text, start, start + 2 * length)[:length]
        decisions = np.array([_DENSE_DECISION[word] for word in words], np.int8)
        return decisions, sum(map(len, words))
    places: list[int] = []
    negative: list[int] = []
    at, place = start, 0
    while place < length:
        num_zeros = -(-(length - place) >> order)
        marker = text.find("1", at, at + num_zeros)
        if marker < 0:
            num_zeros = min(num_zeros, len(text) - at)
            at += num_zeros
            place = min(length, place + (num_zeros << order))
            break
        place += (marker - at) << order
        at = marker
        sign = marker + 1 + order
        if sign >= len(text):
            break
        if order:
            place += int(text[marker + 1 : sign], 2)
        if place >= length:
            raise CorruptBitstreamError("corrupt stream: a run is longer than what it runs over")
        places.append(place)
        negative.append(text[sign] == "1")
        at = sign + 1
        place += 1
    decisions = np.zeros(place, np.int8)
    decisions[places] = 1 - 2 * np.array(negative, np.int8)
    return decisions, at - start
