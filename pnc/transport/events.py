"""What happened: the events that sessions return."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "Connected",
    "DeviceConnected",
    "Event",
    "PacketReceived",
    "PictureEnded",
    "PictureExpired",
    "PictureStarted",
    "PictureStopped",
    "ResultReceived",
]


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True, slots=True)
class Connected(Event):
    """Sender: the receiver answered and granted a window, bytes on the wire."""

    window_bytes: int


@dataclass(frozen=True, slots=True)
class ResultReceived(Event):
    """Sender: the receiver has stored what it made of a picture; ``payload`` says what."""

    picture_id: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class PictureExpired(Event):
    """Sender: a picture met its deadline, its budget or a newer one before it was complete.

    ``bytes_sent`` counts payload bytes handed to the link, repetitions included.
    """

    picture_id: int
    bytes_sent: int


@dataclass(frozen=True, slots=True)
class PictureStopped(Event):
    """Sender: the receiver had its result before all of a picture was sent; the rest stays here.

    Its :class:`ResultReceived` follows. ``bytes_sent`` as in :class:`PictureExpired`.
    """

    picture_id: int
    bytes_sent: int


@dataclass(frozen=True, slots=True)
class DeviceConnected(Event):
    """Receiver: a device began a session. Events after this one belong to it."""

    device_name: str
    checkpoint_id: str
    session_id: int


@dataclass(frozen=True, slots=True)
class PictureStarted(Event):
    """Receiver: the first packet of a picture arrived, ``deadline_s`` seconds before its end.

    ``num_packets`` is 0 while the device does not know it yet.
    """

    picture_id: int
    deadline_s: float
    num_packets: int


@dataclass(frozen=True, slots=True)
class PacketReceived(Event):
    """Receiver: a packet arrived in time and for the first time."""

    picture_id: int
    index: int
    packet: bytes


@dataclass(frozen=True, slots=True)
class PictureEnded(Event):
    """Receiver: nothing more of a picture will be used. Exactly one for every picture id.

    ``packets`` maps packet index to packet, empty if nothing arrived; ``num_packets`` is how many
    the device had, 0 if it never said; ``received_bytes`` sums the packets; ``late_bytes`` counts
    payload that came after the deadline and was not used; times are in seconds of the clock that
    was passed in; ``stopped_early`` says that the receiver had enough of it before its end;
    ``age_s`` is how old the picture was at ``started_at`` if the device had kept it, 0 if not.
    """

    picture_id: int
    packets: dict[int, bytes]
    num_packets: int
    received_bytes: int
    started_at: float
    ended_at: float
    late_bytes: int
    stopped_early: bool = False
    age_s: float = 0.0
