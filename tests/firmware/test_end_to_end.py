"""Two bridges between a device and a server that are the real ones, in virtual time.

Device -> USB -> bridge -> air -> bridge -> USB -> server and back. The air carries a few packets
in each connection event, as Bluetooth does; a test can have it lose packets or break off.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from device.firmware.bridge_core import Pipe
from pnc.config import ReceiverConfig, SenderConfig
from pnc.transport.events import Event, PictureEnded, ResultReceived
from pnc.transport.session import Receiver, Sender
from pnc.transport.wire import FrameParser, Ping, encode_frame

FRAMES = sorted((Path(__file__).parents[1] / "golden" / "frames").iterdir())

TICK_S = 0.0025
FIFO_BYTES = 1024
PACKET_BYTES = 244
HOST_BYTES = 4096
"""What a host's driver takes before a write blocks."""


@dataclass
class Air:
    """One direction of a link: packets leave in connection events."""

    loss: float = 0.0
    event_ticks: int = 3
    packets_per_event: int = 1
    up: bool = True
    seed: int = 0
    dropped: list[bytes] = field(default_factory=list)
    _queue: deque[bytes] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def write(self, view: memoryview) -> int:
        if len(self._queue) >= 2:
            return 0
        self._queue.append(bytes(view))
        return len(view)

    def event(self) -> list[bytes]:
        out = []
        for _ in range(min(self.packets_per_event, len(self._queue))):
            packet = self._queue.popleft()
            if self._random.random() < self.loss:
                self.dropped.append(packet)
            else:
                out.append(packet)
        return out

    def cut(self) -> None:
        self.up = False
        self._queue.clear()


class Way:
    """One direction from host to host: two pipes and what is around them."""

    def __init__(self, air: Air) -> None:
        self.air = air
        self.first, self.second = Pipe(PACKET_BYTES, 2), Pipe(512, 8)
        self.sent, self.received = bytearray(), bytearray()
        self.listening = True
        self._arrived: deque[bytes] = deque()
        self._fifo = bytearray()
        self.second.open(512)

    def tick(self, number: int) -> None:
        self._follow()
        if self.first.has_room() or not self.first.limit:
            view = self.first.inlet()
            length = min(len(view), len(self.sent))
            view[:length] = self.sent[:length]
            del self.sent[:length]
            self.first.took(length)
        waiting = self.first.outlet()
        if waiting is not None:
            self.first.gave(self.air.write(waiting))
        if number % self.air.event_ticks == 0:
            self._arrived.extend(self.air.event())
        if self._arrived:
            packet = self._arrived.popleft()
            self.second.inlet()[: len(packet)] = packet
            self.second.took(len(packet))
        waiting = self.second.outlet()
        if waiting is not None:
            length = min(len(waiting), FIFO_BYTES - len(self._fifo))
            self._fifo += waiting[:length]
            self.second.gave(length)
        if self.listening:
            self.received += self._fifo
            self._fifo.clear()

    def _follow(self) -> None:
        if self.air.up and not self.first.limit:
            self.first.open(PACKET_BYTES)
        elif not self.air.up and self.first.limit:
            self.first.close()
            self._arrived.clear()


class World:
    """Device, two bridges, server."""

    def __init__(self, loss: float = 0.0, seed: int = 0) -> None:
        self.sender = Sender(SenderConfig(session_id=7, mtu_bytes=200))
        self.receiver = Receiver(ReceiverConfig(epoch_seed=1))
        self.forward = Way(Air(loss=loss, seed=seed))
        self.back = Way(Air(loss=loss, seed=seed + 1))
        self.now = 0.0
        self.ended: list[PictureEnded] = []
        self.results: list[int] = []
        self._tick = 0
        self.sender.link_opened(0.0)
        self.receiver.link_opened(0.0)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / TICK_S)):
            self._tick += 1
            self.now = self._tick * TICK_S
            self._hosts()
            self.forward.tick(self._tick)
            self.back.tick(self._tick)

    def _hosts(self) -> None:
        now = self.now
        if self.back.received:
            self._note(self.sender.receive_data(bytes(self.back.received), now))
            self.back.received.clear()
        if self.forward.received:
            self._note(self.receiver.receive_data(bytes(self.forward.received), now))
            self.forward.received.clear()
        self._note(self.sender.handle_timer(now))
        self._note(self.receiver.handle_timer(now))
        if len(self.forward.sent) < HOST_BYTES:
            self.forward.sent += self.sender.data_to_send(now)
        if len(self.back.sent) < HOST_BYTES:
            self.back.sent += self.receiver.data_to_send(now)

    def _note(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, PictureEnded):
                self.ended.append(event)
                self.receiver.send_result(event.picture_id, b"ok", self.now, session_id=7)
            elif isinstance(event, ResultReceived):
                self.results.append(event.picture_id)

    def picture(self, count: int = 12) -> list[bytes]:
        dice = random.Random(self._tick)
        packets = [dice.randbytes(200) for _ in range(count)]
        self.sender.submit(packets, deadline=self.now + 0.9, now=self.now)
        return packets


