"""How much is recognized within a budget: our streams beside the strongest setting of every rival.

    tuning pictures   every variant of every rival   ->  best variant by (judge, rival, budget)
    report pictures   our streams, the best variants ->  top-1, top-5, PSNR, MS-SSIM, intervals

All codecs get the same pictures. What does not fit counts as wrong and looks mid-grey. Every
outcome is kept in `benchmarks.cache`, so that a killed run resumes and a larger one only adds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cache import Cache, Outcome
from benchmarks.facts import describe_command, describe_machine, describe_versions
from benchmarks.judges import JudgeSpec, Labels, open_judges
from benchmarks.pictures import PictureRef, PictureSet, open_set
from benchmarks.work import UNDAMAGED, Cell, Task, fingerprint, open_codec, run_tasks
from pnc.codec.image import Fit
from pnc.errors import ConfigError
from pnc.replay.baselines import RIVALS, TITLES
from pnc.replay.metrics import bootstrap_interval, paired_interval, top_k_hits
from pnc.replay.report import RATE_ACCURACY_SCHEMA

BUDGETS = (512, 1024, 2048, 3072, 4096)
"""Bytes; the published table's, in units of 1024 from the second on."""

CODECS = ("jpeg", "webp", "avif", "avif-stripped")
"""Rivals unless the caller names others."""

KS = (1, 5)

OnProgress = Callable[[str, int, int], None]
"""Called with what is being done, how many pictures are done, and of how many."""

Choice = dict[tuple[str, str, int], int]
"""From (judge, codec, budget) to the variant with the most hits on the tuning pictures."""


@dataclass(frozen=True)
class Plan:
    """What to measure; texts as on the command line."""

    data: tuple[str, ...]
    """Sets to report on, see `benchmarks.pictures`."""
    judges: tuple[str, ...]
    """See `benchmarks.judges`."""
    codecs: tuple[str, ...]
    """Checkpoints and rivals; differences are to the first checkpoint."""
    tune: tuple[str, ...] = ()
    """Sets that rivals' variants are chosen on."""
    budgets: tuple[int, ...] = BUDGETS
    """Bytes."""
    limit: int | None = None
    """Pictures of each set that is reported; all if None."""
    tune_limit: int | None = None
    """Pictures of each tuning set; as `limit` if None."""
    seed: int = 0
    """Of thinning and resampling."""
    fit: Fit = "crop"
    """How pictures are made square."""
    cache: Path = Path(".cache/benchmarks")
    """Folder of what was done before."""
    num_processes: int = 0
    """0 works in this process."""


def measure(plan: Plan, on_progress: OnProgress | None = None) -> dict[str, Any]:
    """Return the results as JSON values; `docs/benchmarks.md` explains the fields.

    Raises:
        ConfigError: A set, judge, codec or budget is not usable, or rivals cannot be tuned.
        CheckpointError: No such checkpoint.
        ImageError: A picture cannot be read.
    """
    if not plan.budgets or min(plan.budgets) < 1:
        raise ConfigError("budgets must be positive numbers of bytes")
    report = on_progress or (lambda what, done, total: None)
    judges, labels = open_judges(plan.judges, plan.cache)
    tune_limit = plan.tune_limit if plan.tune_limit is not None else plan.limit
    sets = [open_set(s, fit=plan.fit, limit=plan.limit, seed=plan.seed) for s in plan.data]
    tuning = [open_set(s, fit=plan.fit, limit=tune_limit, seed=plan.seed) for s in plan.tune]
    names = {codec: open_codec(codec)[0].family for codec in plan.codecs}
    if len(set(names.values())) < len(names):
        raise ConfigError("two codecs have one name; name each once")
    cache = Cache(plan.cache / "outcomes.sqlite")
    try:
        bench = _Bench(plan, judges, labels, cache, report)
        choice = bench.choose(tuning)
        rows, undamaged = bench.report(sets, choice)
    finally:
        cache.close()
    own = [name for codec, name in names.items() if codec not in RIVALS]
    return {
        "schema": RATE_ACCURACY_SCHEMA,
        "command": describe_command(),
        "machine": describe_machine(),
        "versions": describe_versions(),
        "seed": plan.seed,
        "fit": plan.fit,
        "budgets": sorted(plan.budgets),
        "reference": own[0] if own else None,
        "codecs": [
            {
                "name": name,
                "title": TITLES.get(name, name),
                "is_rival": codec in RIVALS,
                "fingerprint": hashlib.sha256(
                    " ".join(v.fingerprint for v in open_codec(codec)).encode()
                ).hexdigest()[:16],
            }
            for codec, name in names.items()
        ],
        "judges": [
            {
                "name": judge.name,
                "sha256": judge.digest,
                "num_classes": len(judge.classes),
                "crop": judge.crop,
                "report_only": judge.report_only,
            }
            for judge in judges
        ],
        "sets": [_describe_set(s) for s in sets],
        "tuning_sets": [_describe_set(s) for s in tuning],
        "undamaged": undamaged,
        "results": rows,
    }


