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
from pnc.codec.entropy.coder import code_picture
from pnc.codec.entropy.prior import LayerPrior
from pnc.codec.layers import Knowledge, LayerPlan, at_shift
from pnc.errors import BitstreamError, ConfigError, CorruptBitstreamError
from tests.codec.cases import (
    CASES,
    CHECKPOINT_ID,
    Case,
    plan_of,
    priors_of,
    skewed,
    stream_of,
    symbols_of,
)

SMALL = CASES["unsigned"]()
PLAN, PRIORS = plan_of(SMALL), priors_of(SMALL)


def decode(case: Case, stream: bytes) -> tuple[Knowledge, int]:
    return decode_stream(plan_of(case), priors_of(case), CHECKPOINT_ID, stream)


def test_every_prefix_tells_the_truth_and_one_byte_more_never_unlearns(case: Case) -> None:
    plan, priors = plan_of(case), priors_of(case)
    source = Knowledge.complete(plan, symbols_of(case))
    stream = stream_of(case)
    coded = [s for layer in code_picture(plan, priors, source) for _, part in layer for s in part]
    last_shifts, last_count = Knowledge(plan).shifts, 0
    for num_bytes in range(len(stream) + 1):
        knowledge, count = decode(case, stream[:num_bytes])
        known = [
            symbol
            for layer in code_picture(plan, priors, knowledge)
            for _, part in layer
            for symbol in part
        ]
        assert known[:count] == coded[:count]
        assert count >= last_count
        assert (knowledge.shifts <= last_shifts).all()
        expected = at_shift(source.values, 0, knowledge.shifts)
        assert (knowledge.values == expected).all()
        last_shifts, last_count = knowledge.shifts, count
    assert last_count == plan.num_symbols
    finest = [min(s for c, s in plan.steps if c == i) for i in range(plan.num_channels)]
    assert last_shifts.tolist() == [[shift] * plan.num_positions for shift in finest]


def test_max_bytes_cuts_the_whole_stream(case: Case) -> None:
    stream = stream_of(case)
    for max_bytes in range(HEADER_BYTES, len(stream) + 10):
        cut = encode_stream(
            plan_of(case), priors_of(case), CHECKPOINT_ID, symbols_of(case), max_bytes
        )
        assert cut == stream[:max_bytes]


@pytest.mark.parametrize("max_bytes", [-1, 0, HEADER_BYTES - 1])
def test_there_must_be_room_for_the_header(max_bytes: int) -> None:
    with pytest.raises(ConfigError, match="header"):
        encode_stream(PLAN, PRIORS, CHECKPOINT_ID, symbols_of(SMALL), max_bytes)


def test_a_stream_is_never_longer_than_a_decoder_reads() -> None:
    plan = LayerPlan(64, 64, 17, 0, tuple((channel, 0) for channel in range(17)))
    priors = (LayerPrior(skewed(256, 0), None),) * 17
    symbols = np.full((64, 64, 17), 77, np.uint8)
    stream = encode_stream(plan, priors, CHECKPOINT_ID, symbols, 1 << 20)
    assert len(stream) == MAX_STREAM_BYTES
    _, count = decode_stream(plan, priors, CHECKPOINT_ID, stream)
    assert abs(count - MAX_STREAM_BYTES / 2) < 100


def test_the_header_is_checked_as_far_as_it_goes() -> None:
    header = stream_of(SMALL)[:HEADER_BYTES]
    assert header == bytes.fromhex("c10badca")
    for num_bytes in range(HEADER_BYTES + 1):
        check_header(CHECKPOINT_ID, header[:num_bytes])
    for num_bytes in range(2, HEADER_BYTES + 1):
        other = header[: num_bytes - 1] + bytes([header[num_bytes - 1] ^ 1])
        with pytest.raises(BitstreamError, match="made by checkpoint"):
            check_header(CHECKPOINT_ID, other)


def test_a_stream_of_another_checkpoint_is_refused() -> None:
    with pytest.raises(BitstreamError, match=r"0badca\.\.\., this one is 0badcb") as caught:
        decode_stream(PLAN, PRIORS, "0badcb00", stream_of(SMALL))
    assert caught.value.checkpoint_id == "0badca"
    assert not isinstance(caught.value, CorruptBitstreamError)


@pytest.mark.parametrize("version", [0, 2, 15])
def test_another_version_is_refused(version: int) -> None:
    with pytest.raises(BitstreamError, match=f"version {version}") as caught:
        decode(SMALL, bytes([0xC0 | version]) + stream_of(SMALL)[1:])
    assert caught.value.version == version
    assert not isinstance(caught.value, CorruptBitstreamError)


@pytest.mark.parametrize("start", [b"\xff\xd8\xff\xe0", b"\x89PNG", b"RIFF", b"\0", b"\xd1\x0b"])
def test_what_is_no_stream_is_refused(start: bytes) -> None:
    with pytest.raises(CorruptBitstreamError, match="magic"):
        decode(SMALL, start + stream_of(SMALL))


def test_a_stream_beyond_the_limit_is_refused() -> None:
    with pytest.raises(CorruptBitstreamError, match="at most 131072"):
        decode(SMALL, bytes([MAGIC]) * (MAX_STREAM_BYTES + 1))


@given(st.binary(max_size=200))
def test_any_bytes_behind_a_header_are_a_picture_or_corrupt(data: bytes) -> None:
    assert_bounded(SMALL, stream_of(SMALL)[:HEADER_BYTES] + data)


def test_mutated_streams_are_pictures_or_corrupt() -> None:
    assert fuzz(5_000) > 100


@pytest.mark.slow
def test_many_mutated_streams_are_pictures_or_corrupt() -> None:
    assert fuzz(100_000, seed=1) > 1000


def fuzz(count: int, seed: int = 0) -> int:
    """Decode damaged streams; how many were refused."""
    generator = random.Random(seed)
    refused = 0
    for _ in range(count):
        refused += not assert_bounded(SMALL, mutated(stream_of(SMALL), generator))
    return refused


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


def assert_bounded(case: Case, stream: bytes) -> bool:
    """Decode a stream to possible values, or see it refused."""
    try:
        knowledge, count = decode(case, stream)
    except BitstreamError:
        return False
    assert 0 <= count <= plan_of(case).num_symbols
    assert np.abs(knowledge.values).max() < 256
    assert knowledge.shifts.max() <= 8
    return True
