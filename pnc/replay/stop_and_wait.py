"""The published transmission (arXiv 2310.05306): a block of 64 bytes, its answer, the next block.

    sender    ->  b"1" and 63 bytes, a block of the stream      b"0", nothing more of this picture
    receiver  ->  b"1", the block is here

At the deadline the abort byte goes out at once, behind a block that is still on its way; the next
picture begins when that block is answered. Nothing is numbered, checked or repeated: the radio
below loses nothing, or the two wait for ever.

Both ends are sessions as :class:`pnc.transport.Sender` and :class:`pnc.transport.Receiver` are, so
the same links, drivers and virtual clocks carry them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from pnc.transport.events import Event, PictureEnded, PictureExpired

__all__ = ["BLOCK_BYTES", "PAYLOAD_BYTES", "Arrival", "StopAndWaitReceiver", "StopAndWaitSender"]

BLOCK_BYTES = 64
"""A block on the wire, its continue byte included."""

PAYLOAD_BYTES = BLOCK_BYTES - 1
"""What it carries of a stream; the last block of a picture is filled up with zeros."""

CONTINUE, ABORT = b"1", b"0"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A packet, or a block, that came, whatever becomes of it."""

    picture_id: int
    index: int
    num_bytes: int
    """Payload."""
    at: float
    """Seconds."""


class StopAndWaitSender:
    """The device's end: one block on the way at a time, until the deadline."""

    def __init__(self) -> None:
        self._blocks: deque[bytes] = deque()
        self._deadline: float | None = None
        self._num_pictures = 0
        self._bytes_sent = 0
        self._waits = False
        self._abort_due = False
        self._events: list[Event] = []

    @property
    def closed(self) -> bool:
        """Never: there is no version to disagree on."""
        return False

    def submit(self, packets: Sequence[bytes], *, deadline: float, now: float) -> int:
        """Send these packets as one stream until the deadline; an older picture is aborted.

        Returns:
            The picture id, one more than the last; the first is 1.
        """
        self._end(now)
        stream = b"".join(packets)
        self._blocks.extend(
            CONTINUE + stream[start : start + PAYLOAD_BYTES].ljust(PAYLOAD_BYTES, b"\0")
            for start in range(0, len(stream), PAYLOAD_BYTES)
        )
        self._deadline, self._bytes_sent = deadline, 0
        self._num_pictures += 1
        return self._num_pictures

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Take answers; each lets the next block go."""
        if data:
            self._waits = False
        return self.handle_timer(now)

    def handle_timer(self, now: float) -> list[Event]:
        """Abort the picture whose deadline has come."""
        if self._deadline is not None and now >= self._deadline:
            self._end(now)
        events, self._events = self._events, []
        return events

    def data_to_send(self, now: float) -> bytes:
        """Return the abort byte, the next block, or b""."""
        if self._deadline is not None and now >= self._deadline:
            self._end(now)
        data = ABORT if self._abort_due else b""
        self._abort_due = False
        if self._blocks and not self._waits:
            self._waits = True
            self._bytes_sent += PAYLOAD_BYTES
            data += self._blocks.popleft()
        return data

    def next_timer(self) -> float | None:
        """When the deadline is."""
        return self._deadline

    def link_opened(self, now: float) -> None:
        """Begin with a picture as if no block were on the way."""
        self._waits = False

    def _end(self, now: float) -> None:
        if self._deadline is None:
            return
        self._deadline = None
        self._blocks.clear()
        self._abort_due = True
        self._events.append(PictureExpired(self._num_pictures, self._bytes_sent))


class StopAndWaitReceiver:
    """The edge server's end: answers every block, ends a picture at its abort byte."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        """Every block."""
        self._rest = bytearray()
        self._picture_id = 1
        self._packets: dict[int, bytes] = {}
        self._started_at: float | None = None
        self._answers = 0

    @property
    def closed(self) -> bool:
        """Never: a receiver goes on with the next device."""
        return False

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Take blocks and abort bytes; a block counts when its last byte is here."""
        self._rest += data
        events: list[Event] = []
        while self._rest:
            if self._rest.startswith(ABORT):
                del self._rest[:1]
                events.append(self._end(now))
            elif len(self._rest) >= BLOCK_BYTES:
                index = len(self._packets)
                self.arrivals.append(Arrival(self._picture_id, index, PAYLOAD_BYTES, now))
                self._packets[index] = bytes(self._rest[1:BLOCK_BYTES])
                self._started_at = now if self._started_at is None else self._started_at
                self._answers += 1
                del self._rest[:BLOCK_BYTES]
            else:
                break
        return events

    def handle_timer(self, now: float) -> list[Event]:
        """Do nothing: only the sender knows the deadline."""
        return []

    def data_to_send(self, now: float) -> bytes:
        """Return an answer for each block."""
        answers, self._answers = self._answers, 0
        return answers * CONTINUE

    def next_timer(self) -> float | None:
        """Never."""
        return None

    def link_opened(self, now: float) -> None:
        """Forget half a block."""
        self._rest.clear()

    def _end(self, now: float) -> PictureEnded:
        packets, self._packets = self._packets, {}
        started_at, self._started_at = self._started_at, None
        ended = PictureEnded(
            self._picture_id,
            packets,
            0,
            PAYLOAD_BYTES * len(packets),
            now if started_at is None else started_at,
            now,
            0,
        )
        self._picture_id += 1
        return ended
