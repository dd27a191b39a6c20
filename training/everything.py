"""``pnc train all``: from a folder of pictures to a checkpoint and a report, within a given time.

    read -> check -> start -> plan -> classifier, pretrain, distill, finetune -> export -> verify
    -> report

Everything that was decided or made lies in the run's folder, so that the same command goes on
wherever it was killed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from pnc.codec.checkpoint import MANIFEST, Checkpoint
from pnc.codec.codec import Codec
from pnc.codec.image import Fit
from pnc.errors import CheckpointError, ConfigError, PncError
from training.budget.clock import Clock
from training.budget.pace import Budget
from training.budget.plan import TIMED, Plan, make_plan, plan_lines
from training.budget.speeds import Speeds, measure_speeds
from training.cache import CACHE_FOLDER
from training.check import DataCheck, check_data, leave_out, show_check
from training.data import Data
from training.export import MODEL_FILES
from training.files import digest, only_process, read_json, write_json, write_text
from training.pictures import Pictures, Subset
from training.progress import CountProgress
from training.recipe import BELT, Recipe, rename_classes
from training.report.gather import measure_pictures
from training.report.page import render_page
from training.report.summary import pick_examples, summarise
from training.run import Run
from training.run_pictures import open_pictures
from training.start import DEFAULT_START, open_start
from training.verify import verify_export

logger = logging.getLogger(__name__)

STARTED_LEARNING_RATE = 2e-3
"""Peak of a classifier that does not start from nothing."""

VERIFIED_PICTURES = 64
"""Reported pictures that exported files and models are compared on."""


@dataclass(frozen=True)
class Order:
    """What the user asked for; a run goes on only with the same."""

    data: str
    """A folder of class folders, one with train/ and val/, or ``belt``."""
    out: Path
    """Folder of the checkpoint."""
    run: Path
    """Folder of the run."""
    hours: float | None = None
    """Time from start to report; None: the recipe as it is."""
    start: str = DEFAULT_START
    """A checkpoint, a Keras file, or ``none``."""
    seed: int = 0
    """Seed of everything random."""
    extra: tuple[str, ...] = ()
    """Folders of unlabeled pictures."""
    exclude: tuple[str, ...] = ()
    """Names of pictures to leave out."""
    rename: tuple[str, ...] = ()
    """``FOLDER=NAME``."""
    teacher: str | None = None
    """A Keras classifier that helps."""
    judges: tuple[str, ...] = ()
    """More Keras classifiers that judge the autoencoder."""
    fit: Fit = "crop"
    """How pictures become square."""
    base: Recipe | None = field(default=None, repr=False)
    """Settings of the recipe other than the defaults, for tests."""
    cache: Path = CACHE_FOLDER
    """Folder of the picture cache."""

    def recipe(self) -> Recipe:
        """The recipe without a limit of time."""
        base = self.base or (BELT if self.data == "belt" else Recipe("", self.data))
        return replace(
            base,
            name=self.out.resolve().name,
            data=self.data,
            seed=self.seed,
            extra=self.extra,
            exclude=self.exclude,
            rename=self.rename,
            teacher=self.teacher,
            judges=self.judges,
            fit=self.fit,
        )


@dataclass(frozen=True)
class Outcome:
    """What came out."""

    checkpoint: Path
    """Its folder."""
    report: Path
    """The HTML file."""
    facts: dict[str, Any]
    """What ``report.json`` holds."""


def train_everything(
    order: Order,
    *,
    measure: Callable[[Recipe, Pictures, int], Speeds] = measure_speeds,
    began: float | None = None,
) -> Outcome:
    """Do it all, or go on where it stopped.

    Args:
        order: what to do.
        measure: times steps on this machine.
        began: where ``time.monotonic`` stood when the process began: importing Keras counts, too.

    Raises:
        ConfigError: the data cannot be used, the time is too short, or the folder belongs to
            another order.
        CheckpointError: the exported files do not do what was trained.
    """
    with only_process(order.run):
        _begin(order)
        with Clock(order.run / "clock.json", began=began) as clock:
            try:
                data, check, plan, lines = _prepare(order, clock, measure)
            except PncError:
                if not (order.run / "plan.json").exists():
                    clock.forget()
                raise
            budget = Budget(plan, order.run, clock)
            run = Run(plan.recipe, order.run, data=data, pace=budget if plan.hours else None)
            run.begin()
            for stage in TIMED:
                logger.info("stage %s", stage)
                budget.scale(stage)
                getattr(run, stage)()
                budget.ended(stage)
            verification = _export(run, order.out)
            outcome = _report(order, run, check, plan, lines, verification, budget, clock)
    if not verification["passed"]:
        raise CheckpointError(
            f"{order.out}: the exported files do not do what was trained, see {outcome.report}"
        )
    return outcome


def _begin(order: Order) -> None:
    """Refuse what would fail an hour later, and the folder of another order.

    An order that never got a plan may be given again with other options.
    """
    if order.hours is not None and not (math.isfinite(order.hours) and order.hours > 0):
        raise ConfigError(f"--hours {order.hours}: give a number of hours, such as 1.5")
    helpers = [("--teacher", order.teacher), *(("--judge", judge) for judge in order.judges)]
    for option, file in helpers:
        if file and not Path(file).is_file():
            raise ConfigError(f"{option} {file}: no such file; give a .keras file")
    try:
        order.out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=order.out):
            pass
    except OSError as error:
        raise ConfigError(
            f"--out {order.out}: no checkpoint can be written there ({error.strerror}); name "
            "another folder"
        ) from error
    path = order.run / "order.json"
    mine = _order_record(order)
    theirs = read_json(path, "delete the run's folder") if path.exists() else mine
    changed = sorted(key for key in mine if theirs.get(key) != mine[key])
    if changed and (order.run / "plan.json").exists():
        raise ConfigError(
            f"{order.run} belongs to another order ({', '.join(changed)} differ, see order.json); "
            "give another --run folder or delete it"
        )
    if changed:
        for name in ("clock.json", "start/start.json"):
            (order.run / name).unlink(missing_ok=True)
    write_json(path, mine)


def _order_record(order: Order) -> dict[str, Any]:
    record = {key: value for key, value in asdict(order).items() if key not in ("base", "cache")}
    return dict(json.loads(json.dumps(record, default=str)))


def _prepare(
    order: Order, clock: Clock, measure: Callable[[Recipe, Pictures, int], Speeds]
) -> tuple[Data, DataCheck, Plan, tuple[str, ...]]:
    """Pictures to train on, what is wrong with them, the plan, and what is said of the start."""
    console = Console(stderr=True)
    recipe = order.recipe()
    data = open_pictures(recipe, order.cache)
    rename_classes(recipe, data.classes)
    check = check_data(data)
    check.save(order.run / "data_check.json")
    show_check(check, console)
    data = leave_out(data, check.left_out)
    plan, lines = _plan(order, recipe, data, clock, measure)
    for line in [*lines, *plan_lines(plan)]:
        console.print(line, highlight=False, soft_wrap=True)
    return data, check, plan, lines


def _plan(
    order: Order,
    recipe: Recipe,
    data: Data,
    clock: Clock,
    measure: Callable[[Recipe, Pictures, int], Speeds],
) -> tuple[Plan, tuple[str, ...]]:
    """The plan that lies in the run's folder, or a new one; and what is said of the start."""
    images = Subset(data, np.random.default_rng(recipe.seed).permutation(data.train))
    start = open_start(order.start, order.run / "start", images, recipe.architecture)
    path = order.run / "plan.json"
    if path.exists():
        return Plan.load(path), start.lines
    recipe = replace(recipe, report_pictures=min(recipe.report_pictures, len(data.val)))
    if start.classifier:
        recipe = replace(recipe, initial=str(start.classifier), drop=True)
        rate = min(recipe.classifier_learning_rate, STARTED_LEARNING_RATE)
        recipe = replace(recipe, classifier_learning_rate=rate)
    if start.autoencoder:
        recipe = replace(recipe, initial_autoencoder=str(start.autoencoder), pretrain_steps=0)
    speeds = None
    if order.hours is not None:
        logger.info("timing steps on this machine")
        speeds = measure(recipe, images, len(data.classes))
    plan = make_plan(
        recipe,
        hours=order.hours,
        used_s=clock.used(),
        speeds=speeds,
        num_train=len(data.train),
        num_tune=len(data.tune),
    )
    plan.save(path)
    return plan, start.lines


