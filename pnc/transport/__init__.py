"""Bytes <-> the other side, before the deadline: sans-I/O sessions, and links that carry them."""

from pnc.transport.events import (
    Connected,
    DeviceConnected,
    Event,
    PacketReceived,
    PictureEnded,
    PictureExpired,
    PictureStarted,
    PictureStopped,
    ResultReceived,
)
from pnc.transport.session import Receiver, Sender

__all__ = [
    "Connected",
    "DeviceConnected",
    "Event",
    "PacketReceived",
    "PictureEnded",
    "PictureExpired",
    "PictureStarted",
    "PictureStopped",
    "Receiver",
    "ResultReceived",
    "Sender",
]
