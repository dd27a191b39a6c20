"""A board's hardware as CircuitPython shows it, for ``code.py`` on CPython.

Names, arguments and return values are those of CircuitPython 10. What is bad about the real thing
is bad here too: a packet buffer of the radio drops its oldest packets silently, and one whose link
went away in the middle of a packet waits for ever unless another notification is done.
"""

from __future__ import annotations

import importlib.util
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

from device.firmware import bridge_core

FIRMWARE = Path(__file__).resolve().parents[2] / "device" / "firmware"

FIFO_BYTES = 1024
"""Of a serial port of the board, each way."""


class BluetoothError(Exception):
    pass


class Reloaded(BaseException):
    """The board starts its program anew."""


class Port:
    """A serial port, seen from the board; the other end is ``sent`` and ``received``."""

    def __init__(self) -> None:
        self.sent = bytearray()
        """By the host, not yet read."""
        self.received = bytearray()
        """By the host."""
        self.connected = True
        self.stalled = False
        """Whether the host reads nothing."""
        self.timeout: float | None = None
        self.write_timeout: float | None = None
        self._fifo = bytearray()

    @property
    def out_waiting(self) -> int:
        return len(self._fifo)

    def readinto(self, view: memoryview) -> int:
        assert self.timeout == 0, "would block"
        length = min(len(view), len(self.sent))
        view[:length] = self.sent[:length]
        del self.sent[:length]
        return length

    def write(self, view: memoryview) -> int:
        assert self.write_timeout == 0, "would block"
        length = min(len(view), FIFO_BYTES - len(self._fifo))
        self._fifo += view[:length]
        if not self.stalled:
            self.received += self._fifo
            self._fifo.clear()
        return length


class UUID:
    def __init__(self, text: str) -> None:
        self._bytes = bytes.fromhex(text.replace("-", ""))[::-1]

    def pack_into(self, buffer: bytearray, offset: int = 0) -> None:
        buffer[offset : offset + 16] = self._bytes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UUID) and other._bytes == self._bytes

    def __hash__(self) -> int:
        return hash(self._bytes)


class Service:
    def __init__(self, uuid: UUID) -> None:
        self.uuid = uuid
        self.characteristics: tuple[Characteristic, ...] = ()


class Characteristic:
    """On the peripheral; the central has the same object, through :class:`Remote`."""

    NOTIFY, WRITE, WRITE_NO_RESPONSE = 16, 8, 4

    def __init__(self, uuid: UUID, properties: int, max_length: int) -> None:
        self.uuid = uuid
        self.properties = properties
        self.max_length = max_length
        self.here: PacketBuffer | None = None
        self.there: PacketBuffer | None = None

    @classmethod
    def add_to_service(
        cls, service: Service, uuid: UUID, *, properties: int, max_length: int = 20
    ) -> Characteristic:
        made = cls(uuid, properties, max_length)
        service.characteristics += (made,)
        adapter = _adapter_in_use()
        if service not in adapter.services:
            adapter.services.append(service)
        return made

    @property
    def value(self) -> bytearray:
        return bytearray()

    @value.setter
    def value(self, data: bytearray) -> None:
        if self.there is not None:
            self.there.arrived(bytes(data))
        if self.here is not None:
            self.here.waits_for_ever = False


class Remote:
    """A characteristic of the peer."""

    def __init__(self, characteristic: Characteristic, connection: Connection) -> None:
        self.uuid = characteristic.uuid
        self.local = characteristic
        self.connection = connection


