"""What links this machine could open: serial ports, and Bluetooth devices near it."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from dataclasses import dataclass
from urllib.parse import quote

from pnc.transport.links.ble import NUS_SERVICE
from pnc.transport.links.serial import PortSeen, group_of, ports_seen

__all__ = ["BluetoothSeen", "SerialSeen", "list_bluetooth", "list_serial"]


@dataclass(frozen=True, slots=True)
class SerialSeen:
    """A serial port and how to open it."""

    device: str
    description: str
    usb_id: str | None
    serial_number: str | None
    url: str
    """Finds the port again when it comes back under another path, where that is possible."""
    permitted: bool
    group: str | None
    """The group to join where the port is not permitted."""


@dataclass(frozen=True, slots=True)
class BluetoothSeen:
    """A Bluetooth device that advertised."""

    address: str
    name: str | None
    rssi_dbm: int
    has_uart: bool
    """Whether it advertises the Nordic UART Service; some have it and do not say so."""
    url: str


def list_serial() -> list[SerialSeen]:
    """List the serial ports, by path."""
    ports = ports_seen()
    devices = Counter((port.usb_id, port.serial_number) for port in ports)
    return [_serial(port, alone=devices[port.usb_id, port.serial_number] == 1) for port in ports]


def list_bluetooth(seconds: float) -> tuple[list[BluetoothSeen] | None, str | None]:
    """Listen for Bluetooth devices.

    Args:
        seconds: How long.

    Returns:
        The devices, nearest first, and None; or None and why there are none to be had.
    """
    try:
        from bleak import BleakScanner
        from bleak.exc import BleakError
    except ImportError:
        return None, "needs the package bleak; install it with: pip install 'pnc[ble]'"
    try:
        found = asyncio.run(BleakScanner.discover(timeout=seconds, return_adv=True))
    except (BleakError, OSError, EOFError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return None, f"no Bluetooth here ({reason}); is the adapter in and switched on?"
    devices = [
        BluetoothSeen(
            address=device.address,
            name=device.name,
            rssi_dbm=advertisement.rssi,
            has_uart=NUS_SERVICE in advertisement.service_uuids,
            url=f"ble://{device.address}",
        )
        for device, advertisement in found.values()
    ]
    return sorted(devices, key=lambda device: -device.rssi_dbm), None


def _serial(port: PortSeen, *, alone: bool) -> SerialSeen:
    permitted = os.access(port.device, os.R_OK | os.W_OK)
    url = f"serial://{port.device}"
    if port.vid is not None and port.pid is not None:
        url = f"serial://?vid={port.vid:04x}&pid={port.pid:04x}"
        if port.serial_number:
            url += f"&serial={quote(port.serial_number)}"
        if not alone and port.interface_number is not None:
            url += f"&interface={port.interface_number}"
    return SerialSeen(
        device=port.device,
        description=port.description,
        usb_id=port.usb_id,
        serial_number=port.serial_number,
        url=url,
        permitted=permitted,
        group=None if permitted else group_of(port.device),
    )
