"""Sender and receiver: alone with hand-made frames, and together on a virtual link."""

from __future__ import annotations

import binascii
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TypeVar

import pytest

from pnc.config import ReceiverConfig, SenderConfig
from pnc.errors import ConfigError, LocalProtocolError, RemoteProtocolError
from pnc.testing import VirtualLinkConfig, VirtualPair
from pnc.transport import wire
from pnc.transport.events import (
    Connected,
    DeviceConnected,
    Event,
    PacketReceived,
    PictureEnded,
    PictureExpired,
    PictureStarted,
    PictureStopped,
    ResultReceived,
)
from pnc.transport.links.channel import ChannelConfig
from pnc.transport.links.trace import RateTrace
from pnc.transport.sender import MAX_ENDED, MAX_SILENT_PROBES
from pnc.transport.session import Receiver, Sender
from pnc.transport.wire import (
    MAX_SKIPPED_PICTURES,
    Ack,
    Data,
    End,
    Frame,
    FrameParser,
    Hello,
    Ping,
    Result,
    Welcome,
    Who,
    cobs_encode,
    encode_frame,
)

E = TypeVar("E", bound=Event)
F = TypeVar("F")


def sender(**options: object) -> Sender:
    return Sender(SenderConfig(**{"session_id": 7, **options}))  # type: ignore[arg-type]


def receiver(**options: object) -> Receiver:
    return Receiver(ReceiverConfig(**{"epoch_seed": 1, **options}))  # type: ignore[arg-type]


def foreign(kind: int) -> bytes:
    raw = bytes([kind]) + b"PNC\x03"
    crc = binascii.crc_hqx(raw, 0xFFFF).to_bytes(2, "little")
    return cobs_encode(raw + crc) + b"\0"


def frames_of(data: bytes) -> list[Frame]:
    return FrameParser().feed(data)


def packets(count: int, size: int = 200, seed: int = 0) -> list[bytes]:
    source = random.Random(seed)
    return [source.randbytes(size) for _ in range(count)]


def of_kind(events: Sequence[tuple[float, Event]], kind: type[E]) -> list[E]:
    return [event for _, event in events if isinstance(event, kind)]


def frames_of_kind(data: bytes, kind: type[F]) -> list[F]:
    return [frame for frame in frames_of(data) if isinstance(frame, kind)]


def link(rate: float = 10_000, **options: object) -> VirtualLinkConfig:
    channel = ChannelConfig(trace=RateTrace.constant(8 * rate), delay_s=0.002, fifo_bytes=512)
    return VirtualLinkConfig(channel=channel, **options)  # type: ignore[arg-type]


def connect(one: Sender, epoch: int = 0x0105, now: float = 0.0, window: int = 16384) -> None:
    (hello,) = frames_of_kind(one.data_to_send(now), Hello)
    welcome = Welcome(epoch, hello.session_id, hello.seq, window)
    assert one.receive_data(encode_frame(welcome), now) == [Connected(window)]


def hello(seq: int = 0, first: int = 1, session_id: int = 7) -> bytes:
    return encode_frame(Hello(session_id, seq, first, 244, "0badcafe", "camera"))


def greeted(one: Receiver, first: int = 1) -> int:
    """Bring a session about and return its tag."""
    one.receive_data(hello(first=first), 0.0)
    (welcome,) = frames_of_kind(one.data_to_send(0.0), Welcome)
    return welcome.epoch & 0xFF


# --- the sender alone


def test_says_hello_until_welcome_with_growing_pauses() -> None:
    one = sender(hello_interval_s=0.5, hello_interval_max_s=1.0)
    times = []
    now = 0.0
    while now < 4:
        if one.data_to_send(now):
            times.append(now)
        timer = one.next_timer()
        assert timer is not None
        assert timer > now
        now = timer
    assert times == [0.0, 0.5, 1.5, 2.5, 3.5]
    assert not one.connected


def test_welcome_of_another_session_or_hello_is_ignored() -> None:
    one = sender()
    one.data_to_send(0.0)
    assert one.receive_data(encode_frame(Welcome(1, 8, 0, 1000)), 0.1) == []
    assert one.receive_data(encode_frame(Welcome(1, 7, 55, 1000)), 0.1) == []
    assert not one.connected


def test_submit_checks_sizes() -> None:
    one = sender(mtu_bytes=100)
    for bad in ([b""], [b"x" * 101], [b"x"] * (wire.MAX_NUM_PACKETS + 1)):
        with pytest.raises(LocalProtocolError):
            one.submit(bad, deadline=1.0, now=0.0)
    assert one.submit([b"x"], deadline=1.0, now=0.0) == 1


def test_a_picture_of_nothing_and_one_too_late_end_at_once() -> None:
    one = sender()
    connect(one)
    assert one.submit([], deadline=1.0, now=0.0) == 1
    assert one.submit([b"late"], deadline=1.0, now=1.0) == 2
    assert one.handle_timer(1.0) == [PictureExpired(2, 0)]
    sent = frames_of(one.data_to_send(1.0))
    assert [(frame.picture_id, frame.num_packets) for frame in sent if isinstance(frame, End)] == [
        (1, 0),
        (2, 1),
    ]


def test_never_more_on_the_way_than_granted() -> None:
    one = sender()
    connect(one, window=700)
    one.submit(packets(20), deadline=9.0, now=0.0)
    data = one.data_to_send(0.0)
    assert 400 < len(data) <= 700
    assert one.data_to_send(0.01) == b""
    assert one.statistics.in_flight_bytes == len(data)


def test_a_grant_below_one_frame_lets_one_through() -> None:
    one = sender()
    connect(one, window=10)
    one.submit(packets(3), deadline=9.0, now=0.0)
    assert len(frames_of_kind(one.data_to_send(0.0), Data)) == 1


