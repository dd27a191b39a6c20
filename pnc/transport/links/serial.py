"""Serial ports through pyserial: USB radios, UARTs, pseudo-terminals.

A port is named by its path, or by what its USB device says of itself
(``serial://?vid=2886&pid=8045``): that finds it again when it comes back under another path. Of a
CircuitPython board that is its data port; its console is the other one.

pyserial 3.5 has traps that this module keeps to itself: ``write_timeout=0`` spins (#280), a
``SerialTimeoutException`` does not mean that nothing was sent, ``in_waiting`` raises a plain
``OSError`` after an unplug, a flush then raises ``termios.error``, which is neither, and closing a
port under a reader raises ``TypeError``. Closing a port that takes nothing waits up to 30 s in
Linux' tty layer, so that happens in a thread that nobody waits for longer than a second.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import serial
from serial.tools import list_ports

from pnc.errors import ConfigError, LinkError, LinkLostError
from pnc.transport.links.options import check_options, take_option

try:
    import termios

    TERMINAL_ERRORS: tuple[type[Exception], ...] = (termios.error,)
except ImportError:
    TERMINAL_ERRORS = ()

__all__ = ["PortSeen", "SerialLink", "group_of", "open_serial", "ports_seen"]

DEFAULT_BAUD = 230_400
"""The published test bed's rate, and what nRF52 boards' USB bridges run without loss."""

WRITE_TIMEOUT_S = 0.5
"""A write gives up after this: the receiver's window is far less than a port takes in that time."""

CLOSE_TIMEOUT_S = 1.0
"""Closing is left to itself after this."""

READ_BYTES = 4096
"""Bytes taken at once; more would only wait in another buffer."""

USB_OPTIONS = ("vid", "pid", "serial", "interface")
"""Options that name a port by its USB device."""

DATA_INTERFACE = "CDC2"
"""In the name that CircuitPython gives its data port: "CircuitPython CDC2 control". The console is
"CircuitPython CDC control" (shared-module/usb_cdc); a board may change neither."""

_PORT_ERRORS: tuple[type[Exception], ...] = (serial.SerialException, OSError, *TERMINAL_ERRORS)
_LOST: tuple[type[Exception], ...] = (*_PORT_ERRORS, TypeError)


@dataclass(frozen=True, slots=True)
class PortSeen:
    """A serial port of this machine."""

    device: str
    """Path or name."""
    description: str
    vid: int | None = None
    """USB vendor; None where the port is no USB device."""
    pid: int | None = None
    """USB product."""
    serial_number: str | None = None
    """What tells two devices of a kind apart, where their maker gave them numbers."""
    interface: str | None = None
    """What the device calls the port, where it has several and the system tells."""
    interface_number: int | None = None
    """Number of the port's USB interface, as in ``-if02``, where the device has several."""

    @property
    def usb_id(self) -> str | None:
        """``VID:PID`` as four hexadecimal digits each."""
        return None if self.vid is None or self.pid is None else f"{self.vid:04x}:{self.pid:04x}"

    def __str__(self) -> str:
        if not self.usb_id:
            return self.device
        facts = [self.usb_id]
        if self.serial_number:
            facts.append(f"serial {self.serial_number}")
        if self.interface_number is not None:
            facts.append(f"interface {self.interface_number}")
        if self.interface:
            facts.append(self.interface)
        return f"{self.device} ({', '.join(facts)})"


class SerialLink:
    """An open serial port, 8N1, locked against a second opener."""

    def __init__(self, url: str, port: serial.Serial) -> None:
        self.url = url
        self._port = port
        self._closed = False

    def read(self, timeout_s: float) -> bytes:
        """Wait for bytes; see :class:`pnc.transport.links.base.Link`."""
        try:
            if self._port.timeout != timeout_s:
                self._port.timeout = timeout_s
            first: bytes = self._port.read(1)
            if not first:
                return b""
            waiting = min(self._port.in_waiting, READ_BYTES)
            return first + bytes(self._port.read(waiting)) if waiting else first
        except _LOST as error:
            raise self._lost(error) from error

    def write(self, data: bytes) -> None:
        """Hand bytes over; what the port does not take in half a second is lost."""
        try:
            self._port.write(data)
        except serial.SerialTimeoutException:
            return
        except _LOST as error:
            raise self._lost(error) from error

    def close(self) -> None:
        """Close the port; what it still holds is dropped."""
        if not self._closed:
            self._closed = True
            closer = threading.Thread(
                target=self._close_port, name=f"close {self.url}", daemon=True
            )
            closer.start()
            closer.join(CLOSE_TIMEOUT_S)

    def _close_port(self) -> None:
        with contextlib.suppress(*_LOST):
            self._port.reset_output_buffer()
        with contextlib.suppress(*_LOST):
            self._port.close()

    def _lost(self, error: Exception) -> LinkLostError:
        return LinkLostError(f"{self.url}: the port went away; is it plugged in?", url=self.url)


