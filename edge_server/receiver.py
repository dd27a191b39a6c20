"""One thread per link: bytes in, ended pictures out, acknowledgements back.

:class:`Intake` is the part without a clock and without I/O: it turns the events of a
:class:`~pnc.Receiver` into ended pictures and answers from the store what was stored before.
:class:`LinkReceiver` runs it over a real link and opens the link again when it goes away.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from edge_server.store import PictureKey, StoredResult
from edge_server.workers import EndedPicture, Snapshot
from pnc.config import ReceiverConfig
from pnc.errors import LinkError, LinkLostError, RemoteProtocolError, StoreError
from pnc.transport.events import (
    DeviceConnected,
    Event,
    PacketReceived,
    PictureEnded,
    PictureStarted,
)
from pnc.transport.links.base import Link
from pnc.transport.receiver import Receiver

__all__ = ["Desk", "Intake", "LinkReceiver", "LinkState"]

POLL_S = 0.01
"""Longest wait for bytes: also the longest wait of a result before it is sent."""

REOPEN_S = 1.0
"""Pause between attempts to open a link that went away."""

_log = logging.getLogger(__name__)


class Desk(Protocol):
    """What a link needs from the rest of the server. All methods may be called from any thread."""

    def find(self, key: PictureKey) -> StoredResult | None:
        """Return the stored result of a picture."""
        ...

    def device_connected(self, url: str, device: DeviceConnected) -> None:
        """A device began a session on this link."""
        ...

    def picture_started(self, key: PictureKey, deadline_s: float, num_packets: int) -> None:
        """The first packet of a picture arrived."""
        ...

    def packet_received(self, snapshot: Snapshot) -> None:
        """One more packet of the current picture is here."""
        ...

    def picture_ended(self, picture: EndedPicture) -> bool:
        """Take a picture over; False if it cannot be taken."""
        ...

    def answered_again(self, row: StoredResult) -> None:
        """A picture that was stored before was asked for again."""
        ...

    def link_changed(self, state: LinkState) -> None:
        """A link came, went or has something to say."""
        ...


@dataclass(frozen=True, kw_only=True)
class LinkState:
    """How a link is, for the page."""

    url: str
    state: str
    """"opening", "waiting" (no device yet), "connected", "lost"."""
    device_name: str | None = None
    message: str | None = None
    """What is wrong, one line."""


@dataclass(kw_only=True)
class _CurrentPicture:
    key: PictureKey
    deadline_s: float
    num_packets: int
    packets: dict[int, bytes]


class Intake:
    """Events of one link's sessions -> ended pictures, each handed over once.

    Args:
        url: The link, as it is stored with each result.
        desk: The rest of the server.
        receiver: The sans-I/O end of the protocol.
    """

    def __init__(self, url: str, desk: Desk, receiver: Receiver) -> None:
        self.url = url
        self.receiver = receiver
        self.device: DeviceConnected | None = None
        self._desk = desk
        self._current: _CurrentPicture | None = None

    def handle(self, events: Sequence[Event], now: float, wall_offset_s: float) -> None:
        """Pass events on.

        Args:
            events: From the receiver, in order.
            now: The receiver's clock, seconds.
            wall_offset_s: Add it to the receiver's clock to get seconds since 1970.
        """
        for event in events:
            if isinstance(event, DeviceConnected):
                self.device = event
                self._current = None
                self._desk.device_connected(self.url, event)
            elif isinstance(event, PictureStarted):
                self._current = _CurrentPicture(
                    key=self._key(event.picture_id),
                    deadline_s=event.deadline_s,
                    num_packets=event.num_packets,
                    packets={},
                )
                self._desk.picture_started(self._current.key, event.deadline_s, event.num_packets)
            elif isinstance(event, PacketReceived):
                self._add_packet(event)
            elif isinstance(event, PictureEnded):
                self._end(event, now, wall_offset_s)

    def acknowledge(self, key: PictureKey, payload: bytes, now: float) -> None:
        """Send the result of a stored picture, if its device is still the one on this link."""
        if self.device is not None and key.device_name == self.device.device_name:
            self.receiver.send_result(key.picture_id, payload, now, session_id=key.session_id)

    def _key(self, picture_id: int) -> PictureKey:
        assert self.device is not None, "the receiver reports pictures only within a session"
        return PictureKey(self.device.device_name, self.device.session_id, picture_id)

    def _add_packet(self, event: PacketReceived) -> None:
        current = self._current
        if current is None or self.device is None:
            return
        current.packets[event.index] = event.packet
        self._desk.packet_received(
            Snapshot(
                key=current.key,
                checkpoint_id=self.device.checkpoint_id,
                packets=dict(current.packets),
            )
        )

    def _end(self, event: PictureEnded, now: float, wall_offset_s: float) -> None:
        key = self._key(event.picture_id)
        current, self._current = self._current, None
        deadline_s = current.deadline_s if current is not None and current.key == key else 0.0
        try:
            row = self._desk.find(key)
        except StoreError:
            # It cannot be stored either: the recorder holds the new result back and reports why.
            row = None
        if row is not None:
            self.acknowledge(key, row.payload, now)
            self._desk.answered_again(row)
            return
        assert self.device is not None
        taken = self._desk.picture_ended(
            EndedPicture(
                key=key,
                link_url=self.url,
                checkpoint_id=self.device.checkpoint_id,
                packets=event.packets,
                num_packets=event.num_packets,
                late_bytes=event.late_bytes,
                started_at=event.started_at + wall_offset_s,
                ended_at=event.ended_at + wall_offset_s,
                deadline_s=deadline_s,
            )
        )
        if not taken:
            _log.warning("%s: picture %d refused, too many wait", self.url, key.picture_id)


class LinkReceiver(threading.Thread):
    """The thread of one link.

    Args:
        url: The link.
        desk: The rest of the server.
        open_link: How to open it.
        config: Settings of the session.

    Raises:
        LinkError: The link cannot be opened now; later losses are mended, not raised.
        ConfigError: The address is wrong.
    """

    def __init__(
        self,
        url: str,
        desk: Desk,
        *,
        open_link: Callable[[str], Link],
        config: ReceiverConfig | None = None,
    ) -> None:
        super().__init__(name=f"link {url}", daemon=True)
        self.url = url
        self._desk = desk
        self._open_link = open_link
        self._intake = Intake(url, desk, Receiver(config or ReceiverConfig()))
        self._outbox: queue.SimpleQueue[tuple[PictureKey, bytes]] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._link: Link | None = open_link(url)
        self._receiver.link_opened(time.monotonic())
        self._report("waiting")

    @property
    def _receiver(self) -> Receiver:
        return self._intake.receiver

    def acknowledge(self, key: PictureKey, payload: bytes) -> None:
        """Send a stored result from this link's thread, soon."""
        self._outbox.put((key, payload))

    def stop(self, timeout_s: float = 2.0) -> None:
        """Send what is due, close the link, end the thread."""
        self._stopping.set()
        if self.ident is not None:
            self.join(timeout_s)
        elif self._link is not None:
            self._link.close()

    def run(self) -> None:
        """Serve the link until :meth:`stop`."""
        while not self._stopping.is_set():
            if self._link is None:
                self._stopping.wait(REOPEN_S)
                self._reopen()
                continue
            try:
                self._step(self._link, POLL_S)
            except LinkLostError as reason:
                self._lose(reason)
            except Exception:  # noqa: BLE001 - the top of a task
                _log.exception("%s: the link's thread goes on", self.url)
        if self._link is not None:
            try:
                self._step(self._link, 0.0)
            except LinkLostError as reason:
                _log.debug("%s: %s", self.url, reason)
            self._link.close()

    def _step(self, link: Link, timeout_s: float) -> None:
        """Read once, let the session work, write once."""
        timer = self._receiver.next_timer()
        if timer is not None:
            timeout_s = min(timeout_s, max(0.0, timer - time.monotonic()))
        data = link.read(timeout_s)
        now = time.monotonic()
        offset_s = time.time() - now
        if data:
            try:
                self._intake.handle(self._receiver.receive_data(data, now), now, offset_s)
            except RemoteProtocolError as reason:
                _log.error("%s: %s", self.url, reason)
                self._report("waiting", message=str(reason))
        self._intake.handle(self._receiver.handle_timer(now), now, offset_s)
        while not self._outbox.empty():
            self._intake.acknowledge(*self._outbox.get(), now)
        if (answer := self._receiver.data_to_send(now)) != b"":
            link.write(answer)

    def _lose(self, reason: LinkLostError) -> None:
        _log.warning("%s", reason)
        assert self._link is not None
        self._link.close()
        self._link = None
        self._report("lost", message=str(reason))

    def _reopen(self) -> None:
        try:
            self._link = self._open_link(self.url)
        except LinkError as reason:
            _log.debug("%s", reason)
            return
        _log.warning("%s: open again", self.url)
        self._receiver.link_opened(time.monotonic())
        self._report("waiting" if self._intake.device is None else "connected")

    def _report(self, state: str, message: str | None = None) -> None:
        device = self._intake.device
        name = None if device is None else device.device_name
        self._desk.link_changed(
            LinkState(url=self.url, state=state, device_name=name, message=message)
        )