def test_no_more_frames_on_the_way_than_an_ack_can_report() -> None:
    one = sender(mtu_bytes=32, window_start_bytes=16384)
    connect(one)
    one.submit(packets(200, 1), deadline=9.0, now=0.0)
    assert len(frames_of(one.data_to_send(0.0))) == wire.ACK_SPAN


def test_lost_frames_are_sent_again_first_and_only_they() -> None:
    one = sender(window_start_bytes=2048)
    connect(one)
    one.submit(packets(9), deadline=9.0, now=0.0)
    first = frames_of_kind(one.data_to_send(0.0), Data)
    assert [frame.index for frame in first] == list(range(9))
    seqs = {frame.index: frame.seq for frame in first}
    ack = Ack(5, seqs[8], 16384, 1 << (seqs[8] - 1 - seqs[6]) | 1 << (seqs[8] - 1 - seqs[2]))
    one.receive_data(encode_frame(ack), 0.1)
    again = frames_of_kind(one.data_to_send(0.1), Data)
    assert [frame.index for frame in again] == [2, 6]
    assert one.statistics.data_frames_lost == 2


def test_nothing_of_an_old_picture_after_its_deadline_or_a_newer_one() -> None:
    one = sender()
    connect(one, window=500)
    one.submit(packets(5), deadline=1.0, now=0.0)
    one.data_to_send(0.0)
    one.submit(packets(5), deadline=2.0, now=0.5)
    assert one.handle_timer(0.5) == [PictureExpired(1, 400)]
    sent = frames_of(one.data_to_send(0.5))
    assert [type(frame) for frame in sent] == [End, Ping]
    one.receive_data(encode_frame(Ack(5, 2, 16384, 0)), 0.6)
    sent = frames_of(one.data_to_send(0.6))
    assert {frame.picture_id for frame in sent if isinstance(frame, Data)} == {2}
    sent = frames_of(one.data_to_send(2.0))
    assert [frame.picture_id for frame in sent if isinstance(frame, End)] == [1, 2]
    assert not [frame for frame in sent if isinstance(frame, Data)]


def test_end_is_repeated_until_its_result_and_not_after() -> None:
    one = sender(result_wait_s=1.0, result_wait_max_s=2.0)
    connect(one)
    one.submit([], deadline=1.0, now=0.0)
    times = []
    for step in range(80):
        now = step / 10
        sent = frames_of(one.data_to_send(now))
        if any(isinstance(frame, End) for frame in sent):
            times.append(now)
        for frame in sent:
            if isinstance(frame, End | Ping):
                one.receive_data(encode_frame(Ack(5, frame.seq, 16384, 0)), now)
    assert times == [0.0, 1.0, 3.0, 5.0, 7.0]
    result = encode_frame(Result(5, 1, b"gear"))
    assert one.receive_data(result, 8.0) == [ResultReceived(1, b"gear")]
    assert one.receive_data(result, 8.0) == []
    assert one.next_timer() is None
    assert one.data_to_send(20.0) == b""


def acknowledge(one: Sender, frames: list[Frame], now: float) -> None:
    """Let the END and PING frames of a connected sender arrive."""
    for frame in frames:
        if isinstance(frame, End | Ping):
            one.receive_data(encode_frame(Ack(5, frame.seq, 16384, 0)), now)


def test_end_of_a_followed_picture_is_repeated_too() -> None:
    one = sender(result_wait_s=0.1, result_wait_max_s=0.1)
    connect(one)
    one.submit([], deadline=1.0, now=0.0)
    one.submit([], deadline=1.0, now=0.0)
    counts: Counter[int] = Counter()
    for step in range(30):
        sent = frames_of(one.data_to_send(step / 10))
        counts.update(frame.picture_id for frame in sent if isinstance(frame, End))
        acknowledge(one, sent, step / 10)
    assert counts[1] == counts[2] > 10


def test_a_result_that_was_overtaken_is_asked_for_at_once() -> None:
    one = sender()
    connect(one)
    for now in (0.0, 0.1):
        one.submit([], deadline=9.0, now=now)
        acknowledge(one, frames_of(one.data_to_send(now)), now)
    assert one.receive_data(encode_frame(Result(5, 2, b"")), 0.2) == [ResultReceived(2, b"")]
    again = frames_of(one.data_to_send(0.2))
    assert [frame.picture_id for frame in again if isinstance(frame, End)] == [1]
    acknowledge(one, again, 0.21)
    one.receive_data(encode_frame(Result(5, 1, b"")), 0.22)
    assert one.next_timer() is None


def test_a_result_that_was_asked_for_later_is_not_overtaken() -> None:
    one = sender(result_wait_s=0.1)
    connect(one)
    one.submit([], deadline=9.0, now=0.0)
    acknowledge(one, frames_of(one.data_to_send(0.0)), 0.0)
    one.submit([], deadline=9.0, now=0.05)
    acknowledge(one, frames_of(one.data_to_send(0.05)), 0.05)
    acknowledge(one, frames_of(one.data_to_send(0.11)), 0.11)
    one.receive_data(encode_frame(Result(5, 2, b"")), 0.12)
    assert not frames_of_kind(one.data_to_send(0.12), End)


def test_results_that_many_newer_pictures_followed_are_given_up() -> None:
    one = sender()
    connect(one)
    for _ in range(MAX_ENDED + 1):
        one.submit([], deadline=1.0, now=0.0)
    asked = {frame.picture_id for frame in frames_of_kind(one.data_to_send(0.0), End)}
    assert asked == set(range(2, MAX_ENDED + 2))