def ports_seen() -> list[PortSeen]:
    """List the serial ports of this machine, without those behind which there is nothing."""
    found = [
        PortSeen(
            port.device,
            port.description,
            port.vid,
            port.pid,
            port.serial_number,
            port.interface,
            _interface_number(port.location),
        )
        for port in list_ports.comports()
        if port.hwid not in (None, "n/a")
    ]
    return sorted(found, key=lambda port: port.device)


def open_serial(url: str, device: str, settings: Mapping[str, str]) -> SerialLink:
    """Open a serial port exclusively.

    Args:
        url: For messages.
        device: Path or name of the port; empty if it is named by its USB device.
        settings: ``baud``; ``vid`` and ``pid``, hexadecimal, ``serial`` and
            ``interface`` (its number) of the USB device.

    Raises:
        ConfigError: No port is named, or an option is not understood.
        LinkError: The port is missing, busy, not permitted, or no serial port; or several fit.
    """
    check_options(url, settings, ("baud", *USB_OPTIONS))
    baud = take_option(url, settings, "baud", int, DEFAULT_BAUD)
    by_usb = any(name in settings for name in USB_OPTIONS)
    if by_usb == bool(device):
        raise ConfigError(
            f"{url}: {'two ports are' if by_usb else 'no port is'} named; use "
            "serial:///dev/ttyACM0 or serial://?vid=2886&pid=8045",
            url=url,
        )
    device = device or _find_port(url, settings)
    try:
        port = serial.Serial(
            device, baud, timeout=0.1, write_timeout=WRITE_TIMEOUT_S, exclusive=True
        )
    except ValueError as error:
        raise ConfigError(f"{url}: baud={baud} is not a rate of this port", url=url) from error
    except _PORT_ERRORS as error:
        raise _explain(url, device, error) from error
    return SerialLink(url, port)


def _find_port(url: str, settings: Mapping[str, str]) -> str:
    vid = take_option(url, settings, "vid", _parse_hex, None)
    pid = take_option(url, settings, "pid", _parse_hex, None)
    number = settings.get("serial")
    interface = take_option(url, settings, "interface", int, None)
    ports = ports_seen()
    found = [
        port
        for port in ports
        if (vid is None or port.vid == vid)
        and (pid is None or port.pid == pid)
        and (number is None or port.serial_number == number)
        and (interface is None or port.interface_number == interface)
    ]
    found = _data_port(found)
    if not found:
        raise _missing(url, ports)
    if len(found) > 1:
        raise LinkError(
            f"{url}: several ports fit: {', '.join(map(str, found))}; add serial= or "
            "interface= to tell them apart",
            url=url,
            reason="ambiguous",
            ports=[port.device for port in found],
        )
    return found[0].device


def _data_port(found: list[PortSeen]) -> list[PortSeen]:
    """Leave the data port alone where all are ports of one CircuitPython board."""
    devices = {(port.usb_id, port.serial_number) for port in found}
    data = [port for port in found if DATA_INTERFACE in (port.interface or "")]
    return data if len(devices) == 1 and len(data) == 1 else found


def _interface_number(location: str | None) -> int | None:
    """Read ``2`` from ``1-1.4:1.2``: bus and ports, then configuration and interface."""
    _, _, interface = (location or "").rpartition(":")[2].partition(".")
    return int(interface) if ":" in (location or "") and interface.isdecimal() else None


def _parse_hex(text: str) -> int | None:
    return int(text, 16)


def _missing(url: str, ports: list[PortSeen]) -> LinkError:
    there = f"the ports here are {', '.join(map(str, ports))}" if ports else "there is no port here"
    return LinkError(
        f"{url}: no such port; {there}",
        url=url,
        reason="missing",
        ports=[port.device for port in ports],
    )


def _explain(url: str, device: str, error: Exception) -> LinkError:
    code = error.errno if isinstance(error, OSError) else None
    if code in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return _missing(url, ports_seen())
    if code in (errno.EACCES, errno.EPERM):
        group = group_of(device)
        return LinkError(
            f"{url}: not permitted; join the group with `sudo usermod -aG {group} $USER` and log "
            "in again",
            url=url,
            reason="not permitted",
            group=group,
        )
    if code in (errno.EBUSY, errno.EAGAIN) or "lock" in str(error):
        return LinkError(
            f"{url}: in use by another program; close that first", url=url, reason="busy"
        )
    no_terminal = code == errno.ENOTTY or os.strerror(errno.ENOTTY) in str(error)
    if no_terminal or not _is_character_device(device):
        return LinkError(f"{url}: not a serial port", url=url, reason="not a serial port")
    return LinkError(f"{url}: cannot be opened: {error}", url=url, reason="other")


def group_of(device: str) -> str:
    """Name of the group that owns a port; dialout, as on Debian, if that cannot be found."""
    try:
        import grp

        name = grp.getgrgid(Path(device).stat().st_gid).gr_name
    except (ImportError, KeyError, OSError):
        return "dialout"
    return "dialout" if name == "root" else name


def _is_character_device(device: str) -> bool:
    try:
        return stat.S_ISCHR(Path(device).stat().st_mode)
    except OSError:
        return False
