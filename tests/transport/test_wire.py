"""Frames: inverse pairs, golden bytes, resynchronisation, limits."""

from __future__ import annotations

import binascii
import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pnc.errors import FrameTooLargeError, LocalProtocolError, RemoteProtocolError
from pnc.transport import wire
from pnc.transport.wire import (
    Ack,
    Data,
    End,
    Foreign,
    Frame,
    FrameParser,
    Hello,
    Ping,
    Result,
    Welcome,
    Who,
    cobs_decode,
    cobs_encode,
    decode_frame,
    encode_frame,
    seq_ahead,
    wire_bytes,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "frames"

u8, u16, u32 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32))
counts = st.integers(0, wire.MAX_NUM_PACKETS)
windows = st.integers(0, wire.MAX_WINDOW_BYTES)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)


@st.composite
def data_frames(draw: st.DrawFn) -> Data:
    num_packets = draw(st.integers(0, wire.MAX_NUM_PACKETS))
    return Data(
        draw(u8),
        draw(u16),
        draw(u32),
        draw(st.integers(0, (num_packets or wire.MAX_NUM_PACKETS) - 1)),
        num_packets,
        draw(st.integers(0, wire.MAX_REMAINING_MS)),
        draw(st.binary(min_size=1, max_size=wire.MAX_PACKET_BYTES)),
        draw(st.just(0) | st.integers(1, wire.MAX_AGE_MS)),
    )


frames: st.SearchStrategy[Frame] = st.one_of(
    data_frames(),
    st.builds(Ack, u8, u16, windows, st.integers(0, 2**64 - 1)),
    st.builds(End, u8, u16, u32, counts),
    st.builds(Ping, u8, u16),
    st.builds(Result, u8, u32, st.binary(max_size=wire.MAX_RESULT_BYTES)),
    st.builds(
        Hello,
        u32,
        u16,
        u32,
        st.integers(0, wire.MAX_PACKET_BYTES),
        st.binary(min_size=4, max_size=4).map(bytes.hex),
        names,
    ),
    st.builds(Welcome, u32, u32, u16, windows),
    st.just(Who()),
)

EXAMPLES: dict[str, Frame] = {
    "hello": Hello(0xDEADBEEF, 7, 3, 244, "0badcafe", "camera-1"),
    "welcome": Welcome(0x01020304, 0xDEADBEEF, 7, 16384),
    "who": Who(),
    "data": Data(4, 8, 300, 2, 12, 499, b"\0packet\0with zeros" + bytes(range(256))),
    "data_first": Data(4, 8, 300, 0, 0, 499, b"first"),
    "kept": Data(4, 8, 300, 2, 12, 499, b"old", 86_400_000),
    "end": End(4, 9, 300, 12),
    "ping": Ping(4, 10),
    "ack": Ack(4, 10, 16384, 0),
    "ack_missing": Ack(4, 10, 16384, 0b101),
    "result": Result(4, 300, b'{"top":[["gear",0.93]],"bytes":1234,"ms":12}'),
}


def frame_of(raw: bytes) -> bytes:
    """Stuff a body as encode_frame would, whatever it says."""
    return cobs_encode(raw + binascii.crc_hqx(raw, 0xFFFF).to_bytes(2, "little"))


@given(st.binary(max_size=1200) | st.integers(0, 800).map(lambda count: b"\x01" * count))
def test_cobs_is_undone_and_holds_no_zero(data: bytes) -> None:
    stuffed = cobs_encode(data)
    assert 0 not in stuffed
    assert len(stuffed) <= len(data) + len(data) // 254 + 1
    assert cobs_decode(stuffed) == data