def test_lost_end_is_repeated_as_soon_as_that_is_known() -> None:
    one = sender()
    connect(one)
    one.submit([], deadline=1.0, now=0.0)
    (end,) = frames_of_kind(one.data_to_send(0.0), End)
    one.submit([b"next"], deadline=2.0, now=0.01)
    (data,) = frames_of_kind(one.data_to_send(0.01), Data)
    one.receive_data(encode_frame(Ack(5, data.seq, 16384, 1)), 0.02)
    again = frames_of_kind(one.data_to_send(0.02), End)
    assert [frame.picture_id for frame in again] == [end.picture_id, 2]
    pinged = encode_frame(Ack(5, again[-1].seq, 16384, 0))
    one.receive_data(pinged, 0.03)
    assert one.data_to_send(0.03) == b""


def test_a_budget_counts_what_is_sent_again() -> None:
    one = sender()
    connect(one)
    one.submit(packets(9, 100), deadline=9.0, now=0.0, max_bytes=350)
    assert one.sending
    data = one.data_to_send(0.0)
    sent = frames_of_kind(data, Data)
    assert [frame.index for frame in sent] == [0, 1, 2]
    assert not one.sending
    (end,) = frames_of_kind(one.data_to_send(0.0), End)
    assert end.num_packets == 9
    assert one.handle_timer(0.0) == [PictureExpired(1, 300)]
    one.submit(packets(2, 100), deadline=9.0, now=1.0, max_bytes=250)
    (first, second) = frames_of_kind(one.data_to_send(1.0), Data)
    assert one.sending
    one.receive_data(encode_frame(Ack(5, second.seq, 16384, 1)), 1.1)
    assert not frames_of_kind(one.data_to_send(1.1), Data)
    assert first.index == 0
    assert one.handle_timer(1.1) == [PictureExpired(2, 200)]


def test_a_result_stops_the_picture_that_is_being_sent() -> None:
    one = sender()
    connect(one)
    one.submit(packets(20), deadline=9.0, now=0.0)
    sent = frames_of_kind(one.data_to_send(0.0), Data)
    bytes_sent = sum(len(frame.packet) for frame in sent)
    assert one.receive_data(encode_frame(Result(5, 1, b"r")), 0.1) == [
        PictureStopped(1, bytes_sent),
        ResultReceived(1, b"r"),
    ]
    one.receive_data(encode_frame(Ack(5, sent[-1].seq, 16384, 1)), 0.2)
    assert one.data_to_send(0.2) == b""
    assert one.next_timer() is None
    assert (one.statistics.pictures_stopped, one.statistics.pictures_expired) == (1, 0)
    assert one.submit(packets(1), deadline=9.0, now=1.0) == 2
    assert frames_of_kind(one.data_to_send(1.0), Data)


def test_waiting_results_are_bounded() -> None:
    one = sender()
    for _ in range(3 * MAX_ENDED):
        one.submit([], deadline=1.0, now=0.0)
    connect(one)
    assert len(frames_of_kind(one.data_to_send(0.0), End)) == MAX_ENDED


def test_silence_is_probed_then_hello_begins_anew() -> None:
    one = sender()
    connect(one)
    one.submit(packets(1), deadline=99.0, now=0.0)
    assert frames_of_kind(one.data_to_send(0.0), Data)
    kinds: Counter[type] = Counter()
    while one.connected:
        now = one.next_timer()
        assert now is not None
        kinds.update(type(frame) for frame in frames_of(one.data_to_send(now)))
    assert kinds == {Ping: MAX_SILENT_PROBES, Hello: 1}
    connect(one, now=one.next_timer() or 0.0)
    assert frames_of_kind(one.data_to_send(99.0 - 1), Data)
    assert one.statistics.data_frames_lost == 1


def test_who_brings_hello_at_once_but_not_twice() -> None:
    one = sender()
    connect(one)
    one.receive_data(encode_frame(Who()), 1.0)
    assert not one.connected
    assert frames_of_kind(one.data_to_send(1.0), Hello)
    one.receive_data(encode_frame(Who()), 1.001)
    assert one.data_to_send(1.001) == b""
    one.receive_data(encode_frame(Who()), 1.2)
    assert frames_of_kind(one.data_to_send(1.2), Hello)
    fresh = sender()
    fresh.receive_data(encode_frame(Who()), 0.0)
    assert frames_of_kind(fresh.data_to_send(0.0), Hello)


def test_a_forgetful_receiver_gets_everything_again_an_old_one_only_what_is_lost() -> None:
    one = sender(window_start_bytes=2048)
    connect(one, epoch=0x0105)
    one.submit(packets(4), deadline=9.0, now=0.0)
    data = frames_of_kind(one.data_to_send(0.0), Data)
    one.receive_data(encode_frame(Ack(5, data[1].seq, 16384, 0)), 0.1)
    one.link_opened(0.2)
    connect(one, epoch=0x0105, now=0.2)
    assert [f.index for f in frames_of_kind(one.data_to_send(0.2), Data)] == [2, 3]
    one.link_opened(0.3)
    connect(one, epoch=0x0206, now=0.3)
    resent = frames_of_kind(one.data_to_send(0.3), Data)
    assert [frame.index for frame in resent] == [0, 1, 2, 3]
    assert {frame.tag for frame in resent} == {6}


def test_a_forgetful_receiver_hears_of_ended_pictures_again() -> None:
    one = sender()
    connect(one, epoch=0x0105)
    one.submit([], deadline=9.0, now=0.0)
    (end,) = frames_of_kind(one.data_to_send(0.0), End)
    one.receive_data(encode_frame(Ack(5, end.seq, 16384, 0)), 0.1)
    one.link_opened(0.2)
    (greeting,) = frames_of_kind(one.data_to_send(0.2), Hello)
    assert greeting.first_picture_id == 1
    one.receive_data(encode_frame(Welcome(0x0206, 7, greeting.seq, 16384)), 0.3)
    assert frames_of_kind(one.data_to_send(0.3), End)


