"""Packets of real pictures, with and without the detour over their stream."""

from __future__ import annotations

import random

import numpy as np
import pytest
from numpy.typing import NDArray

from pnc.codec.codec import Codec
from pnc.codec.packetizer import join_packets
from pnc.errors import BitstreamError, ConfigError

Picture = NDArray[np.uint8]


@pytest.mark.parametrize("redundancy", [0.0, 0.25])
@pytest.mark.parametrize("mtu_bytes", [64, 244])
def test_packets_of_a_picture_are_those_of_its_stream(
    codec: Codec, picture: Picture, stream: bytes, mtu_bytes: int, redundancy: float
) -> None:
    direct = codec.encode_packets(picture, mtu_bytes, redundancy=redundancy)
    assert codec.packetize(stream, mtu_bytes, redundancy=redundancy) == direct
    assert join_packets(codec.checkpoint.id, direct) == stream
    assert (codec.decode_packets(direct) == codec.decode(stream)).all()


@pytest.mark.parametrize("redundancy", [0.0, 0.25])
@pytest.mark.parametrize("max_bytes", [0, 3, 31, 32, 100, 1000, 1500])
def test_packets_fill_the_bytes_that_they_may_take(
    codec: Codec, picture: Picture, max_bytes: int, redundancy: float
) -> None:
    packets = codec.encode_packets(picture, 244, max_bytes=max_bytes, redundancy=redundancy)
    num_bytes = sum(map(len, packets))
    assert all(len(packet) == 244 for packet in packets[:-1])
    assert max_bytes - 6 < num_bytes <= max_bytes
    assert codec.decode_packets(packets).shape == (224, 224, 3)


def test_a_fifth_of_the_packets_may_be_lost(codec: Codec, picture: Picture) -> None:
    packets = codec.encode_packets(picture, 64, max_bytes=4096, redundancy=0.5)
    whole = len(join_packets(codec.checkpoint.id, packets))
    generator = random.Random(7)
    arrived = []
    for _ in range(20):
        some = [packet for packet in packets if generator.random() > 0.2]
        generator.shuffle(some)
        arrived.append(len(join_packets(codec.checkpoint.id, some)) / whole)
    assert np.mean(arrived) > 0.9


def test_any_loss_gives_a_picture(codec: Codec, picture: Picture) -> None:
    packets = codec.encode_packets(picture, 100)
    generator = random.Random(3)
    errors = []
    third = len(packets) // 3
    for arrived in ([], packets[:third] + packets[-third:], packets):
        generator.shuffle(arrived)
        decoded = codec.decode_packets(arrived)
        errors.append(float(np.square(decoded.astype(float) - picture).mean()))
    assert errors[0] > errors[1] > errors[2]


def test_impossible_packets_are_refused(codec: Codec, picture: Picture, stream: bytes) -> None:
    with pytest.raises(ConfigError, match="MTU of 31 bytes"):
        codec.encode_packets(picture, 31)
    with pytest.raises(ConfigError, match="redundancy of 2"):
        codec.packetize(stream, 64, redundancy=2)
    with pytest.raises(BitstreamError):
        codec.packetize(stream[:1] + b"\0" + stream[2:], 64)
