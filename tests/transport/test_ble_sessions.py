"""A real sender and a real receiver over the virtual radio: what arrives, and how much too late."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from benchmarks.radio.controller import RadioConfig
from benchmarks.radio.pictures import PACKET_BYTES, capacity_bytes_per_s, send_over_radio
from benchmarks.radio.virtual_time import run
from benchmarks.radio.world import World, pump
from pnc.config import ReceiverConfig, SenderConfig
from pnc.errors import LinkLostError
from pnc.replay.lateness import CONTENDERS, NoWindowSender, WatchedReceiver
from pnc.transport import Sender
from pnc.transport.events import Event, PictureEnded
from pnc.transport.links.ble import Bluetooth, connect
from pnc.transport.links.ble_peripheral import Peripheral

NUM_PACKETS = 1000
"""More than any radio here carries by the deadline."""

DEADLINE_S = 1.5

SLOW = RadioConfig(interval_s=0.03, packets_per_event=2)
FAST = RadioConfig(interval_s=0.015, packets_per_event=6)
LONG = RadioConfig(interval_s=0.05, packets_per_event=6)
LOSSY = RadioConfig(interval_s=0.03, packets_per_event=2, loss=0.2, seed=1)
POLLED = RadioConfig(interval_s=0.05, packets_per_event=6, loss=0.2, seed=3)


class Stage:
    """A camera and a server that keep their sessions running, whatever becomes of the link."""

    def __init__(
        self, world: World, window_bytes: int, make_sender: Callable[[SenderConfig], Sender]
    ) -> None:
        self.world = world
        self.sender = make_sender(SenderConfig(mtu_bytes=PACKET_BYTES, session_id=1))
        self.receiver = WatchedReceiver(ReceiverConfig(epoch_seed=1, window_bytes=window_bytes))
        self.deadlines: dict[int, float] = {}
        self.ended: list[PictureEnded] = []
        self.lost_at: list[float] = []
        """When the camera noticed that its link was gone."""
        self.server: Peripheral | None = None
        self._changed = asyncio.Event(), asyncio.Event()

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def show(self, *, pause_s: float = 0.0, wait_s: float = DEADLINE_S) -> int:
        """Send one picture, and wait until its deadline."""
        deadline = self.now + DEADLINE_S
        picture_id = self.sender.submit(
            [bytes([1 + index % 255]) * PACKET_BYTES for index in range(NUM_PACKETS)],
            deadline=deadline,
            now=self.now,
        )
        self.deadlines[picture_id] = deadline
        self._changed[0].set()
        await asyncio.sleep(wait_s + pause_s)
        return picture_id

    def lateness_s(self, picture_id: int) -> list[float]:
        """How much too late packets of a picture came, seconds each."""
        deadline = self.deadlines[picture_id]
        arrivals = [one.at for one in self.receiver.arrivals if one.picture_id == picture_id]
        return [at - deadline for at in arrivals if at > deadline]

    def goodput_bytes_per_s(self, first_id: int = 1) -> float:
        """Payload in time, from this picture on."""
        pictures = [ended for ended in self.ended if ended.picture_id >= first_id]
        return sum(ended.received_bytes for ended in pictures) / DEADLINE_S / len(pictures)

    async def serve(self) -> None:
        """Start the server, as at boot; run until cancelled."""
        async with contextlib.AsyncExitStack() as stack:
            self.server = await self.world.peripheral()
            stack.push_async_callback(self.server.close)
            await pump(self.receiver, self.server, self._on_received, self._changed[1])

    async def send(self, bluetooth: Bluetooth) -> None:
        """Keep the camera connected; run until cancelled."""
        while True:
            link = await connect("ble://pnc", "pnc", bluetooth=bluetooth, timeout_s=60)
            try:
                await pump(self.sender, link, lambda event: None, self._changed[0])
            except* LinkLostError:
                self.lost_at.append(self.now)
            finally:
                await link.close()

    def _on_received(self, event: Event) -> None:
        if isinstance(event, PictureEnded):
            self.ended.append(event)
            self.receiver.send_result(event.picture_id, b"ok", self.now)


@contextlib.asynccontextmanager
async def stage(
    config: RadioConfig,
    window_bytes: int = 16_384,
    make_sender: Callable[[SenderConfig], Sender] = Sender,
) -> AsyncIterator[Stage]:
    """Set the stage; the two are connected."""
    world = World(config)
    made = Stage(world, window_bytes, make_sender)
    loop = asyncio.get_running_loop()
    tasks = [
        loop.create_task(made.serve()),
        loop.create_task(made.send(await world.central())),
    ]
    try:
        while not made.sender.connected:
            await asyncio.sleep(0.01)
        yield made
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def show_pictures(
    config: RadioConfig,
    count: int,
    window_bytes: int = 16_384,
    make_sender: Callable[[SenderConfig], Sender] = Sender,
) -> Stage:
    async with stage(config, window_bytes, make_sender) as made:
        for _ in range(count):
            await made.show(pause_s=0.5)
        await asyncio.sleep(2.0)
        return made


@pytest.mark.parametrize("config", [SLOW, FAST, LONG, LOSSY], ids=["slow", "fast", "long", "lossy"])
def test_a_window_fills_the_radio_and_keeps_late_packets_few(config: RadioConfig) -> None:
    shown = run(show_pictures(config, 2))
    assert Counter(ended.picture_id for ended in shown.ended) == {1: 1, 2: 1}
    assert shown.sender.statistics.results_received == 2
    assert shown.sender.statistics.data_frames_lost == 0
    assert shown.goodput_bytes_per_s() >= 0.9 * capacity_bytes_per_s(config)
    for picture_id in shown.deadlines:
        late = shown.lateness_s(picture_id)
        assert len(late) <= 2
        assert max(late, default=0.0) <= 4 * config.interval_s


@pytest.mark.parametrize("config", [LONG, POLLED], ids=["long", "long and lossy"])
def test_a_radio_is_filled_wherever_deadlines_fall_between_its_polls(config: RadioConfig) -> None:
    ends = CONTENDERS["window"](PACKET_BYTES)
    outcomes, capacity = send_over_radio(ends, config, count=15, deadline_s=1.507)
    possible = capacity * 1.507
    shares = [outcome.in_time_bytes / possible for outcome in outcomes]
    assert sum(shares) / len(shares) >= 0.85
    assert max(outcome.late_packets for outcome in outcomes) <= 2


@pytest.mark.parametrize("config", [SLOW, FAST, LOSSY], ids=["slow", "fast", "lossy"])
def test_without_a_window_the_radio_goes_on_with_what_nobody_wants(config: RadioConfig) -> None:
    shown = run(show_pictures(config, 1, 2**24, NoWindowSender))
    late = shown.lateness_s(1)
    assert len(late) * PACKET_BYTES >= 0.5 * capacity_bytes_per_s(config)
    assert max(late) > 0.5
    assert shown.goodput_bytes_per_s() <= 1.1 * capacity_bytes_per_s(config)


def test_the_same_seed_gives_the_same_run() -> None:
    first, again = (run(show_pictures(LOSSY, 1)) for _ in range(2))
    assert first.receiver.arrivals == again.receiver.arrivals


def test_a_stall_shorter_than_the_supervision_time_out_costs_only_its_time() -> None:
    async def script() -> Stage:
        async with stage(SLOW) as made:
            await made.show(wait_s=0.5)
            made.world.radio.jammed = True
            await asyncio.sleep(1.2)
            made.world.radio.jammed = False
            await asyncio.sleep(0.5)
            await made.show(pause_s=1.0)
            assert made.server is not None
            assert made.server.connections == 1
            return made

    shown = run(script())
    assert shown.lost_at == []
    assert [ended.picture_id for ended in shown.ended] == [1, 2]
    assert len(shown.lateness_s(1)) * PACKET_BYTES <= 2 * 2048
    assert len(shown.lateness_s(2)) <= 2
    assert shown.goodput_bytes_per_s(first_id=2) >= 0.85 * capacity_bytes_per_s(SLOW)


def test_after_a_long_jam_the_two_find_each_other_again() -> None:
    async def script() -> tuple[Stage, float, float]:
        async with stage(SLOW) as made:
            await made.show(wait_s=0.5)
            made.world.radio.jammed = True
            jammed_at = made.now
            for _ in range(4):
                await made.show()
            made.world.radio.jammed = False
            cleared_at = made.now
            await made.show(pause_s=4.0)
            await made.show(pause_s=1.0)
            assert made.server is not None
            assert made.server.connections == 2
            return made, jammed_at, cleared_at

    shown, jammed_at, cleared_at = run(script())
    assert shown.lost_at[0] - jammed_at <= SLOW.supervision_timeout_s + 2 * SLOW.interval_s
    assert [ended.picture_id for ended in shown.ended] == [1, 2, 3, 4, 5, 6, 7]
    assert shown.sender.statistics.results_received == 7
    first_after = min(one.at for one in shown.receiver.arrivals if one.at > cleared_at)
    assert first_after - cleared_at <= 5.0
    assert shown.goodput_bytes_per_s(first_id=7) >= 0.9 * capacity_bytes_per_s(SLOW)


def test_a_server_that_restarts_is_found_again() -> None:
    async def script() -> tuple[Stage, float]:
        world = World(SLOW)
        made = Stage(world, 16_384, Sender)
        loop = asyncio.get_running_loop()
        sending = loop.create_task(made.send(await world.central()))
        serving = loop.create_task(made.serve())
        await asyncio.sleep(2.0)
        await made.show(wait_s=0.5)
        serving.cancel()
        await asyncio.wait([serving])
        stopped_at = made.now
        made.receiver = WatchedReceiver(ReceiverConfig(epoch_seed=2))
        serving = loop.create_task(made.serve())
        await asyncio.sleep(3.0)
        await made.show(pause_s=1.0)
        for task in (sending, serving):
            task.cancel()
        await asyncio.wait([sending, serving])
        return made, stopped_at

    shown, stopped_at = run(script())
    assert len(shown.lost_at) == 1
    assert shown.lost_at[0] - stopped_at <= 0.1
    assert shown.ended[-1].picture_id == 2
    assert shown.ended[-1].received_bytes >= 0.8 * DEADLINE_S * capacity_bytes_per_s(SLOW)


def test_a_dead_lock_of_virtual_time_is_an_error() -> None:
    async def script() -> Any:
        return await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="deadlock"):
        run(script())