def test_a_receiver_that_was_killed_hears_of_pictures_whose_results_it_had_not_stored() -> None:
    """More pictures followed than are waited for; an ACK of END says nothing of a result."""
    one = sender()
    connect(one, epoch=0x0105)
    one.submit([], deadline=9.0, now=0.0)
    one.submit([], deadline=9.0, now=0.0)
    for end in frames_of_kind(one.data_to_send(0.0), End):
        one.receive_data(encode_frame(Ack(5, end.seq, 16384, 0)), 0.1)
    one.receive_data(encode_frame(Result(5, 1, b"")), 0.1)
    for _ in range(MAX_ENDED + 4):
        one.submit([], deadline=9.0, now=0.2)
    one.link_opened(0.3)
    (greeting,) = frames_of_kind(one.data_to_send(0.3), Hello)
    assert greeting.first_picture_id == 2


@pytest.mark.parametrize("away_s", [400, 700, 3000])
def test_a_device_that_was_away_for_long_gets_in_again(away_s: float) -> None:
    cut = link(cuts=((10.0, 10.0 + away_s),))
    pair = VirtualPair(sender(), receiver(), cut, replace(cut, seed=1))
    end_s = 10.0 + away_s + 60
    times = [0.5 * number for number in range(int(2 * end_s))]

    def submit() -> None:
        pair.sender.submit(packets(1), deadline=pair.now + 0.5, now=pair.now)

    for time in times:
        pair.at(time, submit)
    pair.run_until(end_s + 20)
    ended = [event.picture_id for event in of_kind(pair.receiver_events, PictureEnded)]
    assert len(ended) == len(set(ended)) >= min(len(times), 2 * MAX_SKIPPED_PICTURES)
    assert ended[-1] == len(times)
    heard = {event.picture_id for event in of_kind(pair.sender_events, ResultReceived)}
    assert set(range(len(times) - 100, len(times) + 1)) <= heard


def test_an_ack_of_the_future_begins_anew() -> None:
    one = sender()
    connect(one)
    one.submit(packets(1), deadline=9.0, now=0.0)
    one.data_to_send(0.0)
    one.receive_data(encode_frame(Ack(5, 999, 16384, 0)), 0.1)
    assert not one.connected


def test_acks_and_results_of_another_connection_are_ignored() -> None:
    one = sender()
    connect(one)
    one.submit(packets(1), deadline=9.0, now=0.0)
    (data,) = frames_of_kind(one.data_to_send(0.0), Data)
    stray: list[Frame] = [
        Ack(6, data.seq, 16384, 0),
        Result(6, 1, b""),
        Ping(5, 1),
        Ack(5, 0, 16384, 0),
    ]
    assert one.receive_data(b"".join(map(encode_frame, stray)), 0.1) == []
    assert one.statistics.in_flight_bytes > 0


def test_a_result_that_overtakes_its_ack_completes_the_picture() -> None:
    one = sender()
    connect(one)
    one.submit(packets(2), deadline=9.0, now=0.0)
    data = frames_of_kind(one.data_to_send(0.0), Data)
    events = one.receive_data(encode_frame(Result(5, 1, b"r")), 0.1)
    assert events == [ResultReceived(1, b"r")]
    one.receive_data(encode_frame(Ack(5, data[-1].seq, 16384, 0)), 0.2)
    assert one.data_to_send(0.2) == b""
    assert one.statistics.pictures_expired == 0


@pytest.mark.parametrize("kind", [1, 3])
def test_another_version_ends_the_sender(kind: int) -> None:
    one = sender()
    with pytest.raises(
        RemoteProtocolError, match=r"speaks wire protocol 3, this device 2"
    ) as caught:
        one.receive_data(foreign(kind), 0.0)
    assert (caught.value.local_version, caught.value.remote_version) == (2, 3)
    assert one.closed
    assert one.data_to_send(1.0) == b""
    assert one.next_timer() is None
    assert one.receive_data(foreign(kind), 1.0) == []


def test_session_ids_differ_unless_given() -> None:
    ids = {Sender(SenderConfig()).session_id for _ in range(20)}
    assert len(ids) == 20
    assert sender().session_id == 7


