"""The automatic window on emulated links that swallow everything, beside none and stop-and-wait."""

from __future__ import annotations

import pytest

from pnc.config import SenderConfig
from pnc.replay.lateness import CONTENDERS, Camera, Outcome, Server, WatchedReceiver, send_virtually
from pnc.testing import VirtualLinkConfig
from pnc.transport.links.channel import ChannelConfig
from pnc.transport.links.trace import RateTrace
from pnc.transport.session import Sender
from pnc.transport.wire import wire_bytes

PACKET_BYTES = 244
DELAY_S = 0.01
FIFO_BYTES = 2**20
RATES_BYTES_PER_S = (1_000, 3_000, 10_000, 30_000, 100_000)


def send_pictures(
    ends: tuple[Camera, Server], rate: float, count: int, *, loss: float = 0.0
) -> list[Outcome]:
    """Send pictures, one at each deadline, each more than the link carries by then."""
    channel = ChannelConfig(
        trace=RateTrace.constant(8 * rate), delay_s=DELAY_S, fifo_bytes=FIFO_BYTES
    )
    return send_virtually(
        ends,
        VirtualLinkConfig(channel=channel, loss=loss, seed=5),
        count=count,
        deadline_s=deadline_s(rate),
        packet_bytes=PACKET_BYTES,
        way_s=DELAY_S + wire_bytes(PACKET_BYTES) / rate,
    )


def deadline_s(rate: float) -> float:
    return max(0.5, 2_000 / rate)


def share(outcomes: list[Outcome], rate: float) -> float:
    """Payload in time, of what the link carries in full frames without a pause."""
    in_time = sum(outcome.in_time_bytes for outcome in outcomes)
    return in_time / len(outcomes) / deadline_s(rate) / capacity_bytes_per_s(rate)


def capacity_bytes_per_s(rate: float) -> float:
    return rate * PACKET_BYTES / wire_bytes(PACKET_BYTES)


@pytest.mark.parametrize("rate", RATES_BYTES_PER_S)
def test_the_window_keeps_any_link_busy_with_at_most_two_packets_late(rate: float) -> None:
    sender = Sender(SenderConfig(mtu_bytes=PACKET_BYTES, session_id=7))
    outcomes = send_pictures((sender, WatchedReceiver()), rate, 10)
    assert share(outcomes, rate) >= 0.9
    assert max(outcome.late_packets for outcome in outcomes) <= 2
    goodput = sender.goodput
    assert goodput is not None
    assert goodput.bytes_per_s == pytest.approx(capacity_bytes_per_s(rate), rel=0.1)
    assert goodput.spread < 0.15


@pytest.mark.parametrize("rate", RATES_BYTES_PER_S)
def test_stop_and_wait_is_hardly_late_and_leaves_the_link_idle(rate: float) -> None:
    outcomes = send_pictures(CONTENDERS["stop-and-wait"](PACKET_BYTES), rate, 10)
    assert max(outcome.late_packets for outcome in outcomes) <= 1
    turn_s = 64 / rate + DELAY_S + 1 / rate + DELAY_S
    assert share(outcomes, rate) == pytest.approx(63 / turn_s / capacity_bytes_per_s(rate), rel=0.1)


@pytest.mark.parametrize("rate", [10_000, 100_000])
def test_the_window_keeps_late_packets_few_on_a_link_that_loses(rate: float) -> None:
    outcomes = send_pictures(CONTENDERS["window"](PACKET_BYTES), rate, 10, loss=0.2)
    assert share(outcomes, rate) >= 0.75
    assert max(outcome.late_packets for outcome in outcomes) <= 2


def test_without_a_window_the_link_carries_what_nobody_wants() -> None:
    outcomes = send_pictures(CONTENDERS["no window"](PACKET_BYTES), 10_000, 4)
    assert min(outcome.late_packets for outcome in outcomes) >= 8
    assert share(outcomes, 10_000) < 0.5
