"""What all measurements on pictures share: plan, judges, cache, processes, columns of outcomes.

Plan  ->  open_bench()  ->  jobs (picture, cells, judges)  ->  complete()  ->  cache
cache ->  panels(), one for each set and judge  ->  columns(), one value a picture  ->  intervals()
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cache import Cache, Outcome
from benchmarks.facts import describe_run
from benchmarks.judges import JudgeSpec, Labels, open_judges
from benchmarks.pictures import PictureRef, PictureSet, open_set
from benchmarks.work import Cell, Task, fingerprint, run_tasks
from pnc.codec.image import Fit
from pnc.errors import ConfigError
from pnc.replay.metrics import bootstrap_interval, top_k_hits

KS = (1, 5)
"""A hit is a right class among so many guesses."""

ACCURACIES = tuple(f"top{k}" for k in KS)
"""Names of the columns of hits."""

CACHE = Path(".cache/benchmarks")
"""Where what was done before is kept, relative to the root of the source tree."""

OnProgress = Callable[[str, int, int], None]
"""Called with what is being done, how many pictures are done, and of how many."""

Columns = dict[str, NDArray[np.float64]]
"""By name, one value a picture: bytes, psnr_db, ms_ssim, sureness (NaN if not kept), top1, top5."""

Job = tuple[PictureRef, list[Cell], list[JudgeSpec]]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure, as far as all measurements are alike; texts as on the command line."""

    data: tuple[str, ...]
    """Sets to report on, see `benchmarks.pictures`."""
    judges: tuple[str, ...]
    """See `benchmarks.judges`."""
    limit: int | None = None
    """Pictures of each set that is reported; all if None."""
    seed: int = 0
    """Of thinning and resampling."""
    fit: Fit = "crop"
    """How pictures are made square."""
    cache: Path = CACHE
    """Folder of what was done before."""
    num_processes: int = 0
    """0 works in this process."""

    def open_sets(self, specs: Iterable[str], limit: int | None) -> list[PictureSet]:
        """Open sets of pictures, thinned and made square as planned.

        Raises:
            ConfigError: A set is not usable.
        """
        return [open_set(spec, fit=self.fit, limit=limit, seed=self.seed) for spec in specs]


@dataclass(frozen=True)
class Bench:
    """Judges, sets to report on, and cache of one run; see `open_bench`."""

    plan: Plan
    judges: Sequence[JudgeSpec]
    labels: Labels
    sets: Sequence[PictureSet]
    cache: Cache
    on_progress: OnProgress

    def describe(self, schema: str, **facts: Any) -> dict[str, Any]:
        """Return what results begin with, as JSON values.

        Args:
            schema: Name and version of the results.
            facts: What else was planned.
        """
        return {
            **describe_run(schema),
            "seed": self.plan.seed,
            "fit": self.plan.fit,
            **facts,
            "judges": [judge.describe() for judge in self.judges],
            "sets": [pictures.describe() for pictures in self.sets],
        }

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

    def panels(self) -> Iterator[Panel]:
        """Yield every set as each of its judges sees it.

        Raises:
            ConfigError: No judge knows the labels of a set.
        """
        for pictures in self.sets:
            outcomes = [self.cache.read(picture.key) for picture in pictures.pictures]
            for judge in self.judges_of(pictures):
                targets = [self.target(judge, picture) for picture in pictures.pictures]
                yield Panel(pictures, judge, targets, outcomes)

    def jobs(self, pictures: PictureSet, cells: list[Cell]) -> list[Job]:
        """Return the jobs of a set that is reported on.

        Raises:
            ConfigError: No judge knows its labels.
        """
        judges = self.judges_of(pictures)
        return [(picture, cells, judges) for picture in pictures.pictures]

    def complete(self, what: str, jobs: Sequence[Job], *, sureness: bool = False) -> None:
        """Do what the cache does not know of yet.

        Args:
            what: For the progress.
            jobs: Pictures, the cells wanted of each, and the judges to be asked.
            sureness: Whether how sure judges are is wanted too.
        """
        tasks = []
        for picture, cells, judges in jobs:
            known = self.cache.read(picture.key)
            missing: list[Any] = []
            for cell in cells:
                outcome = known.get((fingerprint(cell), cell.budget))
                asked = {*outcome.predictions} if outcome else set()
                if outcome and sureness:
                    asked &= {*outcome.sureness}
                unasked = tuple(j for j in judges if j.fingerprint not in asked)
                if outcome is None or unasked:
                    missing.append((cell, outcome, unasked))
            if missing:
                tasks.append(Task(picture, self.plan.fit, tuple(missing)))
        self.on_progress(what, 0, len(tasks))
        for done, (picture, outcomes) in enumerate(run_tasks(tasks, self.plan.num_processes), 1):
            self.cache.write(picture.key, outcomes)
            self.on_progress(what, done, len(tasks))


@dataclass(frozen=True)
class Panel:
    """A set of pictures as one judge sees it."""

    pictures: PictureSet
    judge: JudgeSpec
    targets: Sequence[int]
    """Of each picture the right class."""
    outcomes: Sequence[Mapping[tuple[str, int], Outcome]]
    """Of each picture what the cache knows."""

    @property
    def head(self) -> dict[str, Any]:
        """What rows of results begin with."""
        return {
            "set": self.pictures.name,
            "judge": self.judge.name,
            "n": len(self.pictures.pictures),
        }

    def columns(self, cell: Cell) -> Columns:
        """Return everything that is measured in a cell."""
        return self.columns_of([cell] * len(self.outcomes))

    def columns_of(self, cells: Sequence[Cell]) -> Columns:
        """Return the same where every picture has a cell of its own."""
        pairs = zip(self.outcomes, cells, strict=True)
        found = [known[fingerprint(cell), cell.budget] for known, cell in pairs]
        predictions = [outcome.predictions[self.judge.fingerprint] for outcome in found]
        columns: Columns = {
            "bytes": np.array([len(o.stream or b"") for o in found], np.float64),
            "psnr_db": np.array([o.psnr_db for o in found]),
            "ms_ssim": np.array([o.ms_ssim for o in found]),
            "sureness": np.array([o.sureness.get(self.judge.fingerprint, np.nan) for o in found]),
        }
        for k in KS:
            columns[f"top{k}"] = top_k_hits(predictions, self.targets, k).astype(np.float64)
        return columns


@contextmanager
def open_bench(plan: Plan, on_progress: OnProgress | None = None) -> Iterator[Bench]:
    """Open what a plan names: judges, sets to report on, cache.

    Raises:
        ConfigError: A set, a judge or the cache is not usable.
        CheckpointError: No such checkpoint.
    """
    judges, labels = open_judges(plan.judges, plan.cache)
    sets = plan.open_sets(plan.data, plan.limit)
    cache = Cache(plan.cache / "outcomes.sqlite")
    try:
        yield Bench(
            plan, judges, labels, sets, cache, on_progress or (lambda what, done, total: None)
        )
    finally:
        cache.close()


def intervals(columns: Columns, names: Iterable[str], seed: int) -> dict[str, dict[str, float]]:
    """Return the means of columns with their intervals as JSON values, by name."""
    return {name: bootstrap_interval(columns[name], seed=seed).to_json() for name in names}
