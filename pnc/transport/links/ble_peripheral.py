"""``ble-peripheral://TRANSPORT?name=pnc``: the receiving side, a Nordic UART Service, on bumble.

The transport is any of bumble's, by its own name for it: a radio with HCI firmware on USB or a
serial port, an adapter of Linux, or a virtual one. The link stays open while devices come and go;
what is written while none is there is lost, as on any radio.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import re
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any

from pnc.errors import ConfigError, LinkError, PncError
from pnc.transport.links.ble import (
    LINK_LAYER_BYTES,
    MAX_PACKET_BYTES,
    MIN_PACKET_BYTES,
    NUS_RX,
    NUS_SERVICE,
    NUS_TX,
    full_packet_bytes,
    take_packet_bytes,
)
from pnc.transport.links.event_loop import AsyncLink, BlockingLink, block_on
from pnc.transport.links.options import check_options, take_option

if TYPE_CHECKING:
    from bumble.device import Connection, Device
    from bumble.gatt import Characteristic
    from bumble.transport.common import Transport

__all__ = ["Peripheral", "advertise", "open_ble_peripheral"]

DEFAULT_NAME = "pnc"

MAX_NAME_BYTES = 29
"""What a scan response of 31 bytes has room for."""

ADVERTISING_INTERVAL_MS = 100.0
"""Often enough that a device that comes back is connected within a second."""

DEFAULT_INTERVAL_MS = 15.0
"""Connection interval asked for: BlueZ chooses 30 to 50 ms by itself, and every answer of the
receiver waits for the next one."""

SUPERVISION_TIMEOUT_MS = 2000.0
"""A radio that is silent this long is gone. BlueZ's 420 ms would part the two at every short jam,
and finding each other takes longer than that."""

MAX_PENDING_BYTES = 1024
"""Notifications that the controller has not sent yet; beyond, the next one waits."""

POWER_ON_TIMEOUT_S = 5.0
"""Whatever does not answer HCI in this time is no controller."""

LINK_LAYER_US = 2120
"""Time that a packet of 251 bytes takes at 1 Mbit/s, microseconds."""

TUNING_TIMEOUT_S = 5.0
"""A central may leave a request for better parameters unanswered."""

_ADDRESS = re.compile(r"(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}")

logger = logging.getLogger(__name__)


class Peripheral(AsyncLink):
    """A Nordic UART Service for one central at a time; made by :func:`advertise`.

    Args:
        url: The address it was opened by.
        transport: Where the controller is.
        name: Advertised, 1 to 29 bytes of UTF-8.
        address: Random static address; None draws one.
        interval_ms: Connection interval to ask for, milliseconds.
        limit_bytes: Bytes that one notification may carry at most.
    """

    def __init__(
        self,
        url: str,
        transport: Transport,
        *,
        name: str = DEFAULT_NAME,
        address: str | None = None,
        interval_ms: float = DEFAULT_INTERVAL_MS,
        limit_bytes: int = MAX_PACKET_BYTES,
    ) -> None:
        from bumble.device import Device
        from bumble.hci import Address

        super().__init__(url)
        self.connections = 0
        """Centrals that connected since the link was opened."""
        self._transport = transport
        self._interval_ms = interval_ms
        self._limit_bytes = limit_bytes
        self._connection: Connection | None = None
        self._flow = asyncio.Event()
        self._tuning: asyncio.Task[None] | None = None
        own = Address(address) if address else Address.generate_static_address()
        self._device: Device = Device.with_hci(name, own, transport.source, transport.sink)
        self._device.advertising_interval_min = ADVERTISING_INTERVAL_MS
        self._device.advertising_interval_max = ADVERTISING_INTERVAL_MS
        self._tx = self._add_service()
        self._device.on("connection", self._on_connection)

    @property
    def packet_bytes(self) -> int:
        """Bytes that one notification carries now."""
        possible = self._connection.att_mtu - 3 if self._connection else MIN_PACKET_BYTES
        return full_packet_bytes(min(possible, self._limit_bytes))

    async def start(self) -> None:
        """Power the controller on and advertise.

        Raises:
            TimeoutError: The other end does not answer HCI.
        """
        device = self._device
        async with asyncio.timeout(POWER_ON_TIMEOUT_S):
            await device.power_on()
            await device.start_advertising(auto_restart=True)
        queue = device.host.le_acl_packet_queue
        assert queue is not None
        queue.on("flow", self._flow.set)
        terminated: asyncio.Future[None] = self._transport.source.terminated
        terminated.add_done_callback(lambda _: self.lose("the radio went away; is it plugged in?"))

    def _add_service(self) -> Characteristic[bytes]:
        from bumble import data_types
        from bumble.core import UUID, AdvertisingData
        from bumble.gatt import Characteristic, CharacteristicValue, Service

        properties = Characteristic.Properties
        rx: Characteristic[bytes] = Characteristic(
            NUS_RX,
            properties.WRITE | properties.WRITE_WITHOUT_RESPONSE,
            Characteristic.WRITEABLE,
            CharacteristicValue(write=lambda _, value: self.take(bytes(value))),
        )
        tx: Characteristic[bytes] = Characteristic(
            NUS_TX, properties.NOTIFY, Characteristic.READABLE, b""
        )
        device = self._device
        device.add_services([Service(NUS_SERVICE, [rx, tx])])
        flags = AdvertisingData.Flags
        device.advertising_data = bytes(
            AdvertisingData(
                [
                    data_types.Flags(
                        flags.LE_GENERAL_DISCOVERABLE_MODE | flags.BR_EDR_NOT_SUPPORTED
                    ),
                    data_types.CompleteListOf128BitServiceUUIDs([UUID(NUS_SERVICE)]),
                ]
            )
        )
        device.scan_response_data = bytes(
            AdvertisingData([data_types.CompleteLocalName(device.name)])
        )
        return tx

    def _on_connection(self, connection: Connection) -> None:
        self.connections += 1
        self._connection = connection
        connection.on("disconnection", self._on_disconnection)
        self._tuning = asyncio.get_running_loop().create_task(self._tune(connection))

    def _on_disconnection(self, _reason: int) -> None:
        self._connection = None
        if self._tuning is not None:
            self._tuning.cancel()
        self.forget_outgoing()
        self._flow.set()

    async def _tune(self, connection: Connection) -> None:
        """Ask for what carries most; a controller or central that refuses is left as it is."""
        from bumble import hci

        host = self._device.host
        wish = (self._interval_ms, self._interval_ms, 0, SUPERVISION_TIMEOUT_MS)
        if not await _try_to(connection.update_parameters(*wish)):
            await _try_to(connection.update_parameters(*wish, use_l2cap=True))
        if host.supports_command(hci.HCI_LE_SET_DATA_LENGTH_COMMAND):
            await _try_to(connection.set_data_length(LINK_LAYER_BYTES, LINK_LAYER_US))
        if host.supports_command(hci.HCI_LE_SET_PHY_COMMAND):
            await _try_to(connection.set_phy([hci.Phy.LE_2M], [hci.Phy.LE_2M]))

    async def _transmit(self, piece: bytes) -> None:
        connection = self._connection
        queue = self._device.host.le_acl_packet_queue
        assert queue is not None
        while connection is not None and queue.pending * queue.max_packet_size > MAX_PENDING_BYTES:
            self._flow.clear()
            await self._flow.wait()
            connection = self._connection
        if connection is not None:
            await self._device.notify_subscriber(connection, self._tx, piece)

    async def _shut_down(self) -> None:
        if self._tuning is not None:
            self._tuning.cancel()
        try:
            if not self._transport.source.terminated.done():
                await _try_to(self._device.stop_advertising())
                if self._connection is not None:
                    await _try_to(self._connection.disconnect())
                await _try_to(self._device.power_off())
        finally:
            await self._transport.close()


async def _try_to(work: Awaitable[Any]) -> bool:
    """Do what a controller or a peer may refuse, or never answer; return whether it was done."""
    from bumble.core import BaseBumbleError

    try:
        async with asyncio.timeout(TUNING_TIMEOUT_S):
            await work
    except (BaseBumbleError, TimeoutError, OSError) as error:
        logger.debug("%s", error)
        return False
    return True


async def advertise(url: str, transport_name: str, **options: Any) -> Peripheral:
    """Open a transport and advertise the service on it.

    Args:
        url: For messages.
        transport_name: As bumble names it, such as ``usb:0``.
        **options: Of :class:`Peripheral`.

    Raises:
        ConfigError: The transport's name is not understood.
        LinkError: The radio is missing, busy, not permitted, or no Bluetooth controller.
    """
    from bumble.transport import open_transport

    try:
        transport = await open_transport(transport_name)
        link = Peripheral(url, transport, **options)
        try:
            await link.start()
        except BaseException:
            await link.close()
            raise
        return link
    except Exception as error:
        # bumble itself raises Exception, ValueError and AssertionError here.
        raise _explain(url, transport_name, error) from error


def open_ble_peripheral(url: str, target: str, settings: Mapping[str, str]) -> BlockingLink:
    """Open the receiving side of a Bluetooth link.

    Args:
        url: For messages.
        target: Transport of bumble.
        settings: ``name``, ``address``, ``interval_ms``, ``packet_bytes``.

    Raises:
        ConfigError: No transport is named, an option is not understood, or bumble is not installed.
        LinkError: See :func:`advertise`.
    """
    check_options(url, settings, ("name", "address", "interval_ms", "packet_bytes"))
    name = settings.get("name", DEFAULT_NAME)
    interval_ms = take_option(url, settings, "interval_ms", float, DEFAULT_INTERVAL_MS)
    limit_bytes = take_packet_bytes(url, settings)
    if not target:
        raise ConfigError(
            f"{url}: no radio is named; use ble-peripheral://usb:0?name=pnc or "
            "ble-peripheral://serial:/dev/ttyACM0",
            url=url,
        )
    if not 1 <= len(name.encode()) <= MAX_NAME_BYTES:
        raise ConfigError(
            f"{url}: name={name!r} is not 1 to {MAX_NAME_BYTES} bytes long", url=url, option="name"
        )
    if not 7.5 <= interval_ms <= 4000:
        raise ConfigError(
            f"{url}: interval_ms={interval_ms:g} is outside 7.5 to 4000",
            url=url,
            option="interval_ms",
        )
    address = settings.get("address")
    if address is not None and not _ADDRESS.fullmatch(address):
        raise ConfigError(
            f"{url}: address={address!r} is no address; use F0:01:02:03:04:05, or leave it out",
            url=url,
            option="address",
        )
    try:
        import bumble.transport  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"{url}: a Bluetooth receiver needs bumble; install it with `pip install 'pnc[ble]'`",
            url=url,
            extra="ble",
        ) from error
    return block_on(
        advertise(
            url,
            target,
            name=name,
            address=address,
            interval_ms=interval_ms,
            limit_bytes=limit_bytes,
        )
    )


def _explain(url: str, transport_name: str, error: Exception) -> PncError:
    """Turn what bumble and the libraries under it raise into one line that says what to do."""
    kind = transport_name.partition(":")[0]
    code = error.errno if isinstance(error, OSError) else None
    name = type(error).__name__
    if isinstance(error, TimeoutError) or name in ("HCI_Error", "HCI_StatusError"):
        return LinkError(
            f"{url}: wrong firmware on the other end: it does not answer as a Bluetooth "
            "controller; flash Zephyr's hci_usb or hci_uart",
            url=url,
            reason="wrong firmware",
        )
    if code in (errno.EACCES, errno.EPERM) or name == "USBErrorAccess":
        return _not_permitted(url, kind)
    if code in (errno.EBUSY, errno.EAGAIN) or name == "USBErrorBusy":
        return LinkError(
            f"{url}: in use by another program; close that first, the system's own Bluetooth "
            "with `sudo systemctl stop bluetooth`",
            url=url,
            reason="busy",
        )
    if code in (errno.ENOENT, errno.ENODEV, errno.ENXIO) or name == "TransportInitError":
        return LinkError(
            f"{url}: no such radio; is it plugged in? {error}", url=url, reason="missing"
        )
    if name == "USBErrorOther":
        return LinkError(
            f"{url}: this machine's USB cannot be used ({error}); a container has to be given it",
            url=url,
            reason="missing",
        )
    if isinstance(error, ConnectionError):
        return LinkError(f"{url}: nothing answers there: {error}", url=url, reason="missing")
    if isinstance(error, ValueError | AssertionError | IndexError):
        return ConfigError(
            f"{url}: {transport_name!r} is no radio; use usb:0, serial:/dev/ttyACM0, hci-socket:0 "
            "or tcp-client:HOST:PORT",
            url=url,
        )
    return LinkError(f"{url}: cannot be opened: {error}", url=url, reason="other")


def _not_permitted(url: str, kind: str) -> LinkError:
    if kind == "hci-socket":
        return LinkError(
            f"{url}: not permitted; an adapter of Linux needs root or CAP_NET_ADMIN",
            url=url,
            reason="not permitted",
        )
    group = "dialout" if kind == "serial" else "plugdev"
    return LinkError(
        f"{url}: not permitted; join the group with `sudo usermod -aG {group} $USER` and log in "
        "again",
        url=url,
        reason="not permitted",
        group=group,
    )
