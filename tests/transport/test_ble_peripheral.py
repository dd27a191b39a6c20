"""The receiving side of a Bluetooth link, on bumble over the virtual radio."""

from __future__ import annotations

import asyncio
import errno
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bumble.transport
import pytest
from bumble.controller import Controller
from bumble.hci import HCI_Error
from bumble.transport.common import TransportInitError, TransportSpecError

from benchmarks.radio.bleak_backend import bluetooth_of
from benchmarks.radio.controller import Radio, RadioConfig, RadioController
from benchmarks.radio.virtual_time import run
from benchmarks.radio.world import SERVER_ADDRESS, World, transport_to
from pnc.errors import ConfigError, LinkError, LinkLostError
from pnc.transport.links import open_link
from pnc.transport.links.ble import connect
from pnc.transport.links.ble_peripheral import MAX_PENDING_BYTES, Peripheral, advertise
from pnc.transport.links.event_loop import (
    CLOSE_TIMEOUT_S,
    QUEUE_BYTES,
    WRITE_TIMEOUT_S,
    shared_event_loop,
)

URL = "ble-peripheral://usb:0"
REFUSED = HCI_Error(1)  # type: ignore[no-untyped-call]
QUICK = RadioConfig(interval_s=0.0075, packets_per_event=6)


def test_what_is_written_while_no_central_is_there_is_lost() -> None:
    async def script() -> None:
        world = World(QUICK)
        loop = asyncio.get_running_loop()
        server = await world.peripheral()
        assert server.packet_bytes == 20
        start_s = loop.time()
        await server.write(bytes(5000))
        assert loop.time() - start_s < 0.01
        central = await world.central()
        camera = await connect(URL, "pnc", bluetooth=central)
        await server.write(b"fresh")
        assert await camera.read(1.0) == b"fresh"
        await camera.close()
        await server.close()

    run(script())


def test_one_central_at_a_time_and_the_next_gets_nothing_old() -> None:
    async def script() -> None:
        world = World()
        server = await world.peripheral()
        first = await connect(URL, "pnc", bluetooth=await world.central())
        others = await world.central(address="C0:00:00:00:00:01")
        with pytest.raises(LinkError, match="not found"):
            await connect(URL, "pnc", bluetooth=others, timeout_s=3.0)
        await server.write(bytes(3000))
        world.radio.jammed = True
        await asyncio.sleep(3.0)
        world.radio.jammed = False
        assert await first.read(1.0) != b""
        with pytest.raises(LinkLostError):
            await first.read(1.0)
        second = await connect(URL, "pnc", bluetooth=others)
        await server.write(b"for the second")
        assert await second.read(1.0) == b"for the second"
        assert server.connections == 2
        await first.close()
        await second.close()
        await server.close()

    run(script())


def test_a_stalled_radio_holds_a_write_and_commits_little() -> None:
    async def script() -> None:
        world = World()
        loop = asyncio.get_running_loop()
        server = await world.peripheral()
        camera = await connect(URL, "pnc", bluetooth=await world.central())
        world.radio.jammed = True
        start_s = loop.time()
        await server.write(bytes(20_000))
        assert loop.time() - start_s == pytest.approx(WRITE_TIMEOUT_S)
        world.radio.jammed = False
        got = b""
        while piece := await camera.read(1.0):
            got += piece
        assert 0 < len(got) <= MAX_PENDING_BYTES + QUEUE_BYTES + 2 * server.packet_bytes
        await camera.close()
        await server.close()

    run(script())


@pytest.mark.parametrize("refuses", [False, True])
def test_a_short_interval_is_asked_for_one_way_or_the_other(refuses: bool) -> None:
    async def script() -> None:
        world = World(QUICK)
        server = await world.peripheral(interval_ms=20.0)
        assert world.server_controller is not None
        world.server_controller.refuses_updates = refuses
        device = await world.device("camera", "C0:00:00:00:00:01")
        camera = await connect(URL, "pnc", bluetooth=bluetooth_of(device))
        await asyncio.sleep(1.0)
        (connection,) = device.connections.values()
        assert connection.parameters.connection_interval == 20.0
        assert connection.parameters.supervision_timeout == 2000.0
        await camera.close()
        await server.close()

    run(script())


def test_a_controller_with_extended_advertising_takes_centrals_again_and_again() -> None:
    async def script() -> None:
        world = World(QUICK)
        controller = RadioController("new", world.radio)
        controller.le_features = Controller.le_features
        server = Peripheral(URL, transport_to(controller), address=SERVER_ADDRESS)
        await server.start()
        central = await world.central()
        for count in (1, 2):
            camera = await connect(URL, SERVER_ADDRESS, bluetooth=central)
            await camera.write(b"hello")
            assert await server.read(1.0) == b"hello"
            await camera.close()
            assert server.connections == count
        await server.close()

    run(script())


def test_closing_is_bounded_where_the_controller_has_stopped() -> None:
    async def script() -> None:
        world = World(QUICK)
        server = await world.peripheral()
        controller = world.server_controller
        assert controller is not None
        controller.set_packet_sink(None)
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        await server.close()
        assert loop.time() - start_s == pytest.approx(CLOSE_TIMEOUT_S)

    run(script())


def test_the_link_goes_when_the_radio_goes() -> None:
    async def script() -> None:
        world = World(QUICK)
        server = await world.peripheral()
        controller = world.server_controller
        assert controller is not None
        controller.terminated.set_result(None)
        with pytest.raises(LinkLostError, match="the radio went away; is it plugged in"):
            await server.read(5.0)
        await server.close()

    run(script())