class PacketBuffer:
    def __init__(
        self, characteristic: Characteristic | Remote, *, buffer_size: int, max_packet_size: int
    ) -> None:
        self._ring: deque[bytes] = deque()
        self._ring_bytes = buffer_size * (max_packet_size + 2)
        self._max = max_packet_size
        self._remote = characteristic if isinstance(characteristic, Remote) else None
        self._local = characteristic.local if isinstance(characteristic, Remote) else characteristic
        self.waits_for_ever = False
        self.deinited = False
        if self._remote is None:
            self._local.here = self
        else:
            self._local.there = self

    @property
    def _peer(self) -> PacketBuffer | None:
        return self._local.here if self._remote is not None else self._local.there

    @property
    def _connection(self) -> Connection | None:
        if self._remote is not None:
            return self._remote.connection
        return None if self._peer is None or self._peer._remote is None else self._peer._connection

    @property
    def outgoing_packet_length(self) -> int:
        connection = self._connection
        if connection is None or not connection.connected:
            return self._local.max_length if self._remote is not None else -1
        return min(connection.max_packet_length, self._max)

    def readinto(self, view: memoryview) -> int:
        if not self._ring:
            return 0
        packet = self._ring.popleft()
        if len(packet) > len(view):
            return len(view) - len(packet)
        view[: len(packet)] = packet
        return len(packet)

    def write(self, view: memoryview) -> int:
        connection = self._connection
        if connection is None or not connection.connected:
            return -1
        if len(view) > self.outgoing_packet_length:
            raise ValueError("Total data to write is larger than outgoing_packet_length")
        assert not self.waits_for_ever, "stuck in the packet buffer"
        if connection.busy:
            connection.disconnect()
            return -1
        if self._peer is not None and not connection.loses():
            self._peer.arrived(bytes(view))
        return len(view)

    def arrived(self, packet: bytes) -> None:
        while sum(map(len, self._ring)) + 2 * len(self._ring) + len(packet) > self._ring_bytes:
            self._ring.popleft()
        self._ring.append(packet)

    def deinit(self) -> None:
        self.deinited = True
        if self._remote is not None and self._local.there is self:
            self._local.there = None


class Connection:
    """Both ends' view of a link."""

    def __init__(self, central: Adapter, peripheral: Adapter) -> None:
        self.connected = True
        self.max_packet_length = 244
        self.busy = False
        """The next packet is the last: the link goes away in its middle."""
        self.lost: Iterator[bool] = iter(())
        """Which of the next packets do not arrive."""
        self._interval = 30.0
        self._ends = (central, peripheral)
        self._peripheral = peripheral

    @property
    def connection_interval(self) -> float:
        return self._interval

    @connection_interval.setter
    def connection_interval(self, value: float) -> None:
        if value < 7.5:
            raise BluetoothError("refused")
        self._interval = value

    def loses(self) -> bool:
        return next(self.lost, False)

    def discover_remote_services(self, uuids: tuple[UUID, ...]) -> tuple[Any, ...]:
        if self._peripheral.shy:
            raise BluetoothError("disconnected while discovering")
        return tuple(
            SimpleNamespace(characteristics=[Remote(one, self) for one in service.characteristics])
            for service in self._peripheral.services
            if service.uuid in uuids
        )

    def disconnect(self) -> None:
        if not self.connected:
            return
        self.connected = False
        for end in self._ends:
            end.connections = ()
        for service in self._peripheral.services:
            for characteristic in service.characteristics:
                characteristic.there = None
                if characteristic.here is not None:
                    characteristic.here.waits_for_ever = True


class Adapter:
    def __init__(self, air: Air) -> None:
        self.enabled = False
        self.advertising = False
        self.shy = False
        """Whether it disconnects while it is being discovered."""
        self.advertised: tuple[bytes, bytes] = (b"", b"")
        self.connections: tuple[Connection, ...] = ()
        self.services: list[Service] = []
        self.num_scans = 0
        self._air = air
        air.adapters.append(self)

    @property
    def connected(self) -> bool:
        return bool(self.connections)

    def start_advertising(self, data: bytes, *, scan_response: bytes) -> None:
        assert not self.advertising
        assert len(data) <= 31
        assert len(scan_response) <= 31
        self.advertised = (data, scan_response)
        self.advertising = True

    def start_scan(self, *, timeout: float, minimum_rssi: int) -> Iterator[Any]:
        assert timeout > 0
        assert minimum_rssi < -80
        self.num_scans += 1
        for adapter in self._air.adapters:
            if adapter.advertising:
                for data in adapter.advertised:
                    yield SimpleNamespace(advertisement_bytes=data, address=adapter)

    def stop_scan(self) -> None:
        pass

    def connect(self, address: Adapter, *, timeout: float) -> Connection:
        assert timeout > 0
        if not address.advertising:
            raise ConnectionError("no answer")
        connection = Connection(self, address)
        address.advertising = False
        self.connections = address.connections = (connection,)
        return connection


