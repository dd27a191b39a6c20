"""What the parts of a device tell each other about a picture, and what they tell the user."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from device.sources import Picture, SourceLostError
from pnc.errors import ImageError, LinkError
from pnc.transport.events import Event

__all__ = [
    "EncodedPicture",
    "Finished",
    "PictureReport",
    "Reporter",
    "Shelf",
    "Unanswered",
    "parse_result",
]


@dataclass(frozen=True)
class EncodedPicture:
    """A picture that is ready to be sent, or the first packets of one."""

    picture: Picture
    packets: Sequence[bytes]
    """In priority order."""
    encode_ms: float
    """From the picture as taken to packets, milliseconds."""
    taken_at: float
    """When the source gave the picture, by the clock of the shelf."""
    whole: bool = True
    """Whether these are all packets."""

    @property
    def num_bytes(self) -> int:
        """Length of all packets."""
        return sum(map(len, self.packets))


class Shelf(Protocol):
    """Where finished pictures are picked up, one at a time."""

    def request(self, due: float) -> None:
        """Ask for a picture that is ready at a time."""

    def collect(self) -> EncodedPicture | None:
        """Return the picture asked for, once, or None while it is not ready.

        The first packets may be ready before the others: these follow by :meth:`collect_rest`.

        Raises:
            PncError: The source is of no use any more.
        """

    def collect_rest(self) -> EncodedPicture | None:
        """Return the whole of the picture of which a part was collected, or None until it is ready.

        Raises:
            PncError: The source is of no use any more.
        """

    @property
    def exhausted(self) -> bool:
        """Whether the source has no further picture."""


@dataclass(frozen=True)
class PictureReport(Event):
    """What became of one picture."""

    picture_id: int
    source: str
    """Name of the picture in its source."""
    label: str | None
    """What it shows, where the source knows."""
    encoded_bytes: int
    sent_bytes: int
    """Payload handed to the link, repetitions included."""
    encode_ms: float
    first_packet_ms: float | None = None
    """From the source's giving the picture to its first packet's going to the link, milliseconds;
    None if none went."""
    result_ms: float | None = None
    """From submission to result, milliseconds; None if no result came."""
    received_bytes: int | None = None
    """What the edge server says it used."""
    top: tuple[tuple[str, float], ...] = ()
    """Labels and probabilities, best first."""
    age_s: float = 0.0
    """How old it was when it was sent, seconds, if it had been kept; 0 for a new one."""


@dataclass(frozen=True)
class Finished(Event):
    """The last picture has been reported."""


@dataclass(frozen=True)
class Unanswered(Event):
    """The link is there, but for a while no edge server has answered."""

    received_bytes: int
    """What came over the link meanwhile, and was no answer."""

    def __str__(self) -> str:
        """Return what it looks like and what to do."""
        if not self.received_bytes:
            return "nothing comes over the link; is `pnc serve` running at its other end?"
        return (
            f"what comes over the link ({self.received_bytes:,} bytes) is not from an edge server; "
            "is it the right port, with the same baud rate at both ends and, on a board, the "
            "bridge of device/firmware?"
        )


class Reporter(Protocol):
    """Tells the user; called from more than one thread."""

    def picture(self, report: PictureReport) -> None:
        """Tell what became of a picture."""

    def connected(self) -> None:
        """Tell that the edge server answered."""

    def unanswered(self, event: Unanswered) -> None:
        """Tell that no edge server answers, though the link is there."""

    def lost(self, error: LinkError, retry_s: float) -> None:
        """Tell that the link is gone and when it is tried again."""

    def broken(self, error: ImageError) -> None:
        """Tell that a picture was skipped because it cannot be read."""

    def trouble(self, text: str) -> None:
        """Tell of what goes wrong while the device goes on."""

    def source_lost(self, error: SourceLostError) -> None:
        """Tell that the source gives nothing now, and why; it is tried again."""

    def source_back(self) -> None:
        """Tell that the source gives pictures again."""


def parse_result(payload: bytes) -> tuple[int | None, tuple[tuple[str, float], ...]]:
    """Read the payload of a RESULT frame: UTF-8 JSON ``{"top": [[label, p], ...], "bytes": n}``.

    Returns:
        The bytes that the edge server used and the classes, best first; None and () where the
        payload does not say so in the right form.
    """
    try:
        record = json.loads(payload)
    except (ValueError, RecursionError):
        return None, ()
    if not isinstance(record, dict):
        return None, ()
    num_bytes, top = record.get("bytes"), record.get("top")
    pairs = [
        (_printable(str(item[0])), float(item[1]))
        for item in (top if isinstance(top, list) else ())
        if isinstance(item, list) and len(item) == 2 and isinstance(item[1], int | float)
    ]
    return num_bytes if isinstance(num_bytes, int) else None, tuple(pairs)


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
