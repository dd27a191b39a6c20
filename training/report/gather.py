"""What the report rests on: every reported picture through our streams and two rivals.

Results are written picture by picture, so that a killed run goes on where it stopped.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pnc.codec.codec import Codec
from pnc.errors import ConfigError
from pnc.replay.baselines.avif import open_avif
from pnc.replay.baselines.base import Contender
from pnc.replay.baselines.whole_files import open_webp
from training.files import write_text
from training.on_cores import EachThread, map_on_cores
from training.pictures import Pictures

logger = logging.getLogger(__name__)

BUDGETS = (128, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096)
"""Bytes at which our streams are cut."""

RIVAL_BUDGETS = (256, 512, 1024, 2048, 4096)
"""Bytes that rivals get."""

OpenRival = Callable[[], list[Contender]]

RIVALS: Mapping[str, OpenRival] = {"webp": open_webp, "avif": partial(open_avif, speed=6)}
"""Rivals by name: AVIF at Pillow's own speed, since a report has to be there in time."""

RIVAL_PICTURES = 200
"""Pictures that rivals see at most: they take 50 times as long as ours."""

RIVAL_SHARE = 0.75
"""Of the time, after which the rest of the pictures goes through our streams only."""


def measure_pictures(
    folder: Path,
    checkpoint: Path,
    pictures: Pictures,
    labels: NDArray[np.int64],
    names: Sequence[str],
    *,
    seconds: float,
    rivals: Mapping[str, OpenRival] = RIVALS,
    on_progress: Callable[[int, int], None] | None = None,
    now: Callable[[], float] = time.monotonic,
) -> list[dict[str, Any]]:
    """Classify each picture undamaged, from our streams, and from rivals' files.

    Args:
        folder: gets ``pictures.jsonl``; what lies there for this checkpoint is not done again.
        checkpoint: its folder.
        pictures: those to report on, in a mixed order.
        labels: their classes.
        names: where they came from.
        seconds: after which no more pictures are begun; at least one is measured.
        rivals: how to open each, by name; one that this machine lacks is left out.
        on_progress: called with pictures done and all.
        now: any monotonic clock, seconds.

    Returns:
        One record for each picture, in order.
    """
    contenders = {name: found for name, opener in rivals.items() if (found := _open(name, opener))}
    worker = _Worker(checkpoint, pictures, labels, names, contenders)
    path = folder / "pictures.jsonl"
    done = _read_done(path, worker.identity, names)
    left = [index for index in range(len(pictures)) if index not in done]
    rivals_left = RIVAL_PICTURES - sum(bool(record["rivals"]) for record in done.values())
    started = now()

    def within_time() -> Iterator[tuple[int, bool]]:
        for place, index in enumerate(left):
            gone = now() - started
            if done and gone >= seconds:
                return
            yield index, place < rivals_left and (not done or gone < RIVAL_SHARE * seconds)

    with path.open("a", encoding="utf-8") as file:
        for record in map_on_cores(lambda job: worker.measure(*job), within_time()):
            done[record["index"]] = record
            file.write(json.dumps(record) + "\n")
            file.flush()
            if on_progress:
                on_progress(len(done), len(pictures))
    return [done[index] for index in sorted(done)]


def _open(name: str, opener: OpenRival) -> list[Contender]:
    try:
        return opener()
    except ConfigError as error:
        logger.warning("report: no %s (%s)", name, error)
        return []


def _read_done(path: Path, identity: str, names: Sequence[str]) -> dict[int, dict[str, Any]]:
    """What lies there of this checkpoint and these pictures; a kill may have cut the last line."""
    done: dict[int, dict[str, Any]] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            with suppress(ValueError, LookupError):
                record = json.loads(line)
                index = record["index"]
                if record["checkpoint"] == identity and record["name"] == names[index]:
                    done[index] = record
    write_text(path, "".join(json.dumps(record) + "\n" for record in done.values()))
    return done


class _Worker:
    """Measures single pictures; each thread has a codec of its own."""

    def __init__(
        self,
        checkpoint: Path,
        pictures: Pictures,
        labels: NDArray[np.int64],
        names: Sequence[str],
        contenders: dict[str, list[Contender]],
    ) -> None:
        self._codec = EachThread(lambda: Codec.load(checkpoint))
        self._pictures, self._labels, self._names = pictures, labels, names
        self._contenders = contenders
        manifest = json.loads((checkpoint / "manifest.json").read_text(encoding="utf-8"))
        self.identity = f"{manifest['id']} {manifest['files']['classifier.tflite'][:16]}"

    def measure(self, index: int, whole: bool) -> dict[str, Any]:
        codec, label = self._codec(), int(self._labels[index])
        pixels = self._pictures[index]

        def see(view: NDArray[np.uint8]) -> list[float]:
            probabilities = codec.classifier.probabilities(view)
            top = int(np.argmax(probabilities))
            return [top, round(float(probabilities[label]), 5)]

        stream = codec.encode(pixels)
        record: dict[str, Any] = {
            "index": index,
            "checkpoint": self.identity,
            "name": self._names[index],
            "label": label,
            "bytes": len(stream),
            "undamaged": see(pixels),
            "ours": {budget: see(codec.decode(stream[:budget])) for budget in BUDGETS},
            "rivals": {},
        }
        for family, contenders in self._contenders.items() if whole else ():
            record["rivals"][family] = {
                contender.setting: {
                    budget: None if file is None else see(contender.decode(file))
                    for budget, file in contender.encode_within(pixels, RIVAL_BUDGETS).items()
                }
                for contender in contenders
            }
        return dict(json.loads(json.dumps(record)))