@pytest.mark.parametrize(
    "options",
    [
        {"device_name": ""},
        {"device_name": "ü" * 17},
        {"checkpoint_id": "BADC0FFE"},
        {"mtu_bytes": 31},
        {"session_id": 2**32},
        {"window_max_bytes": 100},
        {"hello_interval_max_s": 0.1},
    ],
)
def test_settings_out_of_range_are_named(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        SenderConfig(**options)  # type: ignore[arg-type]


# --- the receiver alone


def test_a_new_receiver_asks_who_is_there_once() -> None:
    one = receiver()
    assert frames_of(one.data_to_send(0.0)) == [Who()]
    assert one.data_to_send(0.0) == b""
    assert one.session_id is None


def test_hello_is_welcomed_again_without_a_new_device() -> None:
    one = receiver(window_bytes=4096)
    assert one.receive_data(hello(), 0.0) == [DeviceConnected("camera", "0badcafe", 7)]
    (first,) = frames_of(one.data_to_send(0.0))
    assert one.receive_data(hello(seq=3), 0.1) == []
    (second,) = frames_of(one.data_to_send(0.1))
    assert isinstance(first, Welcome)
    assert isinstance(second, Welcome)
    assert (first.window_bytes, first.seq, second.seq) == (4096, 0, 3)
    assert first.epoch == second.epoch
    assert one.session_id == 7
    assert one.statistics.sessions == 1
    assert not one.closed


def test_every_session_has_another_tag() -> None:
    one = receiver()
    tags = []
    for session_id in range(2000):
        one.receive_data(hello(session_id=session_id), 0.0)
        (welcome,) = frames_of_kind(one.data_to_send(0.0), Welcome)
        tags.append(welcome.epoch & 0xFF)
    assert all(a != b for a, b in pairwise(tags))


def test_frames_of_nobody_it_knows_make_it_ask() -> None:
    one = receiver()
    one.data_to_send(0.0)
    one.receive_data(encode_frame(Data(1, 0, 1, 0, 1, 500, b"p")), 0.0)
    assert frames_of(one.data_to_send(0.0)) == [Who()]
    tag = greeted(one)
    one.receive_data(encode_frame(Ping(tag ^ 1, 1)), 0.0)
    assert frames_of(one.data_to_send(0.0)) == [Who()]
    one.receive_data(encode_frame(End(tag, 1, MAX_SKIPPED_PICTURES + 2, 0)), 0.0)
    assert frames_of(one.data_to_send(0.0)) == [Who()]


def test_a_picture_from_first_to_last_packet() -> None:
    one = receiver()
    tag = greeted(one)
    assert one.receive_data(encode_frame(Data(tag, 1, 1, 1, 2, 500, b"bb")), 1.0) == [
        PictureStarted(1, 0.5, 2),
        PacketReceived(1, 1, b"bb"),
    ]
    assert one.receive_data(encode_frame(Data(tag, 2, 1, 1, 2, 480, b"bb")), 1.02) == []
    assert one.receive_data(encode_frame(Data(tag, 3, 1, 0, 2, 450, b"a")), 1.05) == [
        PacketReceived(1, 0, b"a"),
        PictureEnded(1, {0: b"a", 1: b"bb"}, 2, 3, 1.0, 1.05, 0),
    ]
    assert one.receive_data(encode_frame(Data(tag, 4, 1, 0, 2, 450, b"a")), 1.05) == []
    assert one.statistics.duplicate_bytes == 3
    assert one.statistics.late_bytes == 0


def test_late_bytes_are_counted_and_not_used() -> None:
    one = receiver(end_grace_s=0.1)
    tag = greeted(one)
    one.receive_data(encode_frame(Data(tag, 1, 1, 0, 3, 500, b"a")), 1.0)
    one.receive_data(encode_frame(Data(tag, 2, 1, 1, 3, 100, b"b")), 1.2)
    assert one.next_timer() == pytest.approx(1.4)
    assert one.receive_data(encode_frame(Data(tag, 3, 1, 2, 3, 400, b"cc")), 1.35) == []
    assert one.handle_timer(1.39) == []
    assert one.handle_timer(1.41) == [PictureEnded(1, {0: b"a", 1: b"b"}, 3, 2, 1.0, 1.41, 2)]
    assert one.next_timer() is None
    one.receive_data(encode_frame(Data(tag, 4, 1, 2, 3, 0, b"cc")), 1.5)
    assert one.statistics.late_bytes == 4
    assert one.receive_data(encode_frame(End(tag, 5, 1, 3)), 1.5) == []


def test_a_picture_stopped_early_ends_once_whatever_comes_after() -> None:
    one = receiver(end_grace_s=0.1)
    tag = greeted(one)
    assert not one.stop_picture(1, 1.0)
    one.receive_data(encode_frame(Data(tag, 1, 1, 0, 3, 500, b"aaaa")), 1.0)
    assert not one.stop_picture(2, 1.1)
    assert not one.stop_picture(1, 1.1, session_id=8)
    assert one.stop_picture(1, 1.1, session_id=7)
    assert not one.stop_picture(1, 1.1)
    assert one.handle_timer(1.1) == [PictureEnded(1, {0: b"aaaa"}, 3, 4, 1.0, 1.1, 0, True)]
    assert one.next_timer() is None
    assert one.receive_data(encode_frame(Data(tag, 2, 1, 1, 3, 400, b"bb")), 1.15) == []
    assert one.receive_data(encode_frame(End(tag, 3, 1, 3)), 1.2) == []
    assert one.receive_data(hello(seq=4), 1.3) == []
    assert one.handle_timer(9.0) == []
    statistics = one.statistics
    assert (statistics.unneeded_bytes, statistics.late_bytes) == (2, 0)
    assert (statistics.pictures_ended, statistics.pictures_stopped) == (1, 1)


def test_a_stop_that_comes_after_the_end_does_nothing() -> None:
    one = receiver()
    tag = greeted(one)
    one.receive_data(encode_frame(Data(tag, 1, 1, 0, 3, 500, b"a")), 1.0)
    assert one.receive_data(encode_frame(End(tag, 2, 1, 3)), 1.1)
    assert not one.stop_picture(1, 1.1)
    assert one.handle_timer(2.0) == []


def test_a_device_that_goes_on_with_a_stopped_picture_is_told_again() -> None:
    one = receiver()
    tag = greeted(one)
    one.receive_data(encode_frame(Data(tag, 1, 1, 0, 9, 5000, b"a")), 1.0)
    one.stop_picture(1, 1.1)
    one.receive_data(encode_frame(Data(tag, 2, 1, 1, 9, 4000, b"b")), 1.2)
    assert not frames_of_kind(one.data_to_send(1.2), Result)
    one.send_result(1, b"r", 1.3)
    told = []
    for step in range(10):
        now = 1.3 + step / 10
        one.receive_data(encode_frame(Data(tag, 3 + step, 1, 2, 9, 3000, b"c")), now)
        told.append(len(frames_of_kind(one.data_to_send(now), Result)))
    assert sum(told[1:]) == pytest.approx(4, abs=1)
    assert told[0] == 1
    assert max(told) == 1


def test_a_packet_that_contradicts_the_picture_is_dropped() -> None:
    one = receiver()
    tag = greeted(one)
    one.receive_data(encode_frame(Data(tag, 1, 1, 0, 3, 500, b"a")), 1.0)
    assert one.receive_data(encode_frame(Data(tag, 2, 1, 1, 4, 500, b"b")), 1.0) == []
    assert one.statistics.contradictions == 1


def test_pictures_passed_over_end_with_nothing() -> None:
    one = receiver()
    tag = greeted(one)
    one.receive_data(encode_frame(Data(tag, 1, 1, 0, 2, 500, b"a")), 1.0)
    events = one.receive_data(encode_frame(Data(tag, 2, 4, 0, 1, 500, b"d")), 2.0)
    ended = [event for event in events if isinstance(event, PictureEnded)]
    assert [(event.picture_id, len(event.packets)) for event in ended] == [
        (1, 1),
        (2, 0),
        (3, 0),
        (4, 1),
    ]
    (end,) = one.receive_data(encode_frame(End(tag, 3, 5, 9)), 2.0)
    assert end == PictureEnded(5, {}, 9, 0, 2.0, 2.0, 0)


def test_hello_may_pass_over_more_pictures_than_are_reported() -> None:
    one = receiver()
    tag = greeted(one)
    one.receive_data(encode_frame(Data(tag, 1, 1, 0, 2, 500, b"a")), 1.0)
    events = one.receive_data(hello(seq=9, first=1_000_000), 2.0)
    ids = [event.picture_id for event in events if isinstance(event, PictureEnded)]
    assert len(ids) == MAX_SKIPPED_PICTURES + 1
    assert ids[0] == 1
    assert ids[-1] == 999_999


def test_ack_reports_what_is_missing_also_when_it_comes_late() -> None:
    one = receiver()
    tag = greeted(one)
    for seq in (1, 4, 3):
        one.receive_data(encode_frame(Ping(tag, seq)), 0.0)
    (ack,) = frames_of_kind(one.data_to_send(0.0), Ack)
    assert (ack.highest, ack.missing) == (4, 0b10)
    one.receive_data(encode_frame(Ping(tag, 4)), 0.0)
    one.receive_data(encode_frame(Ping(tag, 300)), 0.0)
    one.receive_data(encode_frame(Ping(tag, 5)), 0.0)
    (ack,) = frames_of_kind(one.data_to_send(0.0), Ack)
    assert (ack.highest, ack.missing) == (300, 2**64 - 1)


def test_results_are_sent_and_sent_again_when_asked() -> None:
    one = receiver(num_results_kept=2)
    tag = greeted(one)
    one.receive_data(encode_frame(End(tag, 1, 3, 0)), 0.0)
    one.data_to_send(0.0)
    for picture_id in (1, 2, 3):
        one.send_result(picture_id, b"r%d" % picture_id, 0.0)
    sent = frames_of_kind(one.data_to_send(0.0), Result)
    assert [(frame.picture_id, frame.payload) for frame in sent] == [(2, b"r2"), (3, b"r3")]
    one.receive_data(encode_frame(End(tag, 2, 3, 0)) + encode_frame(End(tag, 3, 1, 0)), 0.1)
    sent = frames_of_kind(one.data_to_send(0.1), Result)
    assert [frame.picture_id for frame in sent] == [3]


def test_results_that_belong_to_no_picture_here_are_dropped() -> None:
    one = receiver()
    one.send_result(1, b"early", 0.0)
    greeted(one)
    one.send_result(1, b"not ended", 0.0)
    one.receive_data(hello(session_id=8, first=5), 0.0)
    one.data_to_send(0.0)
    one.send_result(1, b"other session", 0.0, session_id=7)
    assert one.data_to_send(0.0) == b""
    with pytest.raises(LocalProtocolError):
        one.send_result(1, b"x" * 201, 0.0)


def test_a_new_session_ends_the_old_picture_first() -> None:
    one = receiver()
    tag = greeted(one)
    one.receive_data(encode_frame(Data(tag, 1, 1, 0, 2, 500, b"a")), 1.0)
    events = one.receive_data(hello(session_id=8), 2.0)
    assert [type(event) for event in events] == [PictureEnded, DeviceConnected]


def test_another_version_is_refused_and_told_ours() -> None:
    one = receiver()
    tag = greeted(one)
    one.receive_data(encode_frame(Data(tag, 1, 1, 0, 2, 500, b"a")), 1.0)
    one.data_to_send(1.0)
    with pytest.raises(RemoteProtocolError, match=r"speaks wire protocol 3, this server 2"):
        one.receive_data(foreign(1), 1.1)
    assert frames_of(one.data_to_send(1.1)) == [Who()]
    assert one.session_id is None
    assert [type(event) for event in one.handle_timer(1.2)] == [PictureEnded]
    assert [type(event) for event in one.receive_data(hello(), 1.3)] == [DeviceConnected]


def test_frames_only_a_server_sends_mean_nothing_to_it() -> None:
    one = receiver()
    greeted(one)
    stray = encode_frame(Ack(1, 1, 1, 0)) + encode_frame(Result(1, 1, b""))
    assert one.receive_data(stray, 0.0) == []
    assert one.data_to_send(0.0) == b""


def test_link_opened_asks_again_and_keeps_the_picture() -> None:
    one = receiver()
    tag = greeted(one)
    one.receive_data(encode_frame(Data(tag, 1, 1, 0, 2, 500, b"a")), 1.0)
    one.receive_data(b"\x44half a frame", 1.0)
    one.data_to_send(1.0)
    one.link_opened(1.1)
    assert frames_of(one.data_to_send(1.1)) == [Who()]
    events = one.receive_data(encode_frame(Data(tag, 2, 1, 1, 2, 300, b"b")), 1.2)
    assert isinstance(events[-1], PictureEnded)
    assert events[-1].packets == {0: b"a", 1: b"b"}


# --- both together


def run_pictures(pair: VirtualPair, count: int, *, size: int = 12, deadline_s: float = 0.5) -> None:
    def submit(number: int) -> None:
        pair.sender.submit(packets(size, seed=number), deadline=pair.now + deadline_s, now=pair.now)

    for number in range(count):
        pair.at(0.05 + number * deadline_s, lambda number=number: submit(number))  # type: ignore[misc]
    pair.run_until_idle(count * deadline_s + 60)


def assert_each_ended_once(pair: VirtualPair, count: int) -> list[PictureEnded]:
    ended = of_kind(pair.receiver_events, PictureEnded)
    assert [event.picture_id for event in ended] == list(range(1, count + 1))
    for event in ended:
        sent = packets(12, seed=event.picture_id - 1)
        assert all(sent[index] == packet for index, packet in event.packets.items())
    return ended


def test_all_arrives_on_a_fast_link_and_results_come_back() -> None:
    pair = VirtualPair(sender(), receiver(), link(20_000))
    run_pictures(pair, 5)
    assert all(len(event.packets) == 12 for event in assert_each_ended_once(pair, 5))
    assert [e.picture_id for e in of_kind(pair.sender_events, ResultReceived)] == [1, 2, 3, 4, 5]
    assert not of_kind(pair.sender_events, PictureExpired)
    assert pair.sender.next_timer() is None
    assert pair.receiver.statistics.duplicate_bytes == 0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "faults",
    [
        {"loss": 0.1},
        {"loss": 0.5},
        {"duplicate": 0.3},
        {"reorder": 0.3},
        {"loss": 0.2, "duplicate": 0.2, "reorder": 0.2, "one_byte_at_a_time": True},
        {"cuts": ((0.3, 1.4), (2.0, 2.1))},
    ],
)
def test_each_picture_ends_once_whatever_happens_to_frames(
    faults: dict[str, object], seed: int
) -> None:
    pair = VirtualPair(sender(), receiver(), link(8_000, seed=seed, **faults))
    run_pictures(pair, 10)
    ended = assert_each_ended_once(pair, 10)
    results = [event.picture_id for event in of_kind(pair.sender_events, ResultReceived)]
    assert sorted(results) == list(range(1, 11))
    assert sum(event.received_bytes for event in ended) > 2000


