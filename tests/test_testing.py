"""What users test with: a virtual link that changes, is unplugged, and blocks."""

from __future__ import annotations

import math

from pnc.config import ReceiverConfig, SenderConfig
from pnc.testing import VirtualLinkConfig, VirtualPair
from pnc.transport.events import Event, PictureEnded, ResultReceived
from pnc.transport.links.channel import Channel, ChannelConfig
from pnc.transport.links.trace import RateTrace
from pnc.transport.session import Receiver, Sender


def link(rate: float, write_timeout_s: float = math.inf) -> VirtualLinkConfig:
    channel = ChannelConfig(trace=RateTrace.constant(8 * rate), fifo_bytes=512)
    return VirtualLinkConfig(channel=channel, write_timeout_s=write_timeout_s)


def pair_on(forward: VirtualLinkConfig) -> VirtualPair:
    return VirtualPair(
        Sender(SenderConfig(session_id=7)), Receiver(ReceiverConfig(epoch_seed=1)), forward
    )


def submit(pair: VirtualPair, count: int = 1) -> None:
    packets = [bytes([number]) * 200 for number in range(count)]
    pair.sender.submit(packets, deadline=pair.now + 1.0, now=pair.now)


def results(pair: VirtualPair) -> list[int]:
    return [e.picture_id for _, e in pair.sender_events if isinstance(e, ResultReceived)]


def received_bytes(pair: VirtualPair) -> list[int]:
    return [e.received_bytes for _, e in pair.receiver_events if isinstance(e, PictureEnded)]


def test_a_link_may_change_on_the_way() -> None:
    pair = pair_on(link(10_000))
    pair.run_until(1.0)
    submit(pair, count=100)
    pair.run_until(1.5)
    pair.change_link(link(1_000), link(1_000))
    pair.run_until(10.0)
    assert results(pair) == [1]
    (number,) = received_bytes(pair)
    assert 4_500 < number < 6_000


def test_an_end_without_a_link_stands_still_until_it_is_plugged_in() -> None:
    pair = pair_on(link(10_000))
    pair.run_until(1.0)
    pair.unplug("sender", "receiver")
    submit(pair)
    pair.run_until(5.0)
    assert received_bytes(pair) == []
    pair.plug_in("receiver")
    pair.run_until(6.0)
    pair.plug_in("sender")
    pair.run_until(10.0)
    assert received_bytes(pair) == [0]
    assert results(pair) == [1]


def test_what_comes_to_an_end_without_a_link_is_lost() -> None:
    pair = pair_on(link(10_000))
    pair.run_until(1.0)
    submit(pair)
    pair.unplug("receiver")
    pair.run_until(1.5)
    pair.plug_in("receiver")
    pair.run_until(10.0)
    assert results(pair) == [1]
    assert pair.sender.statistics.data_frames_lost > 0


def test_a_writer_gives_up_after_a_while() -> None:
    patient, hasty = pair_on(link(100_000)), pair_on(link(100_000))
    for pair in (patient, hasty):
        pair.run_until(1.0)
        stalled = link(0, 0.5 if pair is hasty else 1e9)
        pair.change_link(stalled, stalled)
        submit(pair, count=8)
        pair.run_until(2.0)
        pair.change_link(link(100_000), link(100_000))
        pair.run_until(4.0)
    assert results(patient) == results(hasty) == [1]
    assert received_bytes(hasty)[0] < received_bytes(patient)[0]


def test_events_may_be_handed_on_instead_of_kept() -> None:
    pair = pair_on(link(10_000))
    seen: list[tuple[float, Event]] = []
    pair.on_sender_event = lambda now, event: seen.append((now, event))
    submit(pair)
    pair.run_until(3.0)
    assert [type(event) for _, event in seen][-1] is ResultReceived
    assert pair.sender_events == []


def test_a_channel_that_is_cleared_has_nothing_on_the_way() -> None:
    channel = Channel(ChannelConfig(delay_s=1.0, reorder=1.0))
    channel.push(b"x" * 200, 0.0)
    channel.pull(0.01)
    assert not channel.idle
    channel.clear()
    assert channel.idle
    assert channel.pull(100.0) == b""


def test_a_channel_that_changes_keeps_what_it_holds() -> None:
    channel = Channel(ChannelConfig(trace=RateTrace.constant(8_000), reorder=1.0))
    channel.push(b"x" * 126, 0.0)
    channel.pull(0.1)
    channel.change(ChannelConfig(trace=RateTrace.constant(80_000)), 0.1)
    assert channel.pull(0.2) == b"x" * 126
    assert channel.idle
