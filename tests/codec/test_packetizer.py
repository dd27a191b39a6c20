"""Packets: any subset, any order, repeated, lost, damaged, foreign."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pnc.codec import erasure
from pnc.codec.bitstream import HEADER_BYTES, MAX_STREAM_BYTES, decode_stream
from pnc.codec.packetizer import (
    MAX_PACKETS,
    MAX_PIECES,
    MIN_MTU_BYTES,
    PACKET_HEADER_BYTES,
    REPAIR,
    join_packets,
    packetize,
    parse_packet,
)
from pnc.errors import BitstreamError, ConfigError, CorruptBitstreamError
from tests.codec.cases import CASES, CHECKPOINT_ID, Case, plan_of, stream_of
from tests.codec.test_bitstream import is_possible, mutated

TAG = b"\xd3\x0b\xad"
STREAM = stream_of(CASES["smooth"]())
PACKETS = packetize(STREAM, MIN_MTU_BYTES, redundancy=0.4)
SIZE = MIN_MTU_BYTES - PACKET_HEADER_BYTES


def join(packets: Iterable[bytes]) -> bytes:
    return join_packets(CHECKPOINT_ID, packets)


def number_of(packet: bytes) -> int:
    return parse_packet(CHECKPOINT_ID, packet)[0]


def is_piece(packet: bytes) -> bool:
    return number_of(packet) < REPAIR


PIECES = [packet for packet in PACKETS if is_piece(packet)]


@pytest.mark.parametrize("redundancy", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("mtu_bytes", [32, 33, 64, 100, 244, 512])
def test_all_packets_are_the_stream(case: Case, mtu_bytes: int, redundancy: float) -> None:
    stream = stream_of(case)
    packets = packetize(stream, mtu_bytes, redundancy=redundancy)
    assert all(PACKET_HEADER_BYTES < len(packet) <= mtu_bytes for packet in packets)
    assert all(len(packet) == mtu_bytes for packet in packets[:-1] if is_piece(packets[-1]))
    assert join(packets) == stream
    assert join(filter(is_piece, packets)) == stream


def test_packets_of_a_prefix_are_the_prefix() -> None:
    for num_bytes in range(HEADER_BYTES, len(STREAM), 5):
        assert join(packetize(STREAM[:num_bytes], 50, redundancy=0.5)) == STREAM[:num_bytes]
    assert packetize(STREAM[:HEADER_BYTES], 50) == packetize(b"", 50) == []
    assert join([]) == STREAM[:HEADER_BYTES]


@pytest.mark.parametrize("redundancy", [0.0, 0.25, 0.3, 0.5, 1.0])
def test_repairs_come_as_often_as_asked_and_behind_what_they_cover(redundancy: float) -> None:
    stream = STREAM[:HEADER_BYTES] + random.Random(0).randbytes(200 * SIZE)
    numbers = [number_of(packet) for packet in packetize(stream, 32, redundancy=redundancy)]
    repairs = [number - REPAIR for number in numbers if number >= REPAIR]
    assert len(repairs) == int(200 * redundancy)
    assert all(numbers[numbers.index(REPAIR + n) - 1] == n for n in repairs)
    assert [number for number in numbers if number < REPAIR] == list(range(200))


@pytest.mark.parametrize("redundancy", [0.0, 0.4])
@pytest.mark.parametrize("mtu_bytes", [32, 64, 244])
def test_packets_take_no_more_than_they_may(mtu_bytes: int, redundancy: float) -> None:
    def cut(max_bytes: int | None) -> list[bytes]:
        return packetize(STREAM, mtu_bytes, max_bytes, redundancy=redundancy)

    whole = cut(None)
    size = sum(map(len, whole))
    for max_bytes in [*range(-5, size + 20, 7), size - 1, size]:
        packets = cut(max_bytes)
        num_bytes = sum(map(len, packets))
        assert num_bytes <= max(max_bytes, 0)
        assert num_bytes > min(max_bytes, size) - (mtu_bytes if redundancy else 6)
        for packet, other in zip(packets[:-1], whole, strict=False):
            assert packet == other
        assert STREAM.startswith(join(packets))
        assert max_bytes < size or packets == whole


def test_the_longest_stream_is_sent_as_far_as_pieces_reach() -> None:
    stream = STREAM[:HEADER_BYTES] + bytes(MAX_STREAM_BYTES - HEADER_BYTES)
    packets = packetize(stream, MIN_MTU_BYTES, redundancy=1.0)
    assert len(packets) == MAX_PACKETS
    assert join(packets) == stream[: HEADER_BYTES + MAX_PIECES * SIZE]
    assert join(packetize(stream, 244)) == stream


@pytest.mark.parametrize(
    ("mtu_bytes", "redundancy", "message"),
    [(31, 0.0, "at least 32"), (64, -0.1, "0 to 1"), (64, 1.1, "0 to 1")],
)
def test_impossible_packets_are_refused(mtu_bytes: int, redundancy: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        packetize(STREAM, mtu_bytes, redundancy=redundancy)


@settings(max_examples=30)
@given(st.lists(st.sampled_from(PACKETS)), st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(
    packets: list[bytes], generator: random.Random
) -> None:
    shuffled = packets + packets
    generator.shuffle(shuffled)
    assert join(shuffled) == join(packets)


@settings(max_examples=60)
@given(st.sets(st.sampled_from(PACKETS), min_size=1), st.sampled_from(PACKETS))
def test_any_subset_is_a_prefix_and_more_never_unlearn(subset: set[bytes], more: bytes) -> None:
    joined = join(subset)
    assert STREAM.startswith(joined)
    assert join([*subset, more]).startswith(joined)


@pytest.mark.parametrize("lost", range(len(PACKETS)))
def test_one_lost_packet_costs_nothing_where_a_repair_follows(lost: int) -> None:
    joined = join(PACKETS[:lost] + PACKETS[lost + 1 :])
    if any(map(is_piece, PACKETS[lost:])) and not any(not is_piece(p) for p in PACKETS[lost + 1 :]):
        start = HEADER_BYTES + SIZE * (number_of(PACKETS[lost]) & ~REPAIR)
        assert joined == (STREAM[:start] if is_piece(PACKETS[lost]) else STREAM)
    else:
        assert joined == STREAM


def test_without_repairs_a_lost_packet_costs_what_follows() -> None:
    for lost in range(len(PIECES)):
        start = HEADER_BYTES + SIZE * lost
        assert join(PIECES[:lost] + PIECES[lost + 1 :]) == STREAM[:start]


def test_a_packet_that_was_cut_still_tells_what_it_holds() -> None:
    start = HEADER_BYTES + 4 * SIZE
    for length in range(len(PIECES[4])):
        if length < PACKET_HEADER_BYTES:
            continue
        cut = PIECES[4][:length]
        wanted = STREAM[: start + length - PACKET_HEADER_BYTES]
        assert join([*PIECES[:4], cut]) == wanted
        assert join([*PIECES[:4], cut, *PIECES[5:]]) == wanted
        assert join([*PACKETS[: PACKETS.index(PIECES[4])], cut, *PACKETS[6:]]) == STREAM


def test_packets_of_another_checkpoint_or_version_are_refused() -> None:
    packet = PACKETS[0]
    foreign = packet[:1] + b"\x0b\xae" + packet[3:]
    with pytest.raises(BitstreamError, match=r"0bae\.\.\.") as caught:
        join([packet, foreign])
    assert caught.value.checkpoint_id == "0bae"
    assert not isinstance(caught.value, CorruptBitstreamError)
    with pytest.raises(BitstreamError, match="version 1") as caught:
        join([b"\xd1" + packet[1:]])
    assert caught.value.version == 1
    assert not isinstance(caught.value, CorruptBitstreamError)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\xc3\x0b\xad\x00\x00abc",
        TAG[:1],
        TAG,
        TAG + b"\0",
        TAG + b"\x7f\xff" + bytes(20),
        TAG + b"\x04\x00" + bytes(20),
        TAG + b"\x84\x00" + bytes(SIZE),
        TAG + b"\x80\x03" + bytes(SIZE - 1),
        TAG + b"\x00\x05" + bytes(MAX_STREAM_BYTES),
    ],
    ids=lambda packet: packet[:8].hex() or "empty",
)
def test_what_is_no_packet_is_refused(packet: bytes) -> None:
    with pytest.raises(CorruptBitstreamError):
        join([*PACKETS, packet])


def test_surplus_bytes_are_refused() -> None:
    plan = plan_of(CASES["smooth"]()).planes
    surplus = TAG + len(PIECES).to_bytes(2) + b"\0"
    packets = packetize(STREAM + bytes(-(len(STREAM) - HEADER_BYTES) % SIZE), 32)
    with pytest.raises(CorruptBitstreamError, match="complete after"):
        decode_stream(plan, CHECKPOINT_ID, join([*packets, surplus]))


def test_too_many_packets_are_refused() -> None:
    packets = (PACKETS[0][: 10 + number % 20] for number in range(MAX_PACKETS + 1))
    with pytest.raises(CorruptBitstreamError, match=str(MAX_PACKETS)):
        join(packets)
    assert join([PACKETS[0]] * MAX_PACKETS) == join(PACKETS[:1])


def test_no_more_is_recovered_than_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without repairs nothing is solved."""
    monkeypatch.setattr(erasure, "recover", None)
    assert join(PIECES) == STREAM


def test_mutated_packets_are_pictures_or_refused() -> None:
    assert 30 < fuzz(300) < 290


@pytest.mark.slow
def test_many_mutated_packets_are_pictures_or_refused() -> None:
    assert fuzz(10_000, seed=1) > 1000


def fuzz(count: int, seed: int = 0) -> int:
    """Decode damaged packets among others; how many sets were refused."""
    generator = random.Random(seed)
    plan = plan_of(CASES["smooth"]()).planes
    refused = 0
    for _ in range(count):
        damaged = mutated(generator.choice(PACKETS), generator)
        arrived = generator.sample(PACKETS, generator.randrange(12))
        try:
            knowledge = decode_stream(plan, CHECKPOINT_ID, join([*arrived, damaged]))
        except BitstreamError:
            refused += 1
            continue
        assert is_possible(knowledge)
    return refused


@settings(max_examples=60)
@given(st.lists(st.binary(max_size=60), max_size=6), st.booleans())
def test_any_bytes_are_a_stream_or_refused(packets: list[bytes], tagged: bool) -> None:
    try:
        joined = join([TAG + packet if tagged else packet for packet in packets])
    except BitstreamError:
        return
    assert joined.startswith(STREAM[:HEADER_BYTES])
