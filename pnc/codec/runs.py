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

import numpy as np
from numpy.typing import NDArray

from pnc.errors import CorruptBitstreamError

DENSE = -1
"""Order of segments where a yes is likelier than a no."""

MAX_ORDER = 12
"""Largest order: runs of 4,096."""

Bits = NDArray[np.uint8]
"""One bit an element, 0 or 1."""

FIRST_WINDOW = 256
"""Bits that are looked at first when a segment is decoded; doubled until it is over."""


def best_order(share: float) -> int:
    """The order that costs least where this share of the decisions is yes."""
    if share > 0.5:
        return DENSE
    runs = np.arange(1 << 16)
    probability = share * (1 - share) ** runs
    costs = [float(probability @ ((runs >> m) + m + 2)) for m in range(MAX_ORDER + 1)]
    return int(np.argmin(costs)) if share > 0 else MAX_ORDER


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
    owner = np.repeat(np.arange(len(lengths)), lengths)
    is_dense = orders == DENSE
    place = np.flatnonzero((decisions != 0) | is_dense[owner])
    segment, decision = owner[place], decisions[place]
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


def decode_segment(bits: Bits, length: int, order: int) -> tuple[NDArray[np.int8], int]:
    """Decode one segment from the first of these bits, as far as they go.

    Args:
        bits: what arrived from the segment's first bit on; more may follow the segment.
        length: decisions of the segment.
        order: of the segment.

    Returns:
        The decisions that are known, int8 ``[length]`` if all are, and the bits of the segment.

    Raises:
        CorruptBitstreamError: a run ends beyond the segment.
    """
    window = FIRST_WINDOW
    while True:
        seen = bits[:window]
        decode = _decode_dense if order == DENSE else _decode_sparse
        decisions, num_bits = decode(seen, length, order)
        if len(decisions) == length or window >= len(bits):
            return decisions, num_bits
        window *= 2


def _decode_sparse(bits: Bits, length: int, order: int) -> tuple[NDArray[np.int8], int]:
    available = len(bits)
    places = np.arange(available + 1)
    ones = np.flatnonzero(bits)
    next_one = np.append(ones, available)[np.searchsorted(ones, places)]
    code_end = next_one + order + 2
    words = _chain(np.minimum(code_end, available + 1), available + 1)
    marker = next_one[words]
    whole = marker + order + 2 <= available
    words, marker = words[whole], marker[whole]
    run = (marker - words) << order
    for bit in range(order):
        run += bits[marker + 1 + bit].astype(np.int64) << (order - 1 - bit)
    yes = np.cumsum(run + 1) - 1
    inside = yes < length
    yes, marker = yes[inside], marker[inside]
    negative = bits[marker + order + 1]
    after = int(yes[-1]) + 1 if len(yes) else 0
    first = int(marker[-1]) + order + 2 if len(marker) else 0
    zeros = int(next_one[first]) - first
    needed = -(-(length - after) >> order)
    known = min(length, after + (min(zeros, needed) << order))
    if known < length and first + zeros + order + 2 <= available:
        raise CorruptBitstreamError("corrupt stream: a run is longer than what it runs over")
    decisions = np.zeros(known, np.int8)
    decisions[yes] = 1 - 2 * negative.astype(np.int8)
    return decisions, first + min(zeros, needed)


def _decode_dense(bits: Bits, length: int, order: int) -> tuple[NDArray[np.int8], int]:
    available = len(bits)
    jump = np.minimum(np.arange(available) + 1 + bits, available + 1)
    words = _chain(np.append(jump, available + 1), available + 1)[:length]
    words = words[words < available]
    whole = words + 1 + bits[words] <= available
    words = words[whole]
    second = np.append(bits, 0)[words + 1]
    decisions = np.where(bits[words] == 0, 1, np.where(second == 0, -1, 0)).astype(np.int8)
    return decisions, int((1 + bits[words].astype(np.int64)).sum())


def _chain(jump: NDArray[np.int64], end: int) -> NDArray[np.int64]:
    """The places 0, jump[0], jump[jump[0]] ... before ``end``, by doubling instead of one by one.

    Args:
        jump: int64 ``[end]``, each larger than its index and at most ``end``.
        end: where chains stop.
    """
    far = np.append(jump, end)
    places = np.zeros(1, np.int64)
    while places[-1] < end:
        places = np.concatenate([places, far[places]])
        far = far[far]
    return places[places < end]
