"""Packets: any subset, any order, repeated, lost, damaged, foreign."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pnc.codec import packetizer
from pnc.codec.bitstream import MAX_STREAM_BYTES, decode_stream
from pnc.codec.entropy.prior import LayerPrior, Table
from pnc.codec.layers import Knowledge, LayerPlan, at_shift
from pnc.codec.packetizer import (
    MAX_OVERLAP,
    MAX_PACKETS,
    MIN_MTU_BYTES,
    decode_packet_set,
    decode_varint,
    encode_varint,
    packetize_knowledge,
    parse_packet,
)
from pnc.errors import BitstreamError, ConfigError, CorruptBitstreamError
from tests.codec.cases import (
    CASES,
    CHECKPOINT_ID,
    Case,
    plan_of,
    priors_of,
    stream_of,
    symbols_of,
)
from tests.codec.test_bitstream import mutated

LARGE = CASES["signed"]()
PLAN, PRIORS = plan_of(LARGE), priors_of(LARGE)
SOURCE = Knowledge.complete(PLAN, symbols_of(LARGE))


def packetize(case: Case, mtu_bytes: int, num_bytes: int | None = None) -> list[bytes]:
    """Packets of a case's stream or of a prefix of it."""
    plan, priors = plan_of(case), priors_of(case)
    stream = stream_of(case)[:num_bytes]
    knowledge, count = decode_stream(plan, priors, CHECKPOINT_ID, stream)
    return packetize_knowledge(plan, priors, CHECKPOINT_ID, knowledge, count, mtu_bytes)


def unpack(case: Case, packets: list[bytes]) -> Knowledge:
    return decode_packet_set(plan_of(case), priors_of(case), CHECKPOINT_ID, packets)


def same(one: Knowledge, other: Knowledge) -> bool:
    return bool((one.values == other.values).all() and (one.shifts == other.shifts).all())


def starts_of(packets: list[bytes]) -> list[int]:
    return [parse_packet(PLAN, CHECKPOINT_ID, packet)[0] for packet in packets]


PACKETS = packetize(LARGE, MIN_MTU_BYTES)


@pytest.mark.parametrize("mtu_bytes", [32, 33, 48, 64, 100, 244, 512])
def test_all_packets_know_what_the_stream_knows(case: Case, mtu_bytes: int) -> None:
    packets = packetize(case, mtu_bytes)
    whole, _ = decode_stream(plan_of(case), priors_of(case), CHECKPOINT_ID, stream_of(case))
    assert same(unpack(case, packets), whole)
    assert all(len(packet) <= mtu_bytes for packet in packets)
    assert sum(map(len, packets)) <= len(stream_of(case)) + 9 * len(packets)


@given(st.integers(32, 512))
def test_packets_fit_every_mtu(mtu_bytes: int) -> None:
    packets = packetize(LARGE, mtu_bytes)
    assert all(0 < len(packet) <= mtu_bytes for packet in packets)
    assert same(unpack(LARGE, packets), unpack(LARGE, PACKETS))


def test_packets_of_a_cut_stream_know_what_it_knows_and_nothing_else(case: Case) -> None:
    plan, priors = plan_of(case), priors_of(case)
    for num_bytes in range(len(stream_of(case)) + 1):
        cut, count = decode_stream(plan, priors, CHECKPOINT_ID, stream_of(case)[:num_bytes])
        packets = packetize(case, 64, num_bytes)
        found = unpack(case, packets)
        assert same(found, cut)
        assert bool(packets) == (count > 0)


@pytest.mark.parametrize("name", ["signed", "skew"])
def test_packets_can_end_at_any_symbol(name: str) -> None:
    case = CASES[name]()
    plan, priors = plan_of(case), priors_of(case)
    source = Knowledge.complete(plan, symbols_of(case))
    for count in range(plan.num_symbols + 1):
        packets = packetize_knowledge(plan, priors, CHECKPOINT_ID, source, count, 244)
        knowledge = decode_packet_set(plan, priors, CHECKPOINT_ID, packets)
        assert num_known(plan, knowledge) == count


def test_symbols_that_no_bytes_end_with_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """With symbols of no cost behind the cut, the first byte determines more than 50."""
    monkeypatch.setattr(packetizer, "cut_picture", lambda plan, picture, num_symbols: picture)
    case = CASES["silence"]()
    plan, source = plan_of(case), Knowledge.complete(plan_of(case), symbols_of(case))
    assert not packetize_knowledge(plan, priors_of(case), CHECKPOINT_ID, source, 50, 32)


def num_known(plan: LayerPlan, knowledge: Knowledge) -> int:
    """Coded symbols that lead to what is known."""
    return sum(int((knowledge.shifts[layer.channel] <= layer.shift).sum()) for layer in plan.layers)


def test_the_last_packet_has_no_byte_too_many(case: Case) -> None:
    packets = packetize(case, 244)
    shorter = [*packets[:-1], packets[-1][:-1]]
    assert not same(unpack(case, shorter), unpack(case, packets))


def test_an_mtu_below_the_least_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 32"):
        packetize(LARGE, MIN_MTU_BYTES - 1)


def test_no_packets_know_nothing() -> None:
    assert same(unpack(LARGE, []), Knowledge(PLAN))
    assert packetize(LARGE, 32, num_bytes=0) == []


