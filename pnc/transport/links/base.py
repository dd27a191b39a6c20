"""A link: a pipe for bytes that may be slow, may lose some, and may go away. Opened by URL."""

from __future__ import annotations

from typing import Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from pnc.errors import ConfigError

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


def open_link(url: str, **options: str | float) -> Link:
    """Open a link.

    Args:
        url: ``serial:///dev/ttyACM0?baud=230400`` or ``emu://NAME?side=a&rate_bps=34000``.
        **options: The same options as in the query of the URL, which they override.

    Raises:
        ConfigError: The URL or an option is not understood.
        LinkError: It is there no link can be had: missing, busy, or not permitted.
    """
    parts = urlsplit(url)
    target = unquote(parts.netloc + parts.path)
    merged = {**dict(parse_qsl(parts.query, keep_blank_values=True)), **options}
    settings = {name: str(value) for name, value in merged.items()}
    if parts.scheme == "serial":
        from pnc.transport.links.serial import open_serial

        return open_serial(url, target, settings)
    if parts.scheme == "emu":
        from pnc.transport.links.emulated import open_emulated

        return open_emulated(url, target, settings)
    raise ConfigError(
        f"{url}: not the address of a link; use serial:///dev/ttyACM0?baud=230400 or "
        "emu://NAME?side=a",
        url=url,
    )
