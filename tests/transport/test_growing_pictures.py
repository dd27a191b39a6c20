"""Pictures that are sent while they are coded, and pictures that were kept on the device."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pnc.config import ReceiverConfig, SenderConfig
from pnc.errors import LocalProtocolError
from pnc.testing import VirtualLinkConfig, VirtualPair
from pnc.transport.events import PictureEnded, PictureStarted
from pnc.transport.links.channel import ChannelConfig
from pnc.transport.links.trace import RateTrace
from pnc.transport.session import Receiver, Sender
from pnc.transport.wire import Data, End, FrameParser, encode_frame
from tests.transport.test_session import connect, frames_of_kind, greeted, receiver, sender

PACKETS = [random.Random(index).randbytes(200) for index in range(6)]


def pair(*, loss: float = 0.0, seed: int = 0, rate_bps: float = 80_000) -> VirtualPair:
    channel = ChannelConfig(trace=RateTrace.constant(rate_bps), delay_s=0.002, fifo_bytes=512)
    link = VirtualLinkConfig(channel=channel, loss=loss, seed=seed)
    return VirtualPair(
        Sender(SenderConfig(session_id=7)), Receiver(ReceiverConfig(epoch_seed=1)), link
    )


def ended(two: VirtualPair) -> list[PictureEnded]:
    return [event for _, event in two.receiver_events if isinstance(event, PictureEnded)]


def submit(two: VirtualPair, at: float, first: int, extend_at: float | None) -> None:
    def begin() -> None:
        now = two.clock()
        two.sender.submit(PACKETS[:first], deadline=now + 1, now=now, more=True)

    two.at(at, begin)

    def extend() -> None:
        two.sender.extend(1, PACKETS[first:], two.clock())

    if extend_at is not None:
        two.at(extend_at, extend)


def test_the_first_packets_leave_before_the_rest_is_there() -> None:
    one = sender()
    connect(one)
    one.submit(PACKETS[:1], deadline=1.0, now=0.0, more=True)
    (first,) = frames_of_kind(one.data_to_send(0.0), Data)
    assert (first.index, first.num_packets) == (0, 0)
    one.extend(1, PACKETS[1:3], 0.01)
    rest = frames_of_kind(one.data_to_send(0.01), Data)
    assert [(data.index, data.num_packets) for data in rest] == [(1, 3), (2, 3)]


def test_a_picture_that_grew_ends_when_all_of_it_is_there() -> None:
    two = pair()
    submit(two, 0.1, 2, 0.15)
    two.run_until(5)
    (picture,) = ended(two)
    assert [picture.packets[index] for index in range(6)] == PACKETS
    assert picture.num_packets == 6
    assert picture.ended_at < 0.5
    (started,) = [e for _, e in two.receiver_events if isinstance(e, PictureStarted)]
    assert started.num_packets == 0


def test_a_picture_of_packets_that_were_all_sent_early_ends_with_their_number() -> None:
    two = pair()
    submit(two, 0.1, 6, 0.4)
    two.run_until(5)
    (picture,) = ended(two)
    assert (picture.num_packets, len(picture.packets)) == (6, 6)
    assert picture.ended_at < 0.6


def test_a_picture_whose_rest_never_comes_ends_at_its_deadline() -> None:
    two = pair()
    submit(two, 0.1, 2, None)
    two.run_until(5)
    (picture,) = ended(two)
    assert (picture.num_packets, len(picture.packets)) == (0, 2)
    assert picture.ended_at == pytest.approx(1.1, abs=0.1)


def test_the_rest_of_a_picture_that_is_over_is_dropped() -> None:
    one = sender()
    connect(one)
    one.submit(PACKETS[:1], deadline=1.0, now=0.0, more=True)
    one.submit(PACKETS[:1], deadline=2.0, now=0.5)
    one.extend(1, PACKETS[1:], 0.6)
    data = one.data_to_send(0.6)
    assert {frame.picture_id for frame in frames_of_kind(data, Data)} == {2}
    assert frames_of_kind(data, End) == [End(5, 1, 1, 0)]


def test_a_rest_that_cannot_be_is_refused() -> None:
    one = sender()
    one.submit(PACKETS[:1], deadline=1.0, now=0.0, more=True)
    with pytest.raises(LocalProtocolError, match="bytes is not"):
        one.extend(1, [b""], 0.1)
    with pytest.raises(LocalProtocolError, match="more than the 4096"):
        one.extend(1, [b"p"] * 4096, 0.1)


def test_a_number_below_what_has_come_contradicts() -> None:
    one = receiver()
    tag = greeted(one)
    one.receive_data(encode_frame(Data(tag, 1, 1, 3, 0, 500, b"d")), 1.0)
    assert one.receive_data(encode_frame(Data(tag, 2, 1, 0, 2, 500, b"a")), 1.0) == []
    assert one.statistics.contradictions == 1
    assert one.receive_data(encode_frame(Data(tag, 3, 1, 0, 5, 500, b"a")), 1.0) != []
    assert one.receive_data(encode_frame(Data(tag, 4, 1, 6, 0, 500, b"g")), 1.0) == []
    assert one.receive_data(encode_frame(Data(tag, 5, 1, 1, 0, 500, b"b")), 1.0) != []
    assert one.statistics.contradictions == 2


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**16), st.floats(0, 0.4), st.integers(0, 6), st.floats(0.0, 1.5) | st.none())
def test_a_growing_picture_ends_once_and_truly_whatever_is_lost(
    seed: int, loss: float, first: int, later_s: float | None
) -> None:
    two = pair(loss=loss, seed=seed)
    submit(two, 0.1, first, None if later_s is None else 0.1 + later_s)
    two.run_until(30)
    (picture,) = ended(two)
    assert picture.num_packets in (0, 6)
    assert all(PACKETS[index] == packet for index, packet in picture.packets.items())


def test_a_kept_picture_says_how_old_it_is() -> None:
    one = sender()
    connect(one)
    one.submit(PACKETS[:2], deadline=1.0, now=0.0, taken_at=-60.0)
    data = one.data_to_send(0.25)
    assert [frame.age_ms for frame in FrameParser().feed(data) if isinstance(frame, Data)] == [
        60_250,
        60_250,
    ]


def test_the_receiver_passes_the_age_on() -> None:
    two = pair()

    def send(taken_at: float | None) -> None:
        now = two.clock()
        two.sender.submit(PACKETS, deadline=now + 1, now=now, taken_at=taken_at)

    two.at(0.5, lambda: send(-3600.0))
    two.at(2.5, lambda: send(None))
    two.run_until(5)
    old, new = ended(two)
    assert old.started_at - old.age_s == pytest.approx(-3600, abs=0.05)
    assert new.age_s == 0
