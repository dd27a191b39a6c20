"""One link: bytes in, ended pictures out, acknowledgements back.

:class:`Intake` is the part without a clock and without I/O: it turns the events of a
:class:`~pnc.Receiver` into ended pictures and answers from the store what was stored before.
:class:`LinkReceiver` runs both over a real link, which is opened again when it goes away.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edge_server.store import PictureKey, StoredResult
from edge_server.workers import EndedPicture, Snapshot
from pnc.config import ReceiverConfig
from pnc.errors import PncError, StoreError
from pnc.transport.driver import Driver
from pnc.transport.events import (
    DeviceConnected,
    Event,
    PacketReceived,
    PictureEnded,
    PictureStarted,
)
from pnc.transport.links.base import Link
from pnc.transport.links.options import hide_token
from pnc.transport.receiver import Receiver

__all__ = ["Desk", "Intake", "LinkReceiver", "LinkState"]

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
    """``open`` (no device yet), ``connected``, ``lost`` (it is opened again), ``refused`` (a device
    of another protocol version), ``closed``."""
    device_name: str | None = None
    message: str | None = None
    """What is wrong, one line."""


@dataclass(kw_only=True)
class _CurrentPicture:
    key: PictureKey
    deadline_s: float
    packets: dict[int, bytes]


class Intake:
    """Events of one link's sessions -> ended pictures, each handed over once.

    Args:
        url: The link, as it is stored with each result.
        desk: The rest of the server.
        send_result: How to tell the device a stored result.
    """

    def __init__(
        self, url: str, desk: Desk, send_result: Callable[[PictureKey, bytes], None]
    ) -> None:
        self.url = url
        self.device: DeviceConnected | None = None
        self.was_lost = False
        self._desk = desk
        self._send_result = send_result
        self._current: _CurrentPicture | None = None

    def handle(self, event: Event, wall_offset_s: float) -> None:
        """Pass an event on.

        Args:
            event: From the receiver, in order.
            wall_offset_s: Add it to the receiver's clock to get seconds since 1970.
        """
        if isinstance(event, DeviceConnected):
            self.device = event
            self._current = None
            self._desk.device_connected(self.url, event)
        elif isinstance(event, PictureStarted):
            key = self._key(event.picture_id)
            self._current = _CurrentPicture(key=key, deadline_s=event.deadline_s, packets={})
            self._desk.picture_started(key, event.deadline_s, event.num_packets)
        elif isinstance(event, PacketReceived):
            self._add_packet(event)
        elif isinstance(event, PictureEnded):
            self._end(event, wall_offset_s)

    def acknowledge(self, key: PictureKey, payload: bytes) -> None:
        """Send the result of a stored picture, if its device is still the one on this link."""
        if self.device is not None and key.device_name == self.device.device_name:
            self._send_result(key, payload)

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
                link_url=self.url,
                checkpoint_id=self.device.checkpoint_id,
                packets=dict(current.packets),
            )
        )

    def _end(self, event: PictureEnded, wall_offset_s: float) -> None:
        key = self._key(event.picture_id)
        deadline_s = 0.0
        if self._current is not None and self._current.key == key:
            deadline_s = self._current.deadline_s
            self._current = None
        try:
            row = self._desk.find(key)
        except StoreError:
            # It cannot be stored either: the recorder holds the new result back and reports why.
            row = None
        if row is not None:
            self.acknowledge(key, row.payload)
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
                stopped_early=event.stopped_early,
                captured_at=(
                    event.started_at + wall_offset_s - event.age_s if event.age_s else None
                ),
            )
        )
        if not taken:
            _log.warning("%s: picture %d refused, too many wait", self.url, key.picture_id)


class LinkReceiver:
    """One link: a :class:`~pnc.transport.driver.Driver` with an :class:`Intake`.

    Args:
        url: The link; a token in it is used and never shown.
        desk: The rest of the server.
        open_link: How to open it.
        config: Settings of the session.
    """

    def __init__(
        self,
        url: str,
        desk: Desk,
        *,
        open_link: Callable[[str], Link],
        config: ReceiverConfig | None = None,
    ) -> None:
        self.url = hide_token(url)
        self._desk = desk
        receiver = Receiver(config or ReceiverConfig())
        self._intake = Intake(self.url, desk, self._acknowledge)
        self._driver = Driver(
            receiver,
            lambda: open_link(url),
            on_event=self._handle,
            on_state=self._report,
        )

    def start(self) -> None:
        """Open the link and begin.

        Raises:
            LinkError: The link cannot be opened now; later losses are mended, not raised.
            ConfigError: The address is wrong.
        """
        self._driver.start()

    def acknowledge(self, key: PictureKey, payload: bytes) -> None:
        """Send a stored result, if its device is still the one on this link. From any thread."""
        self._intake.acknowledge(key, payload)

    def stop_picture(self, key: PictureKey) -> bool:
        """End a picture early if it is still open, and say whether it was. From any thread."""
        return self._driver.call(
            lambda receiver, now: receiver.stop_picture(
                key.picture_id, now, session_id=key.session_id
            )
        )

    def stop(self) -> None:
        """Close the link and end its threads."""
        self._driver.stop()

    def _acknowledge(self, key: PictureKey, payload: bytes) -> None:
        self._driver.call(
            lambda receiver, now: receiver.send_result(
                key.picture_id, payload, now, session_id=key.session_id
            )
        )

    def _handle(self, event: Event) -> None:
        try:
            self._intake.handle(event, time.time() - time.monotonic())
        except Exception:  # noqa: BLE001 - the top of a task
            _log.exception("%s: %s is lost", self.url, type(event).__name__)

    def _report(self, state: str, error: PncError | None) -> None:
        device = self._intake.device
        if error is not None:
            _log.warning("%s", error)
        elif state == "open" and self._intake.was_lost:
            _log.warning("%s: open again", self.url)
        self._intake.was_lost = state == "lost"
        if state == "open" and device is not None:
            state = "connected"
        self._desk.link_changed(
            LinkState(
                url=self.url,
                state=state,
                device_name=None if device is None else device.device_name,
                message=None if error is None else str(error),
            )
        )
