"""Frames on a byte stream: COBS, CRC-16, nine kinds, and a limit for every length.

``docs/wire.md`` is the specification. A frame on the wire is ``COBS(kind body crc16) 0x00``.

COBS: Cheshire and Baker, "Consistent Overhead Byte Stuffing", IEEE/ACM ToN 7(2), 1999. The CRC is
CRC-16/CCITT-FALSE (polynomial 0x1021, start 0xFFFF, not reflected), little-endian.
"""

from __future__ import annotations

import binascii
import struct
from dataclasses import dataclass

from pnc.config import MAX_DEVICE_NAME_BYTES, MAX_MTU_BYTES
from pnc.errors import FrameTooLargeError, LocalProtocolError, RemoteProtocolError

__all__ = [
    "ACK_SPAN",
    "MAX_AGE_MS",
    "MAX_FRAME_BYTES",
    "MAX_NUM_PACKETS",
    "MAX_REMAINING_MS",
    "MAX_RESULT_BYTES",
    "MAX_SKIPPED_PICTURES",
    "PROTOCOL_VERSION",
    "Ack",
    "Data",
    "End",
    "Foreign",
    "Frame",
    "FrameParser",
    "Hello",
    "Ping",
    "Result",
    "Welcome",
    "Who",
    "cobs_decode",
    "cobs_encode",
    "decode_frame",
    "encode_frame",
    "seq_ahead",
    "wire_bytes",
]

PROTOCOL_VERSION = 2
"""Said in HELLO and WHO. Both sides must say the same: there is no guessing."""

MAGIC = b"PNC"
"""Opens HELLO and WHO, so that noise with a lucky CRC is not taken for another version."""

MAX_PACKET_BYTES = MAX_MTU_BYTES
"""Payload of one DATA frame."""

MAX_NUM_PACKETS = 4096
"""Packets of one picture: 128 kB at the smallest MTU, far above any picture of 224 x 224."""

MAX_RESULT_BYTES = 200
"""Payload of one RESULT frame: three classes and two numbers, and still one radio packet."""

MAX_SKIPPED_PICTURES = 1024
"""Pictures a device may pass over in one step; a wider jump is noise until HELLO confirms it."""

MAX_REMAINING_MS = 86_400_000
"""A deadline is at most a day away; a later one is sent as a day."""

MAX_AGE_MS = 2**32 - 1
"""A picture that was kept on the device is at most 49 days old: what a number may say."""

MAX_WINDOW_BYTES = 2**24
"""Largest window that can be granted."""

ACK_SPAN = 64
"""Frames before the highest that one ACK reports on, and so the most a sender has on the way."""

_HEADER_LIMIT = 1 + 1 + 2 + 5 + 2 + 2 + 4
_AGE_LIMIT = 5
_RAW_LIMIT = _HEADER_LIMIT + _AGE_LIMIT + MAX_PACKET_BYTES + 2

MAX_FRAME_BYTES = _RAW_LIMIT + _RAW_LIMIT // 254 + 2
"""Longest frame on the wire, delimiter included; a parser keeps no more than this."""

_U32 = 2**32 - 1
_U16 = 2**16 - 1
_U8 = 2**8 - 1


@dataclass(frozen=True, slots=True)
class Hello:
    """Device: who I am. Sent until WELCOME comes; everything sent before it is void."""

    session_id: int
    seq: int
    first_picture_id: int
    mtu_bytes: int
    checkpoint_id: str
    device_name: str


@dataclass(frozen=True, slots=True)
class Welcome:
    """Server: I know you; your frames carry the low byte of ``epoch`` from now on."""

    epoch: int
    session_id: int
    seq: int
    window_bytes: int


@dataclass(frozen=True, slots=True)
class Who:
    """Server: I do not know you, say HELLO. Also the answer to a HELLO of another version."""


