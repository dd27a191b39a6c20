"""Packets: any subset, any order, repeated, lost, damaged, foreign."""

from __future__ import annotations

import random
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pnc.codec import packetizer
from pnc.codec.bitstream import HEADER_BYTES, MAX_STREAM_BYTES
from pnc.codec.packetizer import (
    MAX_PACKETS,
    MIN_MTU_BYTES,
    NUM_CHAINS,
    cut_chains,
    decode_packets,
    decode_varint,
    encode_varint,
    packetize,
    parse_packet,
)
from pnc.codec.plan import CodingPlan
from pnc.codec.plane_coder import Knowledge, decode_planes, encode_planes
from pnc.codec.planes import PlanePlan
from pnc.codec.regions import NUM_REGIONS
from pnc.errors import BitstreamError, ConfigError, CorruptBitstreamError
from tests.codec.cases import (
    CASES,
    CHECKPOINT_ID,
    MTUS,
    Case,
    Values,
    coefficients_of,
    make_random,
    plan_of,
    stream_of,
    tells_the_truth,
)
from tests.codec.test_bitstream import is_possible, mutated

Coefficients = NDArray[np.int16]

TAG = b"\xd2\x0b\xad"


def values_of(case: Case) -> Values:
    """Values that lead to the case's coefficients of the whole."""
    return plan_of(case).grid.inverse(coefficients_of(case))


def regions_of(plan: CodingPlan, values: Values) -> list[tuple[PlanePlan, Coefficients]]:
    """The plan and the coefficients of each region; none where the grid cannot be cut."""
    parts = plan.split(values) if plan.regions else []
    return [
        (region, np.clip(region.grid.forward(part), -region.limits, region.limits))
        for region, part in zip(plan.regions, parts, strict=True)
    ]


def chains_of(plan: CodingPlan, values: Values) -> list[bytes]:
    return [encode_planes(*region) for region in regions_of(plan, values)]


def truth_of(plan: CodingPlan, values: Values) -> list[Coefficients]:
    return [coefficients for _, coefficients in regions_of(plan, values)]


LARGE = CASES["smooth"]()
PLAN, VALUES = plan_of(LARGE), values_of(LARGE)
PACKETS = packetize(PLAN, CHECKPOINT_ID, VALUES, MIN_MTU_BYTES)
CHAINS, TRUTH = chains_of(PLAN, VALUES), truth_of(PLAN, VALUES)


def unpack(packets: Iterable[bytes]) -> list[Knowledge]:
    return decode_packets(PLAN, CHECKPOINT_ID, packets)


def chain_of(packet: bytes) -> int:
    return parse_packet(PLAN, CHECKPOINT_ID, packet)[0]


