"""The far end of a measured link, and the frames that both ends use.

The probe sends numbered frames, the echo says how many of them have come, and when. Their frames
are COBS and CRC like PNC's own but of other kinds, so a device or a server that happens to listen
drops them. All numbers are little-endian::

    ASK   0x71 run u32 seq u32           say what has come
    LOAD  0x72 run u32 seq u32 filler    244 bytes, as the packet of a DATA frame
    SAID  0x73 run u32 highest u32 frames u32 bytes u32 time_ms u32
"""

from __future__ import annotations

import binascii
import struct

from pnc.errors import RemoteProtocolError
from pnc.transport.events import Event
from pnc.transport.wire import MAX_FRAME_BYTES, cobs_decode, cobs_encode

__all__ = ["ANSWER", "ASK", "LOAD", "QUESTION", "SAID", "Deframer", "LinkEcho", "encode_frame"]

ASK, LOAD, SAID = 0x71, 0x72, 0x73
QUESTION = struct.Struct("<BII")
ANSWER = struct.Struct("<BIIIII")


def encode_frame(raw: bytes) -> bytes:
    """Write a frame as it goes on the wire."""
    return cobs_encode(raw + binascii.crc_hqx(raw, 0xFFFF).to_bytes(2, "little")) + b"\0"


class Deframer:
    """Cuts a stream at zeros."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes in any portions and return what is complete and has a right checksum."""
        bodies = []
        *ends, rest = data.split(b"\0")
        for piece in ends:
            self._buffer += piece
            try:
                raw = cobs_decode(bytes(self._buffer))
            except RemoteProtocolError:
                raw = b""
            self._buffer.clear()
            if len(raw) > 2 and binascii.crc_hqx(raw[:-2], 0xFFFF) == int.from_bytes(
                raw[-2:], "little"
            ):
                bodies.append(raw[:-2])
        self._buffer += rest
        if len(self._buffer) > MAX_FRAME_BYTES:
            self._buffer.clear()
        return bodies


class LinkEcho:
    """The far end: counts what comes and says so. Runs until it is stopped."""

    closed = False

    def __init__(self) -> None:
        self._deframer = Deframer()
        self._run = -1
        self._highest = self._frames = self._bytes = 0
        self._answer = b""

    def link_opened(self, now: float) -> None:
        """Begin anew on a link."""
        self._deframer, self._answer = Deframer(), b""

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Count the frames of the newest run."""
        for body in self._deframer.feed(data):
            if body[0] not in (ASK, LOAD) or len(body) < QUESTION.size:
                continue
            _, run, seq = QUESTION.unpack_from(body)
            if run != self._run:
                self._run, self._highest, self._frames, self._bytes = run, 0, 0, 0
            self._highest = max(self._highest, seq)
            self._frames += 1
            self._bytes += len(encode_frame(body))
            time_ms = int(1000 * now) & 0xFFFFFFFF
            self._answer = encode_frame(
                ANSWER.pack(SAID, run, self._highest, self._frames, self._bytes, time_ms)
            )
        return []

    def handle_timer(self, now: float) -> list[Event]:
        """Do nothing: the echo has no timers."""
        return []

    def data_to_send(self, now: float) -> bytes:
        """Give the answer to the latest frame."""
        answer, self._answer = self._answer, b""
        return answer

    def next_timer(self) -> float | None:
        """Return None: the echo has no timers."""
        return None
