"""Devices on one virtual radio, and a session driven over a link of theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from bumble.controller import Controller
from bumble.device import Device
from bumble.hci import Address
from bumble.host import Host
from bumble.transport.common import AsyncPipeSink, Transport

from benchmarks.radio.bleak_backend import bluetooth_of
from benchmarks.radio.controller import Radio, RadioConfig, RadioController
from pnc.transport.driver import Session
from pnc.transport.events import Event
from pnc.transport.links.ble import Bluetooth
from pnc.transport.links.ble_peripheral import Peripheral
from pnc.transport.links.event_loop import AsyncLink

SERVER_ADDRESS = "F0:F1:F2:F3:F4:F5"


def transport_to(controller: Controller) -> Transport:
    """Return what bumble opens for a controller in the same process."""
    source: Any = controller
    return Transport(source, AsyncPipeSink(controller))


class World:
    """A radio and whoever is in reach; made on the loop that runs it."""

    def __init__(self, config: RadioConfig | None = None) -> None:
        self.radio = Radio(config)
        self.server_controller: RadioController | None = None

    async def device(self, name: str, address: str) -> Device:
        """Power on a device of bumble."""
        controller = RadioController(name, self.radio)
        device = Device(
            name=name, address=Address(address), host=Host(controller, AsyncPipeSink(controller))
        )
        await device.power_on()
        return device

    async def central(self, *, mtu: int = 517, address: str = "C0:C1:C2:C3:C4:C5") -> Bluetooth:
        """Power on what a camera's bleak uses."""
        return bluetooth_of(await self.device("camera", address), mtu=mtu)

    async def peripheral(self, name: str = "pnc", **options: Any) -> Peripheral:
        """Start a receiving side."""
        controller = RadioController(name, self.radio)
        self.server_controller = controller
        options.setdefault("address", SERVER_ADDRESS)
        url = f"ble-peripheral://virtual?name={name}"
        link = Peripheral(url, transport_to(controller), name=name, **options)
        await link.start()
        return link


async def pump(
    session: Session, link: AsyncLink, on_event: Callable[[Event], None], changed: asyncio.Event
) -> None:
    """Do what :func:`pnc.transport.driver.pump` does, on a loop: run until cancelled or lost."""
    loop = asyncio.get_running_loop()

    async def read() -> None:
        while True:
            data = await link.read(1.0)
            for event in session.receive_data(data, loop.time()):
                on_event(event)
            changed.set()

    session.link_opened(loop.time())
    async with asyncio.TaskGroup() as group:
        group.create_task(read())
        while True:
            changed.clear()
            for event in session.handle_timer(loop.time()):
                on_event(event)
            data = session.data_to_send(loop.time())
            if data:
                await link.write(data)
                continue
            try:
                async with asyncio.timeout_at(session.next_timer()):
                    await changed.wait()
            except TimeoutError:
                continue
