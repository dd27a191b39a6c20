"""What all measurements on pictures share: judges, cache, processes, and columns of outcomes.

jobs (picture, cells, judges)  ->  complete()  ->  cache  ->  columns(), one value a picture
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cache import Cache, Outcome
from benchmarks.judges import JudgeSpec, Labels
from benchmarks.pictures import PictureRef, PictureSet
from benchmarks.work import Cell, Task, fingerprint, run_tasks
from pnc.codec.image import Fit
from pnc.errors import ConfigError
from pnc.replay.metrics import top_k_hits

KS = (1, 5)
"""A hit is a right class among so many guesses."""

OnProgress = Callable[[str, int, int], None]
"""Called with what is being done, how many pictures are done, and of how many."""

Columns = dict[str, NDArray[np.float64]]
"""By name, one value a picture: bytes, psnr_db, ms_ssim, top1, top5."""

Outcomes = Sequence[dict[tuple[str, int], Outcome]]
"""For each picture what the cache knows."""

Job = tuple[PictureRef, list[Cell], list[JudgeSpec]]


@dataclass(frozen=True)
class Bench:
    """Judges, cache and processes of one run."""

    judges: Sequence[JudgeSpec]
    labels: Labels
    cache: Cache
    fit: Fit
    num_processes: int
    """0 works in this process."""
    on_progress: OnProgress

    def knowing(self, pictures: PictureSet, judges: Sequence[JudgeSpec]) -> list[JudgeSpec]:
        """Return the judges that know all labels of a set."""
        labels = {picture.label for picture in pictures.pictures}
        return [
            judge
            for judge in judges
            if all(self.labels.index(judge, label) is not None for label in labels)
        ]

    def judges_of(self, pictures: PictureSet) -> list[JudgeSpec]:
        """Return the judges that report on a set.

        Raises:
            ConfigError: None knows its labels.
        """
        judges = self.knowing(pictures, self.judges)
        if not judges:
            raise ConfigError(
                f"{pictures.name}: no judge knows its labels, such as "
                f"{pictures.pictures[0].label!r}; add one with --judge"
            )
        return judges

    def target(self, judge: JudgeSpec, picture: PictureRef) -> int:
        """Return the right class; the judge must know it."""
        index = self.labels.index(judge, picture.label)
        assert index is not None, "judges are asked only for sets whose labels they know"
        return index

    def read(self, pictures: PictureSet) -> Outcomes:
        """Return what is known of each picture of a set."""
        return [self.cache.read(picture.key) for picture in pictures.pictures]

    def columns(
        self, outcomes: Outcomes, cell: Cell, judge: JudgeSpec, pictures: PictureSet
    ) -> Columns:
        """Return everything that is measured in a cell."""
        found = [known[fingerprint(cell), cell.budget] for known in outcomes]
        predictions = [outcome.predictions[judge.fingerprint] for outcome in found]
        targets = [self.target(judge, picture) for picture in pictures.pictures]
        columns: Columns = {
            "bytes": np.array([len(o.stream or b"") for o in found], np.float64),
            "psnr_db": np.array([o.psnr_db for o in found]),
            "ms_ssim": np.array([o.ms_ssim for o in found]),
        }
        for k in KS:
            columns[f"top{k}"] = top_k_hits(predictions, targets, k).astype(np.float64)
        return columns

    def complete(self, what: str, jobs: Sequence[Job]) -> None:
        """Do what the cache does not know of yet.

        Args:
            what: For the progress.
            jobs: Pictures, the cells wanted of each, and the judges to be asked.
        """
        tasks = []
        for picture, cells, judges in jobs:
            known = self.cache.read(picture.key)
            missing: list[Any] = []
            for cell in cells:
                outcome = known.get((fingerprint(cell), cell.budget))
                asked = outcome.predictions if outcome else {}
                unasked = tuple(j for j in judges if j.fingerprint not in asked)
                if outcome is None or unasked:
                    missing.append((cell, outcome, unasked))
            if missing:
                tasks.append(Task(picture, self.fit, tuple(missing)))
        self.on_progress(what, 0, len(tasks))
        for done, (picture, outcomes) in enumerate(run_tasks(tasks, self.num_processes), 1):
            self.cache.write(picture.key, outcomes)
            self.on_progress(what, done, len(tasks))