def same(one: list[Knowledge], other: list[Knowledge]) -> bool:
    return len(one) == len(other) and all(
        (a.magnitudes == b.magnitudes).all()
        and (a.signs == b.signs).all()
        and (a.planes == b.planes).all()
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("mtu_bytes", [32, 33, 64, 100, 244, 512])
def test_all_packets_know_everything(case: Case, mtu_bytes: int) -> None:
    plan, values = plan_of(case), values_of(case)
    packets = packetize(plan, CHECKPOINT_ID, values, mtu_bytes)
    assert all(0 < len(packet) <= mtu_bytes for packet in packets)
    parts = decode_packets(plan, CHECKPOINT_ID, packets)
    assert all(part.is_complete for part in parts)
    truth = truth_of(plan, values) or [coefficients_of(case)]
    assert all(tells_the_truth(part, true) for part, true in zip(parts, truth, strict=True))


def test_packets_are_the_chains_in_turn() -> None:
    pieces: list[bytes] = [b""] * NUM_REGIONS
    last = -1
    for packet in PACKETS:
        chain, start, piece = parse_packet(PLAN, CHECKPOINT_ID, packet)
        assert start == len(pieces[chain - 1])
        pieces[chain - 1] += piece
        unfinished = [
            number
            for number in range(last + 1, last + NUM_CHAINS)
            if len(pieces[number % NUM_REGIONS]) < len(CHAINS[number % NUM_REGIONS])
            or number % NUM_REGIONS == chain - 1
        ]
        assert unfinished[0] % NUM_REGIONS == chain - 1
        last = chain - 1
    assert pieces == CHAINS


@pytest.mark.parametrize("by_region", [True, False])
@pytest.mark.parametrize("mtu_bytes", [32, 64, 244])
def test_packets_take_no_more_than_they_may(mtu_bytes: int, by_region: bool) -> None:
    def cut(max_bytes: int | None) -> list[bytes]:
        return packetize(PLAN, CHECKPOINT_ID, VALUES, mtu_bytes, max_bytes, by_region=by_region)

    whole = cut(None)
    size = sum(map(len, whole))
    for max_bytes in [*range(0, size + 20, 7), size - 1, size]:
        packets = cut(max_bytes)
        num_bytes = sum(map(len, packets))
        assert num_bytes <= max_bytes
        assert num_bytes > min(max_bytes, size) - 7
        assert packets[:-1] == whole[: len(packets[:-1])]
        assert not packets or whole[len(packets) - 1].startswith(packets[-1])
        assert max_bytes < size or packets == whole


def test_short_regions_leave_their_bytes_to_the_others() -> None:
    """Only one region is not black: its chain takes more than a quarter of what is allowed."""
    case = make_random((16, 16, 4))
    plan, values = plan_of(case), values_of(case)
    places = plan.split(np.arange(values.size, dtype=np.float32).reshape(values.shape))
    for black in places[:3]:
        values.ravel()[black.astype(np.intp).ravel()] = 0
    *short, long = map(len, chains_of(plan, values))
    packets = packetize(plan, CHECKPOINT_ID, values, 32)
    max_bytes = sum(map(len, packets))
    assert max(short) < max_bytes / 4 + 32 < long
    assert packetize(plan, CHECKPOINT_ID, values, 32, max_bytes) == packets


def test_a_negative_or_small_limit_gives_no_packets() -> None:
    for max_bytes in (-1, 0, 3, 4):
        assert packetize(PLAN, CHECKPOINT_ID, VALUES, 64, max_bytes) == []


def test_chains_are_never_longer_than_a_decoder_reads() -> None:
    chain = bytes(MAX_STREAM_BYTES)
    packets = cut_chains([chain], CHECKPOINT_ID, 244, MAX_STREAM_BYTES)
    assert sum(map(len, packets)) <= MAX_STREAM_BYTES
    assert all(parse_packet(PLAN, CHECKPOINT_ID, packet)[0] == 0 for packet in packets)
    small = cut_chains([chain] * 4, CHECKPOINT_ID, MIN_MTU_BYTES, MAX_STREAM_BYTES)
    assert len(small) <= MAX_PACKETS


def test_an_mtu_below_the_least_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 32"):
        packetize(PLAN, CHECKPOINT_ID, VALUES, MIN_MTU_BYTES - 1)
    with pytest.raises(ConfigError, match="at least 32"):
        cut_chains([b""], CHECKPOINT_ID, MIN_MTU_BYTES - 1, 100)


def test_no_packets_know_nothing() -> None:
    (whole,) = unpack([])
    assert whole.plan is PLAN.whole
    assert not whole.magnitudes.any()
    assert (whole.planes == np.array(PLAN.whole.first_planes) + 1).all()


@pytest.mark.parametrize("mtu_bytes", MTUS)
def test_packets_of_the_whole_are_the_stream_itself(mtu_bytes: int) -> None:
    packets = packetize(PLAN, CHECKPOINT_ID, VALUES, mtu_bytes, by_region=False)
    parsed = [parse_packet(PLAN, CHECKPOINT_ID, packet) for packet in packets]
    assert {chain for chain, _, _ in parsed} == {0}
    assert b"".join(piece for _, _, piece in parsed) == stream_of(LARGE)[HEADER_BYTES:]
    for lost in range(len(packets)):
        (knowledge,) = unpack(packets[:lost] + packets[lost + 1 :])
        arrived = stream_of(LARGE)[HEADER_BYTES:][: parsed[lost][1]]
        assert same([knowledge], [decode_planes(PLAN.whole, arrived)])
    (knowledge,) = unpack(packets)
    assert knowledge.is_complete
    assert tells_the_truth(knowledge, coefficients_of(LARGE))


def test_a_grid_that_cannot_be_cut_has_one_chain() -> None:
    case = CASES["signed"]()
    plan = plan_of(case)
    packets = packetize(plan, CHECKPOINT_ID, values_of(case), 32)
    assert packets == packetize(plan, CHECKPOINT_ID, values_of(case), 32, by_region=False)
    assert {parse_packet(plan, CHECKPOINT_ID, packet)[0] for packet in packets} == {0}
    with pytest.raises(CorruptBitstreamError, match="of region 0, this checkpoint has 0"):
        decode_packets(plan, CHECKPOINT_ID, [TAG + encode_varint(1) + b"\0"])


@settings(max_examples=30)
@given(st.lists(st.sampled_from(PACKETS)), st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(
    packets: list[bytes], generator: random.Random
) -> None:
    shuffled = packets + packets
    generator.shuffle(shuffled)
    assert same(unpack(shuffled), unpack(packets))


@settings(max_examples=30)
@given(st.sets(st.sampled_from(PACKETS), min_size=1), st.sampled_from(PACKETS))
def test_any_subset_tells_the_truth_and_more_never_unlearn(subset: set[bytes], more: bytes) -> None:
    parts = unpack(subset)
    assert all(tells_the_truth(part, true) for part, true in zip(parts, TRUTH, strict=True))
    for less, after in zip(parts, unpack([*subset, more]), strict=True):
        assert (after.planes <= less.planes).all()


@pytest.mark.parametrize("lost", range(len(PACKETS)))
def test_a_lost_packet_costs_what_follows_it_in_its_region_and_nothing_else(lost: int) -> None:
    parts = unpack(PACKETS[:lost] + PACKETS[lost + 1 :])
    of_lost, start, _ = parse_packet(PLAN, CHECKPOINT_ID, PACKETS[lost])
    for chain, (part, region) in enumerate(zip(parts, PLAN.regions, strict=True), 1):
        arrived = CHAINS[chain - 1][: start if chain == of_lost else None]
        assert same([part], [decode_planes(region, arrived)])
        assert part.is_complete == (chain != of_lost)


def test_a_packet_that_was_cut_still_tells_what_it_holds() -> None:
    packet = PACKETS[4]
    for length in range(8, len(packet)):
        cut = unpack([*PACKETS[:4], packet[:length]])
        assert all(tells_the_truth(part, true) for part, true in zip(cut, TRUTH, strict=True))
    assert same(unpack([*PACKETS[:5], packet[:20]]), unpack(PACKETS[:5]))


def test_packets_of_several_sizes_add_up() -> None:
    other = packetize(PLAN, CHECKPOINT_ID, VALUES, 50)
    generator = random.Random(0)
    for _ in range(5):
        some = generator.sample(PACKETS, 10) + generator.sample(other, 6)
        parts = unpack(some)
        if len(parts) > 1:
            assert all(tells_the_truth(part, true) for part, true in zip(parts, TRUTH, strict=True))
    assert same(unpack(PACKETS + other), unpack(PACKETS))
    odd = [packet for packet in PACKETS if parse_packet(PLAN, CHECKPOINT_ID, packet)[1] == 0]
    for part, alone in zip(unpack(odd + other[4:]), unpack(odd), strict=True):
        assert (part.planes <= alone.planes).all()


def test_a_picture_is_whole_or_in_regions_and_never_both() -> None:
    whole = packetize(PLAN, CHECKPOINT_ID, VALUES, 32, by_region=False)
    with pytest.raises(CorruptBitstreamError, match="of a whole picture and of regions"):
        unpack([PACKETS[0], whole[0]])


def test_packets_of_another_checkpoint_or_version_are_refused() -> None:
    packet = PACKETS[0]
    foreign = packet[:1] + b"\x0b\xae" + packet[3:]
    with pytest.raises(BitstreamError, match=r"0bae\.\.\.") as caught:
        unpack([packet, foreign])
    assert caught.value.checkpoint_id == "0bae"
    assert not isinstance(caught.value, CorruptBitstreamError)
    with pytest.raises(BitstreamError, match="version 1") as caught:
        unpack([b"\xd1" + packet[1:]])
    assert caught.value.version == 1
    assert not isinstance(caught.value, CorruptBitstreamError)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\xc2\x0b\xad\x00abc",
        TAG[:1],
        TAG[:2],
        TAG,
        TAG + b"\x81",
        TAG + b"\x81\x80",
        TAG + b"\x81\x80\x80\x01",
        TAG + b"\x01" + bytes(MAX_STREAM_BYTES + 1),
        TAG + encode_varint(NUM_CHAINS * MAX_STREAM_BYTES + 1) + b"\0",
        TAG + b"\xff\xff\x7f",
    ],
    ids=lambda packet: packet[:8].hex() or "empty",
)
def test_what_is_no_packet_is_refused(packet: bytes) -> None:
    with pytest.raises(CorruptBitstreamError):
        unpack([*PACKETS, packet])


