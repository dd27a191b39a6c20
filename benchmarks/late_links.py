"""Links in real time between two threads of one process, with a slow, deep buffer in between."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from pnc.commands.link_play import LinkRadio
from pnc.errors import LinkError
from pnc.replay.lateness import Camera, Outcome, Server, judge, make_picture
from pnc.transport.driver import Driver
from pnc.transport.events import Connected, Event, PictureEnded
from pnc.transport.links import open_link
from pnc.transport.links.base import Link
from pnc.transport.links.channel import ChannelConfig
from pnc.transport.links.pty_radio import PtyRadio
from pnc.transport.session import Receiver, Sender

REAL_KINDS = ("pty", "tcp", "udp", "ws")
"""Serial ports on pseudo-terminals; sockets over loopback through a relay."""

TOKEN = "not-secret-on-loopback"  # noqa: S105 - both ends are in this process

CONNECT_S = 10.0
"""A session that has not begun by then does not begin."""

QUIET_S = 0.5
"""A run is over when nothing has arrived for so long."""

DRAIN_S = 3.0
"""Or after this: without a window the buffers of a slow link hold more."""


class _Answering:
    """A server that says of every picture that its result is stored, if it can."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._driver: Driver[Server] | None = None

    def drive(self, link: str | Callable[[], Link]) -> Driver[Server]:
        self._driver = Driver(self._server, link, on_event=self._on_event)
        return self._driver

    def _on_event(self, event: Event) -> None:
        if isinstance(event, PictureEnded) and self._driver is not None:
            self._driver.call(lambda server, now: self._answer(server, event.picture_id, now))

    def _answer(self, server: Server, picture_id: int, now: float) -> None:
        if isinstance(server, Receiver):
            server.send_result(picture_id, b"ok", now)


def _submit(packets: Sequence[bytes], deadline: float, camera: Camera, now: float) -> int:
    return camera.submit(packets, deadline=deadline, now=now)


class RealLink:
    """A way from a camera to a server, on which bytes are slow.

    Args:
        kind: Of :data:`REAL_KINDS`.
        channel: Both directions.
    """

    def __init__(self, kind: str, channel: ChannelConfig) -> None:
        self._kind = kind
        self._channel = channel

    def send(
        self,
        ends: tuple[Camera, Server],
        *,
        count: int,
        deadline_s: float,
        packet_bytes: int,
        way_s: float,
    ) -> list[Outcome]:
        """Open the link, send pictures, one at each deadline, and wait for what is late.

        Raises:
            LinkError: The two ends do not come together.
        """
        camera, server = ends
        ready = threading.Event()
        if not isinstance(camera, Sender):
            ready.set()

        def at_camera(event: Event) -> None:
            if isinstance(event, Connected):
                ready.set()

        deadlines: dict[int, float] = {}
        with ExitStack() as stack:
            driver = self._connect(stack, camera, _Answering(server), at_camera)
            if not ready.wait(CONNECT_S):
                raise LinkError(f"{self._kind}: the two ends do not come together", url=self._kind)
            packets = make_picture(self._channel.trace.mean_bps / 8 * deadline_s, packet_bytes)
            deadline = time.monotonic()
            for _ in range(count):
                deadline += deadline_s
                picture_id = driver.call(partial(_submit, packets, deadline))
                deadlines[picture_id] = deadline
                time.sleep(max(0.0, deadline - time.monotonic()))
            self._wait_until_quiet(server)
            arrivals = list(server.arrivals)
        return judge(deadlines, arrivals, way_s)

    def _wait_until_quiet(self, server: Server) -> None:
        end = time.monotonic() + DRAIN_S
        num_arrived = -1
        while num_arrived < len(server.arrivals) and time.monotonic() < end:
            num_arrived = len(server.arrivals)
            time.sleep(QUIET_S)

    def _connect(
        self,
        stack: ExitStack,
        camera: Camera,
        answering: _Answering,
        at_camera: Callable[[Event], None],
    ) -> Driver[Camera]:
        """Open everything, the server's end first; it is closed in the opposite order."""
        enter = stack.enter_context
        if self._kind == "pty":
            radio = enter(PtyRadio(self._channel).start())
            enter(answering.drive(f"serial://{radio.b}"))
            return enter(Driver(camera, f"serial://{radio.a}", on_event=at_camera))
        there: Any = open_link(self._url(0, listen=True))
        enter(answering.drive(lambda: there))
        between: Any = open_link(self._url(0, listen=True))
        onward = self._url(there.port)
        enter(LinkRadio(lambda: between, lambda: open_link(onward), self._channel, self._channel))
        return enter(Driver(camera, self._url(between.port), on_event=at_camera))

    def _url(self, port: int, *, listen: bool = False) -> str:
        options = (["listen=1"] if listen else []) + (
            [f"token={TOKEN}"] if self._kind == "ws" else []
        )
        path = "/camera" if self._kind == "ws" else ""
        return f"{self._kind}://127.0.0.1:{port}{path}?{'&'.join(options)}"
