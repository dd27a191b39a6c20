"""Links whose libraries live on an asyncio loop, behind the blocking face of all links.

An :class:`AsyncLink` is one end of such a link on a loop. :func:`block_on` puts it behind
:class:`pnc.transport.links.base.Link`: the calls of any thread become calls on one loop in one
daemon thread that all such links of a process share. Tests drive an :class:`AsyncLink` on a loop of
their own, in virtual time.
"""

from __future__ import annotations

import abc
import asyncio
import atexit
import contextlib
import logging
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from pnc.errors import LinkLostError

__all__ = ["AsyncLink", "BlockingLink", "EventLoopThread", "block_on", "shared_event_loop"]

WRITE_TIMEOUT_S = 0.5
"""A write gives up after this, as on a serial port."""

QUEUE_BYTES = 512
"""Bytes that wait to be sent beside the one write under way: nobody can take them back."""

MAX_RECEIVED_BYTES = 65_536
"""Bytes that wait for a reader: four times the largest window that a session grants."""

CLOSE_TIMEOUT_S = 3.0
"""A peer, or a service of the system, that does not answer may delay a program's end this long."""

logger = logging.getLogger(__name__)

T = TypeVar("T")


class AsyncLink(abc.ABC):
    """One end of a link on an event loop; made on that loop, and touched by nothing else.

    Bytes wait in bounded queues. What is written is cut into pieces of at most
    :attr:`packet_bytes`, as full as what waits allows.

    Args:
        url: The address it was opened by.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.dropped_bytes = 0
        """Bytes that nobody read in time, and were thrown away."""
        self._received = bytearray()
        self._outgoing = bytearray()
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._has_room = asyncio.Event()
        self._error: LinkLostError | None = None
        self._closed = False
        self._writer = asyncio.get_running_loop().create_task(self._write_on())

    @property
    @abc.abstractmethod
    def packet_bytes(self) -> int:
        """Bytes that one write on the medium carries now."""

    @abc.abstractmethod
    async def _transmit(self, piece: bytes) -> None:
        """Hand one piece to the medium, when the medium has room.

        Raises:
            LinkLostError: The link went away.
        """

    @abc.abstractmethod
    async def _shut_down(self) -> None:
        """Give back what the link holds. Cut off after :data:`CLOSE_TIMEOUT_S`."""

    async def read(self, timeout_s: float) -> bytes:
        """Wait for bytes; see :class:`pnc.transport.links.base.Link`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._readable.wait()
        data = bytes(self._received)
        self._received.clear()
        if self._error is None:
            self._readable.clear()
        elif not data:
            raise self._error
        return data

    async def write(self, data: bytes) -> None:
        """Hand bytes over; what the medium does not take in half a second is lost."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                while data:
                    self._check_open()
                    room = QUEUE_BYTES - len(self._outgoing)
                    if room <= 0:
                        self._has_room.clear()
                        await self._has_room.wait()
                        continue
                    self._outgoing += data[:room]
                    data = data[room:]
                    self._writable.set()
        self._check_open()

    async def close(self) -> None:
        """Close this end; a second time does nothing."""
        if self._closed:
            return
        self._closed = True
        self.lose("the link was closed")
        self._writer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._writer
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._shut_down()
        except Exception:
            logger.warning("%s: not closed properly", self.url, exc_info=True)

    def take(self, data: bytes) -> None:
        """Note that bytes arrived; past :data:`MAX_RECEIVED_BYTES` they are thrown away."""
        room = MAX_RECEIVED_BYTES - len(self._received)
        self._received += data[:room]
        self.dropped_bytes += max(0, len(data) - room)
        self._readable.set()

    def lose(self, what: str) -> None:
        """Note that the link went away: readers and writers learn it at once."""
        if self._error is None:
            self._error = LinkLostError(f"{self.url}: {what}", url=self.url)
            self._outgoing.clear()
            self._readable.set()
            self._has_room.set()

    def forget_outgoing(self) -> None:
        """Throw away what waits to be sent."""
        self._outgoing.clear()
        self._has_room.set()

    def _check_open(self) -> None:
        if self._error is not None:
            raise self._error

    async def _write_on(self) -> None:
        try:
            while True:
                await self._writable.wait()
                if len(self._outgoing) < self.packet_bytes:
                    # Whoever waits for room fills the packet up first.
                    await asyncio.sleep(0)
                piece = bytes(self._outgoing[: self.packet_bytes])
                if not piece:
                    self._writable.clear()
                    continue
                del self._outgoing[: len(piece)]
                self._has_room.set()
                await self._transmit(piece)
        except LinkLostError as error:
            logger.debug("%s", error)
            self.lose("the link went away")
        except Exception:
            logger.exception("%s: writing failed", self.url)
            self.lose("writing failed; the log says why")


class EventLoopThread:
    """An asyncio loop in a daemon thread. Links that are open when the program ends are closed."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._links: set[AsyncLink] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="links", daemon=True)
        self._thread.start()
        atexit.register(self.stop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and wait for it; an interrupt cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def open(self, work: Coroutine[Any, Any, AsyncLink]) -> BlockingLink:
        """Open a link on the loop."""
        link = self.run(work)
        self._links.add(link)
        return BlockingLink(link, self)

    def close(self, link: AsyncLink) -> None:
        """Close one of the loop's links; a second time does nothing."""
        if link in self._links:
            self._links.discard(link)
            self.run(link.close())

    def stop(self) -> None:
        """Close all links and end the thread; a second time does nothing."""
        if not self._thread.is_alive():
            return
        atexit.unregister(self.stop)
        for link in list(self._links):
            self.close(link)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class BlockingLink:
    """An :class:`AsyncLink` as a :class:`pnc.transport.links.base.Link`, for any thread."""

    def __init__(self, link: AsyncLink, loop: EventLoopThread) -> None:
        self.url = link.url
        self._link = link
        self._loop = loop
        self._closed = False

    @property
    def packet_bytes(self) -> int:
        """Bytes that one write on the medium carries now."""
        return self._link.packet_bytes

    def read(self, timeout_s: float) -> bytes:
        """Wait for bytes; see :class:`pnc.transport.links.base.Link`."""
        self._check_open()
        return self._loop.run(self._link.read(timeout_s))

    def write(self, data: bytes) -> None:
        """Hand bytes over; what the medium does not take in half a second is lost."""
        self._check_open()
        self._loop.run(self._link.write(data))

    def close(self) -> None:
        """Close the link; what it still holds is dropped."""
        self._closed = True
        self._loop.close(self._link)

    def _check_open(self) -> None:
        if self._closed:
            raise LinkLostError(f"{self.url}: the link was closed", url=self.url)


_shared_lock = threading.Lock()
_shared: list[EventLoopThread] = []


def shared_event_loop() -> EventLoopThread:
    """Return the loop that all links of this process share; the first call starts it."""
    with _shared_lock:
        if not _shared:
            _shared.append(EventLoopThread())
        return _shared[0]


def block_on(work: Coroutine[Any, Any, AsyncLink]) -> BlockingLink:
    """Open a link on the shared loop and put it behind the blocking face."""
    return shared_event_loop().open(work)
