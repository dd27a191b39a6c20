"""Streams: every prefix, the header, limits, and bytes that are no stream."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pnc.codec.bitstream import (
    HEADER_BYTES,
    MAGIC,
    MAX_STREAM_BYTES,
    check_header,
    decode_stream,
    encode_stream,
)
from pnc.codec.coefficients import CoefficientGrid
from pnc.codec.context import Context
from pnc.codec.plane_coder import Knowledge
from pnc.codec.planes import NUM_CLASSES, PlanePlan, PlanePrior
from pnc.codec.runs import DENSE
from pnc.errors import BitstreamError, ConfigError, CorruptBitstreamError
from tests.codec.cases import (
    CASES,
    CHECKPOINT_ID,
    bits_read,
    coefficients_of,
    plan_of,
    stream_of,
    tells_the_truth,
)

SMALL = CASES["unsigned"]()
PLAN, STREAM = plan_of(SMALL).planes, stream_of(SMALL)
VALUES = PLAN.grid.inverse(coefficients_of(SMALL))


def decode(stream: bytes) -> Knowledge:
    return decode_stream(PLAN, CHECKPOINT_ID, stream)


def test_every_prefix_tells_the_truth_and_one_byte_more_never_unlearns() -> None:
    last = Knowledge(PLAN).planes
    for num_bytes in range(len(STREAM) + 1):
        knowledge = decode(STREAM[:num_bytes])
        assert tells_the_truth(knowledge, coefficients_of(SMALL))
        assert (knowledge.planes <= last).all()
        assert knowledge.is_complete == (num_bytes == len(STREAM))
        last = knowledge.planes


def test_a_header_alone_tells_nothing() -> None:
    for num_bytes in range(HEADER_BYTES + 1):
        knowledge = decode(STREAM[:num_bytes])
        assert not knowledge.magnitudes.any()
        assert (knowledge.planes == np.array(PLAN.first_planes) + 1).all()


def test_max_bytes_cuts_the_whole_stream() -> None:
    assert encode_stream(PLAN, CHECKPOINT_ID, VALUES) == STREAM
    for max_bytes in range(HEADER_BYTES, len(STREAM) + 10):
        assert encode_stream(PLAN, CHECKPOINT_ID, VALUES, max_bytes) == STREAM[:max_bytes]


@pytest.mark.parametrize("max_bytes", [-1, 0, HEADER_BYTES - 1])
def test_there_must_be_room_for_the_header(max_bytes: int) -> None:
    with pytest.raises(ConfigError, match="header"):
        encode_stream(PLAN, CHECKPOINT_ID, VALUES, max_bytes)


def test_a_stream_is_never_longer_than_a_decoder_reads() -> None:
    """Two bits each for 15 planes' worth of 278,528 coefficients."""
    grid = CoefficientGrid(64, 64, 68, 128, (), np.ones((64, 64, 68), np.float32))
    prior = PlanePrior(Context.of_bias(np.zeros(grid.shape, np.int16)), (DENSE,) * NUM_CLASSES, 0)
    plan = PlanePlan(grid, (3,) * 68, (prior,) * 4)
    values = np.full(grid.shape, -5, np.float32)
    stream = encode_stream(plan, CHECKPOINT_ID, values, 1 << 20)
    assert len(stream) == MAX_STREAM_BYTES
    assert encode_stream(plan, CHECKPOINT_ID, values) == stream
    knowledge = decode_stream(plan, CHECKPOINT_ID, stream)
    assert not knowledge.is_complete
    assert tells_the_truth(knowledge, np.full(grid.shape, -5, np.int16))


def test_the_header_is_checked_as_far_as_it_goes() -> None:
    header = STREAM[:HEADER_BYTES]
    assert header == bytes.fromhex("c30badca")
    for num_bytes in range(HEADER_BYTES + 1):
        check_header(CHECKPOINT_ID, header[:num_bytes])
    for num_bytes in range(2, HEADER_BYTES + 1):
        other = header[: num_bytes - 1] + bytes([header[num_bytes - 1] ^ 1])
        with pytest.raises(BitstreamError, match="made by checkpoint"):
            check_header(CHECKPOINT_ID, other)


def test_a_stream_of_another_checkpoint_is_refused() -> None:
    with pytest.raises(BitstreamError, match=r"0badca\.\.\., this one is 0badcb") as caught:
        decode_stream(PLAN, "0badcb00", STREAM)
    assert caught.value.checkpoint_id == "0badca"
    assert not isinstance(caught.value, CorruptBitstreamError)


@pytest.mark.parametrize("version", [0, 1, 2, 15])
def test_another_version_is_refused(version: int) -> None:
    with pytest.raises(BitstreamError, match=f"version {version}") as caught:
        decode(bytes([0xC0 | version]) + STREAM[1:])
    assert caught.value.version == version
    assert not isinstance(caught.value, CorruptBitstreamError)


@pytest.mark.parametrize("start", [b"\xff\xd8\xff\xe0", b"\x89PNG", b"RIFF", b"\0", b"\xd3\x0b"])
def test_what_is_no_stream_is_refused(start: bytes) -> None:
    with pytest.raises(CorruptBitstreamError, match="magic"):
        decode(start + STREAM)


def test_a_stream_beyond_the_limit_is_refused() -> None:
    with pytest.raises(CorruptBitstreamError, match="at most 65536"):
        decode(bytes([MAGIC]) * (MAX_STREAM_BYTES + 1))


def test_a_byte_too_many_is_refused() -> None:
    with pytest.raises(CorruptBitstreamError, match="complete after"):
        decode(STREAM + b"\0")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_picture_or_refused(data: bytes) -> None:
    is_decoded(data)
    is_decoded(STREAM[:HEADER_BYTES] + data)


def test_mutated_streams_are_pictures_or_refused() -> None:
    assert 30 < fuzz(500) < 470


@pytest.mark.slow
def test_many_mutated_streams_are_pictures_or_refused() -> None:
    assert fuzz(20_000, seed=1) > 1000


def fuzz(count: int, seed: int = 0) -> int:
    """Decode damaged streams; how many were refused."""
    generator = random.Random(seed)
    return sum(not is_decoded(mutated(STREAM, generator)) for _ in range(count))


def mutated(data: bytes, generator: random.Random) -> bytes:
    """A few bits flipped, bytes replaced, the end cut or more put on."""
    damaged = bytearray(data)
    for _ in range(generator.randrange(1, 4)):
        place = generator.randrange(len(damaged) + 1)
        kind = generator.randrange(4)
        if kind == 0 and place < len(damaged):
            damaged[place] ^= 1 << generator.randrange(8)
        elif kind == 1:
            damaged[place:] = generator.randbytes(generator.randrange(40))
        elif kind == 2:
            damaged[place : place + 4] = generator.choice([b"\xff", b"\0"]) * 4
        else:
            del damaged[max(1, place) :]
    return bytes(damaged)


def is_possible(knowledge: Knowledge) -> bool:
    """Whether some picture is known like this."""
    magnitudes, planes = knowledge.magnitudes, knowledge.planes
    return bool(
        (magnitudes <= knowledge.plan.limits).all()
        and (magnitudes >> planes << planes == magnitudes).all()
        and ((knowledge.signs != 0) == (magnitudes > 0)).all()
    )


def is_decoded(stream: bytes) -> bool:
    """Whether a stream is decoded, to what is possible, or else refused."""
    try:
        knowledge = decode(stream)
    except BitstreamError:
        return False
    assert is_possible(knowledge)
    assert bits_read(knowledge) <= 8 * len(stream)
    return True
