"""The automatic window on emulated links that swallow everything, beside none and stop-and-wait."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from pnc.config import ReceiverConfig, SenderConfig
from pnc.testing import VirtualLinkConfig, VirtualPair
from pnc.transport import sender as sender_module
from pnc.transport.events import Event, PictureEnded
from pnc.transport.links.channel import ChannelConfig
from pnc.transport.links.trace import RateTrace
from pnc.transport.scheduler import WindowControl
from pnc.transport.session import Receiver, Sender
from pnc.transport.wire import Data, FrameParser, wire_bytes

PACKET_BYTES = 244
DELAY_S = 0.01
FIFO_BYTES = 2**20
RATES_BYTES_PER_S = (1_000, 3_000, 10_000, 30_000, 100_000)


class WatchedReceiver(Receiver):
    """Notes when DATA arrives, whatever becomes of it."""

    def __init__(self) -> None:
        super().__init__(ReceiverConfig(epoch_seed=1, window_bytes=2**24))
        self.arrivals: list[tuple[int, int, float]] = []
        """Picture id, index and time of each packet."""
        self._watch = FrameParser()

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        frames = self._watch.feed(data)
        self.arrivals += [
            (frame.picture_id, frame.index, now) for frame in frames if isinstance(frame, Data)
        ]
        return super().receive_data(data, now)


@dataclass(frozen=True)
class Run:
    goodput_bytes_per_s: float
    """Payload that was in time for its picture, which its shortest way does not shorten."""
    late: list[int]
    """Packets of each picture that arrived after its deadline."""
    sender: Sender


def send_pictures(rate: float, count: int, *, loss: float = 0.0) -> Run:
    """Send pictures, one at each deadline, each more than the link carries by then."""
    deadline_s = max(0.5, 2_000 / rate)
    channel = ChannelConfig(
        trace=RateTrace.constant(8 * rate), delay_s=DELAY_S, fifo_bytes=FIFO_BYTES
    )
    receiver = WatchedReceiver()
    config = SenderConfig(mtu_bytes=PACKET_BYTES, session_id=7)
    link = VirtualLinkConfig(channel=channel, loss=loss, seed=5)
    pair = VirtualPair(Sender(config), receiver, link)
    packets = [bytes([7]) * PACKET_BYTES] * int(1.5 * rate * deadline_s / PACKET_BYTES)

    def submit() -> None:
        pair.sender.submit(packets, deadline=pair.now + deadline_s, now=pair.now)

    for number in range(count):
        pair.at(number * deadline_s, submit)
    pair.run_until((count + 3) * deadline_s)
    pair.run_until_idle()
    ended = [event for _, event in pair.receiver_events if isinstance(event, PictureEnded)]
    assert [event.picture_id for event in ended] == list(range(1, count + 1))
    late = [0] * (count + 1)
    in_time = set()
    way_s = DELAY_S + wire_bytes(PACKET_BYTES) / rate
    for picture_id, index, at in receiver.arrivals:
        late[picture_id] += at > picture_id * deadline_s
        if at <= picture_id * deadline_s + way_s:
            in_time.add((picture_id, index))
    return Run(len(in_time) * PACKET_BYTES / (count * deadline_s), late[1:], pair.sender)


def capacity_bytes_per_s(rate: float) -> float:
    """Payload that a link carries in full frames, without a pause."""
    return rate * PACKET_BYTES / wire_bytes(PACKET_BYTES)


def stop_and_wait_bytes_per_s(rate: float) -> float:
    """The published protocol: a block of 64 bytes, then one byte that says whether to go on."""
    return 64 / (64 / rate + DELAY_S + 1 / rate + DELAY_S)


@pytest.mark.parametrize("rate", RATES_BYTES_PER_S)
def test_the_window_keeps_any_link_busy_with_at_most_two_packets_late(rate: float) -> None:
    run = send_pictures(rate, 10)
    assert run.goodput_bytes_per_s >= 0.9 * capacity_bytes_per_s(rate)
    assert run.goodput_bytes_per_s > stop_and_wait_bytes_per_s(rate)
    assert max(run.late) <= 2
    goodput = run.sender.goodput
    assert goodput is not None
    assert goodput.bytes_per_s == pytest.approx(capacity_bytes_per_s(rate), rel=0.1)
    assert goodput.spread < 0.15


@pytest.mark.parametrize("rate", [10_000, 100_000])
def test_the_window_keeps_late_packets_few_on_a_link_that_loses(rate: float) -> None:
    run = send_pictures(rate, 10, loss=0.2)
    assert run.goodput_bytes_per_s >= 0.75 * capacity_bytes_per_s(rate)
    assert max(run.late) <= 2


def test_without_a_window_the_link_carries_what_nobody_wants(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(WindowControl, "window_bytes", lambda self, granted: granted)
    monkeypatch.setattr(WindowControl, "arrives_by", lambda self, *_: True)
    monkeypatch.setattr(sender_module, "ACK_SPAN", 2**15)
    run = send_pictures(10_000, 4)
    assert min(run.late) >= 8
    assert run.goodput_bytes_per_s < 0.5 * capacity_bytes_per_s(10_000)