def test_bit_errors_cost_frames_not_pictures() -> None:
    channel = ChannelConfig(trace=RateTrace.constant(80_000), bit_error=2e-4, delay_s=0.002, seed=3)
    pair = VirtualPair(sender(), receiver(), VirtualLinkConfig(channel=channel))
    run_pictures(pair, 10)
    ended = assert_each_ended_once(pair, 10)
    assert sum(event.received_bytes for event in ended) > 0.8 * 10 * 12 * 200
    assert pair.receiver.statistics.bad_frames > 5


def test_nothing_arrives_and_every_picture_still_ends() -> None:
    pair = VirtualPair(sender(), receiver(), link(cuts=((0.2, 3.0),)))
    run_pictures(pair, 5)
    ended = assert_each_ended_once(pair, 5)
    assert [len(event.packets) for event in ended[1:]] == [0, 0, 0, 0]
    assert 5 in [event.picture_id for event in of_kind(pair.sender_events, ResultReceived)]


def test_one_byte_at_a_time_is_the_same_as_all_at_once() -> None:
    runs = []
    for alone in (False, True):
        pair = VirtualPair(sender(), receiver(), link(one_byte_at_a_time=alone))
        run_pictures(pair, 4)
        runs.append([event.packets for event in assert_each_ended_once(pair, 4)])
    assert runs[0] == runs[1]


