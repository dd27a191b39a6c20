"""Serial ports through pyserial: USB radios, UARTs, pseudo-terminals.

pyserial 3.5 has traps that this module keeps to itself: ``write_timeout=0`` spins (#280), a
``SerialTimeoutException`` does not mean that nothing was sent, ``in_waiting`` raises a plain
``OSError`` after an unplug, a flush then raises ``termios.error``, which is neither, and closing a
port under a reader raises ``TypeError``.
"""

from __future__ import annotations

import contextlib
import errno
import stat
from collections.abc import Mapping
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

__all__ = ["SerialLink", "open_serial"]

DEFAULT_BAUD = 230_400
"""The published test bed's rate, and what nRF52 boards' USB bridges run without loss."""

WRITE_TIMEOUT_S = 0.5
"""A write gives up after this: the receiver's window is far less than a port takes in that time."""

READ_BYTES = 4096
"""Bytes taken at once; more would only wait in another buffer."""

_PORT_ERRORS: tuple[type[Exception], ...] = (serial.SerialException, OSError, *TERMINAL_ERRORS)
_LOST: tuple[type[Exception], ...] = (*_PORT_ERRORS, TypeError)


class SerialLink:
    """An open serial port, 8N1, locked against a second opener."""

    def __init__(self, url: str, port: serial.Serial) -> None:
        self.url = url
        self._port = port
        self._closed = False

    def read(self, timeout_s: float) -> bytes:
        """Wait for bytes; see :class:`pnc.transport.links.base.Link`."""
        try:
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
            with contextlib.suppress(*_LOST):
                self._port.reset_output_buffer()
            with contextlib.suppress(*_LOST):
                self._port.close()

    def _lost(self, error: Exception) -> LinkLostError:
        return LinkLostError(f"{self.url}: the port went away; is it plugged in?", url=self.url)


def open_serial(url: str, device: str, settings: Mapping[str, str]) -> SerialLink:
    """Open a serial port exclusively.

    Args:
        url: For messages.
        device: Path or name of the port.
        settings: ``baud``.

    Raises:
        ConfigError: No port is named, or an option is not understood.
        LinkError: The port is missing, busy, not permitted, or no serial port.
    """
    check_options(url, settings, ("baud",))
    baud = take_option(url, settings, "baud", int, DEFAULT_BAUD)
    if not device:
        raise ConfigError(f"{url}: no port is named; use serial:///dev/ttyACM0", url=url)
    try:
        port = serial.Serial(
            device, baud, timeout=0.1, write_timeout=WRITE_TIMEOUT_S, exclusive=True
        )
    except ValueError as error:
        raise ConfigError(f"{url}: baud={baud} is not a rate of this port", url=url) from error
    except _PORT_ERRORS as error:
        raise _explain(url, device, error) from error
    return SerialLink(url, port)


def _explain(url: str, device: str, error: Exception) -> LinkError:
    code = error.errno if isinstance(error, OSError) else None
    if code in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        ports = sorted(port.device for port in list_ports.comports())
        there = f"the ports here are {', '.join(ports)}" if ports else "there is no port here"
        return LinkError(f"{url}: no such port; {there}", url=url, reason="missing", ports=ports)
    if code in (errno.EACCES, errno.EPERM):
        group = _group_of(device)
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
    if code == errno.ENOTTY or not _is_character_device(device):
        return LinkError(f"{url}: not a serial port", url=url, reason="not a serial port")
    return LinkError(f"{url}: cannot be opened: {error}", url=url, reason="other")


def _group_of(device: str) -> str:
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
