"""Memory that strangers cannot fill: a device may call itself anything, each time anew."""

from __future__ import annotations

from typing import TypeVar

__all__ = ["Newest"]

V = TypeVar("V")


class Newest(dict[str, V]):
    """What is known of the devices that were heard last, by name; the others are forgotten.

    Args:
        size: Devices that are remembered.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def __setitem__(self, name: str, value: V) -> None:
        """Note something of a device; it is the newest now."""
        self.pop(name, None)
        super().__setitem__(name, value)
        if len(self) > self._size:
            del self[next(iter(self))]
