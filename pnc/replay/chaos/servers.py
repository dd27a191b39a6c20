"""What stands behind the receiver: ended pictures in, one stored result each, answers out.

:class:`LedgerServer` follows the rules of the edge server: a picture whose result is stored is
answered from the store; one that is being worked on is not taken twice; an answer goes out only
after its result is stored; and a kill loses what was not.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from pnc.replay.chaos.ledger import Key, Ledger
from pnc.transport.events import DeviceConnected, Event, PictureEnded

__all__ = ["LedgerServer", "Server", "Surroundings", "make_payload"]


@dataclass(frozen=True)
class Surroundings:
    """What a server can do in the world."""

    later: Callable[[float, Callable[[], None]], None]
    """Do something so many seconds from now."""
    send_result: Callable[[Key, bytes], None]
    """Tell the device a result, if its session is still there."""
    draw_work_s: Callable[[], float]
    """How long the next picture takes."""


class Server(Protocol):
    """A server that the world can kill."""

    def handle(self, event: Event, wall_offset_s: float) -> None:
        """Take an event of the receiver; the offset makes Unix time of the receiver's clock."""
        ...

    def kill(self) -> None:
        """Forget everything but what is stored."""
        ...

    def rows(self) -> Iterator[tuple[Key, bytes]]:
        """Return what is stored, by key: what each device was told."""
        ...

    def close(self) -> None:
        """Close the store."""
        ...


def make_payload(packets: Mapping[int, bytes]) -> bytes:
    """Return a result that says what it was made of."""
    checksum = 0
    for index in sorted(packets):
        checksum = zlib.crc32(packets[index], zlib.crc32(bytes([index & 0xFF]), checksum))
    return b"%d %08x" % (len(packets), checksum)


class LedgerServer:
    """One worker, first come, first served, and a store.

    Args:
        store: Survives :meth:`kill`; closed by :meth:`close`.
        around: The world.
    """

    def __init__(self, store: Ledger, around: Surroundings) -> None:
        self._store = store
        self._around = around
        self._session_id: int | None = None
        self._in_work: dict[Key, bytes] = {}

    def handle(self, event: Event, wall_offset_s: float) -> None:
        """Take an event of the receiver."""
        if isinstance(event, DeviceConnected):
            self._session_id = event.session_id
        if not isinstance(event, PictureEnded) or self._session_id is None:
            return
        key = Key(self._session_id, event.picture_id)
        if (payload := self._store.find(key)) is not None:
            self._around.send_result(key, payload)
        elif key not in self._in_work:
            self._in_work[key] = make_payload(event.packets)
            if len(self._in_work) == 1:
                self._work()

    def kill(self) -> None:
        """Forget everything but what is stored."""
        self._in_work = {}

    def rows(self) -> Iterator[tuple[Key, bytes]]:
        """Return what is stored, by key."""
        return self._store.rows()

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def _work(self) -> None:
        in_work = self._in_work

        def finish() -> None:
            if in_work is not self._in_work:
                return
            key = next(iter(in_work))
            payload = in_work.pop(key)
            self._store.add(key, payload)
            self._around.send_result(key, payload)
            if in_work:
                self._work()

        self._around.later(self._around.draw_work_s(), finish)
