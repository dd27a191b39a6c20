"""The central of a Bluetooth link, on bleak's face over the virtual radio."""

from __future__ import annotations

import asyncio
import errno
import logging
import sys
from typing import Any

import pytest
from bleak import exc
from bleak.backends.scanner import BaseBleakScanner
from bumble.gatt import Characteristic, Service

from benchmarks.radio.controller import RadioConfig
from benchmarks.radio.virtual_time import run
from benchmarks.radio.world import SERVER_ADDRESS, World
from pnc.errors import ConfigError, LinkError, LinkLostError
from pnc.transport.links import open_link
from pnc.transport.links.ble import (
    NUS_RX,
    NUS_SERVICE,
    NUS_TX,
    Bluetooth,
    connect,
    full_packet_bytes,
    open_ble,
)
from pnc.transport.links.event_loop import shared_event_loop

URL = "ble://pnc"
QUICK = RadioConfig(interval_s=0.0075, packets_per_event=6)


@pytest.mark.parametrize(
    ("limit", "full"),
    [(20, 20), (182, 182), (243, 243), (244, 244), (494, 244), (495, 495), (509, 495), (600, 495)],
)
def test_a_packet_fills_the_packets_of_the_link_layer(limit: int, full: int) -> None:
    assert full_packet_bytes(limit) == full


@pytest.mark.parametrize(
    ("mtu", "packet_bytes"), [(23, 20), (100, 97), (247, 244), (512, 495), (517, 495)]
)
def test_bytes_arrive_both_ways_at_every_mtu(mtu: int, packet_bytes: int) -> None:
    async def script() -> None:
        world = World(QUICK)
        server = await world.peripheral()
        camera = await connect(URL, "pnc", bluetooth=await world.central(mtu=mtu))
        assert (camera.packet_bytes, server.packet_bytes) == (packet_bytes, packet_bytes)
        sent = bytes(index % 251 for index in range(4000))
        for writer, reader in ((camera, server), (server, camera)):
            got = b""
            for start in range(0, len(sent), 300):
                await writer.write(sent[start : start + 300])
            while piece := await reader.read(1.0):
                got += piece
            assert got == sent
        await camera.close()
        await server.close()

    run(script())


def test_a_small_mtu_is_noted(caplog: pytest.LogCaptureFixture) -> None:
    async def script(mtu: int) -> None:
        world = World(QUICK)
        server = await world.peripheral()
        await (await connect(URL, "pnc", bluetooth=await world.central(mtu=mtu))).close()
        await server.close()

    with caplog.at_level(logging.WARNING, "pnc"):
        run(script(247))
        assert caplog.text == ""
        run(script(23))
    assert "only 20 bytes at a time; keep packets small" in caplog.text


def test_a_device_is_found_by_name_or_address() -> None:
    async def script() -> None:
        world = World(QUICK)
        server = await world.peripheral()
        central = await world.central()
        for target in ("pnc", SERVER_ADDRESS, SERVER_ADDRESS.lower()):
            link = await connect(URL, target, bluetooth=central, limit_bytes=244)
            assert link.packet_bytes == 244
            await link.close()
            assert not link._client.is_connected
        assert server.connections == 3
        await server.close()

    run(script())


def test_a_name_that_is_not_there_lists_what_was_seen() -> None:
    async def script() -> None:
        world = World()
        central = await world.central()
        with pytest.raises(LinkError, match="not found in 2 s; no device was seen at all") as none:
            await connect(URL, "lamp", bluetooth=central, timeout_s=2.0)
        assert asyncio.get_running_loop().time() == pytest.approx(2.0, abs=0.1)
        assert (none.value.reason, none.value.seen) == ("missing", [])
        servers = [
            await world.peripheral(f"pnc{index}", address=f"F0:F1:F2:F3:F4:{index:02X}")
            for index in range(10)
        ]
        with pytest.raises(LinkError, match=r"seen were pnc.*pnc.* and 2 more; is it on") as some:
            await connect(URL, "pnc", bluetooth=central, timeout_s=2.0)
        assert sorted(some.value.seen) == [f"pnc{index}" for index in range(10)]
        for server in servers:
            await server.close()

    run(script())


