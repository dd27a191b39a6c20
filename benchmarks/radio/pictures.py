"""Pictures sent over the virtual radio, one at each deadline."""

from __future__ import annotations

import asyncio

from benchmarks.radio.controller import RadioConfig
from benchmarks.radio.virtual_time import run
from benchmarks.radio.world import World, pump
from pnc.replay.lateness import Camera, Outcome, Server, judge, make_picture
from pnc.transport.events import Event, PictureEnded
from pnc.transport.links.ble import connect
from pnc.transport.session import Receiver

PACKET_BYTES = 228
"""Its frame fills one packet of the link layer."""

START_S = 1.0
"""Time for the two sessions to find each other."""

DRAIN_S = 3.0
"""A run is over when nothing has arrived for so long."""


def capacity_bytes_per_s(config: RadioConfig) -> float:
    """Return the payload that a radio carries in the mean, if every packet of its is full.

    A failed exchange ends a connection event, so the n-th packet of one gets through with the
    probability that n exchanges in a row do.
    """
    got = 1 - config.loss
    per_event = sum(got**turn for turn in range(1, config.packets_per_event + 1))
    return per_event * PACKET_BYTES / config.interval_s


def send_over_radio(
    ends: tuple[Camera, Server], config: RadioConfig, *, count: int, deadline_s: float
) -> tuple[list[Outcome], float]:
    """Send pictures in virtual time, and wait until nothing more arrives.

    Args:
        ends: A sender and a receiver that have not been used.
        config: What the air is like.
        count: Pictures.
        deadline_s: Seconds for each.

    Returns:
        What became of the pictures, and the payload that the radio could have carried meanwhile,
        bytes per second.
    """
    return run(_send(ends, config, count, deadline_s))


async def _send(
    ends: tuple[Camera, Server], config: RadioConfig, count: int, deadline_s: float
) -> tuple[list[Outcome], float]:
    camera, server = ends
    packets = make_picture(capacity_bytes_per_s(config) * deadline_s, PACKET_BYTES)
    world, loop = World(config), asyncio.get_running_loop()
    camera_changed, server_changed = asyncio.Event(), asyncio.Event()
    deadlines: dict[int, float] = {}

    def on_received(event: Event) -> None:
        if isinstance(event, PictureEnded) and isinstance(server, Receiver):
            server.send_result(event.picture_id, b"ok", loop.time())

    there = await world.peripheral()
    here = await connect("ble://pnc", "pnc", bluetooth=await world.central())
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(pump(server, there, on_received, server_changed)),
            group.create_task(pump(camera, here, lambda event: None, camera_changed)),
        ]
        await asyncio.sleep(START_S)
        possible = world.radio.possible
        for _ in range(count):
            deadline = loop.time() + deadline_s
            deadlines[camera.submit(packets, deadline=deadline, now=loop.time())] = deadline
            camera_changed.set()
            await asyncio.sleep(deadline_s)
        possible = world.radio.possible - possible
        num_arrived = -1
        while num_arrived < len(server.arrivals):
            num_arrived = len(server.arrivals)
            await asyncio.sleep(DRAIN_S)
        for task in tasks:
            task.cancel()
    await here.close()
    await there.close()
    outcomes = judge(deadlines, server.arrivals, way_s=0.0)
    return outcomes, possible * PACKET_BYTES / (count * deadline_s)
