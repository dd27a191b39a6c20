"""The real sender and receiver with a server that ends a picture once it is sure of it.

The server judges what is here as `pnc serve --enough` does: some times a second, beginning with a
picture's first packet; a verdict takes its time; what arrives meanwhile counts for the result. The
device goes on until it has the result, so the round trip is paid for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pnc.config import ReceiverConfig, SenderConfig
from pnc.errors import ConfigError
from pnc.replay.faults import RESULT, RESULT_AFTER_S
from pnc.testing import VirtualLinkConfig, VirtualPair
from pnc.transport.events import Event, PacketReceived, PictureEnded
from pnc.transport.links.channel import ChannelConfig
from pnc.transport.links.trace import RateTrace
from pnc.transport.session import Receiver, Sender

__all__ = ["StopRun", "send_until_enough"]

PREVIEW_S = 0.025
"""From what has arrived to a verdict: decode and classify, on the machine of the README."""

IsEnough = Callable[[int, int], bool]
"""From a picture's id and the packets that are here to whether they are enough."""


@dataclass(frozen=True, slots=True)
class StopRun:
    """What became of pictures; lists have one value for each."""

    num_packets: list[int]
    """Packets that its result is made of."""
    sent_bytes: list[int]
    """What the device wrote until the next picture, bytes on the wire."""
    stopped: list[bool]
    """Whether the server ended it early."""


class _StoppingReceiver(Receiver):
    """A receiver with the previews of a server."""

    def __init__(self, config: ReceiverConfig, is_enough: IsEnough, interval_s: float) -> None:
        super().__init__(config)
        self._is_enough = is_enough
        self._interval_s = interval_s
        self._turn = 0.0
        self._here = (0, 0)
        self._is_new = False
        self._judging: tuple[int, int] | None = None
        self._ready_at = 0.0

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        events = super().receive_data(data, now)
        for event in events:
            if isinstance(event, PacketReceived):
                before = self._here[1] if self._here[0] == event.picture_id else 0
                self._here, self._is_new = (event.picture_id, before + 1), True
            elif isinstance(event, PictureEnded):
                self._is_new = False
        return events

    def handle_timer(self, now: float) -> list[Event]:
        if self._judging is not None and now >= self._ready_at:
            judged, self._judging = self._judging, None
            if self._is_enough(*judged):
                self.stop_picture(judged[0], now)
                self._is_new = self._is_new and self._here[0] != judged[0]
        if self._judging is None and self._is_new and now >= self._turn:
            self._judging, self._is_new = self._here, False
            self._ready_at, self._turn = now + PREVIEW_S, now + self._interval_s
        return super().handle_timer(now)

    def next_timer(self) -> float | None:
        times = [super().next_timer()]
        if self._judging is not None:
            times.append(self._ready_at)
        elif self._is_new:
            times.append(self._turn)
        return min((time for time in times if time is not None), default=None)


def send_until_enough(
    pictures: Sequence[Sequence[bytes]],
    is_enough: IsEnough,
    *,
    previews_per_second: float,
    rate_bps: float,
    deadline_s: float,
    mtu_bytes: int = 244,
    delay_s: float = 0.002,
) -> StopRun:
    """Send pictures one after another, each until its deadline or until the server has enough.

    Args:
        pictures: Of each picture its packets in priority order.
        is_enough: Asked for what is here at each preview; nothing is lost, so n packets are the
            first n. Ids count from 1.
        previews_per_second: At most.
        rate_bps: Of each direction, bits per second.
        deadline_s: Time each picture has, and from one to the next, seconds.
        mtu_bytes: Largest packet.
        delay_s: Time every byte is on the way, seconds.

    Raises:
        ConfigError: A time or rate is not positive.
    """
    if min(previews_per_second, rate_bps, deadline_s) <= 0:
        raise ConfigError("previews, rate and deadline must be positive")
    link = VirtualLinkConfig(
        ChannelConfig(trace=RateTrace.constant(rate_bps), delay_s=delay_s),
    )
    pair = VirtualPair(
        Sender(SenderConfig(session_id=0, mtu_bytes=mtu_bytes)),
        _StoppingReceiver(ReceiverConfig(epoch_seed=0), is_enough, 1 / previews_per_second),
        link,
        result_after_s=RESULT_AFTER_S,
        result=RESULT,
    )
    sent_bytes = [0] * len(pictures)

    def count(now: float, data: bytes) -> None:
        sent_bytes[min(int(now / deadline_s + 1e-9), len(pictures) - 1)] += len(data)

    pair.on_sent = count
    for number, packets in enumerate(pictures):
        pair.run_until(number * deadline_s)
        pair.sender.submit(packets, deadline=pair.now + deadline_s, now=pair.now)
    pair.run_until_idle()
    ends = [event for _, event in pair.receiver_events if isinstance(event, PictureEnded)]
    return StopRun(
        [len(event.packets) for event in ends], sent_bytes, [event.stopped_early for event in ends]
    )
