"""Decode and classify in worker threads: ended pictures first, earliest deadline first.

    receiver --EndedPicture--> WorkerPool --Result--> recorder
             --snapshot------> Previewer  --event---> page

LiteRT leaves the interpreter lock while it computes, so threads are enough. Every thread has its
own :class:`~pnc.Codec`: a Codec is not thread-safe. Batching would buy nothing on a CPU: the models
are limited by arithmetic, not by weights.

Previews (the picture as it sharpens) run in one thread of the lowest priority, at most a few per
second and device, only while a page is watching or a sure one ends its picture early, and only
while no ended picture waits.
"""

from __future__ import annotations

import heapq
import itertools
import json
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edge_server.newest import Newest
from edge_server.store import Guess, PictureKey, Result
from pnc.errors import BitstreamError, ConfigError, CorruptBitstreamError, PncError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pnc.codec.codec import Codec

__all__ = [
    "Catalogue",
    "EndedPicture",
    "PictureCache",
    "Previewer",
    "Snapshot",
    "Viewer",
    "WorkerPool",
    "encode_payload",
]

MAX_PAYLOAD_BYTES = 200
"""The wire's limit for a result."""

MAX_QUEUED_PICTURES = 1000
"""Ended pictures that may wait; some minutes of work. More are refused and not acknowledged."""

NUM_CACHED_PICTURES = 64
"""Decoded pictures kept for the page, 150 KB each; as many devices are previewed."""

PREVIEW_NICENESS = 10
"""Added to the preview thread's nice value: it gets what the others leave."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EndedPicture:
    """A picture that gets no more packets, on its way to a result. Times as in ``Result``."""

    key: PictureKey
    link_url: str
    checkpoint_id: str
    packets: dict[int, bytes]
    num_packets: int
    late_bytes: int
    started_at: float
    ended_at: float
    deadline_s: float
    stopped_early: bool = False
    captured_at: float | None = None


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What of a picture has arrived so far."""

    key: PictureKey
    link_url: str
    checkpoint_id: str
    packets: dict[int, bytes]


class Catalogue:
    """The checkpoints this server decodes, by id; makes Codecs of them.

    Args:
        names: Names or folders of checkpoints.
        load: How to load one; :meth:`pnc.Codec.load` if None.

    Raises:
        CheckpointError: One is missing or damaged.
        ConfigError: No name, or two checkpoints with one id.
    """

    def __init__(self, names: Sequence[str], *, load: Callable[[str], Codec] | None = None) -> None:
        if load is None:
            from pnc import Codec

            load = Codec.load
        self._load = load
        self.names: dict[str, str] = {}
        """Checkpoint id to the name or folder it was loaded from."""
        self.classes: dict[str, tuple[str, ...]] = {}
        for name in names:
            checkpoint = load(name).checkpoint
            if checkpoint.id in self.names and self.names[checkpoint.id] != name:
                other = self.names[checkpoint.id]
                raise ConfigError(f"--checkpoint {name} and {other} are the same; name it once")
            self.names[checkpoint.id] = name
            self.classes[checkpoint.id] = tuple(checkpoint.classes)
        if not self.names:
            raise ConfigError("no checkpoint: name at least one with --checkpoint")

    def load(self, checkpoint_id: str) -> Codec:
        """Return a new Codec.

        Raises:
            BitstreamError: This server has no such checkpoint.
        """
        if checkpoint_id not in self.names:
            raise BitstreamError(self.explain_unknown(checkpoint_id), checkpoint_id=checkpoint_id)
        return self._load(self.names[checkpoint_id])

    def explain_unknown(self, checkpoint_id: str) -> str:
        """Return one line: the device's checkpoint, ours, what to do."""
        ours = ", ".join(f"{name} ({known})" for known, name in self.names.items())
        return (
            f"the device encodes with checkpoint {checkpoint_id}, this server has {ours}; "
            "start both with the same --checkpoint"
        )