def test_surplus_bytes_of_a_region_are_refused() -> None:
    place = NUM_CHAINS * len(CHAINS[1]) + 2
    with pytest.raises(CorruptBitstreamError, match="complete after"):
        unpack([*PACKETS, TAG + encode_varint(place) + b"\0"])


def test_too_many_packets_are_refused() -> None:
    packets = (PACKETS[0][: 10 + number % 20] for number in range(MAX_PACKETS + 1))
    with pytest.raises(CorruptBitstreamError, match="4096"):
        unpack(packets)
    assert same(unpack([PACKETS[0]] * MAX_PACKETS), unpack(PACKETS[:1]))


def test_mutated_packets_are_pictures_or_refused() -> None:
    assert 30 < fuzz(300) < 290


@pytest.mark.slow
def test_many_mutated_packets_are_pictures_or_refused() -> None:
    assert fuzz(10_000, seed=1) > 1000


def fuzz(count: int, seed: int = 0) -> int:
    """Decode damaged packets among others; how many sets were refused."""
    generator = random.Random(seed)
    refused = 0
    for _ in range(count):
        damaged = mutated(generator.choice(PACKETS), generator)
        arrived = PACKETS[: generator.randrange(8)]
        try:
            parts = unpack([*arrived, damaged])
        except BitstreamError:
            refused += 1
            continue
        assert all(is_possible(part) for part in parts)
    return refused


@settings(max_examples=60)
@given(st.lists(st.binary(max_size=60), max_size=6), st.booleans())
def test_any_bytes_are_pictures_or_refused(packets: list[bytes], tagged: bool) -> None:
    try:
        parts = unpack([TAG + packet if tagged else packet for packet in packets])
    except BitstreamError:
        return
    assert len(parts) in (1, NUM_REGIONS)
    assert all(is_possible(part) for part in parts)


@given(st.integers(0, 2**21 - 1), st.binary(max_size=5))
def test_varints_are_inverse(value: int, rest: bytes) -> None:
    assert decode_varint(encode_varint(value) + rest) == (value, rest)


def test_regions_are_coded_once_where_none_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def count(*arguments: object) -> bytes:
        calls.append(arguments)
        return encode_planes(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(packetizer, "encode_planes", count)
    packetize(PLAN, CHECKPOINT_ID, VALUES, 64, 200)
    assert len(calls) == NUM_REGIONS