def test_what_a_crash_left_connected_is_taken_over() -> None:
    async def script() -> None:
        world = World(QUICK)
        server = await world.peripheral()
        central = await world.central()
        left_over = await connect(URL, SERVER_ADDRESS, bluetooth=central)
        link = await connect(URL, SERVER_ADDRESS, bluetooth=central)
        assert server.connections == 1
        await link.write(b"here again")
        assert await server.read(1.0) == b"here again"
        await link.close()
        await left_over.close()
        await server.close()

    run(script())


@pytest.mark.parametrize("uuids", [[], [NUS_RX]])
def test_a_device_without_the_service_has_the_wrong_firmware(uuids: list[str]) -> None:
    async def script() -> None:
        world = World(QUICK)
        other = await world.device("heart", "F0:00:00:00:00:01")
        characteristics: list[Any] = [
            Characteristic(uuid, Characteristic.Properties.WRITE, Characteristic.WRITEABLE, b"")
            for uuid in uuids
        ]
        other.add_services([Service(NUS_SERVICE if uuids else "180D", characteristics)])
        await other.start_advertising(auto_restart=True)
        with pytest.raises(LinkError, match=r"wrong firmware .* no Nordic") as got:
            await connect(URL, "F0:00:00:00:00:01", bluetooth=await world.central())
        assert got.value.reason == "wrong firmware"
        await asyncio.sleep(1.0)
        assert other.connections == {}

    run(script())


def test_a_device_that_only_takes_requests_is_sent_requests() -> None:
    async def script() -> None:
        world = World(QUICK)
        other = await world.device("slow", "F0:00:00:00:00:01")
        properties = Characteristic.Properties
        rx: Any = Characteristic(NUS_RX, properties.WRITE, Characteristic.WRITEABLE, b"")
        tx: Any = Characteristic(NUS_TX, properties.NOTIFY, Characteristic.READABLE, b"")
        other.add_services([Service(NUS_SERVICE, [rx, tx])])
        await other.start_advertising(auto_restart=True)
        link = await connect(URL, "F0:00:00:00:00:01", bluetooth=await world.central())
        await link.write(b"please")
        await asyncio.sleep(1.0)
        assert rx.value == b"please"
        await link.close()

    run(script())


def test_a_device_that_does_not_answer_is_left_alone() -> None:
    async def script() -> None:
        world = World()
        server = await world.peripheral()
        central = await world.central()

        async def jam_soon() -> None:
            while not server.connections:
                await asyncio.sleep(0.001)
            world.radio.jammed = True

        jamming = asyncio.get_running_loop().create_task(jam_soon())
        with pytest.raises(LinkError, match="did not answer in time") as caught:
            await connect(URL, "pnc", bluetooth=central, timeout_s=1.0)
        assert caught.value.reason == "timeout"
        await jamming
        world.radio.jammed = False
        await asyncio.sleep(5.0)
        link = await connect(URL, "pnc", bluetooth=central)
        await link.close()
        await server.close()

    run(script())


def test_the_loss_of_a_device_is_noticed_at_once() -> None:
    async def script() -> None:
        world = World(QUICK)
        loop = asyncio.get_running_loop()
        server = await world.peripheral()
        link = await connect(URL, "pnc", bluetooth=await world.central())
        loop.call_later(0.5, lambda: loop.create_task(server.close()))
        start_s = loop.time()
        with pytest.raises(LinkLostError, match="ble://pnc: the device is out of reach") as lost:
            await link.read(10.0)
        assert loop.time() - start_s == pytest.approx(0.5, abs=0.05)
        assert lost.value.url == URL
        with pytest.raises(LinkLostError):
            await link.write(b"x")
        await link.close()

    run(script())


def test_a_write_that_bluez_refuses_loses_the_link(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: Any, **__: Any) -> None:
        raise exc.BleakDBusError("org.bluez.Error.Failed", ["Not connected"])

    async def script() -> None:
        world = World(QUICK)
        server = await world.peripheral()
        link = await connect(URL, "pnc", bluetooth=await world.central())
        with monkeypatch.context() as patch:
            patch.setattr(link._client, "write_gatt_char", refuse)
            await link.write(b"x")
            with pytest.raises(LinkLostError, match="went away"):
                await link.read(5.0)
        await link.close()
        await server.close()

    run(script())


