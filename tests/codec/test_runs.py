from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pnc.codec.runs import (
    DENSE,
    MAX_ORDER,
    SegmentReader,
    best_order,
    encode_segments,
)
from pnc.errors import CorruptBitstreamError

Decisions = NDArray[np.int8]


def obvious(decisions: Decisions, order: int) -> list[int]:
    """The code words one by one, as the module describes them."""
    bits: list[int] = []
    if order == DENSE:
        for decision in decisions:
            bits += {1: [0], -1: [1, 0], 0: [1, 1]}[int(decision)]
        return bits
    at = 0
    while at < len(decisions):
        ahead = decisions[at : at + (1 << order)]
        if not ahead.any():
            bits.append(0)
            at += 1 << order
        else:
            run = int(np.flatnonzero(ahead)[0])
            bits += [1, *(run >> (order - 1 - i) & 1 for i in range(order)), int(ahead[run] < 0)]
            at += run + 1
    return bits


def decode_segment(text: bytes, length: int, order: int) -> tuple[Decisions, int]:
    """The decisions of one segment, and its bits."""
    reader = SegmentReader(text, 0, length)
    num_known = reader.read(length, order)
    decisions = reader.decisions()
    assert len(decisions) == num_known
    return decisions, reader.at


def as_text(bits: NDArray[np.uint8]) -> bytes:
    return "".join(map(str, bits)).encode()


segment_lists = st.lists(
    st.tuples(
        st.lists(st.sampled_from([0, 0, 0, 1, -1]), max_size=80), st.integers(DENSE, MAX_ORDER)
    ),
    min_size=1,
    max_size=6,
)


@given(segment_lists)
def test_the_bits_are_the_obvious_ones_and_come_back(
    segments: list[tuple[list[int], int]],
) -> None:
    parts = [np.array(decisions, np.int8) for decisions, _ in segments]
    orders = np.array([order for _, order in segments])
    lengths = np.array([len(part) for part in parts])
    bits, bounds = encode_segments(np.concatenate(parts), lengths, tuple(orders.tolist()))
    expected = [obvious(part, order) for part, order in zip(parts, orders.tolist(), strict=True)]
    assert np.diff(bounds, prepend=0).tolist() == [0, *map(len, expected)]
    assert bits.tolist() == [bit for words in expected for bit in words]
    text = as_text(bits)
    reader = SegmentReader(text, 0, sum(map(len, parts)))
    for part, order in zip(parts, orders.tolist(), strict=True):
        assert reader.read(len(part), order) == len(part)
    assert np.array_equal(reader.decisions(), np.concatenate(parts))
    assert reader.at == len(bits)


@given(
    st.lists(st.sampled_from([0, 0, 0, 1, -1]), max_size=60),
    st.integers(DENSE, 6),
    st.integers(0, 200),
)
def test_a_cut_segment_is_known_as_far_as_it_arrived(
    values: list[int], order: int, cut: int
) -> None:
    decisions = np.array(values, np.int8)
    bits, _ = encode_segments(decisions, np.array([len(values)]), (order,))
    known, used = decode_segment(as_text(bits[:cut]), len(values), order)
    assert used <= min(cut, len(bits))
    assert np.array_equal(known, decisions[: len(known)])
    if cut >= len(bits):
        assert len(known) == len(values)


@given(st.binary(max_size=100), st.integers(0, 500), st.integers(DENSE, MAX_ORDER))
def test_any_bits_are_some_decisions_or_corrupt(data: bytes, length: int, order: int) -> None:
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    try:
        decisions, used = decode_segment(as_text(bits), length, order)
    except CorruptBitstreamError:
        return
    assert len(decisions) <= length
    assert used <= len(bits)
    assert set(np.unique(decisions)) <= {-1, 0, 1}


@pytest.mark.parametrize(("bits", "length"), [(b"110", 1), (b"0110", 3), (b"110111", 3)])
def test_a_run_beyond_its_segment_is_corrupt(bits: bytes, length: int) -> None:
    with pytest.raises(CorruptBitstreamError, match="run is longer"):
        decode_segment(bits, length, 1)
    known, _ = decode_segment(bits[:-1], length, 1)
    assert len(known) < length


def test_long_segments() -> None:
    decisions = np.random.default_rng(0).choice([0, 0, 1, -1], 5000).astype(np.int8)
    for order in (DENSE, 0, 1):
        bits, _ = encode_segments(decisions, np.array([5000]), (order,))
        decoded, used = decode_segment(as_text(bits), 5000, order)
        assert np.array_equal(decoded, decisions)
        assert used == len(bits)


@pytest.mark.parametrize("share", [0.001, 0.01, 0.05, 0.2, 0.4])
def test_the_best_order_is_near_the_entropy(share: float) -> None:
    generator = np.random.default_rng(1)
    count = 200_000
    decisions = (generator.random(count) < share) * generator.choice([-1, 1], count)
    order = best_order(share)
    bits, _ = encode_segments(decisions.astype(np.int8), np.array([count]), (order,))
    entropy = -share * np.log2(share) - (1 - share) * np.log2(1 - share) + share
    assert len(bits) < 1.06 * entropy * count
    assert best_order(0.9) == DENSE
    assert best_order(0.0) == MAX_ORDER