class _Codecs:
    """The Codecs of one thread, loaded when first needed."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._loaded: dict[str, Codec] = {}

    def get(self, checkpoint_id: str) -> Codec:
        if checkpoint_id not in self._loaded:
            self._loaded[checkpoint_id] = self._catalogue.load(checkpoint_id)
        return self._loaded[checkpoint_id]

    def warm_up(self) -> None:
        """Decode and classify nothing, so that the first picture does not wait for models."""
        for checkpoint_id in self._catalogue.names:
            try:
                codec = self.get(checkpoint_id)
                codec.classify(codec.decode_packets([]), top=1)
            except PncError as reason:
                _log.error("%s", reason)


class PictureCache:
    """The last decoded pictures, so that showing a new result does not decode it again."""

    def __init__(self, size: int = NUM_CACHED_PICTURES) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._pictures: OrderedDict[PictureKey, NDArray[np.uint8]] = OrderedDict()

    def put(self, key: PictureKey, pixels: NDArray[np.uint8]) -> None:
        """Keep a picture, forget the oldest."""
        with self._lock:
            self._pictures[key] = pixels
            while len(self._pictures) > self._size:
                self._pictures.popitem(last=False)

    def get(self, key: PictureKey) -> NDArray[np.uint8] | None:
        """Return the picture if it is still there."""
        with self._lock:
            return self._pictures.get(key)


@dataclass(order=True)
class _Job:
    due: float
    order: int
    picture: EndedPicture = field(compare=False)


class WorkerPool:
    """Threads that turn ended pictures into results, earliest deadline first.

    Args:
        catalogue: The checkpoints.
        on_result: Called in a worker thread with each result.
        cache: Where decoded pictures go.
        num_workers: Threads; one per core is what a CPU can use.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        on_result: Callable[[Result], None],
        cache: PictureCache,
        *,
        num_workers: int = 1,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._catalogue = catalogue
        self._on_result = on_result
        self._cache = cache
        self._clock = clock
        self._jobs: list[_Job] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._num_running = 0
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"worker-{index}", daemon=True)
            for index in range(num_workers)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    @property
    def is_idle(self) -> bool:
        """Whether no ended picture waits or is worked on."""
        return not self._jobs and self._num_running == 0

    @property
    def num_waiting(self) -> int:
        """Ended pictures in the queue."""
        return len(self._jobs)

    def submit(self, picture: EndedPicture) -> bool:
        """Queue a picture; False if the pool is closing or the queue is full."""
        with self._changed:
            if self._closed or len(self._jobs) >= MAX_QUEUED_PICTURES:
                return False
            due = picture.started_at + picture.deadline_s
            heapq.heappush(self._jobs, _Job(due, next(self._order), picture))
            self._changed.notify()
        return True

    def close(self, timeout_s: float = 10.0) -> None:
        """Take nothing more, finish what is queued, at most for so long."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        end = time.monotonic() + timeout_s
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, end - time.monotonic()))

    def _work(self) -> None:
        codecs = _Codecs(self._catalogue)
        codecs.warm_up()
        while True:
            with self._changed:
                while not self._jobs and not self._closed:
                    self._changed.wait()
                if not self._jobs:
                    return
                picture = heapq.heappop(self._jobs).picture
                self._num_running += 1
            try:
                self._on_result(self._make_result(picture, codecs))
            except Exception:  # noqa: BLE001 - the top of a task
                _log.exception("no result for %s", picture.key)
            finally:
                with self._changed:
                    self._num_running -= 1

    def _make_result(self, picture: EndedPicture, codecs: _Codecs) -> Result:
        top: tuple[Guess, ...] = ()
        error = None
        began = decoded = time.perf_counter()
        try:
            codec = codecs.get(picture.checkpoint_id)
            if picture.packets:
                pixels = codec.decode_packets(_in_order(picture.packets))
                decoded = time.perf_counter()
                top = _classify(codec, pixels)
                self._cache.put(picture.key, pixels)
        except PncError as reason:
            error = str(reason)
        except Exception as reason:  # noqa: BLE001 - the top of a task
            _log.exception("cannot decode %s", picture.key)
            error = f"the decoder failed ({type(reason).__name__}); see the server's log"
        ended = time.perf_counter()
        return Result(
            key=picture.key,
            link_url=picture.link_url,
            checkpoint_id=picture.checkpoint_id,
            started_at=picture.started_at,
            ended_at=picture.ended_at,
            stored_at=self._clock(),
            deadline_s=picture.deadline_s,
            num_packets=picture.num_packets,
            packets=picture.packets,
            late_bytes=picture.late_bytes,
            stopped_early=picture.stopped_early,
            captured_at=picture.captured_at,
            decode_s=decoded - began,
            classify_s=ended - decoded,
            top=top,
            error=error,
            payload=encode_payload(
                top, sum(map(len, picture.packets.values())), ended - began, error is not None
            ),
        )


class Previewer:
    """One thread of low priority that shows the current picture of each device as it sharpens.

    Args:
        catalogue: The checkpoints.
        pool: Its work goes first.
        on_preview: Called in the preview thread with the snapshot and the best guesses.
        max_per_second: Previews per device.
        is_watched: Whether anybody would use a preview.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        pool: WorkerPool,
        on_preview: Callable[[Snapshot, tuple[Guess, ...]], None],
        *,
        max_per_second: float = 4.0,
        is_watched: Callable[[], bool] = lambda: True,
    ) -> None:
        self._catalogue = catalogue
        self._pool = pool
        self._on_preview = on_preview
        self._interval_s = 1.0 / max_per_second
        self._is_watched = is_watched
        self._changed = threading.Condition()
        self._newest: Newest[Snapshot] = Newest(NUM_CACHED_PICTURES)
        self._shown_at: Newest[float] = Newest(NUM_CACHED_PICTURES)
        self._pictures: Newest[NDArray[np.uint8]] = Newest(NUM_CACHED_PICTURES)
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="preview", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def offer(self, snapshot: Snapshot) -> None:
        """Replace what is to be shown of a device. Cheap; from any thread."""
        if not self._is_watched():
            return
        with self._changed:
            self._newest[snapshot.key.device_name] = snapshot
            self._changed.notify()

    def withdraw(self, key: PictureKey) -> None:
        """Forget a picture that has ended: its result comes from the pool."""
        with self._changed:
            waiting = self._newest.get(key.device_name)
            if waiting is not None and waiting.key == key:
                del self._newest[key.device_name]

    def picture(self, device_name: str) -> NDArray[np.uint8] | None:
        """Return the last preview of a device, [224, 224, 3], or None."""
        return self._pictures.get(device_name)

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(2.0)

    def _work(self) -> None:
        if hasattr(os, "setpriority"):
            niceness = os.getpriority(os.PRIO_PROCESS, 0) + PREVIEW_NICENESS
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
        codecs = _Codecs(self._catalogue)
        while (snapshot := self._take()) is not None:
            try:
                codec = codecs.get(snapshot.checkpoint_id)
                pixels = codec.decode_packets(_in_order(snapshot.packets))
                if not self._pool.is_idle:
                    continue
                guesses = _classify(codec, pixels)
                self._pictures[snapshot.key.device_name] = pixels
                self._on_preview(snapshot, guesses)
            except PncError as reason:
                _log.debug("no preview of %s: %s", snapshot.key, reason)
            except Exception:  # noqa: BLE001 - the top of a task
                _log.exception("no preview of %s", snapshot.key)

    def _take(self) -> Snapshot | None:
        """Wait for a snapshot whose turn has come; None at the end."""
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                turns = {
                    name: self._shown_at.get(name, -self._interval_s) + self._interval_s
                    for name in self._newest
                }
                if not turns:
                    self._changed.wait()
                    continue
                name = min(turns, key=turns.__getitem__)
                if turns[name] > now or not self._pool.is_idle:
                    self._changed.wait(max(0.01, turns[name] - now))
                    continue
                self._shown_at[name] = now
                return self._newest.pop(name)
            return None