def test_the_same_seed_gives_the_same_run() -> None:
    runs = []
    for _ in range(2):
        pair = VirtualPair(sender(), receiver(), link(6_000, loss=0.2, seed=5))
        run_pictures(pair, 4)
        runs.append((pair.receiver_events, pair.sender_events))
    assert runs[0] == runs[1]


@pytest.mark.parametrize("at_s", [0.01, 0.3, 0.5, 0.77])
def test_a_restarted_receiver_asks_and_goes_on(at_s: float) -> None:
    pair = VirtualPair(sender(), receiver(), link(6_000))
    second = receiver(epoch_seed=2)
    pair.at(at_s, lambda: pair.restart_receiver(second))
    run_pictures(pair, 4)
    devices = [time for time, event in pair.receiver_events if isinstance(event, DeviceConnected)]
    assert devices[-1] < at_s + 0.3
    ended = [
        event.picture_id
        for time, event in pair.receiver_events
        if isinstance(event, PictureEnded) and time >= at_s
    ]
    assert len(ended) == len(set(ended))
    assert ended[-2:] == [3, 4]
    assert 4 in [event.picture_id for event in of_kind(pair.sender_events, ResultReceived)]


def test_a_picture_survives_the_restart_of_its_receiver() -> None:
    pair = VirtualPair(sender(), receiver(), link(20_000))
    pair.at(0.1, lambda: pair.restart_receiver(receiver(epoch_seed=2)))
    run_pictures(pair, 1, size=12)
    (ended,) = of_kind(pair.receiver_events, PictureEnded)
    assert len(ended.packets) == 12


def test_a_restarted_sender_is_a_new_device_and_its_old_picture_ends() -> None:
    pair = VirtualPair(sender(), receiver(), link(6_000))
    pair.at(0.3, lambda: pair.restart_sender(sender(session_id=8)))
    run_pictures(pair, 4)
    marks = [
        event.session_id if isinstance(event, DeviceConnected) else event.picture_id
        for _, event in pair.receiver_events
        if isinstance(event, DeviceConnected | PictureEnded)
    ]
    assert marks == [7, 1, 8, 1, 2, 3]


