"""``ble://ADDRESS|NAME``: the central of a Nordic UART Service, through bleak.

What bleak and BlueZ do that this module keeps to itself: a write of more than 512 bytes vanishes,
``mtu_size`` is always 23, a name may come after the first advertisement, a connection outlives the
program that made it, and a write is taken long before it is sent. The last is why a session holds
back by itself: nothing here can know what BlueZ still holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pnc.errors import ConfigError, LinkError, LinkLostError
from pnc.transport.links.event_loop import AsyncLink, BlockingLink, block_on
from pnc.transport.links.options import check_options, take_option

if TYPE_CHECKING:
    from bleak.backends.adapter import BaseBleakAdapter
    from bleak.backends.characteristic import BleakGATTCharacteristic
    from bleak.backends.client import BaseBleakClient
    from bleak.backends.device import BLEDevice
    from bleak.backends.scanner import BaseBleakScanner

__all__ = [
    "LINK_LAYER_BYTES",
    "MAX_PACKET_BYTES",
    "NUS_RX",
    "NUS_SERVICE",
    "NUS_TX",
    "Bluetooth",
    "Central",
    "connect",
    "full_packet_bytes",
    "open_ble",
    "take_packet_bytes",
]

NUS_SERVICE = "6e400001-b5a3-f393-e0a9-e50e24dcca9e"
"""Nordic UART Service, which every maker of BLE boards ships."""

NUS_RX = "6e400002-b5a3-f393-e0a9-e50e24dcca9e"
"""Characteristic that a central writes."""

NUS_TX = "6e400003-b5a3-f393-e0a9-e50e24dcca9e"
"""Characteristic that notifies a central."""

MAX_PACKET_BYTES = 512
"""Longest value of an attribute (Core 5.4, Vol 3, Part F, 3.2.9); longer writes vanish silently."""

MIN_PACKET_BYTES = 20
"""What the smallest MTU, 23 bytes, carries."""

LINK_LAYER_BYTES = 251
"""Longest packet of the link layer with data length extension (Core 5.4, Vol 6, Part B, 2.4)."""

HEADER_BYTES = 7
"""Bytes that L2CAP and ATT put before a value."""

TIMEOUT_S = 10.0
"""Time to find a device, and again to connect to it; bluetoothd takes 0.5 to 3 s for both."""

MAX_SHOWN = 8
"""Devices that a message lists: the nearest."""

_ADDRESS = re.compile(r"(?:[0-9A-F]{2}:){5}[0-9A-F]{2}|[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bluetooth:
    """The parts of bleak that a link uses; None stands for this machine's own."""

    scanner: type[BaseBleakScanner] | None = None
    """Finds devices."""
    client: type[BaseBleakClient] | None = None
    """Connects to one."""
    adapter: type[BaseBleakAdapter] | None = None
    """Knows which are connected."""


def full_packet_bytes(limit: int) -> int:
    """Return the longest value, of at most ``limit`` bytes, that leaves no radio packet half empty.

    Args:
        limit: Bytes that a write may carry.
    """
    limit = min(limit, MAX_PACKET_BYTES)
    full = (limit + HEADER_BYTES) // LINK_LAYER_BYTES * LINK_LAYER_BYTES - HEADER_BYTES
    return full if full > 0 else limit


def take_packet_bytes(url: str, settings: Mapping[str, str]) -> int:
    """Read the option ``packet_bytes``: the most that one write may carry.

    Raises:
        ConfigError: It is no number from 20 to 512.
    """
    value = take_option(url, settings, "packet_bytes", int, MAX_PACKET_BYTES)
    if not MIN_PACKET_BYTES <= value <= MAX_PACKET_BYTES:
        raise ConfigError(
            f"{url}: packet_bytes={value} is outside {MIN_PACKET_BYTES} to {MAX_PACKET_BYTES}",
            url=url,
            option="packet_bytes",
        )
    return value


