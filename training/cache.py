"""Pictures decoded or rendered once: uint8 [count, size, size, 3] in a file, filled in parallel.

While it is being filled, the file is called ``NAME.part`` and one byte per picture in
``NAME.status`` says what is done, so that a killed run goes on where it stopped. The finished file
gets its name ``NAME.npy`` in one step, after ``NAME.json`` has recorded which pictures failed.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pnc.errors import ConfigError, ImageError
from training.files import reserve, write_json

CACHE_FOLDER = Path(".cache") / "pictures"
"""Where caches go unless the caller says otherwise, relative to the working folder."""

CHUNK_PICTURES = 32
"""Pictures per task: half a second of rendering, so that a kill loses little and progress moves."""

PARALLEL_FROM = 256
"""Below this many pictures starting processes costs more than it saves."""

_DONE, _FAILED = 1, 2

Producer = Callable[[int], NDArray[np.uint8]]
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class PictureCache:
    """A finished cache."""

    pixels: NDArray[np.uint8]
    """Read-only memory map, uint8 [count, size, size, 3]; zeros where a picture failed."""
    failed: dict[int, str]
    """Place of each picture that could not be made -> the one line that says why."""


def _npy_header(shape: tuple[int, ...]) -> bytes:
    """Return the header of a .npy file of uint8 in C order."""
    buffer = io.BytesIO()
    facts = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, facts)
    return buffer.getvalue()


@dataclass(frozen=True)
class _Job:
    """Pictures [start, start + len(done)) that one worker makes straight into the file."""

    produce: Producer
    path: Path
    offset: int
    shape: tuple[int, ...]
    start: int
    done: bytes

    def run(self) -> tuple[int, bytes, dict[int, str]]:
        """Return the start, the new status of each picture, and why any failed."""
        rows = np.memmap(self.path, np.uint8, "r+", self.offset, self.shape)
        failed: dict[int, str] = {}
        for index, is_done in enumerate(self.done, self.start):
            if is_done:
                continue
            try:
                rows[index] = self.produce(index)
            except ImageError as error:
                failed[index] = str(error)
        span = range(self.start, self.start + len(self.done))
        return self.start, bytes(_FAILED if index in failed else _DONE for index in span), failed


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent, and end when the parent is gone, however it went."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            connection.wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process at a time fill a cache; the lock goes away with its holder."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _allocate(path: Path, num_bytes: int) -> None:
    try:
        reserve(path, num_bytes)
    except OSError as error:
        raise ConfigError(
            f"{path.parent}: no room for a picture cache of {num_bytes / 1e6:.0f} MB "
            f"({error.strerror}); free some space or name another cache folder",
            path=path,
        ) from error


def fill_cache(
    name: str,
    count: int,
    size: int,
    produce: Producer,
    *,
    folder: Path = CACHE_FOLDER,
    processes: int | None = None,
    on_progress: OnProgress | None = None,
) -> PictureCache:
    """Return `count` pictures from the cache called `name`, making those that are missing.

    Args:
        name: File name without suffix; must change whenever any picture would.
        count: Number of pictures.
        size: Their side, pixels.
        produce: Picture of an index, uint8 [size, size, 3]; sent to other processes, so a
            module-level function or a partial of one. An `ImageError` marks the picture as failed.
        folder: Where the cache lies; made if missing.
        processes: Worker processes; one per core when None, none at all when 1.
        on_progress: Called with (pictures done, count).

    Raises:
        ConfigError: The folder cannot be written or the disk is full.
    """
    final = folder / f"{name}.npy"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / f"{name}.lock"):
            if not final.exists():
                _fill(final, count, size, produce, processes, on_progress)
            pixels = np.load(final, mmap_mode="r", allow_pickle=False)
            facts = json.loads(final.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(
            f"{final}: the picture cache cannot be used ({error}); delete it",
            path=final,
        ) from error
    if pixels.shape != (count, size, size, 3):
        raise ConfigError(f"{final}: the picture cache has another shape; delete it", path=final)
    return PictureCache(pixels, {int(index): line for index, line in facts["failed"].items()})


def _fill(
    final: Path,
    count: int,
    size: int,
    produce: Producer,
    processes: int | None,
    on_progress: OnProgress | None,
) -> None:
    part, marks = final.with_suffix(".part"), final.with_suffix(".status")
    shape = (count, size, size, 3)
    header = _npy_header(shape)
    if not part.exists() or not marks.exists() or marks.stat().st_size != count:
        part.write_bytes(header)
        marks.write_bytes(bytes(count))
    _allocate(part, len(header) + count * size * size * 3)
    status = np.memmap(marks, np.uint8, "r+", shape=(count,))
    failed: dict[int, str] = {}
    jobs = []
    for start in range(0, count, CHUNK_PICTURES):
        done = status[start : start + CHUNK_PICTURES] == _DONE
        if not done.all():
            jobs.append(_Job(produce, part, len(header), shape, start, done.tobytes()))
    missing = sum(len(job.done) for job in jobs)
    workers = processes or os.cpu_count() or 1
    for start, made, lost in _results(jobs, workers if missing >= PARALLEL_FROM else 1):
        status[start : start + len(made)] = np.frombuffer(made, np.uint8)
        failed.update(lost)
        missing -= len(made)
        if on_progress is not None:
            on_progress(count - missing, count)
    write_json(final.with_suffix(".json"), {"count": count, "failed": failed})
    part.replace(final)
    marks.unlink()


def _results(jobs: list[_Job], processes: int) -> Iterator[tuple[int, bytes, dict[int, str]]]:
    """Yield the results of all jobs, as they come."""
    if processes == 1:
        yield from map(_Job.run, jobs)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, context, initializer=_follow_parent)
    try:
        for future in as_completed([pool.submit(job.run) for job in jobs]):
            yield future.result()
    except BrokenProcessPool as error:
        raise ConfigError(
            "a process that makes the picture cache was killed; run the command again to go on, "
            "with fewer processes if memory is short"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