class Viewer:
    """Decodes stored packets on demand, for the API: any number of first bytes of a result."""

    def __init__(self, catalogue: Catalogue, cache: PictureCache) -> None:
        self._lock = threading.Lock()
        self._codecs = _Codecs(catalogue)
        self._cache = cache

    def cached(self, key: PictureKey) -> NDArray[np.uint8] | None:
        """Return a picture that was decoded a moment ago, or None."""
        return self._cache.get(key)

    def decode(
        self, packets: Sequence[bytes], checkpoint_id: str, num_bytes: int | None = None
    ) -> tuple[NDArray[np.uint8], int]:
        """Decode the first bytes of packets in priority order.

        Args:
            packets: What arrived, in priority order.
            checkpoint_id: What the device encoded with.
            num_bytes: How many bytes to use; all if None. A cut packet counts as far as it goes.

        Returns:
            The picture [224, 224, 3] and the number of bytes used.

        Raises:
            BitstreamError: The checkpoint is not here, or the packets are not of it.
        """
        total = sum(map(len, packets))
        budget = total if num_bytes is None else min(num_bytes, total)
        chosen = cut_packets(packets, budget)
        with self._lock:
            codec = self._codecs.get(checkpoint_id)
            try:
                return codec.decode_packets(chosen), budget
            except CorruptBitstreamError:
                # The cut fell into the header of the last packet, which then says nothing.
                if not chosen or len(chosen[-1]) == len(packets[len(chosen) - 1]):
                    raise
                return codec.decode_packets(chosen[:-1]), budget


def cut_packets(packets: Sequence[bytes], num_bytes: int) -> list[bytes]:
    """Return the first ``num_bytes`` bytes of packets, the last one cut if need be."""
    chosen = []
    for packet in packets:
        if num_bytes <= 0:
            break
        chosen.append(packet[:num_bytes])
        num_bytes -= len(packet)
    return chosen


def encode_payload(
    top: Sequence[Guess], num_bytes: int, spent_s: float, failed: bool = False
) -> bytes:
    """Return the result as the device gets it: compact JSON of at most 200 bytes.

    ``{"top":[["label",0.93],...],"bytes":1234,"ms":12}``, three guesses or as many as fit; with
    ``"error":true`` when the server could not decode.
    """
    guesses: list[list[Any]] = [[guess.label, round(guess.probability, 3)] for guess in top[:3]]
    while True:
        message: dict[str, Any] = {"top": guesses, "bytes": num_bytes, "ms": round(spent_s * 1e3)}
        if failed:
            message["error"] = True
        text = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
        if len(text) <= MAX_PAYLOAD_BYTES:
            return text
        guesses = guesses[:-1]


def _in_order(packets: Mapping[int, bytes]) -> list[bytes]:
    return [packets[index] for index in sorted(packets)]


def _classify(codec: Codec, pixels: NDArray[np.uint8]) -> tuple[Guess, ...]:
    return tuple(
        Guess(guess.label, int(guess.index), float(guess.probability))
        for guess in codec.classify(pixels, top=5)
    )
