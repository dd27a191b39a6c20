"""The thread that takes and encodes pictures."""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from device.pictures import EncodedPicture, Reporter
from device.sources import Picture, Source, SourceLostError
from pnc.errors import ImageError

if TYPE_CHECKING:
    from pnc.codec.image import PictureLike

__all__ = ["LEAD_FLOOR_S", "Camera", "Encoder"]

LEAD_FLOOR_S = 0.001
"""A picture is taken this much before its first packet has to be begun, seconds: a thread wakes up
about this late. One that comes later still leaves the link idle for so long, and is as new."""

NUM_TIMES = 9
"""Pictures whose median says how long one takes until its first packet; the first is slower."""

MAX_TAKE_S = 1.0
"""A source that took longer was waiting for a picture, not busy with one, seconds."""

MIN_BACKOFF_S, MAX_BACKOFF_S = 0.25, 5.0
"""First and longest pause between two tries to open a lost link or source, seconds."""


class Encoder(Protocol):
    """The part of :class:`pnc.Codec` that a device uses."""

    def iter_packets(
        self,
        picture: PictureLike,
        mtu_bytes: int,
        *,
        max_bytes: int | None = None,
        redundancy: float = 0.0,
    ) -> Iterator[bytes]:
        """Give the packets of a picture, each as soon as it is coded."""


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
        on_ready: Called from the camera's thread when there is something to collect.
        early: Whether the first packet is handed over before the others are coded.
        in_order: Whether no picture is passed over: one that nobody has collected answers the
            next request, too.
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
        on_ready: Callable[[], None] = lambda: None,
        early: bool = True,
        in_order: bool = False,
    ) -> None:
        self._source = source
        self._encoder = encoder
        self._reporter = reporter
        self._mtu_bytes = mtu_bytes
        self._max_bytes = max_bytes
        self._redundancy = redundancy
        self._clock = clock
        self._on_ready = on_ready
        self._changed = threading.Condition()
        self._due: float | None = None
        self._begun: EncodedPicture | None = None
        self._finished: EncodedPicture | None = None
        self._error: Exception | None = None
        self._exhausted = False
        self._closed = False
        self._early = early
        self._in_order = in_order
        self._is_begun = False
        self._times: deque[float] = deque(maxlen=NUM_TIMES)
        self._take_s = 0.0
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self._thread.start()

    @property
    def exhausted(self) -> bool:
        """Whether the source has ended and its last picture was collected."""
        with self._changed:
            return self._exhausted and self._begun is None and self._finished is None

    def request(self, due: float) -> None:
        """Ask for a picture that is ready at a time; one that is waiting already is discarded."""
        with self._changed:
            if (self._begun or self._finished) and self._is_kept:
                return
            self._due = due
            self._begun = self._finished = None
            self._changed.notify()

    def collect(self) -> EncodedPicture | None:
        """Return the picture asked for, once, or None while it is not ready."""
        with self._changed:
            if self._error is not None:
                raise self._error
            encoded = self._finished or self._begun
            self._begun = self._finished = None
            self._is_begun = self._is_begun or encoded is not None
            return encoded

    def collect_rest(self) -> EncodedPicture | None:
        """Return the whole of the picture of which a part was collected, or None until then."""
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
                if not self._take():
                    with self._changed:
                        self._exhausted = True
                    return
        except Exception as error:  # noqa: BLE001 - the top of a thread; collect() raises it again
            with self._changed:
                self._error = error
        finally:
            self._on_ready()

    def _wait_until_wanted(self) -> bool:
        with self._changed:
            while not self._closed:
                if self._due is not None:
                    wait_s = self._due - self._lead_s - self._clock()
                    if wait_s <= 0:
                        self._due = None
                        return True
                    self._changed.wait(wait_s)
                else:
                    self._changed.wait()
            return False

    @property
    def _lead_s(self) -> float:
        """How long before it is due a picture is taken, so that its first packet is in time."""
        return LEAD_FLOOR_S + (statistics.median_low(self._times) if self._times else 0.0)

    def _take(self) -> bool:
        """Hand over a picture; return False if there is none any more."""
        while (picture := self._take_picture()) is not None:
            self._is_begun = False
            taken_at, begin = self._clock(), time.perf_counter()
            coded = self._encoder.iter_packets(
                picture.content,
                self._mtu_bytes,
                max_bytes=self._max_bytes,
                redundancy=self._redundancy,
            )
            try:
                packets = list(islice(coded, 1))
            except ImageError as error:
                self._source.reject(picture)
                self._reporter.broken(error)
                if self._source.live:
                    self._pause(MIN_BACKOFF_S)
                continue
            first_s = time.perf_counter() - begin
            if self._early and packets:
                self._hand_over(
                    EncodedPicture(picture, tuple(packets), 1e3 * first_s, taken_at, whole=False)
                )
            packets += coded
            encode_s = time.perf_counter() - begin
            self._times.append(self._take_s + (first_s if self._early else encode_s))
            self._hand_over(EncodedPicture(picture, packets, 1e3 * encode_s, taken_at))
            return True
        return False

    @property
    def _is_kept(self) -> bool:
        """Whether the present picture has yet to be collected, and must be."""
        return self._in_order and not self._is_begun

    def _hand_over(self, encoded: EncodedPicture) -> None:
        with self._changed:
            if self._due is not None:
                if not self._is_kept:
                    return  # Another picture was asked for meanwhile: it takes this one's place.
                self._due = None
            if encoded.whole:
                self._begun, self._finished = None, encoded
            else:
                self._begun = encoded
        self._on_ready()

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
