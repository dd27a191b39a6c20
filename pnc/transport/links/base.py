"""A link: a pipe for bytes that may be slow, may lose some, and may go away. Opened by URL."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from pnc.errors import ConfigError
from pnc.transport.links.options import hide_token

__all__ = ["Link", "open_link"]


class Link(Protocol):
    """What every link can do. One thread may read while another writes."""

    url: str
    """The address it was opened by."""

    def read(self, timeout_s: float) -> bytes:
        """Wait for bytes, at most this long; b"" if none came.

        Raises:
            LinkLostError: The link went away.
        """
        ...

    def write(self, data: bytes) -> None:
        """Hand bytes to the link; blocks a bounded time, then what it did not take is lost.

        Raises:
            LinkLostError: The link went away.
        """
        ...

    def close(self) -> None:
        """Close the link; a second time does nothing."""
        ...


OPENERS = {
    "serial": ("pnc.transport.links.serial", "open_serial"),
    "tcp": ("pnc.transport.links.tcp", "open_tcp"),
    "udp": ("pnc.transport.links.udp", "open_udp"),
    "ws": ("pnc.transport.links.websocket", "open_websocket"),
    "ble": ("pnc.transport.links.ble", "open_ble"),
    "ble-peripheral": ("pnc.transport.links.ble_peripheral", "open_ble_peripheral"),
    "emu": ("pnc.transport.links.emulated", "open_emulated"),
}
"""Module and function that open a link, by scheme; loaded when a link of theirs is opened. A
function takes the URL, what stands between ``//`` and ``?``, and the options."""

EXTRAS = {"ws": "websocket"}
"""What to install for a link whose module does not load without it."""


def open_link(url: str, **options: str | float) -> Link:
    """Open a link; docs/links.md lists the kinds and their options.

    Args:
        url: ``serial:///dev/ttyACM0?baud=230400``, ``tcp://host:8810`` or one of the others.
        **options: The same options as in the query of the URL, which they override.

    Raises:
        ConfigError: The URL or an option is not understood.
        LinkError: No link can be had there: missing, busy, or not permitted.
    """
    shown = hide_token(url)
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigError(f"{shown}: not the address of a link: {error}", url=shown) from error
    if parts.scheme not in OPENERS:
        raise ConfigError(
            f"{shown}: not the address of a link; use serial:///dev/ttyACM0?baud=230400, or "
            f"another of {', '.join(f'{scheme}://' for scheme in OPENERS)}",
            url=shown,
        )
    merged = {**dict(parse_qsl(parts.query, keep_blank_values=True)), **options}
    settings = {name: str(value) for name, value in merged.items()}
    module, name = OPENERS[parts.scheme]
    try:
        opener = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{parts.scheme}:// needs the package {error.name}; install it with: "
            f"pip install 'pnc[{EXTRAS.get(parts.scheme, 'device')}]'",
            url=shown,
        ) from error
    link: Link = opener(url, unquote(parts.netloc + parts.path), settings)
    return link