def opens(monkeypatch: pytest.MonkeyPatch, outcome: Any) -> None:
    """Let bumble open this, or raise it."""

    async def open_transport(_: str) -> Any:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome()

    monkeypatch.setattr(bumble.transport, "open_transport", open_transport)


class DeafTransport:
    """Something that is no controller."""

    def __init__(self) -> None:
        self.closed = False
        self.source = SimpleNamespace(
            terminated=asyncio.get_running_loop().create_future(),
            set_packet_sink=lambda _: None,
        )
        self.sink = SimpleNamespace(on_packet=lambda _: None)

    async def close(self) -> None:
        self.closed = True


def test_what_does_not_answer_hci_has_the_wrong_firmware(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[DeafTransport] = []

    def open_deaf() -> DeafTransport:
        made.append(DeafTransport())
        return made[0]

    opens(monkeypatch, open_deaf)
    with pytest.raises(LinkError, match=r"wrong firmware .* hci_usb") as caught:
        run(advertise("ble-peripheral://serial:/dev/ttyACM0", "serial:/dev/ttyACM0"))
    assert caught.value.reason == "wrong firmware"
    assert made[0].closed


class USBErrorOther(Exception):  # noqa: N818 - named as libusb1 names it
    """What libusb1 raises where there is no USB at all."""


@pytest.mark.parametrize(
    ("transport", "error", "reason", "message"),
    [
        ("usb:0", TransportInitError("device not found"), "missing", "no such radio"),
        ("serial:/dev/x", FileNotFoundError(errno.ENOENT, "gone"), "missing", "is it plugged in"),
        ("serial:/dev/x", PermissionError(errno.EACCES, "no"), "not permitted", "aG dialout"),
        ("usb:0", PermissionError(errno.EACCES, "no"), "not permitted", "aG plugdev"),
        ("hci-socket:0", PermissionError(errno.EPERM, "no"), "not permitted", "CAP_NET_ADMIN"),
        ("hci-socket:0", OSError(errno.EBUSY, "busy"), "busy", "systemctl stop bluetooth"),
        ("tcp-client:h:1", ConnectionRefusedError(errno.ECONNREFUSED, "x"), "missing", "nothing"),
        ("usb:0", REFUSED, "wrong firmware", "does not answer"),
        ("usb:0", USBErrorOther("-99"), "missing", "USB cannot be used"),
        ("hci-socket:0", Exception("not supported here"), "other", "not supported here"),
    ],
)
def test_why_a_radio_fails_is_one_line(
    monkeypatch: pytest.MonkeyPatch, transport: str, error: Exception, reason: str, message: str
) -> None:
    opens(monkeypatch, error)
    with pytest.raises(LinkError, match=message) as caught:
        run(advertise(URL, transport))
    assert caught.value.reason == reason
    assert str(caught.value).startswith(f"{URL}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error", [TransportSpecError("unknown"), ValueError("x"), AssertionError()]
)
def test_a_transport_that_bumble_does_not_know_is_refused(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    opens(monkeypatch, error)
    with pytest.raises(ConfigError, match="'lamp' is no radio; use usb:0, serial:"):
        run(advertise(URL, "lamp"))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ble-peripheral://", "no radio is named; use ble-peripheral://usb:0"),
        ("ble-peripheral://usb:0?baud=9", "unknown option baud; known are name, address"),
        ("ble-peripheral://usb:0?name=", "name='' is not 1 to 29 bytes"),
        (f"ble-peripheral://usb:0?name={'x' * 30}", "is not 1 to 29 bytes"),
        ("ble-peripheral://usb:0?interval_ms=5", "interval_ms=5 is outside 7.5 to 4000"),
        ("ble-peripheral://usb:0?packet_bytes=5", "packet_bytes=5 is outside 20 to 512"),
        ("ble-peripheral://usb:0?address=here", "address='here' is no address"),
    ],
)
def test_bad_addresses_are_refused(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_link(url)


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bumble.transport", None)
    with pytest.raises(ConfigError, match=r"pip install 'pnc\[ble\]'") as caught:
        open_link("ble-peripheral://usb:0")
    assert caught.value.extra == "ble"


def test_a_controller_behind_a_socket_serves_a_link(tmp_path: Path) -> None:
    loop = shared_event_loop()
    path = tmp_path / "hci"

    async def prepare() -> tuple[Any, Radio]:
        host = await bumble.transport.open_transport(f"unix-server:{path}")
        radio = Radio(QUICK)
        RadioController("adapter", radio, host)
        return host, radio

    host, radio = loop.run(prepare())
    server = open_link(f"ble-peripheral://unix-client:{path}?address={SERVER_ADDRESS}&name=pi")

    async def use() -> None:
        world = World(QUICK)
        world.radio = radio
        central = bluetooth_of(await world.device("camera", "C0:00:00:00:00:02"))
        camera = await connect("ble://pi", "pi", bluetooth=central, timeout_s=60.0)
        await camera.write(b"question")
        while await camera.read(60.0) != b"answer":
            pass
        await camera.close()

    using = asyncio.run_coroutine_threadsafe(use(), loop._loop)
    assert server.read(60.0) == b"question"
    server.write(b"answer")
    using.result()
    server.close()

    async def clean_up() -> None:
        host.server.close()
        await host.close()

    loop.run(clean_up())
