"""The device's loop: take, encode, send, at the pace of the deadline.

Two threads, so that the next picture is encoded while the current one is sent::

    Camera (thread)    source -> encode, in packets -> one picture on the shelf
    the caller's       pump: PacedSender (shelf -> Sender) <-> Link

A picture is submitted at the deadline of the one before it, and is taken as late before that as
its encoding allows, so that what is sent is new.
"""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from device.policy import Policy
from device.sources import Picture, Source, SourceLostError
from pnc.errors import ImageError, LinkError, LinkLostError, StoreError
from pnc.transport.events import (
    Connected,
    Event,
    PictureExpired,
    PictureStopped,
    ResultReceived,
)
from pnc.transport.sender import Sender

if TYPE_CHECKING:
    from pnc.codec.image import PictureLike
    from pnc.transport.links.base import Link

__all__ = [
    "Camera",
    "EncodedPicture",
    "Encoder",
    "Finished",
    "Manifest",
    "PacedSender",
    "PictureReport",
    "Reporter",
    "Shelf",
    "parse_result",
    "run_agent",
]

RESULT_WAIT_S = 10.0
"""How long after its deadline a picture's result is waited for, seconds: several repeated ENDs."""

DEADLINE = Policy()

POLL_S = 0.005
"""How often a late picture is looked for, seconds: small against any deadline."""

MAX_POLL_S, POLL_SHARE = 0.1, 0.05
"""A picture that is later still is looked for less often, by this share of its lateness: a source
without pictures, such as a folder that is watched at night, must not cost a processor."""

LEAD_FLOOR_S = 0.02
"""A picture is taken at least this long before it is due: a scheduler may be this late."""

MAX_TAKE_S = 1.0
"""A source that took longer was waiting for a picture, not busy with one, seconds."""

MIN_BACKOFF_S, MAX_BACKOFF_S = 0.25, 5.0
"""First and longest pause between two tries to open a lost source, seconds."""

MAX_LINK_BACKOFF_S = 1.0
"""The same of a link: a radio that is plugged in again is noticed within this."""


class Encoder(Protocol):
    """The part of :class:`pnc.Codec` that a device uses."""

    def encode_packets(
        self,
        picture: PictureLike,
        mtu_bytes: int,
        *,
        max_bytes: int | None = None,
        redundancy: float = 0.0,
    ) -> list[bytes]:
        """Return the packets of a picture."""


@dataclass(frozen=True)
class EncodedPicture:
    """A picture that is ready to be sent."""

    picture: Picture
    num_bytes: int
    """Length of its stream."""
    packets: Sequence[bytes]
    """In priority order."""
    encode_ms: float
    """From the picture as taken to packets, milliseconds."""