@given(st.lists(st.sampled_from(PACKETS)), st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(
    packets: list[bytes], generator: random.Random
) -> None:
    shuffled = packets + packets
    generator.shuffle(shuffled)
    assert same(unpack(LARGE, shuffled), unpack(LARGE, packets))


@given(st.sets(st.sampled_from(PACKETS)), st.sampled_from(PACKETS))
def test_any_subset_tells_the_truth_and_more_never_unlearn(subset: set[bytes], more: bytes) -> None:
    knowledge = unpack(LARGE, list(subset))
    assert (knowledge.values == at_shift(SOURCE.values, 0, knowledge.shifts)).all()
    assert (unpack(LARGE, [*subset, more]).shifts <= knowledge.shifts).all()


@pytest.mark.parametrize("lost", range(len(PACKETS)))
def test_a_lost_packet_spoils_only_what_refines_its_layers(lost: int) -> None:
    starts = [*starts_of(PACKETS), PLAN.num_symbols]
    arrived = [True] * PLAN.num_symbols
    arrived[starts[lost] : starts[lost + 1]] = [False] * (starts[lost + 1] - starts[lost])
    for start, end in zip(starts[lost + 1 : -1], starts[lost + 2 :], strict=True):
        for place in range(start, end):
            layer = PLAN.layers[place // PLAN.num_positions]
            needed = [
                index
                for index, other in enumerate(PLAN.layers[: place // PLAN.num_positions])
                if other.channel == layer.channel
            ]
            if not all(
                all(arrived[index * PLAN.num_positions : (index + 1) * PLAN.num_positions])
                for index in needed
            ):
                arrived[place:end] = [False] * (end - place)
                break
    knowledge = unpack(LARGE, [*PACKETS[:lost], *PACKETS[lost + 1 :]])
    assert num_known(PLAN, knowledge) == sum(arrived)
    assert sum(arrived) >= starts[lost]


def test_channels_that_a_lost_packet_does_not_carry_are_complete() -> None:
    """The first of two packets has channel 0 only, the second channel 1 only."""
    plan = LayerPlan(8, 8, 2, 0, ((0, 0), (1, 0)))
    flat = LayerPrior(Table((256,) * 256), None)
    symbols = np.arange(128, dtype=np.uint8).reshape(8, 8, 2)
    source = Knowledge.complete(plan, symbols)
    packets = packetize_knowledge(plan, (flat,) * 2, CHECKPOINT_ID, source, 128, 32)
    for lost in range(len(packets)):
        rest = [*packets[:lost], *packets[lost + 1 :]]
        knowledge = decode_packet_set(plan, (flat,) * 2, CHECKPOINT_ID, rest)
        starts = [*(parse_packet(plan, CHECKPOINT_ID, p)[0] for p in packets), 128]
        assert int((knowledge.shifts == 8).sum()) == starts[lost + 1] - starts[lost]


def test_packets_of_another_checkpoint_or_version_are_refused() -> None:
    packet = PACKETS[0]
    foreign = packet[:1] + b"\x0b\xae" + packet[3:]
    with pytest.raises(BitstreamError, match=r"0bae\.\.\.") as caught:
        unpack(LARGE, [packet, foreign])
    assert caught.value.checkpoint_id == "0bae"
    assert not isinstance(caught.value, CorruptBitstreamError)
    with pytest.raises(BitstreamError, match="version 2") as caught:
        unpack(LARGE, [b"\xd2" + packet[1:]])
    assert caught.value.version == 2
    assert not isinstance(caught.value, CorruptBitstreamError)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\xc1\x0b\xad\x00abc",
        b"\xd1",
        b"\xd1\x0b",
        b"\xd1\x0b\xad",
        b"\xd1\x0b\xad\x80",
        b"\xd1\x0b\xad\x80\x80\x80\x80\x01",
        b"\xd1\x0b\xad" + encode_varint(PLAN.num_symbols),
        b"\xd1\x0b\xad\x00" + bytes(MAX_STREAM_BYTES),
        PACKETS[-1] + b"\0",
    ],
)
def test_what_is_no_packet_is_refused(packet: bytes) -> None:
    with pytest.raises(CorruptBitstreamError):
        unpack(LARGE, [*PACKETS, packet])


def test_too_many_packets_are_refused() -> None:
    packets = (PACKETS[0] + number.to_bytes(2, "big") for number in range(MAX_PACKETS + 1))
    with pytest.raises(CorruptBitstreamError, match="4096"):
        decode_packet_set(PLAN, PRIORS, CHECKPOINT_ID, packets)


def test_packets_of_several_cuts_add_up() -> None:
    both = [*PACKETS, *packetize(LARGE, 64), *packetize(LARGE, 100)]
    assert same(unpack(LARGE, both), unpack(LARGE, PACKETS))


def test_packets_that_code_the_picture_too_often_are_refused() -> None:
    whole = packetize(LARGE, 244)[0]
    cuts = [whole[: len(whole) - number] for number in range(MAX_OVERLAP + 1)]
    with pytest.raises(CorruptBitstreamError, match="repeatedly"):
        unpack(LARGE, cuts)


def test_mutated_packets_are_pictures_or_refused() -> None:
    assert fuzz(5_000) > 100


@pytest.mark.slow
def test_many_mutated_packets_are_pictures_or_refused() -> None:
    assert fuzz(100_000, seed=1) > 1000


def fuzz(count: int, seed: int = 0) -> int:
    """Decode damaged packets among others; how many were refused."""
    generator = random.Random(seed)
    case = CASES["unsigned"]()
    packets = packetize(case, 32)
    refused = 0
    for _ in range(count):
        damaged = [mutated(generator.choice(packets), generator)]
        try:
            knowledge = unpack(case, [*packets[: generator.randrange(2)], *damaged])
        except BitstreamError:
            refused += 1
            continue
        assert np.abs(knowledge.values).max() < 256
    return refused


@given(st.integers(0, 2**28 - 1), st.binary(max_size=5))
def test_varints_are_inverse(value: int, rest: bytes) -> None:
    assert decode_varint(encode_varint(value) + rest) == (value, rest)