def test_every_picture_arrives_whole_and_its_result_comes_back() -> None:
    world = World()
    world.run(0.5)
    submitted = []
    for _ in range(10):
        submitted.append(world.picture())
        world.run(1)
    assert [event.packets for event in world.ended] == [
        dict(enumerate(packets)) for packets in submitted
    ]
    assert world.results == list(range(1, 11))
    assert world.forward.first.lost == world.forward.second.lost == 0
    assert world.receiver.statistics.bad_frames == 0


@pytest.mark.parametrize("loss", [0.02, 0.1, 0.25])
def test_pictures_arrive_though_packets_are_lost(loss: float) -> None:
    world = World(loss=loss, seed=3)
    world.run(3)
    for _ in range(10):
        world.picture()
        world.run(1)
    world.run(6)
    assert len(world.forward.air.dropped) > 100 * loss / 2
    assert [event.picture_id for event in world.ended] == list(range(1, 11))
    assert sorted(world.results) == list(range(1, 11))
    arrived = sum(len(event.packets) for event in world.ended)
    assert arrived >= 120 * (1 - loss) - 6


def test_after_the_link_broke_off_pictures_go_on_with_nothing_old() -> None:
    world = World()
    world.run(0.5)
    for number in range(6):
        world.picture(30)
        world.run(0.2)
        world.forward.air.cut()
        world.back.air.cut()
        world.run(1.5)
        assert not world.forward.sent
        world.forward.air.up = world.back.air.up = True
        world.run(2.5)
        late = world.receiver.statistics.late_bytes
        packets = world.picture()
        world.run(1)
        assert world.ended[-1].packets == dict(enumerate(packets)), number
        assert world.receiver.statistics.late_bytes == late
    assert sorted(set(world.results)) == list(range(1, 13))


def test_a_server_that_stops_reading_for_a_while_costs_no_more_than_that_while() -> None:
    world = World()
    world.run(0.5)
    for _ in range(3):
        world.picture()
        world.forward.listening = False
        world.run(3)
        world.forward.listening = True
        world.run(2)
        packets = world.picture()
        world.run(1)
        assert world.ended[-1].packets == dict(enumerate(packets))


def frames_of(data: bytes) -> list[int]:
    return [frame.seq for frame in FrameParser().feed(data) if isinstance(frame, Ping)]


@pytest.mark.parametrize("seed", range(5))
def test_a_lost_packet_costs_what_it_touched_and_at_most_the_next_frame(seed: int) -> None:
    way = Way(Air(loss=0.05, seed=seed, packets_per_event=3))
    dice = random.Random(seed)
    for seq in range(1, 1500):
        way.sent += encode_frame(Ping(seq & 0xFF, seq))
        if dice.random() < 0.2:
            for number in range(dice.randint(1, 9)):
                way.tick(number)
    for number in range(3000):
        way.tick(number)
    arrived = frames_of(bytes(way.received))
    assert arrived == sorted(set(arrived))
    touched = sum(packet.count(0) + 1 for packet in way.air.dropped)
    assert 0 < 1499 - len(arrived) <= touched
    assert way.first.lost == way.second.lost == 0


@pytest.mark.parametrize("at_once", [True, False])
def test_golden_frames_come_out_as_they_went_in(*, at_once: bool) -> None:
    data = b"".join(bytes.fromhex(path.read_text()) for path in FRAMES)
    assert data.count(0) == len(FRAMES) > 5
    way = Way(Air())
    tick = 0
    for portion in [data] if at_once else [data[i : i + 1] for i in range(len(data))]:
        way.sent += portion
        while way.sent:
            tick += 1
            way.tick(tick)
    for _ in range(200):
        tick += 1
        way.tick(tick)
    assert bytes(way.received).lstrip(b"\0") == data


def test_a_long_stream_without_a_zero_arrives_whole() -> None:
    dice = random.Random(9)
    data = bytes(1 + byte % 255 for byte in dice.randbytes(100_000)) + b"\0"
    way = Way(Air(packets_per_event=3, event_ticks=1))
    way.sent += data
    for tick in range(1000):
        way.tick(tick)
    assert bytes(way.received).lstrip(b"\0") == data