class Shelf(Protocol):
    """Where finished pictures are picked up, one at a time."""

    def request(self, due: float) -> None:
        """Ask for a picture that is ready at a time."""

    def collect(self) -> EncodedPicture | None:
        """Return the picture asked for, once, or None while it is not ready.

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
    result_ms: float | None = None
    """From submission to result, milliseconds; None if no result came."""
    received_bytes: int | None = None
    """What the edge server says it used."""
    top: tuple[tuple[str, float], ...] = ()
    """Labels and probabilities, best first."""


@dataclass(frozen=True)
class Finished(Event):
    """The last picture has been reported."""


class Reporter(Protocol):
    """Tells the user; called from more than one thread."""

    def picture(self, report: PictureReport) -> None:
        """Tell what became of a picture."""

    def connected(self) -> None:
        """Tell that the edge server answered."""

    def lost(self, error: LinkError, retry_s: float) -> None:
        """Tell that the link is gone and when it is tried again."""

    def broken(self, error: ImageError) -> None:
        """Tell that a picture was skipped because it cannot be read."""

    def source_lost(self, error: SourceLostError) -> None:
        """Tell that the source gives nothing now, and why; it is tried again."""

    def source_back(self) -> None:
        """Tell that the source gives pictures again."""


class Manifest:
    """A JSONL file that says, before a picture is sent, what it is; for measuring afterwards.

    Args:
        path: The file; begun anew.

    Raises:
        StoreError: It cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise self._refuse(error) from error

    def add(self, session_id: int, picture_id: int, encoded: EncodedPicture, at: float) -> None:
        """Write one line, at once.

        Args:
            session_id: Of the sender.
            picture_id: The id that the picture is about to get.
            encoded: The picture.
            at: Unix time, seconds.
        """
        line = {
            "session_id": session_id,
            "picture_id": picture_id,
            "source": encoded.picture.name,
            "label": encoded.picture.label,
            "encoded_bytes": encoded.num_bytes,
            "submitted_at": at,
        }
        data = json.dumps(line).encode() + b"\n"
        try:
            if self._file.write(data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise self._refuse(error) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _refuse(self, error: OSError) -> StoreError:
        reason = (error.strerror or type(error).__name__).lower()
        return StoreError(
            f"{self._path}: the manifest cannot be written ({reason}); free space or choose another"
            " file with --manifest",
            path=self._path,
        )


@dataclass
class _Open:
    """A picture that was submitted and not yet reported."""

    report: PictureReport
    submitted: float
    deadline: float


class PacedSender:
    """A :class:`Sender` that helps itself to the next picture at each deadline; sans-I/O.

    It has the sender's own face, so whatever pumps a sender pumps this, and its events, together
    with one :class:`PictureReport` per picture and :class:`Finished` at the end. The pace begins
    when the edge server first answers: no picture is spent before anybody listens.

    Args:
        sender: The sender; this object owns it.
        shelf: Where the pictures come from.
        deadline_s: Time from a picture's submission to its deadline, seconds.
        policy: When a picture is over.
        count: How many pictures to send; None: until the source ends.
        manifest: Written before each submission.
        wall_clock: Unix time, for the manifest.
        on_tick: Called often for as long as the loop is alive.
    """

    def __init__(
        self,
        sender: Sender,
        shelf: Shelf,
        *,
        deadline_s: float,
        policy: Policy = DEADLINE,
        count: int | None = None,
        manifest: Manifest | None = None,
        wall_clock: Callable[[], float] = time.time,
        on_tick: Callable[[], None] = lambda: None,
    ) -> None:
        self.sender = sender
        self._shelf = shelf
        self._deadline_s = deadline_s
        self._policy = policy
        self._asked = False
        self._count = count
        self._manifest = manifest
        self._wall_clock = wall_clock
        self.tick = on_tick
        self._num_submitted = 0
        self._due: float | None = None
        self._look_at = 0.0
        self._open: dict[int, _Open] = {}
        self._finished = False

    @property
    def closed(self) -> bool:
        """Whether the session is over for good."""
        return self.sender.closed

    def link_opened(self, now: float) -> None:
        """Begin anew on a fresh link; the next picture goes out once it is answered."""
        self._due = None
        self.sender.link_opened(now)

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Take bytes from the link.

        Raises:
            RemoteProtocolError: The other side speaks another version.
        """
        return self._note(self.sender.receive_data(data, now), now)

    def handle_timer(self, now: float) -> list[Event]:
        """Note that time has passed, and submit the next picture if it is due.

        Raises:
            PncError: The source is of no use any more, or the manifest cannot be written.
        """
        self.tick()
        self._ask(now)
        self._submit(now)
        events = self._note(self.sender.handle_timer(now), now) + self._give_up(now)
        if not (self._more or self._open or self._finished):
            self._finished = True
            events.append(Finished())
        return events

    def data_to_send(self, now: float) -> bytes:
        """Return what may go out now."""
        return self.sender.data_to_send(now)

    def next_timer(self) -> float | None:
        """When to call again at the latest."""
        times = [entry.deadline + RESULT_WAIT_S for entry in self._open.values()]
        if self._due is not None and self._more and not self._busy:
            times.append(max(self._due, self._look_at))
        if (timer := self.sender.next_timer()) is not None:
            times.append(timer)
        return min(times, default=None)

    def abandon(self) -> list[PictureReport]:
        """Wait for no further result; return the reports of the pictures that wait for one."""
        reports = [entry.report for entry in self._open.values()]
        self._open.clear()
        return reports

    @property
    def _more(self) -> bool:
        if self._count is not None and self._num_submitted >= self._count:
            return False
        return not self._shelf.exhausted

    @property
    def _busy(self) -> bool:
        """Whether the next picture has to wait, however long it has been due."""
        return self._policy.waits and self.sender.sending

    def _ask(self, now: float) -> None:
        """Ask for the next picture, once, as soon as it is known when its turn comes."""
        if self._asked or self._due is None or self._busy or not self._more:
            return
        self._asked = True
        self._shelf.request(max(self._due, now))

    def _submit(self, now: float) -> None:
        if self._due is None or now < self._due or self._busy or not self._more:
            return
        encoded = self._shelf.collect()
        if encoded is None:
            self._look_at = now + min(max(POLL_S, POLL_SHARE * (now - self._due)), MAX_POLL_S)
            return
        self._num_submitted += 1
        if self._manifest is not None:
            self._manifest.add(
                self.sender.session_id, self._num_submitted, encoded, self._wall_clock()
            )
        self._due = now + self._deadline_s
        deadline = self._due + self._policy.grace_s
        picture_id = self.sender.submit(
            encoded.packets, deadline=deadline, now=now, max_bytes=self._policy.max_bytes
        )
        assert picture_id == self._num_submitted, "the sender counts pictures from 1"
        report = PictureReport(
            picture_id,
            encoded.picture.name,
            encoded.picture.label,
            encoded.num_bytes,
            sum(map(len, encoded.packets)),
            encoded.encode_ms,
        )
        self._open[picture_id] = _Open(report, now, deadline)
        self._asked = False
        self._ask(now)

    def _note(self, events: list[Event], now: float) -> list[Event]:
        reports: list[Event] = []
        for event in events:
            match event:
                case Connected() if self._due is None:
                    self._due = now
                    self._asked = False
                    self._ask(now)
                case PictureExpired(picture_id, bytes_sent) | PictureStopped(
                    picture_id, bytes_sent
                ) if picture_id in self._open:
                    entry = self._open[picture_id]
                    entry.report = replace(entry.report, sent_bytes=bytes_sent)
                case ResultReceived(picture_id, payload) if picture_id in self._open:
                    entry = self._open.pop(picture_id)
                    received_bytes, top = parse_result(payload)
                    reports.append(
                        replace(
                            entry.report,
                            result_ms=1e3 * (now - entry.submitted),
                            received_bytes=received_bytes,
                            top=top,
                        )
                    )
                case _:
                    pass
        return events + reports

    def _give_up(self, now: float) -> list[Event]:
        late = [key for key, entry in self._open.items() if now >= entry.deadline + RESULT_WAIT_S]
        return [self._open.pop(picture_id).report for picture_id in late]


class Camera:
    """Takes and encodes pictures in a thread of its own; a :class:`Shelf`.

    Args:
        source: Where pictures come from.
        encoder: Used by this thread only.
        reporter: Told about pictures that cannot be read.
        mtu_bytes: Largest packet, bytes.
        max_bytes: Longest stream, bytes; None: as the checkpoint makes it.
        redundancy: Repairs for each piece of a stream, see :meth:`pnc.Codec.packetize`.
        clock: The clock of the times passed to :meth:`request`.
    """

    def __init__(
        self,
        source: Source,
        encoder: Encoder,
        reporter: Reporter,
        *,
        mtu_bytes: int,
        max_bytes: int | None = None,
        redundancy: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._encoder = encoder
        self._reporter = reporter
        self._mtu_bytes = mtu_bytes
        self._max_bytes = max_bytes
        self._redundancy = redundancy
        self._clock = clock
        self._changed = threading.Condition()
        self._due: float | None = None
        self._finished: EncodedPicture | None = None
        self._error: Exception | None = None
        self._exhausted = False
        self._closed = False
        self._slowest_s = 0.0
        self._take_s = 0.0
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self._thread.start()

    @property
    def exhausted(self) -> bool:
        """Whether the source has ended and its last picture was collected."""
        with self._changed:
            return self._exhausted and self._finished is None

    def request(self, due: float) -> None:
        """Ask for a picture that is ready at a time; one that is waiting already is discarded."""
        with self._changed:
            self._due = due
            self._finished = None
            self._changed.notify()

    def collect(self) -> EncodedPicture | None:
        """Return the picture asked for, once, or None while it is not ready."""
        with self._changed:
            if self._error is not None:
                raise self._error
            encoded, self._finished = self._finished, None
            return encoded

    def close(self) -> None:
        """End the thread after the picture it is at."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._source.close()
        self._thread.join(timeout=2.0)

    def _run(self) -> None:
        try:
            while self._wait_until_wanted():
                encoded = self._take()
                with self._changed:
                    if encoded is None:
                        self._exhausted = True
                        return
                    self._finished = encoded
        except Exception as error:  # noqa: BLE001 - the top of a thread; collect() raises it again
            with self._changed:
                self._error = error

    def _wait_until_wanted(self) -> bool:
        with self._changed:
            while not self._closed:
                if self._due is not None:
                    lead_s = LEAD_FLOOR_S + 2 * self._slowest_s
                    wait_s = self._due - lead_s - self._clock()
                    if wait_s <= 0:
                        self._due = None
                        return True
                    self._changed.wait(wait_s)
                else:
                    self._changed.wait()
            return False

    def _take(self) -> EncodedPicture | None:
        while (picture := self._take_picture()) is not None:
            begin = time.perf_counter()
            try:
                packets = self._encoder.encode_packets(
                    picture.content,
                    self._mtu_bytes,
                    max_bytes=self._max_bytes,
                    redundancy=self._redundancy,
                )
            except ImageError as error:
                self._source.reject(picture)
                self._reporter.broken(error)
                if self._source.live:
                    self._pause(MIN_BACKOFF_S)
                continue
            num_bytes = sum(map(len, packets))
            encode_s = time.perf_counter() - begin
            self._slowest_s = max(self._take_s + encode_s, 0.9 * self._slowest_s)
            return EncodedPicture(picture, num_bytes, packets, 1e3 * encode_s)
        return None

    def _take_picture(self) -> Picture | None:
        """Take a picture; tell once of a source that gives none, and try until it does."""
        told: str | None = None
        backoff_s = MIN_BACKOFF_S
        while True:
            begin = time.perf_counter()
            try:
                picture = self._source.take()
            except SourceLostError as error:
                if str(error) != told:
                    told = str(error)
                    self._reporter.source_lost(error)
                if self._pause(backoff_s):
                    return None
                backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)
                continue
            self._take_s = min(time.perf_counter() - begin, MAX_TAKE_S)
            if told is not None and picture is not None:
                self._reporter.source_back()
            return picture

    def _pause(self, seconds: float) -> bool:
        """Wait; return whether the camera was closed meanwhile."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closed, seconds)


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


def run_agent(
    paced: PacedSender,
    open_link: Callable[[], Link],
    pump: Callable[[PacedSender, Link, Callable[[Event], None]], None],
    reporter: Reporter,
    stop: threading.Event,
    *,
    patient: bool = False,
) -> None:
    """Send until the source ends, the count is reached, or ``stop`` is set.

    A link that goes away is opened again, with pauses that double; pictures whose time passes
    meanwhile are not taken.

    Args:
        paced: What to send.
        open_link: Opens the link.
        pump: Carries bytes between the two and hands on the events until ``stop`` is set; raises
            LinkLostError.
        reporter: Told what happens.
        stop: Ends the loop; set by this function when everything is done.
        patient: Wait for a link that is not there at the start, too.

    Raises:
        LinkError: The link cannot be opened the first time, and ``patient`` is false.
        PncError: The source, the manifest or the edge server is of no use.
    """

    def tell(event: Event) -> None:
        match event:
            case Connected():
                reporter.connected()
            case PictureReport():
                reporter.picture(event)
            case Finished():
                stop.set()
            case _:
                pass

    backoff_s = MIN_BACKOFF_S

    def find(lost: LinkError | None) -> Link | None:
        """Open the link, after a pause if it was lost, until it is there or all is over."""
        nonlocal backoff_s
        while not stop.is_set():
            if lost is not None:
                reporter.lost(lost, backoff_s)
                paced.tick()
                stop.wait(backoff_s)
                backoff_s = min(2 * backoff_s, MAX_LINK_BACKOFF_S)
            try:
                return open_link()
            except LinkError as error:
                if lost is None and not patient:
                    raise
                lost = error
        return None

    link = find(None)
    while link is not None:
        try:
            pump(paced, link, tell)
            break
        except LinkLostError as error:
            lost = error
            if paced.sender.connected:
                backoff_s = MIN_BACKOFF_S
        finally:
            link.close()
        link = find(lost)
    for report in paced.abandon():
        reporter.picture(report)