@pytest.mark.parametrize(
    ("data", "stuffed"),
    [
        (b"", b"\x01"),
        (b"\0", b"\x01\x01"),
        (b"\x11\x22\0\x33", b"\x03\x11\x22\x02\x33"),
        (b"\x01" * 254, b"\xff" + b"\x01" * 254),
        (b"\x01" * 254 + b"\0", b"\xff" + b"\x01" * 254 + b"\x01\x01"),
        (b"\x01" * 255, b"\xff" + b"\x01" * 254 + b"\x02\x01"),
    ],
)
def test_cobs_agrees_with_the_paper(data: bytes, stuffed: bytes) -> None:
    assert cobs_encode(data) == stuffed


@pytest.mark.parametrize("stuffed", [b"\x05abc", b"\0", b"\x03a\0", b"\x02"])
def test_cobs_refuses_what_no_encoder_writes(stuffed: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        cobs_decode(stuffed)


@given(frames)
def test_frames_are_undone(frame: Frame) -> None:
    encoded = encode_frame(frame)
    assert encoded.endswith(b"\0")
    assert len(encoded) <= wire.MAX_FRAME_BYTES
    assert decode_frame(encoded[:-1]) == frame


@given(data_frames())
def test_wire_bytes_bounds_data_frames(frame: Data) -> None:
    if not frame.age_ms:
        assert len(encode_frame(frame)) <= wire_bytes(len(frame.packet))


@given(st.binary(max_size=300))
def test_whatever_decodes_is_written_the_same_way(raw: bytes) -> None:
    try:
        frame = decode_frame(frame_of(raw))
    except RemoteProtocolError:
        return
    if not isinstance(frame, Foreign):
        assert encode_frame(frame) == frame_of(raw) + b"\0"


@pytest.mark.parametrize("name", EXAMPLES)
def test_golden_frames(name: str) -> None:
    path = GOLDEN / f"{name}.hex"
    encoded = encode_frame(EXAMPLES[name])
    if os.environ.get("GENERATE_EXPECTED") == "1":
        path.write_text(encoded.hex(" ") + "\n", encoding="ascii")
    golden = bytes.fromhex(path.read_text(encoding="ascii"))
    assert encoded == golden
    assert decode_frame(golden[:-1]) == EXAMPLES[name]


def test_the_example_in_the_specification() -> None:
    text = (Path(__file__).parents[2] / "docs" / "wire.md").read_text(encoding="utf-8")
    lines = [line.split() for line in text.splitlines() if line.startswith(("    D  ", "    S  "))]
    assert len(lines) == 7
    for _, name, *digits in lines:
        stuffed = bytes.fromhex("".join(digits))
        frame = decode_frame(stuffed[:-1])
        assert type(frame).__name__.upper() == name
        assert encode_frame(frame) == stuffed
    assert f"{wire.MAX_FRAME_BYTES} bytes or more" in text


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00",
        b"\x63abc",
        b"\x01PNC",
        b"\x01XYZ\x01",
        b"\x01PNC\x02" + bytes(6) + b"\x00\x01" + bytes(4),
        b"\x01PNC\x02" + bytes(6) + b"\x00\x01" + bytes(4) + b"\xff\xfe",
        b"\x01PNC\x02" + bytes(6) + b"\x00\x01" + bytes(4) + b"n" * 33,
        b"\x02" + bytes(10),
        b"\x02" + bytes(10) + b"\x80\x80\x80\x80\x80\x01",
        b"\x02" + bytes(10) + b"\xff\xff\xff\xff\x7f",
        b"\x02" + bytes(10) + b"\x00\x00",
        b"\x03PNC\x02\x00",
        b"\x04\x00\x00\x00\x01\x02\x02\x00p",
        b"\x04\x00\x00\x00\x01\x00\x01\x00",
        b"\x04\x00\x00\x00\x01\x00\x81\x00\x00p",
        b"\x04\x00\x00\x00\x01\x00\x01\x00" + b"p" * 1025,
        b"\x05\x00\x00\x00\x01\xff\xff\x03",
        b"\x09\x00\x00\x00\x01\x00\x01\x00\x00p",
        b"\x09\x00\x00\x00\x01\x00\x01\x00",
        b"\x06\x00\x00",
        b"\x06\x00\x00\x00\x00",
        b"\x07\x00\x00\x00\x01\x00",
        b"\x07\x00\x00\x00\x01" + b"\x01" * 9,
        b"\x08\x00\x01" + b"r" * 201,
    ],
)
def test_frames_that_break_a_limit_are_refused(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_frame(frame_of(raw))


def test_wrong_checksum_is_refused() -> None:
    good = bytearray(encode_frame(Ping(1, 2))[:-1])
    good[-1] ^= 0x55
    with pytest.raises(RemoteProtocolError):
        decode_frame(bytes(good))


def test_too_long_a_frame_has_its_own_error() -> None:
    with pytest.raises(FrameTooLargeError) as caught:
        decode_frame(b"\x01" * wire.MAX_FRAME_BYTES)
    assert caught.value.limit == wire.MAX_FRAME_BYTES - 1


@pytest.mark.parametrize("kind", [b"\x01", b"\x03"])
def test_another_version_is_told_apart_from_damage(kind: bytes) -> None:
    assert decode_frame(frame_of(kind + b"PNC\x01anything at all")) == Foreign(1)


def test_frames_of_another_version_are_not_written() -> None:
    with pytest.raises(LocalProtocolError):
        encode_frame(Foreign(2))


@given(st.lists(frames, max_size=5), st.lists(st.integers(1, 40), max_size=40))
def test_portions_do_not_matter(sent: list[Frame], portions: list[int]) -> None:
    data = b"".join(map(encode_frame, sent))
    assert FrameParser().feed(data) == sent
    parser, got, start = FrameParser(), [], 0
    for portion in portions:
        got += parser.feed(data[start : start + portion])
        start += portion
    got += parser.feed(data[start:])
    assert got == sent


@given(st.binary(max_size=400), frames)
def test_garbage_costs_at_most_the_frame_it_touches(garbage: bytes, frame: Frame) -> None:
    parser = FrameParser()
    parser.feed(garbage)
    encoded = encode_frame(frame)
    got = [*parser.feed(encoded), *parser.feed(encoded)]
    assert got[-1] == frame
    assert len(got) >= 1


def test_endless_frame_is_dropped_and_the_next_one_read() -> None:
    parser = FrameParser()
    for _ in range(100):
        assert parser.feed(b"\x55" * 1000) == []
        assert len(parser._buffer) < wire.MAX_FRAME_BYTES
    assert parser.num_bad == 1
    assert parser.feed(b"\0" + encode_frame(Who())) == [Who()]
    assert parser.num_bad == 1


def _fuzz(parser: FrameParser, source: random.Random, rounds: int) -> None:
    good = [encode_frame(frame) for frame in EXAMPLES.values()]
    for _ in range(rounds):
        data = bytearray(source.choice(good))
        for _ in range(source.randrange(4)):
            data[source.randrange(len(data))] = source.randrange(256)
        parser.feed(
            source.randbytes(source.randrange(40)) if source.random() < 0.3 else bytes(data)
        )
        assert len(parser._buffer) < wire.MAX_FRAME_BYTES
    parser.feed(b"\0")
    assert parser.feed(good[0]) == [EXAMPLES["hello"]]


def test_ten_thousand_damaged_frames() -> None:
    _fuzz(FrameParser(), random.Random(1), 10_000)


@pytest.mark.slow
def test_a_hundred_thousand_damaged_frames() -> None:
    _fuzz(FrameParser(), random.Random(2), 100_000)


@pytest.mark.parametrize(
    ("a", "b", "ahead"), [(5, 3, 2), (3, 5, -2), (0, 65535, 1), (65535, 0, -1), (32768, 0, -32768)]
)
def test_sequence_numbers_wrap(a: int, b: int, ahead: int) -> None:
    assert seq_ahead(a, b) == ahead
