"""Pipes for bytes: serial ports, and imagined radios. ``open_link(url)`` opens any of them."""

from pnc.transport.links.base import Link, open_link

__all__ = ["Link", "open_link"]