class Central(AsyncLink):
    """A connection to one device that has a Nordic UART Service; made by :func:`connect`."""

    def __init__(self, url: str, limit_bytes: int) -> None:
        super().__init__(url)
        self._limit_bytes = limit_bytes
        self._client: Any = None
        self._rx: BleakGATTCharacteristic | None = None
        self._with_response = False

    @property
    def packet_bytes(self) -> int:
        """Bytes that one write carries now; BlueZ may learn of a larger MTU only after a while."""
        possible = self._rx.max_write_without_response_size if self._rx else MIN_PACKET_BYTES
        return full_packet_bytes(min(possible, self._limit_bytes))

    async def attach(self, device: BLEDevice, timeout_s: float, bluetooth: Bluetooth) -> None:
        """Connect and subscribe; on failure or cancellation nothing stays connected."""
        from bleak import BleakClient

        self._client = BleakClient(
            device,
            disconnected_callback=lambda _: self.lose("the device is out of reach or was reset"),
            timeout=timeout_s,
            backend=bluetooth.client,
        )
        try:
            async with asyncio.timeout(timeout_s):
                await self._client.connect()
                self._rx, tx = self._characteristics(device)
                self._with_response = "write-without-response" not in self._rx.properties
                await self._client.start_notify(tx, lambda _, data: self.take(bytes(data)))
        except BaseException:
            await self.close()
            raise
        if self.packet_bytes <= MIN_PACKET_BYTES:
            logger.warning(
                "%s: the device takes only %d bytes at a time; keep packets small: --mtu-bytes 32",
                self.url,
                self.packet_bytes,
            )

    def _characteristics(
        self, device: BLEDevice
    ) -> tuple[BleakGATTCharacteristic, BleakGATTCharacteristic]:
        services = self._client.services
        rx, tx = services.get_characteristic(NUS_RX), services.get_characteristic(NUS_TX)
        if rx is None or tx is None:
            there = ", ".join(sorted(service.description for service in services)) or "none"
            raise LinkError(
                f"{self.url}: wrong firmware on the other end: {device.name or device.address} has "
                f"no Nordic UART Service (it has: {there}); install the bridge of device/firmware",
                url=self.url,
                reason="wrong firmware",
            )
        return rx, tx

    async def _transmit(self, piece: bytes) -> None:
        from bleak.exc import BleakError

        try:
            await self._client.write_gatt_char(self._rx, piece, response=self._with_response)
        except (BleakError, OSError, EOFError) as error:
            raise LinkLostError(f"{self.url}: not written: {error}", url=self.url) from error

    async def _shut_down(self) -> None:
        from bleak.exc import BleakError

        if self._client is not None:
            with contextlib.suppress(BleakError, OSError, EOFError):
                await self._client.disconnect()


async def connect(
    url: str,
    target: str,
    *,
    timeout_s: float = TIMEOUT_S,
    adapter: str | None = None,
    limit_bytes: int = MAX_PACKET_BYTES,
    bluetooth: Bluetooth | None = None,
) -> Central:
    """Find a device and connect to it.

    Args:
        url: For messages.
        target: Address, or the name that the device advertises.
        timeout_s: Seconds to find it, and again to connect.
        adapter: Which adapter of this machine, such as ``hci1``; None takes the first.
        limit_bytes: Bytes that one write may carry at most.
        bluetooth: Where bleak looks; None is this machine.

    Raises:
        LinkError: Bluetooth is missing, off or not permitted; the device is not found, does not
            answer, or has no Nordic UART Service.
    """
    bluetooth = bluetooth or Bluetooth()
    with _explained(url, adapter):
        device = await _find(url, target, timeout_s, adapter, bluetooth)
        link = Central(url, limit_bytes)
        await link.attach(device, timeout_s, bluetooth)
        return link


def open_ble(
    url: str, target: str, settings: Mapping[str, str], bluetooth: Bluetooth | None = None
) -> BlockingLink:
    """Open a link to a device with a Nordic UART Service.

    Args:
        url: For messages.
        target: Address or name.
        settings: ``timeout_s``, ``adapter``, ``packet_bytes``.
        bluetooth: Where bleak looks; None is this machine.

    Raises:
        ConfigError: No device is named, an option is not understood, or bleak is not installed.
        LinkError: See :func:`connect`.
    """
    check_options(url, settings, ("timeout_s", "adapter", "packet_bytes"))
    timeout_s = take_option(url, settings, "timeout_s", float, TIMEOUT_S)
    limit_bytes = take_packet_bytes(url, settings)
    if not target:
        raise ConfigError(
            f"{url}: no device is named; use ble://NAME or ble://C0:FF:EE:00:12:34", url=url
        )
    try:
        import bleak  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"{url}: Bluetooth needs bleak; install it with `pip install 'pnc[ble]'`",
            url=url,
            extra="ble",
        ) from error
    return block_on(
        connect(
            url,
            target,
            timeout_s=timeout_s,
            adapter=settings.get("adapter"),
            limit_bytes=limit_bytes,
            bluetooth=bluetooth,
        )
    )


