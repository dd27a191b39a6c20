"""The work on one picture, spread over processes: encode, decode, measure, judge.

Task (one picture: which cells miss what)  ->  list of Outcome
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray

from benchmarks.cache import Outcome
from benchmarks.codecs import open_codec
from benchmarks.judges import Judge, JudgeSpec
from benchmarks.pictures import PictureRef
from pnc.codec.image import Fit
from pnc.replay.metrics import ms_ssim, psnr_db

UNDAMAGED = "undamaged"
"""Stands for the picture as it is, in the place of a codec; its budget is 0."""

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables that keep a process on one core; there is a process for each."""


@dataclass(frozen=True)
class Cell:
    """One contender within one budget."""

    codec: str
    """See `benchmarks.codecs`, or `UNDAMAGED`."""
    variant: int
    """Which of its variants."""
    budget: int
    """Bytes."""


@dataclass(frozen=True)
class Task:
    """What is missing of one picture."""

    picture: PictureRef
    fit: Fit
    cells: tuple[tuple[Cell, Outcome | None, tuple[JudgeSpec, ...]], ...]
    """Cells, what is known of each, and the judges still to be asked."""


@lru_cache(maxsize=8)
def _open_judge(spec: JudgeSpec) -> Judge:
    return Judge(spec)


def fingerprint(cell: Cell) -> str:
    """Return the cache's key of a cell's contender."""
    return (
        UNDAMAGED if cell.codec == UNDAMAGED else open_codec(cell.codec)[cell.variant].fingerprint
    )


def run_task(task: Task) -> list[Outcome]:
    """Return the outcomes of a task, complete.

    Raises:
        ImageError: The picture cannot be read.
    """
    picture = task.picture.load(task.fit)
    wanted: dict[tuple[str, int], list[int]] = {}
    for cell, known, _ in task.cells:
        if known is None and cell.codec != UNDAMAGED:
            wanted.setdefault((cell.codec, cell.variant), []).append(cell.budget)
    made = {
        key: open_codec(key[0])[key[1]].encode_within(picture, budgets)
        for key, budgets in wanted.items()
    }
    seen: dict[tuple[str, int, bytes | None], NDArray[np.uint8]] = {}
    looks: dict[int, tuple[float, float]] = {}
    verdicts: dict[tuple[int, str], tuple[list[int], float]] = {}
    outcomes = []
    for cell, known, judges in task.cells:
        is_rival = cell.codec != UNDAMAGED
        stream = known.stream if known else None
        if known is None and is_rival:
            stream = made[cell.codec, cell.variant][cell.budget]
        place = (cell.codec, cell.variant, stream)
        if place not in seen:
            seen[place] = _receive(cell, stream, picture)
        pixels = seen[place]
        if known is None and id(pixels) not in looks:
            looks[id(pixels)] = psnr_db(picture, pixels), ms_ssim(picture, pixels)
        predictions = dict(known.predictions) if known else {}
        sureness = dict(known.sureness) if known else {}
        for judge in judges:
            key = (id(pixels), judge.fingerprint)
            if key not in verdicts:
                is_nothing = is_rival and stream is None
                verdicts[key] = ([], 0.0) if is_nothing else _open_judge(judge).guess(pixels)
            predictions[judge.fingerprint], sureness[judge.fingerprint] = verdicts[key]
        fidelity = (known.psnr_db, known.ms_ssim) if known else looks[id(pixels)]
        name = fingerprint(cell)
        outcomes.append(Outcome(name, cell.budget, stream, *fidelity, predictions, sureness))
    return outcomes


def run_tasks(
    tasks: Sequence[Task], num_processes: int
) -> Iterator[tuple[PictureRef, list[Outcome]]]:
    """Yield each task's picture and outcomes as they are done.

    Args:
        tasks: In any order.
        num_processes: 0 works in this process, one task after the other.
    """
    if num_processes == 0 or not tasks:
        for task in tasks:
            yield task.picture, run_task(task)
        return
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    pool = ProcessPoolExecutor(min(num_processes, len(tasks)), mp_context=get_context("spawn"))
    try:
        futures = {pool.submit(run_task, task): task.picture for task in tasks}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _receive(cell: Cell, stream: bytes | None, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if cell.codec == UNDAMAGED:
        return picture
    if stream is None:
        return np.full_like(picture, 128)
    return open_codec(cell.codec)[cell.variant].decode(stream)