class Air:
    """What connects the boards."""

    def __init__(self) -> None:
        self.adapters: list[Adapter] = []
        self.now_ms = 0


class Pin:
    def __init__(self, *, used: bool = False) -> None:
        self.used = used
        self.value = False


class DigitalInOut:
    def __init__(self, pin: Pin) -> None:
        if pin.used:
            raise ValueError("in use")
        self._pin = pin

    @property
    def value(self) -> bool:
        return self._pin.value

    @value.setter
    def value(self, value: bool) -> None:
        self._pin.value = value

    def switch_to_output(self, *, value: bool) -> None:
        self._pin.value = value


class Watchdog:
    timeout = 0.0
    mode = None
    num_fed = 0

    def feed(self) -> None:
        self.num_fed += 1


class Board:
    """One board, its ``code.py`` loaded as ``code``."""

    def __init__(self, air: Air, *, board_id: str = "pca10059", led: Pin | None = None) -> None:
        self.air = air
        self.data = Port()
        self.console = Port()
        self.adapter = Adapter(air)
        self.led = led or Pin()
        self.watchdog = Watchdog()
        self.slept: list[float] = []
        self.runtime = SimpleNamespace(autoreload=True, ble_workflow=True)
        self.usb_cdc = _module("usb_cdc", data=self.data, console=self.console)
        self.code = self._load(board_id)

    def bridge(self, role: str, name: str = "pnc-bridge") -> Any:
        """A bridge of this board; what it adds to the radio is this board's."""
        _IN_USE[:] = [self.adapter]
        return self.code.Bridge(role, name)

    def _reload(self) -> None:
        raise Reloaded

    def _load(self, board_id: str) -> Any:
        bluetooth = _module(
            "_bleio",
            adapter=self.adapter,
            **{
                kind.__name__: kind
                for kind in (UUID, Service, Characteristic, PacketBuffer, BluetoothError)
            },
        )
        modules = [
            bluetooth,
            self.usb_cdc,
            _module("board", board_id=board_id, LED1=self.led),
            _module("digitalio", DigitalInOut=DigitalInOut),
            _module("microcontroller", watchdog=self.watchdog),
            _module("watchdog", WatchDogMode=SimpleNamespace(RAISE="raise")),
            _module(
                "supervisor",
                ticks_ms=lambda: self.air.now_ms,
                reload=self._reload,
                runtime=self.runtime,
            ),
        ]
        _IN_USE[:] = [self.adapter]
        with _importable({"bridge_core": bridge_core}, *modules):
            code: Any = _load("code")
        self.memory_used = code.memory_used
        code.memory_used = lambda: 4321
        code.time = SimpleNamespace(sleep=self.slept.append)
        return code


_IN_USE: list[Adapter] = []


def _adapter_in_use() -> Adapter:
    return _IN_USE[0]


def _module(name: str, **contents: object) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(contents)
    return made


@contextmanager
def _importable(named: dict[str, ModuleType], *modules: ModuleType) -> Iterator[None]:
    added = {**named, **{module.__name__: module for module in modules}}
    assert not added.keys() & sys.modules.keys()
    sys.modules.update(added)
    try:
        yield
    finally:
        for name in added:
            del sys.modules[name]


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"pnc_bridge_{name}", FIRMWARE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def run_boot(console: int | None) -> dict[str, Any]:
    """Run ``boot.py`` with ``PNC_CONSOLE`` in the settings; what it has set."""
    seen: dict[str, Any] = {}
    runtime = SimpleNamespace(ble_workflow=True)
    settings = {} if console is None else {"PNC_CONSOLE": console}
    modules = [
        _module("usb_cdc", enable=lambda **ports: seen.update(ports)),
        _module("usb_hid", disable=lambda: seen.update(hid=False)),
        _module("usb_midi", disable=lambda: seen.update(midi=False)),
        _module(
            "supervisor",
            runtime=runtime,
            set_usb_identification=lambda maker, product: seen.update(maker=maker, product=product),
        ),
    ]
    with _importable({}, *modules), patch("os.getenv", settings.get):
        _load("boot")
    return {**seen, "ble_workflow": runtime.ble_workflow}