async def _find(
    url: str, target: str, timeout_s: float, adapter: str | None, bluetooth: Bluetooth
) -> BLEDevice:
    from bleak import BleakScanner

    bluez: Any = {"adapter": adapter} if adapter else {}
    left_over = await _find_connected(target, bluez, bluetooth)
    if left_over is not None:
        return left_over
    wanted = target.upper() if _ADDRESS.fullmatch(target.upper()) else None
    scanner = BleakScanner(bluez=bluez, backend=bluetooth.scanner)
    with contextlib.suppress(TimeoutError):
        async with scanner, asyncio.timeout(timeout_s):
            async for device, heard in scanner.advertisement_data():
                name = heard.local_name or device.name
                if device.address.upper() == wanted if wanted else name == target:
                    return device
    nearest = sorted(
        scanner.discovered_devices_and_advertisement_data.values(), key=lambda pair: -pair[1].rssi
    )
    seen = [heard.local_name or device.name or device.address for device, heard in nearest]
    there = f"seen were {', '.join(seen[:MAX_SHOWN])}" if seen else "no device was seen at all"
    more = f" and {len(seen) - MAX_SHOWN} more" if len(seen) > MAX_SHOWN else ""
    raise LinkError(
        f"{url}: not found in {timeout_s:g} s; {there}{more}; is it on, near, and not connected?",
        url=url,
        reason="missing",
        seen=seen,
    )


async def _find_connected(target: str, bluez: Any, bluetooth: Bluetooth) -> BLEDevice | None:
    """Find a device that a program which died left connected: it advertises no more."""
    from bleak import BleakAdapter

    try:
        adapter = await BleakAdapter.get(bluez=bluez, backend=bluetooth.adapter)
        devices = await adapter.get_connected_devices([NUS_SERVICE])
    except NotImplementedError:
        return None
    for device in devices:
        if target in (device.name, device.address) or target.upper() == device.address:
            return device
    return None


@contextlib.contextmanager
def _explained(url: str, adapter: str | None) -> Iterator[None]:
    """Turn what bleak raises into one line that says what to do."""
    from bleak.exc import BleakError

    try:
        yield
    except (BleakError, OSError, EOFError, ValueError) as error:
        reason, what = _reason(error, adapter)
        facts = {"group": "bluetooth"} if reason == "not permitted" else {}
        raise LinkError(f"{url}: {what}", url=url, reason=reason, **facts) from error


_OFF = (
    "off",
    "Bluetooth is off; turn it on with `bluetoothctl power on` (or `rfkill unblock all`)",
)
_MISSING = ("missing", "no Bluetooth adapter here; plug one in, `bluetoothctl list` shows it")
_NOT_PERMITTED = (
    "not permitted",
    "not permitted; join the group with `sudo usermod -aG bluetooth $USER` and log in again",
)
_NO_SERVICE = (
    "no service",
    "the system's Bluetooth service does not answer; start it with "
    "`sudo systemctl start bluetooth`",
)
_SILENT = ("timeout", "found, but it did not answer in time; go nearer or restart it")
_BUSY = ("busy", "busy: another program is connecting to it; close that first")


def _reason(error: Exception, adapter: str | None) -> tuple[str, str]:
    from bleak import exc

    if isinstance(error, exc.BleakBluetoothNotAvailableError):
        return _reason_not_available(error)
    if isinstance(error, exc.BleakDBusError):
        last = error.dbus_error.rsplit(".", 1)[-1]
        named = {
            "AccessDenied": _NOT_PERMITTED,
            "NotAuthorized": _NOT_PERMITTED,
            "NotReady": _OFF,
            "ServiceUnknown": _NO_SERVICE,
            "NameHasNoOwner": _NO_SERVICE,
            "InProgress": _BUSY,
            "AlreadyConnected": _BUSY,
            "NoReply": _SILENT,
        }
        return named.get(last, ("other", f"cannot be opened: {error}"))
    if isinstance(error, TimeoutError | exc.BleakDeviceNotFoundError):
        return _SILENT
    if isinstance(error, exc.BleakError) and adapter and f"'{adapter}' not found" in str(error):
        return "missing", f"no adapter {adapter} here; `bluetoothctl list` shows those there are"
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM):
        return _NOT_PERMITTED
    if isinstance(error, OSError | EOFError):
        return _NO_SERVICE
    return "other", f"cannot be opened: {error}"


def _reason_not_available(error: Any) -> tuple[str, str]:
    from bleak.exc import BleakBluetoothNotAvailableReason as Reason

    if error.reason is Reason.POWERED_OFF:
        return _OFF
    if error.reason is Reason.NO_BLUETOOTH:
        return _MISSING
    if error.reason is Reason.NO_BLE_CENTRAL_ROLE:
        return "missing", "the Bluetooth adapter here is too old for low energy; plug in another"
    if error.reason is Reason.UNKNOWN:
        return "other", f"Bluetooth is not available: {error.args[0]}"
    return _NOT_PERMITTED
