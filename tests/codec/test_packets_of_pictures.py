"""Packets made from a picture without the detour over its stream."""

from __future__ import annotations

import pytest

from pnc.codec.codec import Codec
from pnc.codec.entropy.coder import code_picture, count_arrived, encode_packet_run, encode_run
from pnc.codec.layers import Knowledge
from pnc.codec.packetizer import MIN_MTU_BYTES
from pnc.errors import ConfigError
from tests.codec.cases import Case, Symbols, plan_of, priors_of, symbols_of


def test_a_packet_run_knows_how_many_symbols_it_determines(case: Case) -> None:
    plan, priors = plan_of(case), priors_of(case)
    picture = code_picture(plan, priors, Knowledge.complete(plan, symbols_of(case)))
    for start in range(0, plan.num_symbols + 1, 1 + plan.num_symbols // 9):
        for max_bytes in (0, 1, 2, 7, 8, 9, 28, 60, 240, 10_000):
            run, num_arrived = encode_packet_run(plan, picture, start, max_bytes)
            assert run == encode_run(plan, picture, start, max_bytes)
            assert num_arrived == count_arrived(plan, picture, start, run)


@pytest.mark.parametrize("mtu_bytes", [64, 244])
def test_packets_are_those_of_the_stream(
    codec: Codec, picture: Symbols, stream: bytes, mtu_bytes: int
) -> None:
    assert codec.encode_packets(picture, mtu_bytes) == codec.packetize(stream, mtu_bytes)


@pytest.mark.parametrize("max_bytes", [0, 31, 32, 100, 1000, 1500])
def test_packets_fill_the_bytes_that_they_may_take(
    codec: Codec, picture: Symbols, max_bytes: int
) -> None:
    packets = codec.encode_packets(picture, 244, max_bytes=max_bytes)
    num_bytes = sum(map(len, packets))
    assert all(len(packet) == 244 for packet in packets[:-1])
    assert max_bytes - MIN_MTU_BYTES < num_bytes <= max_bytes
    assert codec.decode_packets(packets).shape == (224, 224, 3)


def test_a_small_mtu_is_refused(codec: Codec, picture: Symbols) -> None:
    with pytest.raises(ConfigError, match="MTU of 31 bytes"):
        codec.encode_packets(picture, 31)