@dataclass(frozen=True, slots=True)
class Data:
    """Device: one packet of a picture, complete in itself.

    ``num_packets`` is 0 while the device does not know it yet; ``age_ms`` is 0 for a picture that
    goes out as soon as it was taken. One with an age is a KEPT frame on the wire.
    """

    tag: int
    seq: int
    picture_id: int
    index: int
    num_packets: int
    remaining_ms: int
    packet: bytes
    age_ms: int = 0


@dataclass(frozen=True, slots=True)
class End:
    """Device: nothing more of this picture or of any before it will come."""

    tag: int
    seq: int
    picture_id: int
    num_packets: int


@dataclass(frozen=True, slots=True)
class Ping:
    """Device: say what arrived."""

    tag: int
    seq: int


@dataclass(frozen=True, slots=True)
class Ack:
    """Server: ``highest`` arrived; bit i of ``missing`` set: ``highest - 1 - i`` did not."""

    tag: int
    highest: int
    window_bytes: int
    missing: int


@dataclass(frozen=True, slots=True)
class Result:
    """Server: the result of a picture, stored."""

    tag: int
    picture_id: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Foreign:
    """A HELLO or WHO of another protocol version; only ever decoded, never encoded."""

    version: int


Frame = Hello | Welcome | Who | Data | End | Ping | Ack | Result | Foreign

_HELLO, _WELCOME, _WHO, _DATA, _END, _PING, _ACK, _RESULT, _KEPT = range(1, 10)


def cobs_encode(data: bytes) -> bytes:
    """Stuff ``data`` so that no byte is zero; one byte more per 254, and one."""
    out = bytearray()
    blocks = data.split(b"\0")
    last = len(blocks) - 1
    for number, block in enumerate(blocks):
        start = 0
        while len(block) - start >= 254:
            out.append(255)
            out += block[start : start + 254]
            start += 254
        if start == 0 or start < len(block) or number < last:
            out.append(len(block) - start + 1)
            out += block[start:]
    return bytes(out)


def cobs_decode(data: bytes) -> bytes:
    """Undo :func:`cobs_encode`.

    Raises:
        RemoteProtocolError: ``data`` holds a zero or ends inside a block.
    """
    out = bytearray()
    position, end = 0, len(data)
    while position < end:
        code = data[position]
        block = data[position + 1 : position + code]
        position += code
        if code == 0 or position > end or 0 in block:
            raise RemoteProtocolError("a frame is not valid COBS")
        out += block
        if code < 255 and position < end:
            out.append(0)
    return bytes(out)


def encode_varint(value: int) -> bytes:
    """Write an unsigned number of at most 32 bits, 7 bits a byte, lowest first (LEB128)."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


class _Reader:
    """Takes fields off a frame's body; every shortage is a RemoteProtocolError."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._position = 0

    def take(self, count: int) -> bytes:
        end = self._position + count
        if end > len(self._body):
            raise RemoteProtocolError("a frame is shorter than its fields")
        piece = self._body[self._position : end]
        self._position = end
        return piece

    def fixed(self, count: int) -> int:
        return int.from_bytes(self.take(count), "little")

    def varint(self, limit: int) -> int:
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
            if shift >= 35:
                raise RemoteProtocolError("a number in a frame is longer than five bytes")
        if (byte == 0 and shift > 7) or value > limit:
            raise RemoteProtocolError(f"a number in a frame is over {limit} or padded")
        return value

    def rest(self, low: int, high: int) -> bytes:
        piece = self._body[self._position :]
        self._position = len(self._body)
        if not low <= len(piece) <= high:
            raise RemoteProtocolError(f"{len(piece)} bytes end a frame where {low} to {high} may")
        return piece


