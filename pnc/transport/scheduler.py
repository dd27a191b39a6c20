"""What to send next: the packets of one picture."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from pnc.transport.wire import MAX_AGE_MS

__all__ = ["OutgoingPicture"]


class OutgoingPicture:
    """The packets of one picture and how far each has come.

    Args:
        picture_id: Number of the picture in its session.
        packets: In priority order.
        deadline: Time after which nothing of it is sent.
        max_bytes: Payload bytes that may be sent, repetitions included; None: no limit.
        more: Whether further packets will be added.
        taken_at: When the picture was taken, if it was kept since then; None: just now.
    """

    def __init__(
        self,
        picture_id: int,
        packets: Sequence[bytes],
        deadline: float,
        max_bytes: int | None = None,
        *,
        more: bool = False,
        taken_at: float | None = None,
    ) -> None:
        self.picture_id = picture_id
        self.packets = list(packets)
        self.more = more
        self.taken_at = taken_at
        self.deadline = deadline
        self.max_bytes = max_bytes
        self.bytes_sent = 0
        self._waiting = list(range(len(self.packets)))
        self._delivered: set[int] = set()

    @property
    def complete(self) -> bool:
        """Every packet is known to have arrived."""
        return not self.more and len(self._delivered) == len(self.packets)

    @property
    def num_packets(self) -> int:
        """How many there are; 0 while that is not known."""
        return 0 if self.more else len(self.packets)

    def extend(self, packets: Sequence[bytes]) -> None:
        """Add the rest of the packets."""
        for index in range(len(self.packets), len(self.packets) + len(packets)):
            heapq.heappush(self._waiting, index)
        self.packets += packets
        self.more = False

    def peek(self) -> int | None:
        """Index of the most important packet that is neither delivered nor on the way."""
        while self._waiting and self._waiting[0] in self._delivered:
            heapq.heappop(self._waiting)
        return self._waiting[0] if self._waiting else None

    def age_ms(self, now: float) -> int:
        """How old the picture is, at least 1, if it was kept; 0 if it is new."""
        if self.taken_at is None:
            return 0
        return max(1, min(int(1000 * (now - self.taken_at)), MAX_AGE_MS))

    @property
    def spent(self) -> bool:
        """Whether the packet of :meth:`peek` would be more than may be sent."""
        index = self.peek()
        if self.max_bytes is None or index is None:
            return False
        return self.bytes_sent + len(self.packets[index]) > self.max_bytes

    def take(self) -> bytes:
        """Put the packet of :meth:`peek` on the way."""
        packet = self.packets[heapq.heappop(self._waiting)]
        self.bytes_sent += len(packet)
        return packet

    def delivered(self, index: int) -> None:
        """Note that a packet arrived."""
        self._delivered.add(index)

    def lost(self, index: int) -> None:
        """Note that a packet on the way did not arrive: it waits again, in its old rank."""
        heapq.heappush(self._waiting, index)

    def restart(self) -> None:
        """The receiver has forgotten everything: every packet waits again."""
        self._waiting = list(range(len(self.packets)))
        self._delivered.clear()