@pytest.mark.parametrize("rate", [2_000, 6_000, 40_000])
def test_at_most_one_window_arrives_late_and_nothing_old_is_sent(rate: int) -> None:
    pair = VirtualPair(sender(), receiver(), link(rate))
    newest = 0
    deadline = 0.0
    windows: list[int] = []
    parser = FrameParser()

    def watch(now: float, data: bytes) -> None:
        nonlocal newest, deadline
        for frame in parser.feed(data):
            if isinstance(frame, Data):
                if frame.picture_id > newest:
                    newest, deadline = frame.picture_id, now + 0.5
                assert frame.picture_id == newest
                assert now < deadline
        windows.append(pair.sender.statistics.window_bytes)
        assert pair.sender.statistics.in_flight_bytes <= max(windows)

    pair.on_sent = watch
    run_pictures(pair, 8, size=120)
    ended = of_kind(pair.receiver_events, PictureEnded)
    assert len(ended) == 8
    assert pair.receiver.statistics.late_bytes <= 8 * max(windows)
    assert max(event.late_bytes for event in ended) <= max(windows)


def _chaos(seed: int) -> None:
    """Faults, restarts and reopened links at random; then peace, and everything must be settled."""
    source = random.Random(seed)
    rate = source.choice([500, 2_000, 8_000, 40_000])

    def direction(number: int) -> VirtualLinkConfig:
        channel = ChannelConfig(
            trace=RateTrace.constant(8 * rate),
            delay_s=source.choice([0, 0.002, 0.05, 0.3]),
            bit_error=source.choice([0, 0, 1e-4]),
            fifo_bytes=source.choice([64, 512, 4096]),
            seed=number,
        )
        starts = [source.random() * 5 for _ in range(source.randrange(3))]
        return VirtualLinkConfig(
            channel=channel,
            loss=source.choice([0, 0, 0.05, 0.3]),
            cuts=tuple((start, start + source.random()) for start in starts),
            one_byte_at_a_time=source.random() < 0.2,
            seed=number,
        )

    pair = VirtualPair(sender(session_id=0), receiver(), direction(seed), direction(seed + 1))
    sent: dict[tuple[int, int], list[bytes]] = {}
    restarts: list[int] = []
    deadline_s = source.choice([0.2, 0.5, 1.0])

    def submit() -> None:
        pieces = [source.randbytes(source.randrange(1, 244)) for _ in range(source.randrange(30))]
        picture_id = pair.sender.submit(pieces, deadline=pair.now + deadline_s, now=pair.now)
        sent[pair.sender.session_id, picture_id] = pieces

    def disturb() -> None:
        kind = source.randrange(3)
        if kind == 0:
            pair.restart_sender(sender(session_id=pair.sender.session_id + 1))
        elif kind == 1:
            restarts.append(len(pair.receiver_events))
            pair.restart_receiver(receiver(epoch_seed=source.randrange(1000)))
        else:
            pair.sender.link_opened(pair.now)
            pair.receiver.link_opened(pair.now)

    def stop() -> None:
        for picture_id in range(1, 9):
            pair.receiver.stop_picture(picture_id, pair.now)

    for _ in range(source.randrange(5)):
        pair.at(source.random() * 8 * deadline_s, stop)
    for number in range(8):
        pair.at(0.05 + number * deadline_s * source.choice([0.7, 1, 1.3]), submit)
    for _ in range(source.randrange(3)):
        pair.at(source.random() * 8 * deadline_s, disturb)
    pair.run_until(60.0)

    ended: Counter[tuple[int, int]] = Counter()
    lives = [0, *restarts, len(pair.receiver_events)]
    for start, end in pairwise(lives):
        life: Counter[tuple[int, int]] = Counter()
        session_id = -1
        for _, event in pair.receiver_events[start:end]:
            if isinstance(event, DeviceConnected):
                session_id = event.session_id
            if isinstance(event, PictureEnded):
                life[session_id, event.picture_id] += 1
                for index, packet in event.packets.items():
                    assert sent[session_id, event.picture_id][index] == packet
        assert all(times == 1 for times in life.values())
        ended += life
    assert all(key in ended for key in sent if key[0] == pair.sender.session_id)
    assert pair.sender.next_timer() is None


@pytest.mark.parametrize("seed", range(25))
def test_everything_is_settled_after_any_trouble(seed: int) -> None:
    _chaos(seed)


# --- noise


def _noise(source: random.Random, tag: int) -> bytes:
    kind = source.randrange(1, 10)
    raw = bytes([kind, tag]) + source.randbytes(source.randrange(24))
    if kind in (1, 3):
        raw = bytes([kind]) + b"PNC\x02" + source.randbytes(source.randrange(30))
    crc = binascii.crc_hqx(raw, 0xFFFF).to_bytes(2, "little")
    return source.choice([cobs_encode(raw + crc) + b"\0", source.randbytes(20), cobs_encode(raw)])


def _fuzz_sessions(rounds: int, seed: int) -> None:
    source = random.Random(seed)
    device, server = sender(), receiver()
    tag = greeted(server)
    connect(device, epoch=tag)
    for step in range(rounds):
        now = step / 100
        if step % 50 == 0:
            device.submit(packets(3, 40), deadline=now + 0.3, now=now)
        for event in server.receive_data(_noise(source, tag), now):
            if isinstance(event, PictureEnded):
                server.send_result(event.picture_id, b"r", now)
        device.receive_data(_noise(source, tag), now)
        server.handle_timer(now)
        device.handle_timer(now)
        for one in (device, server):
            assert len(one.data_to_send(now)) < 40_000
        assert len(device._in_flight) < 200
        assert len(device._ended) <= MAX_ENDED
        assert server._session is not None
        tag = server._session.epoch & 0xFF
    pair = VirtualPair(sender(session_id=99), server, link())
    pair.clock.now = rounds / 100
    pair.sender.submit(packets(3), deadline=pair.now + 1, now=pair.now)
    pair.run_until_idle(20)
    assert of_kind(pair.receiver_events, PictureEnded)[-1].received_bytes == 600


def test_sessions_survive_noise() -> None:
    _fuzz_sessions(5_000, 1)


@pytest.mark.slow
def test_sessions_survive_a_hundred_thousand_pieces_of_noise() -> None:
    _fuzz_sessions(100_000, 2)
