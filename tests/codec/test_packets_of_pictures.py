"""Packets of real pictures, with and without the detour over their stream."""

from __future__ import annotations

import random

import numpy as np
import pytest
from numpy.typing import NDArray

from pnc.codec.bitstream import HEADER_BYTES
from pnc.codec.codec import Codec
from pnc.codec.packetizer import decode_packets, parse_packet
from pnc.codec.plane_coder import Knowledge
from pnc.codec.regions import NUM_REGIONS
from pnc.errors import ConfigError

Picture = NDArray[np.uint8]


def unpack(codec: Codec, packets: list[bytes]) -> list[Knowledge]:
    return decode_packets(codec.checkpoint.plan, codec.checkpoint.id, packets)


@pytest.mark.parametrize("mtu_bytes", [64, 244])
def test_packets_of_a_complete_stream_are_nearly_those_of_the_picture(
    codec: Codec, picture: Picture, stream: bytes, mtu_bytes: int
) -> None:
    """Rounded in the whole and rounded again in the regions, coefficients differ by one or so."""
    direct = codec.encode_packets(picture, mtu_bytes)
    again = codec.packetize(stream, mtu_bytes)
    assert sum(map(len, again)) == pytest.approx(sum(map(len, direct)), rel=0.02)
    for one, other in zip(unpack(codec, direct), unpack(codec, again), strict=True):
        assert one.is_complete
        assert other.is_complete
        ours, theirs = one.signs * one.magnitudes, other.signs * other.magnitudes
        smooth = list(codec.checkpoint.plan.grid.smooth)
        rough = [channel for channel in range(ours.shape[-1]) if channel not in smooth]
        assert (ours[..., rough] == theirs[..., rough]).mean() > 0.999
        assert np.abs(ours[:, smooth] - theirs[:, smooth]).max(initial=0) <= 3


def test_packets_of_the_whole_are_those_of_the_stream(
    codec: Codec, picture: Picture, stream: bytes
) -> None:
    direct = codec.encode_packets(picture, 244, by_region=False)
    assert codec.packetize(stream, 244, by_region=False) == direct
    plan, identity = codec.checkpoint.plan, codec.checkpoint.id
    pieces = [parse_packet(plan, identity, packet)[2] for packet in direct]
    assert b"".join(pieces) == stream[HEADER_BYTES:]
    assert (codec.decode_packets(direct) == codec.decode(stream)).all()
    assert (
        codec.decode_packets(direct[:3]) == codec.decode(stream[: 4 + sum(map(len, pieces[:3]))])
    ).all()


@pytest.mark.parametrize("by_region", [True, False])
@pytest.mark.parametrize("max_bytes", [0, 31, 32, 100, 1000, 1500])
def test_packets_fill_the_bytes_that_they_may_take(
    codec: Codec, picture: Picture, max_bytes: int, by_region: bool
) -> None:
    packets = codec.encode_packets(picture, 244, max_bytes=max_bytes, by_region=by_region)
    num_bytes = sum(map(len, packets))
    assert all(len(packet) == 244 for packet in packets[:-1])
    assert max_bytes - 8 < num_bytes <= max_bytes
    assert codec.decode_packets(packets).shape == (224, 224, 3)


def test_packets_of_a_cut_stream_take_as_many_bytes(codec: Codec, stream: bytes) -> None:
    packets = codec.packetize(stream[:1000], 100)
    assert 990 < sum(map(len, packets)) <= 1000
    assert codec.packetize(b"", 64) == []


def test_a_lost_packet_leaves_the_other_regions_as_they_were(
    codec: Codec, picture: Picture
) -> None:
    packets = codec.encode_packets(picture, 244, max_bytes=1500)
    whole = unpack(codec, packets)
    for lost, packet in enumerate(packets):
        chain, _, _ = parse_packet(codec.checkpoint.plan, codec.checkpoint.id, packet)
        parts = unpack(codec, packets[:lost] + packets[lost + 1 :])
        for number, (part, before) in enumerate(zip(parts, whole, strict=True), 1):
            same = bool((part.planes == before.planes).all())
            assert same == (number != chain)
            assert (part.planes >= before.planes).all()


def test_regions_come_to_know_alike(codec: Codec, picture: Picture) -> None:
    parts = unpack(codec, codec.encode_packets(picture, 64, max_bytes=1500))
    counts = [sum(segment.num_bits for segment in part.segments) for part in parts]
    assert len(counts) == NUM_REGIONS
    assert max(counts) - min(counts) <= 2 * 8 * 64


def test_any_loss_gives_a_picture(codec: Codec, picture: Picture) -> None:
    packets = codec.encode_packets(picture, 100)
    generator = random.Random(3)
    errors = []
    for share in (0.0, 0.5, 1.0):
        arrived = [packet for packet in packets if generator.random() < share]
        generator.shuffle(arrived)
        decoded = codec.decode_packets(arrived)
        errors.append(float(np.square(decoded.astype(float) - picture).mean()))
    assert errors[0] > errors[1] > errors[2]


def test_a_small_mtu_is_refused(codec: Codec, picture: Picture) -> None:
    with pytest.raises(ConfigError, match="MTU of 31 bytes"):
        codec.encode_packets(picture, 31)