def failing(error: Exception) -> Bluetooth:
    """Return a Bluetooth on which nothing can be found for this reason."""

    class Scanner(BaseBleakScanner):
        def __init__(self, callback: Any, uuids: Any, mode: str, **_: Any) -> None:
            super().__init__(callback, uuids)

        async def start(self) -> None:
            raise error

        async def stop(self) -> None:
            raise NotImplementedError

    class Adapter:
        @classmethod
        async def get(cls, **_: Any) -> Any:
            raise NotImplementedError

    adapter: Any = Adapter
    return Bluetooth(scanner=Scanner, adapter=adapter)


def not_available(name: str) -> exc.BleakError:
    reason = exc.BleakBluetoothNotAvailableReason[name]
    return exc.BleakBluetoothNotAvailableError("the system says so", reason)


@pytest.mark.parametrize(
    ("error", "reason", "message"),
    [
        (not_available("POWERED_OFF"), "off", "bluetoothctl power on"),
        (not_available("NO_BLUETOOTH"), "missing", "plug one in"),
        (not_available("NO_BLE_CENTRAL_ROLE"), "missing", "too old"),
        (not_available("DENIED_BY_SYSTEM"), "not permitted", "usermod -aG bluetooth"),
        (not_available("UNKNOWN"), "other", "the system says so"),
        (exc.BleakDBusError("org.bluez.Error.NotReady", ["x"]), "off", "Bluetooth is off"),
        (
            exc.BleakDBusError("org.freedesktop.DBus.Error.AccessDenied", ["x"]),
            "not permitted",
            "usermod -aG bluetooth",
        ),
        (
            exc.BleakDBusError("org.freedesktop.DBus.Error.ServiceUnknown", ["x"]),
            "no service",
            "systemctl start bluetooth",
        ),
        (exc.BleakDBusError("org.bluez.Error.InProgress", ["x"]), "busy", "another program"),
        (exc.BleakDBusError("org.bluez.Error.Odd", ["x"]), "other", "org.bluez.Error.Odd"),
        (FileNotFoundError(errno.ENOENT, "no bus"), "no service", "systemctl start bluetooth"),
        (PermissionError(errno.EACCES, "no"), "not permitted", "usermod -aG bluetooth"),
        (EOFError(), "no service", "systemctl start bluetooth"),
        (exc.BleakDeviceNotFoundError("x"), "timeout", "did not answer"),
        (exc.BleakError("adapter 'hci9' not found"), "missing", "no adapter hci9 here"),
        (exc.BleakError("something else"), "other", "something else"),
    ],
)
def test_why_bluetooth_fails_is_one_line(error: Exception, reason: str, message: str) -> None:
    with pytest.raises(LinkError, match=message) as caught:
        run(connect(URL, "pnc", adapter="hci9", bluetooth=failing(error)))
    assert caught.value.reason == reason
    assert str(caught.value).startswith(f"{URL}: ")
    assert "\n" not in str(caught.value)
    if reason == "not permitted":
        assert caught.value.group == "bluetooth"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ble://", "no device is named; use ble://NAME"),
        ("ble://camera?speed=9", "unknown option speed; known are timeout_s, adapter"),
        ("ble://camera?timeout_s=soon", "timeout_s='soon' is not a number"),
        ("ble://camera?packet_bytes=19", "packet_bytes=19 is outside 20 to 512"),
        ("ble://camera?packet_bytes=513", "packet_bytes=513 is outside 20 to 512"),
    ],
)
def test_bad_addresses_are_refused(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_link(url)


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bleak", None)
    with pytest.raises(ConfigError, match=r"pip install 'pnc\[ble\]'") as caught:
        open_link("ble://camera")
    assert caught.value.extra == "ble"


def test_a_link_blocks_like_all_others() -> None:
    loop = shared_event_loop()

    async def prepare() -> tuple[Any, Bluetooth]:
        world = World(QUICK)
        return await world.peripheral(), await world.central()

    server, bluetooth = loop.run(prepare())
    link = open_ble("ble://pnc?timeout_s=60", "pnc", {"timeout_s": "60"}, bluetooth)
    link.write(b"question")
    assert loop.run(server.read(60.0)) == b"question"
    loop.run(server.write(b"answer"))
    assert link.read(60.0) == b"answer"
    assert link.packet_bytes == 495
    loop.run(server.close())
    with pytest.raises(LinkLostError, match="out of reach"):
        link.read(60.0)
    link.close()
    with pytest.raises(LinkLostError, match="closed"):
        link.write(b"x")