def _export(run: Run, out: Path) -> dict[str, Any]:
    """Export and verify, unless the same models were verified in the same files before."""
    path = run.folder / "verification.json"
    if path.exists():
        record = read_json(path, "delete it")
        with contextlib.suppress(OSError):
            if record.get("of") == digest([*run.results(), out / MANIFEST]):
                return record
    logger.info("stage export")
    run.export(out)
    pictures = run.pictures.subset(run.pictures.reported[:VERIFIED_PICTURES])
    verification = verify_export(
        Checkpoint.load(out), run.distill(), run.finetune(), pictures[:VERIFIED_PICTURES]
    )
    record = {**verification.record(), "of": digest([*run.results(), out / MANIFEST])}
    write_json(path, record)
    return record


def _report(
    order: Order,
    run: Run,
    check: DataCheck,
    plan: Plan,
    lines: tuple[str, ...],
    verification: dict[str, Any],
    budget: Budget,
    clock: Clock,
) -> Outcome:
    logger.info("stage report")
    data, reported = run.pictures.data, run.pictures.reported
    pictures = Subset(data, reported)
    records = measure_pictures(
        order.run / "report",
        order.out,
        pictures,
        data.labels[reported].astype(np.int64),
        [data.names[index] for index in reported],
        seconds=budget.report_seconds(),
        on_progress=CountProgress(f"{run.recipe.name}: reported"),
    )
    found = {
        "name": run.recipe.name,
        "check": asdict(check),
        "start": list(lines),
        "plan_lines": list(plan_lines(plan)),
        "hours": order.hours,
        "verification": verification,
        "sizes": {name: (order.out / name).stat().st_size for name in MODEL_FILES},
        "results": summarise(records, run.pictures.class_names),
        "used_s": round(clock.used(), 1),
    }
    facts = dict(json.loads(json.dumps(found)))
    codec = Codec.load(order.out)

    def picture(index: int, budget_bytes: int | None) -> NDArray[np.uint8]:
        pixels = pictures[index]
        return pixels if budget_bytes is None else codec.decode(codec.encode(pixels)[:budget_bytes])

    best, worst = pick_examples(records)
    examples = [
        ("Pictures recognised best", [records[place] for place in best]),
        ("Pictures recognised worst", [records[place] for place in worst]),
    ]
    page = render_page(facts, order.run, examples, picture)
    write_json(order.run / "report.json", facts)
    write_text(order.run / "report.html", page)
    return Outcome(order.out, order.run / "report.html", facts)