def _body(frame: Frame) -> bytes:
    match frame:
        case Data():
            return b"".join(
                (
                    struct.pack("<BBH", _KEPT if frame.age_ms else _DATA, frame.tag, frame.seq),
                    encode_varint(frame.picture_id),
                    encode_varint(frame.index),
                    encode_varint(frame.num_packets),
                    encode_varint(frame.remaining_ms),
                    encode_varint(frame.age_ms) if frame.age_ms else b"",
                    frame.packet,
                )
            )
        case Ack():
            missing = frame.missing.to_bytes(ACK_SPAN // 8, "little").rstrip(b"\0")
            head = struct.pack("<BBH", _ACK, frame.tag, frame.highest)
            return head + encode_varint(frame.window_bytes) + missing
        case End():
            head = struct.pack("<BBH", _END, frame.tag, frame.seq)
            return head + encode_varint(frame.picture_id) + encode_varint(frame.num_packets)
        case Ping():
            return struct.pack("<BBH", _PING, frame.tag, frame.seq)
        case Result():
            head = struct.pack("<BB", _RESULT, frame.tag)
            return head + encode_varint(frame.picture_id) + frame.payload
        case Hello():
            return b"".join(
                (
                    struct.pack("<B3sB", _HELLO, MAGIC, PROTOCOL_VERSION),
                    struct.pack("<IH", frame.session_id, frame.seq),
                    encode_varint(frame.first_picture_id),
                    encode_varint(frame.mtu_bytes),
                    bytes.fromhex(frame.checkpoint_id),
                    frame.device_name.encode(),
                )
            )
        case Welcome():
            head = struct.pack("<BIIH", _WELCOME, frame.epoch, frame.session_id, frame.seq)
            return head + encode_varint(frame.window_bytes)
        case Who():
            return struct.pack("<B3sB", _WHO, MAGIC, PROTOCOL_VERSION)
        case _:
            raise LocalProtocolError("a frame of another protocol version cannot be written")


def encode_frame(frame: Frame) -> bytes:
    """Write a frame as it goes on the wire, delimiter included.

    Args:
        frame: Any frame but :class:`Foreign`; its fields are within the limits of this module.

    Raises:
        LocalProtocolError: The frame is a :class:`Foreign`.
    """
    raw = _body(frame)
    return cobs_encode(raw + binascii.crc_hqx(raw, 0xFFFF).to_bytes(2, "little")) + b"\0"


def seq_ahead(a: int, b: int) -> int:
    """How far sequence number ``a`` is ahead of ``b``, -32768 to 32767."""
    return ((a - b + 0x8000) & 0xFFFF) - 0x8000


def wire_bytes(packet_bytes: int) -> int:
    """Longest DATA frame on the wire that carries a packet of ``packet_bytes`` bytes."""
    raw = _HEADER_LIMIT + packet_bytes + 2
    return raw + raw // 254 + 2


def _decode_data(fields: _Reader, *, kept: bool) -> Data:
    tag, seq, picture_id = fields.fixed(1), fields.fixed(2), fields.varint(_U32)
    index, num_packets = fields.varint(MAX_NUM_PACKETS - 1), fields.varint(MAX_NUM_PACKETS)
    if num_packets and index >= num_packets:
        raise RemoteProtocolError(f"packet {index} of a picture of {num_packets} packets")
    remaining_ms = fields.varint(MAX_REMAINING_MS)
    age_ms = fields.varint(MAX_AGE_MS) if kept else 0
    if kept and not age_ms:
        raise RemoteProtocolError("a picture that was kept has no age")
    packet = fields.rest(1, MAX_PACKET_BYTES)
    return Data(tag, seq, picture_id, index, num_packets, remaining_ms, packet, age_ms)


def _decode_ack(fields: _Reader) -> Ack:
    tag, highest, window = fields.fixed(1), fields.fixed(2), fields.varint(MAX_WINDOW_BYTES)
    missing = fields.rest(0, ACK_SPAN // 8)
    if missing.endswith(b"\0"):
        raise RemoteProtocolError("the missing frames in an ACK are padded")
    return Ack(tag, highest, window, int.from_bytes(missing, "little"))


def _decode_hello(fields: _Reader) -> Hello:
    session_id, seq, first = fields.fixed(4), fields.fixed(2), fields.varint(_U32)
    mtu_bytes, checkpoint_id = fields.varint(MAX_PACKET_BYTES), fields.take(4).hex()
    name = fields.rest(1, MAX_DEVICE_NAME_BYTES)
    try:
        return Hello(session_id, seq, first, mtu_bytes, checkpoint_id, name.decode())
    except UnicodeDecodeError as error:
        raise RemoteProtocolError("the device's name is not UTF-8") from error


def decode_frame(stuffed: bytes) -> Frame:
    """Read one frame.

    Args:
        stuffed: What stood between two delimiters.

    Returns:
        The frame; a :class:`Foreign` for a HELLO or WHO of another protocol version.

    Raises:
        FrameTooLargeError: It is longer than any frame may be.
        RemoteProtocolError: It is damaged, of an unknown kind, or breaks a limit.
    """
    if len(stuffed) >= MAX_FRAME_BYTES:
        raise FrameTooLargeError(
            f"a frame of {len(stuffed)} bytes is over the limit of {MAX_FRAME_BYTES - 1}",
            num_bytes=len(stuffed),
            limit=MAX_FRAME_BYTES - 1,
        )
    raw = cobs_decode(stuffed)
    if len(raw) < 3 or binascii.crc_hqx(raw[:-2], 0xFFFF) != int.from_bytes(raw[-2:], "little"):
        raise RemoteProtocolError("a frame's checksum is wrong")
    kind, fields = raw[0], _Reader(raw[1:-2])
    frame: Frame
    if kind in (_DATA, _KEPT):
        return _decode_data(fields, kept=kind == _KEPT)
    if kind == _ACK:
        return _decode_ack(fields)
    if kind == _RESULT:
        return Result(fields.fixed(1), fields.varint(_U32), fields.rest(0, MAX_RESULT_BYTES))
    if kind in (_HELLO, _WHO):
        if fields.take(3) != MAGIC:
            raise RemoteProtocolError("a greeting does not begin as PNC's do")
        version = fields.fixed(1)
        if version != PROTOCOL_VERSION:
            return Foreign(version)
        if kind == _HELLO:
            return _decode_hello(fields)
        frame = Who()
    elif kind == _END:
        frame = End(
            fields.fixed(1), fields.fixed(2), fields.varint(_U32), fields.varint(MAX_NUM_PACKETS)
        )
    elif kind == _PING:
        frame = Ping(fields.fixed(1), fields.fixed(2))
    elif kind == _WELCOME:
        frame = Welcome(
            fields.fixed(4), fields.fixed(4), fields.fixed(2), fields.varint(MAX_WINDOW_BYTES)
        )
    else:
        raise RemoteProtocolError(f"a frame is of the unknown kind {kind}", kind=kind)
    fields.rest(0, 0)
    return frame


class FrameParser:
    """Cuts a byte stream into frames; damage costs the damaged frame and nothing else.

    Holds at most :data:`MAX_FRAME_BYTES` bytes, and does work linear in what it is given.
    """

    def __init__(self) -> None:
        self.num_bad = 0
        """Pieces between delimiters that were no frame."""
        self._buffer = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes in any portions and return the frames that they complete."""
        pieces = data.split(b"\0")
        frames: list[Frame] = []
        for piece in pieces[:-1]:
            self._keep(piece)
            if self._skipping:
                self._skipping = False
            elif self._buffer:
                try:
                    frames.append(decode_frame(bytes(self._buffer)))
                except RemoteProtocolError:
                    self.num_bad += 1
            self._buffer.clear()
        self._keep(pieces[-1])
        return frames

    def _keep(self, piece: bytes) -> None:
        if self._skipping:
            return
        if len(self._buffer) + len(piece) >= MAX_FRAME_BYTES:
            self.num_bad += 1
            self._skipping = True
            self._buffer.clear()
            return
        self._buffer += piece
