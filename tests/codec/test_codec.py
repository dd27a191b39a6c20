"""The codec as users meet it: pictures to streams to pictures and classes."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from pnc.codec.bitstream import HEADER_BYTES, VERSION, decode_stream
from pnc.codec.codec import Codec
from pnc.codec.image import encode_png
from pnc.codec.layers import Knowledge, at_shift
from pnc.errors import BitstreamError, ConfigError, CorruptBitstreamError, ImageError
from tests.codec.cases import Symbols
from tests.codec.test_bitstream import mutated


def knowledge_of(codec: Codec, stream: bytes) -> tuple[Knowledge, int]:
    checkpoint = codec.checkpoint
    return decode_stream(checkpoint.plan, checkpoint.priors, checkpoint.id, stream)


def test_models_are_loaded_when_first_used(picture: Symbols) -> None:
    device = Codec.load("belt")
    stream = device.encode(picture)
    device.packetize(stream, 64)
    assert {"encoder"} == set(vars(device)) & {"encoder", "decoder", "classifier"}


def test_the_whole_stream_holds_every_symbol(codec: Codec, picture: Symbols, stream: bytes) -> None:
    plan = codec.checkpoint.plan
    knowledge, count = knowledge_of(codec, stream)
    assert count == plan.num_symbols
    values = plan.values(codec.encoder.encode(picture))
    assert (knowledge.values == at_shift(values, 0, knowledge.shifts)).all()
    for channel, shift in plan.steps:
        assert (knowledge.shifts[channel] <= shift).all()


def test_prefixes_of_a_real_stream_only_ever_learn(codec: Codec, stream: bytes) -> None:
    lengths = sorted({*range(40), *range(40, len(stream), 173), len(stream) - 1, len(stream)})
    last, last_count = Knowledge(codec.checkpoint.plan).shifts, 0
    for num_bytes in lengths:
        knowledge, count = knowledge_of(codec, stream[:num_bytes])
        assert count >= last_count
        assert (knowledge.shifts <= last).all()
        last, last_count = knowledge.shifts, count


@pytest.mark.parametrize("max_bytes", [HEADER_BYTES, 5, 100, 512, 10**6])
def test_max_bytes_cuts_the_stream(
    codec: Codec, picture: Symbols, stream: bytes, max_bytes: int
) -> None:
    assert codec.encode(picture, max_bytes=max_bytes) == stream[:max_bytes]


def test_a_stream_needs_room_for_its_header(codec: Codec, picture: Symbols) -> None:
    with pytest.raises(ConfigError, match="header"):
        codec.encode(picture, max_bytes=HEADER_BYTES - 1)


@pytest.mark.parametrize("num_bytes", [0, 1, 4, 300])
def test_any_prefix_decodes(codec: Codec, stream: bytes, num_bytes: int) -> None:
    decoded = codec.decode(stream[:num_bytes])
    assert decoded.shape == (224, 224, 3)
    assert decoded.dtype == np.uint8


@pytest.mark.parametrize("mtu_bytes", [32, 64, 244, 512])
def test_all_packets_decode_to_what_the_stream_does(
    codec: Codec, stream: bytes, mtu_bytes: int
) -> None:
    packets = codec.packetize(stream, mtu_bytes)
    assert max(map(len, packets)) <= mtu_bytes
    random.Random(1).shuffle(packets)
    assert (codec.decode_packets(iter(packets + packets[:3])) == codec.decode(stream)).all()


def test_packets_of_a_prefix_decode_to_what_the_prefix_does(codec: Codec, stream: bytes) -> None:
    cut = stream[:700]
    assert (codec.decode_packets(codec.packetize(cut, 64)) == codec.decode(cut)).all()


def test_no_packets_decode_to_what_no_bytes_do(codec: Codec) -> None:
    assert codec.packetize(b"", 64) == []
    assert (codec.decode_packets([]) == codec.decode(b"")).all()


def test_pictures_files_and_streams_can_be_classified(
    codec: Codec, picture: Symbols, stream: bytes
) -> None:
    predictions = codec.classify(picture, top=2)
    assert len(predictions) == 2
    assert codec.classify(encode_png(picture), top=2) == predictions
    assert codec.classify(stream[:500]) == codec.classify(codec.decode(stream[:500]))
    assert len(codec.classify(stream[:1])) == 5


def test_what_is_no_picture_is_refused(codec: Codec) -> None:
    for function in (codec.encode, codec.classify):
        with pytest.raises(ImageError):
            function(b"not a picture")


def test_another_checkpoints_streams_and_packets_are_refused(codec: Codec, stream: bytes) -> None:
    foreign = stream[:1] + bytes([stream[1] ^ 1]) + stream[2:]
    for function in (codec.decode, codec.info, codec.classify):
        with pytest.raises(BitstreamError, match="load the checkpoint that the device uses"):
            function(foreign)
    with pytest.raises(BitstreamError, match="load the checkpoint"):
        codec.packetize(foreign, 64)
    packet = codec.packetize(stream, 64)[0]
    with pytest.raises(BitstreamError, match="load the checkpoint"):
        codec.decode_packets([packet[:1] + bytes([packet[1] ^ 1]) + packet[2:]])


def test_damaged_bytes_are_pictures_or_refused(codec: Codec, stream: bytes) -> None:
    generator = random.Random(2)
    checkpoint = codec.checkpoint
    for _ in range(100):
        damaged = stream[:HEADER_BYTES] + mutated(stream[HEADER_BYTES:600], generator)
        try:
            knowledge, _ = decode_stream(checkpoint.plan, checkpoint.priors, checkpoint.id, damaged)
        except CorruptBitstreamError:
            continue
        assert np.abs(knowledge.values).max() < 256
    assert codec.decoder.decode(knowledge).shape == (224, 224, 3)


def test_info_says_what_each_layer_costs(codec: Codec, stream: bytes) -> None:
    plan = codec.checkpoint.plan
    whole = codec.info(stream)
    assert (whole.num_bytes, whole.version) == (len(stream), VERSION)
    assert whole.checkpoint_id == codec.checkpoint.id
    assert whole.complete
    assert len(whole.layers) == len(plan.layers)
    for index, (layer, found) in enumerate(zip(plan.layers, whole.layers, strict=True)):
        assert (found.index, found.channel, found.shift) == (index, layer.channel, layer.shift)
        assert found.num_symbols == found.num_known == plan.num_positions
        assert found.num_bytes > 0
    coded = math.fsum(layer.num_bytes for layer in whole.layers)
    assert 0 <= len(stream) - HEADER_BYTES - coded < 12


@pytest.mark.parametrize("num_bytes", [0, 3, 4, 5, 200, 1000])
def test_info_of_a_prefix_counts_what_arrived(codec: Codec, stream: bytes, num_bytes: int) -> None:
    info = codec.info(stream[:num_bytes])
    assert info.num_bytes == num_bytes
    assert not info.complete
    known = [layer.num_known for layer in info.layers]
    assert sum(known) == knowledge_of(codec, stream[:num_bytes])[1]
    assert known == sorted(known, reverse=True)
    coded = math.fsum(layer.num_bytes for layer in info.layers)
    assert coded <= max(0, num_bytes - HEADER_BYTES)
    assert coded > num_bytes - HEADER_BYTES - 10
