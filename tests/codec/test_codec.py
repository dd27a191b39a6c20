"""The codec as users meet it: pictures to streams to pictures and classes."""

from __future__ import annotations

import random

import numpy as np
import pytest
from numpy.typing import NDArray

from pnc.codec.bitstream import HEADER_BYTES, VERSION, decode_stream
from pnc.codec.codec import Codec
from pnc.codec.image import encode_png
from pnc.codec.plane_coder import Knowledge
from pnc.errors import BitstreamError, ConfigError, CorruptBitstreamError, ImageError
from tests.codec.cases import tells_the_truth
from tests.codec.test_bitstream import is_possible, mutated

Picture = NDArray[np.uint8]


def knowledge_of(codec: Codec, stream: bytes) -> Knowledge:
    return decode_stream(codec.checkpoint.plan.planes, codec.checkpoint.id, stream)


def test_models_are_loaded_when_first_used(picture: Picture) -> None:
    device = Codec.load("belt")
    stream = device.encode(picture)
    device.packetize(stream, 64)
    device.encode_packets(picture, 64)
    assert {"encoder"} == set(vars(device)) & {"encoder", "decoder", "classifier"}


def test_prefixes_of_a_real_stream_tell_the_truth_and_only_ever_learn(
    codec: Codec, picture: Picture, stream: bytes
) -> None:
    plan = codec.checkpoint.plan.planes
    values = plan.grid.values(codec.encoder.encode(picture))
    coefficients = np.clip(plan.grid.forward(values), -plan.limits, plan.limits)
    last = Knowledge(plan).planes
    lengths = sorted({*range(12), *range(12, len(stream), 173), len(stream) - 1, len(stream)})
    for num_bytes in lengths:
        knowledge = knowledge_of(codec, stream[:num_bytes])
        assert tells_the_truth(knowledge, coefficients)
        assert (knowledge.planes <= last).all()
        assert knowledge.is_complete == (num_bytes == len(stream))
        last = knowledge.planes
    assert not last.any()


@pytest.mark.parametrize("max_bytes", [HEADER_BYTES, 5, 100, 512, 10**6])
def test_max_bytes_cuts_the_stream(
    codec: Codec, picture: Picture, stream: bytes, max_bytes: int
) -> None:
    assert codec.encode(picture, max_bytes=max_bytes) == stream[:max_bytes]


def test_a_stream_needs_room_for_its_header(codec: Codec, picture: Picture) -> None:
    with pytest.raises(ConfigError, match="header"):
        codec.encode(picture, max_bytes=HEADER_BYTES - 1)


@pytest.mark.parametrize("num_bytes", [0, 1, 4, 300])
def test_any_prefix_decodes(codec: Codec, stream: bytes, num_bytes: int) -> None:
    decoded = codec.decode(stream[:num_bytes])
    assert decoded.shape == (224, 224, 3)
    assert decoded.dtype == np.uint8


def test_all_packets_decode_to_nearly_what_the_stream_does(codec: Codec, stream: bytes) -> None:
    packets = codec.packetize(stream, 244)
    random.Random(1).shuffle(packets)
    decoded = codec.decode_packets(iter(packets + packets[:3]))
    difference = decoded.astype(int) - codec.decode(stream)
    assert np.abs(difference).mean() < 1


def test_no_packets_decode_to_what_no_bytes_do(codec: Codec) -> None:
    assert (codec.decode_packets([]) == codec.decode(b"")).all()


def test_pictures_files_and_streams_can_be_classified(
    codec: Codec, picture: Picture, stream: bytes
) -> None:
    predictions = codec.classify(picture, top=2)
    assert len(predictions) == 2
    assert codec.classify(encode_png(picture), top=2) == predictions
    assert codec.classify(stream[:500]) == codec.classify(codec.decode(stream[:500]))
    assert codec.classify(bytearray(stream)) == codec.classify(memoryview(stream))
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
    for _ in range(50):
        damaged = stream[:HEADER_BYTES] + mutated(stream[HEADER_BYTES:600], generator)
        try:
            knowledge = knowledge_of(codec, damaged)
        except CorruptBitstreamError:
            continue
        assert is_possible(knowledge)
    assert codec.decode(damaged[: HEADER_BYTES + 5]).shape == (224, 224, 3)


def test_info_says_what_each_segment_holds(codec: Codec, stream: bytes) -> None:
    plan = codec.checkpoint.plan.planes
    whole = codec.info(stream)
    assert (whole.num_bytes, whole.version) == (len(stream), VERSION)
    assert whole.checkpoint_id == codec.checkpoint.id
    assert whole.complete
    assert all(s.num_known == s.num_coefficients for s in whole.segments)
    num_planes = (np.array(plan.first_planes) + 1).sum() * len(plan.scan)
    assert sum(segment.num_known for segment in whole.segments) == num_planes
    num_bits = sum(segment.num_bits for segment in whole.segments)
    assert len(stream) == HEADER_BYTES + -(-num_bits // 8)


@pytest.mark.parametrize("num_bytes", [0, 3, 4, 5, 200, 1000])
def test_info_of_a_prefix_counts_what_arrived(codec: Codec, stream: bytes, num_bytes: int) -> None:
    info = codec.info(stream[:num_bytes])
    assert info.num_bytes == num_bytes
    assert not info.complete
    whole = codec.info(stream).segments
    found = info.segments
    assert found[:-1] == whole[: max(len(found) - 1, 0)]
    assert sum(s.num_known for s in found) < sum(s.num_known for s in whole)
    num_bits = sum(segment.num_bits for segment in found)
    assert max(0, 8 * (num_bytes - HEADER_BYTES) - 16) <= num_bits
    assert num_bits <= max(0, 8 * (num_bytes - HEADER_BYTES))
