"""What arrives after its deadline: the automatic window beside none and beside stop-and-wait.

A link is offered one picture after the other, each more than it carries by its deadline::

    outcomes = send_virtually(CONTENDERS["window"](244), link, count=100, deadline_s=0.5,
                              packet_bytes=244, way_s=0.036)

Other links are driven elsewhere, with the same two ends, :func:`make_picture` and :func:`judge`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, cast

from pnc.config import ReceiverConfig, SenderConfig
from pnc.replay.stop_and_wait import Arrival, StopAndWaitReceiver, StopAndWaitSender
from pnc.testing import VirtualLinkConfig, VirtualPair
from pnc.transport.driver import Session
from pnc.transport.events import Event
from pnc.transport.session import Receiver, Sender
from pnc.transport.window import WindowControl
from pnc.transport.wire import Data, FrameParser

__all__ = [
    "CONTENDERS",
    "Camera",
    "NoWindowSender",
    "Outcome",
    "Server",
    "WatchedReceiver",
    "judge",
    "make_picture",
    "send_virtually",
]

GRANT_BYTES = 2**24
"""The receiver limits nothing: what is measured is the sender."""

OVERLOAD = 1.5
"""A picture is so much more than a link carries by its deadline."""


class Camera(Session, Protocol):
    """The end that pictures are given to."""

    def submit(self, packets: Sequence[bytes], *, deadline: float, now: float) -> int:
        """Send these packets until the deadline; return the picture id, the first is 1."""
        ...


class Server(Session, Protocol):
    """The end that notes when packets arrive."""

    arrivals: list[Arrival]
    """Every packet, whatever becomes of it."""


class WatchedReceiver(Receiver):
    """Notes when DATA arrives, whatever becomes of it.

    Args:
        config: Of the receiver; None grants 16 MiB.
    """

    def __init__(self, config: ReceiverConfig | None = None) -> None:
        super().__init__(config or ReceiverConfig(epoch_seed=1, window_bytes=GRANT_BYTES))
        self.arrivals: list[Arrival] = []
        """Every packet."""
        self._watch = FrameParser()

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Take bytes from the link."""
        self.arrivals += [
            Arrival(frame.picture_id, frame.index, len(frame.packet), now)
            for frame in self._watch.feed(data)
            if isinstance(frame, Data)
        ]
        return super().receive_data(data, now)


class _NoControl(WindowControl):
    max_frames = 2**15

    def window_bytes(self, granted_bytes: int) -> int:
        return granted_bytes

    def arrives_by(self, deadline: float, num_bytes: int, now: float) -> bool:
        return True


class NoWindowSender(Sender):
    """Hands the link a frame whenever that takes one, as long as the deadline allows."""

    def __init__(self, config: SenderConfig) -> None:
        super().__init__(config, _NoControl(config))

    def _data_frames(self, now: float) -> Iterator[bytes]:
        yield from islice(super()._data_frames(now), 1)


def _automatic(packet_bytes: int) -> tuple[Camera, Server]:
    return Sender(SenderConfig(mtu_bytes=packet_bytes, session_id=7)), WatchedReceiver()


def _without(packet_bytes: int) -> tuple[Camera, Server]:
    return NoWindowSender(SenderConfig(mtu_bytes=packet_bytes, session_id=7)), WatchedReceiver()


def _published(packet_bytes: int) -> tuple[Camera, Server]:
    return StopAndWaitSender(), StopAndWaitReceiver()


CONTENDERS: dict[str, Callable[[int], tuple[Camera, Server]]] = {
    "window": _automatic,
    "no window": _without,
    "stop-and-wait": _published,
}
"""Both ends by name, made from the bytes of a packet."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one picture."""

    in_time_bytes: int
    """Payload that arrived by the deadline and the link's way, each packet once."""
    late_packets: int
    """Packets, or blocks, that arrived after the deadline."""
    last_late_s: float
    """How late the last of them was, seconds; 0 if none was."""


def judge(
    deadlines: Mapping[int, float], arrivals: Iterable[Arrival], way_s: float
) -> list[Outcome]:
    """Return the outcome of every picture, in order.

    Args:
        deadlines: By picture id.
        arrivals: Of the whole run.
        way_s: What a packet needs at least from end to end, seconds. The first byte of a picture
            is so late as well, so that a link has as long for each as the deadlines are apart.
    """
    in_time: dict[int, dict[int, int]] = {picture_id: {} for picture_id in deadlines}
    late: dict[int, list[float]] = {picture_id: [] for picture_id in deadlines}
    for arrival in arrivals:
        late_s = arrival.at - deadlines[arrival.picture_id]
        if late_s <= way_s:
            in_time[arrival.picture_id][arrival.index] = arrival.num_bytes
        if late_s > 0:
            late[arrival.picture_id].append(late_s)
    return [
        Outcome(
            sum(in_time[picture_id].values()),
            len(late[picture_id]),
            max(late[picture_id], default=0.0),
        )
        for picture_id in deadlines
    ]


def make_picture(capacity_bytes: float, packet_bytes: int) -> list[bytes]:
    """Return the packets of a picture that is more than this capacity."""
    count = int(OVERLOAD * capacity_bytes / packet_bytes) + 2
    return [bytes([7]) * packet_bytes] * count


def send_virtually(
    ends: tuple[Camera, Server],
    link: VirtualLinkConfig,
    *,
    count: int,
    deadline_s: float,
    packet_bytes: int,
    way_s: float,
) -> list[Outcome]:
    """Send pictures over a virtual link, one at each deadline, until nothing more arrives.

    Args:
        ends: A sender and a receiver that have not been used.
        link: Both directions.
        count: Pictures.
        deadline_s: Seconds for each.
        packet_bytes: Of a packet.
        way_s: See :func:`judge`.
    """
    camera, server = ends
    # VirtualPair runs whatever has the methods of the two.
    pair = VirtualPair(
        cast("Sender", camera),
        cast("Receiver", server),
        link,
        result_after_s=0.01 if isinstance(server, Receiver) else None,
    )
    packets = make_picture(link.channel.trace.mean_bps / 8 * deadline_s, packet_bytes)
    deadlines: dict[int, float] = {}

    def submit() -> None:
        deadline = pair.now + deadline_s
        deadlines[camera.submit(packets, deadline=deadline, now=pair.now)] = deadline

    for number in range(count):
        pair.at(number * deadline_s, submit)
    pair.run_until((count + 1) * deadline_s)
    pair.run_until_idle()
    return judge(deadlines, server.arrivals, way_s)