class _Bench:
    """Judges and cache of one run, and what to do with them."""

    def __init__(
        self,
        plan: Plan,
        judges: Sequence[JudgeSpec],
        labels: Labels,
        cache: Cache,
        on_progress: OnProgress,
    ) -> None:
        self._plan = plan
        self._judges = judges
        self._labels = labels
        self._cache = cache
        self._on_progress = on_progress

    def choose(self, sets: Sequence[PictureSet]) -> Choice:
        """Return the best variant for each judge, codec and budget."""
        plan = self._plan
        variants = {codec: range(len(open_codec(codec))) for codec in plan.codecs}
        choice: Choice = {}
        open_ones = [codec for codec in plan.codecs if len(variants[codec]) > 1]
        cells = [
            Cell(codec, variant, budget)
            for codec in open_ones
            for variant in variants[codec]
            for budget in plan.budgets
        ]
        choosing = [judge for judge in self._judges if not judge.report_only]
        jobs = [
            (picture, cells, judges)
            for pictures in sets
            if open_ones and (judges := self._knowing(pictures, choosing))
            for picture in pictures.pictures
        ]
        self._complete("tuning rivals", jobs)
        tuned = [j for j in choosing if any(j in judges for _, _, judges in jobs)]
        if open_ones and not tuned:
            raise ConfigError(
                "rivals need pictures to be tuned on, with labels that a judge knows; "
                "name some with --tune"
            )
        hits: dict[tuple[str, Cell], float] = {}
        for picture, _, judges in jobs:
            outcomes = self._cache.read(picture.key)
            for judge in judges:
                label = self._target(judge, picture)
                for cell in cells:
                    guesses = outcomes[fingerprint(cell), cell.budget].predictions[
                        judge.fingerprint
                    ]
                    key = (judge.name, cell)
                    hits[key] = hits.get(key, 0) + sum(label in guesses[:k] for k in KS)
        for judge in self._judges:
            guide = judge if judge in tuned or not tuned else tuned[0]
            for codec in plan.codecs:
                for budget in plan.budgets:
                    scores = [
                        hits.get((guide.name, Cell(codec, variant, budget)), 0.0)
                        for variant in variants[codec]
                    ]
                    choice[judge.name, codec, budget] = int(np.argmax(scores))
        return choice

    def report(
        self, sets: Sequence[PictureSet], choice: Choice
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return the rows of all codecs, and those of the undamaged pictures."""
        undamaged_cell = Cell(UNDAMAGED, 0, 0)
        jobs = []
        for pictures in sets:
            judges = self._knowing(pictures, self._judges)
            if not judges:
                raise ConfigError(
                    f"{pictures.name}: no judge knows its labels, such as "
                    f"{pictures.pictures[0].label!r}; add one with --judge"
                )
            wanted = {judge.name for judge in judges}
            cells = {
                Cell(codec, variant, budget)
                for (judge_name, codec, budget), variant in choice.items()
                if judge_name in wanted
            }
            ordered = [undamaged_cell, *sorted(cells, key=lambda c: (c.codec, c.variant, c.budget))]
            jobs += [(picture, ordered, judges) for picture in pictures.pictures]
        self._complete("measuring", jobs)
        rows: list[dict[str, Any]] = []
        undamaged: list[dict[str, Any]] = []
        for pictures in sets:
            outcomes = [self._cache.read(picture.key) for picture in pictures.pictures]
            for judge in self._knowing(pictures, self._judges):
                targets = [self._target(judge, p) for p in pictures.pictures]
                head = {"set": pictures.name, "judge": judge.name, "n": len(targets)}
                whole = self._columns(outcomes, undamaged_cell, judge, targets)
                undamaged.append({**head, **self._intervals(whole, ("top1", "top5"))})
                rows += self._rows(head, outcomes, judge, targets, choice)
        return rows, undamaged

    def _rows(
        self,
        head: dict[str, Any],
        outcomes: Sequence[dict[tuple[str, int], Outcome]],
        judge: JudgeSpec,
        targets: Sequence[int],
        choice: Choice,
    ) -> list[dict[str, Any]]:
        rows = []
        own = next((codec for codec in self._plan.codecs if codec not in RIVALS), None)
        for budget in sorted(self._plan.budgets):
            columns = {}
            for codec in self._plan.codecs:
                cell = Cell(codec, choice[judge.name, codec, budget], budget)
                columns[codec] = self._columns(outcomes, cell, judge, targets)
            for codec, values in columns.items():
                contender = open_codec(codec)[choice[judge.name, codec, budget]]
                fits = values["bytes"][values["bytes"] > 0]
                row = {
                    **head,
                    "codec": contender.family,
                    "budget": budget,
                    "setting": contender.setting,
                    "num_misfits": int((values["bytes"] == 0).sum()),
                    "mean_bytes": round(float(fits.mean()), 1) if fits.size else None,
                    **self._intervals(values, ("top1", "top5", "psnr_db", "ms_ssim")),
                }
                if own is not None and codec != own:
                    for name in ("top1", "top5"):
                        difference = paired_interval(
                            values[name], columns[own][name], seed=self._plan.seed
                        )
                        row[f"{name}_less_reference"] = difference.to_json()
                rows.append(row)
        return rows

    def _columns(
        self,
        outcomes: Sequence[dict[tuple[str, int], Outcome]],
        cell: Cell,
        judge: JudgeSpec,
        targets: Sequence[int],
    ) -> dict[str, NDArray[np.float64]]:
        """Return one value a picture of everything that is measured in a cell."""
        found = [known[fingerprint(cell), cell.budget] for known in outcomes]
        predictions = [outcome.predictions[judge.fingerprint] for outcome in found]
        columns: dict[str, NDArray[np.float64]] = {
            "bytes": np.array([len(o.stream or b"") for o in found], np.float64),
            "psnr_db": np.array([o.psnr_db for o in found]),
            "ms_ssim": np.array([o.ms_ssim for o in found]),
        }
        for k in KS:
            columns[f"top{k}"] = top_k_hits(predictions, targets, k).astype(np.float64)
        return columns

    def _intervals(
        self, columns: dict[str, NDArray[np.float64]], names: Iterable[str]
    ) -> dict[str, dict[str, float]]:
        seed = self._plan.seed
        return {name: bootstrap_interval(columns[name], seed=seed).to_json() for name in names}

    def _target(self, judge: JudgeSpec, picture: PictureRef) -> int:
        index = self._labels.index(judge, picture.label)
        assert index is not None, "judges are asked only for sets whose labels they know"
        return index

    def _knowing(self, pictures: PictureSet, judges: Sequence[JudgeSpec]) -> list[JudgeSpec]:
        """Return the judges that know all labels of a set."""
        labels = {picture.label for picture in pictures.pictures}
        return [
            judge
            for judge in judges
            if all(self._labels.index(judge, label) is not None for label in labels)
        ]

    def _complete(
        self, what: str, jobs: Sequence[tuple[PictureRef, list[Cell], list[JudgeSpec]]]
    ) -> None:
        """Do what the cache does not know of yet."""
        tasks = []
        for picture, cells, judges in jobs:
            known = self._cache.read(picture.key)
            missing = []
            for cell in cells:
                outcome = known.get((fingerprint(cell), cell.budget))
                asked = outcome.predictions if outcome else {}
                unasked = tuple(j for j in judges if j.fingerprint not in asked)
                if outcome is None or unasked:
                    missing.append((cell, outcome, unasked))
            if missing:
                tasks.append(Task(picture, self._plan.fit, tuple(missing)))
        self._on_progress(what, 0, len(tasks))
        for done, (picture, outcomes) in enumerate(run_tasks(tasks, self._plan.num_processes), 1):
            self._cache.write(picture.key, outcomes)
            self._on_progress(what, done, len(tasks))


def _describe_set(pictures: PictureSet) -> dict[str, Any]:
    keys = " ".join(picture.key for picture in pictures.pictures)
    return {
        "name": pictures.name,
        "part": pictures.part,
        "n": len(pictures.pictures),
        "sha256": hashlib.sha256(keys.encode()).hexdigest()[:32],
    }
