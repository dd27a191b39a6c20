"""Training within a given time: what a step costs here, what fits, and a clock that kills survive.

The plan is made once, from steps that were timed on this machine, and lies in the run's folder.
When a stage begins, its length is corrected by what the stages before it really took; while it
runs, it stops rather than take the time of those after it.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import keras
import numpy as np

from pnc.errors import ConfigError
from training import classifier as classifiers
from training.architectures import ARCHITECTURES
from training.autoencoder import Autoencoder, AutoencoderTrainer
from training.classifier import ClassifierConfig, ClassifierTrainer, Phase
from training.loop import JIT_COMPILE
from training.losses import Judge
from training.pictures import Pictures
from training.recipe import Recipe

logger = logging.getLogger(__name__)

TIMED = ("classifier", "pretrain", "distill", "finetune")
"""Stages whose length can be chosen."""

HEARTBEAT_S = 2.0
"""A kill hides at most so many seconds from the clock."""

MARGIN = 0.08
"""Share of the time that the plan leaves free: measured speeds waver."""

REPORT_SHARE, MIN_REPORT_S, MAX_REPORT_S = 0.1, 45.0, 900.0
"""Of the time, for the pictures of the report."""

EXPORT_S = 60.0
"""Converting the models and fitting tables, seconds on a core that runs 30 classifications of 224
pixels a second; scaled with the measured speed."""

FORWARD_SHARE = 0.4
"""A look at a picture costs so much of a training step on it."""

MAX_CLASSIFIER_SCALE, MAX_DISTILL_SCALE = 2.0, 8.0
"""More time than the recipe needs goes into more steps, up to so many times its own."""

MIN_SCALE = 0.03
"""With a smaller share of the recipe nothing useful comes out."""

SIZES = (96, 160)
"""Sides at which the classifier's steps are timed."""


class Clock:
    """Seconds that a run has used, over all its processes.

    Used as a context: a thread writes the time down every other second.

    Args:
        path: the file.
        now: any monotonic clock, seconds.
        began: where that clock stood when the process began; now if absent.
    """

    def __init__(
        self,
        path: Path,
        *,
        now: Callable[[], float] = time.monotonic,
        began: float | None = None,
    ) -> None:
        self._path = path
        self._now = now
        self._before = _read_seconds(path)
        self._started = now() if began is None else began
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="clock", daemon=True)

    def used(self) -> float:
        """Seconds so far."""
        return self._before + self._now() - self._started

    def beat(self) -> None:
        """Write the time down, in one step."""
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps({"used_s": round(self.used(), 2)}), encoding="utf-8")
        temporary.replace(self._path)

    def _run(self) -> None:
        while not self._stop.wait(HEARTBEAT_S):
            with contextlib.suppress(OSError):
                self.beat()

    def __enter__(self) -> Clock:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self.beat()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.beat()


def _read_seconds(path: Path) -> float:
    try:
        return float(json.loads(path.read_text(encoding="utf-8"))["used_s"])
    except FileNotFoundError:
        return 0.0
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: damaged ({error}); delete it to count from zero") from error


@dataclass(frozen=True)
class Speeds:
    """Seconds of work on this machine."""

    classifier_fixed_s: float
    """A training step of the classifier: the part that does not depend on the pictures' size."""
    classifier_pixel_s: float
    """The other part, for each pixel of one picture."""
    autoencoder_s: float
    """A step of 16 pictures on squared error."""
    distill_s: float
    """The same through the judge."""
    begin_s: float
    """Building and tracing what a stage trains."""

    def classifier_step(self, size: int, batch_size: int = 32) -> float:
        """A training step of the classifier, seconds."""
        return self.classifier_fixed_s + self.classifier_pixel_s * size**2 * batch_size

    @property
    def look_s(self) -> float:
        """The classifier's answer to one whole picture."""
        return FORWARD_SHARE * self.classifier_step(224) / 32

    @property
    def decode_s(self) -> float:
        """One picture through encoder, cut stream and decoder."""
        return FORWARD_SHARE * self.autoencoder_s / 16


def measure_speeds(recipe: Recipe, images: Pictures, num_classes: int) -> Speeds:
    """Time single steps of each kind on some pictures of the run.

    Args:
        recipe: what will be trained.
        images: training pictures; 32 are used.
        num_classes: of the classifier.
    """
    pictures = images[:32].astype(np.float32)
    pictures = np.resize(pictures, (32, *pictures.shape[1:]))
    labels = np.arange(32) % num_classes
    started = time.perf_counter()
    model = classifiers.build_classifier(num_classes)
    trainer = ClassifierTrainer(model, 0, ClassifierConfig(Path()))
    trainer.compile(keras.optimizers.AdamW(1e-5, use_ema=True), jit_compile=JIT_COMPILE)
    trainer(pictures[:1, :64, :64])
    steps = {}
    begin = 0.0
    for size in SIZES:
        crops = pictures[:, :size, :size]
        trainer.train_on_batch(crops, (labels,))
        begin = begin or time.perf_counter() - started
        steps[size] = _median_seconds(functools.partial(trainer.train_on_batch, crops, (labels,)))
    small, large = (steps[size] for size in SIZES)
    per_pixel = max(large - small, 0.1 * large) / ((SIZES[1] ** 2 - SIZES[0] ** 2) * 32)
    fixed = max(0.0, small - per_pixel * SIZES[0] ** 2 * 32)
    autoencoder = Autoencoder(ARCHITECTURES[recipe.architecture])
    autoencoder.order_layers(images[:32])
    num_layers = len(autoencoder.plan_layering.plan.steps)
    cuts = np.full(16, num_layers / 2, np.float32)
    seconds = {}
    for loss in ("mse", recipe.distill_loss):
        judge = None if loss == "mse" else Judge(model)
        step = AutoencoderTrainer(autoencoder, loss, judge)
        step.compile(keras.optimizers.AdamW(1e-5, use_ema=True), jit_compile=JIT_COMPILE)
        x = (pictures[:16], cuts)
        step.train_on_batch(x, pictures[:16, 0, 0, 0])
        seconds[loss] = _median_seconds(
            functools.partial(step.train_on_batch, x, pictures[:16, 0, 0, 0])
        )
    return Speeds(fixed, per_pixel, seconds["mse"], seconds[recipe.distill_loss], begin)


def _median_seconds(step: Callable[[], Any], *, least: int = 2, at_most_s: float = 3.0) -> float:
    times: list[float] = []
    while len(times) < least or (sum(times) < at_most_s and len(times) < 8):
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


@dataclass(frozen=True)
class StageTime:
    """Expected seconds of a stage."""

    fixed_s: float
    """What does not depend on its length: tracing, evaluations, decoding."""
    steps_s: float
    """Its steps."""


@dataclass(frozen=True)
class Plan:
    """How the time is spent."""

    hours: float | None
    """What was given; None: the recipe as it is."""
    recipe: Recipe
    """Phases and steps that fit."""
    stages: dict[str, StageTime]
    """Of each stage in :data:`TIMED`."""
    export_s: float
    """Seconds for export and its check."""
    report_s: float
    """Seconds for the pictures of the report."""
    speeds: Speeds | None
    """What was measured."""

    @property
    def total_s(self) -> float:
        """All stages together."""
        stages = sum(stage.fixed_s + stage.steps_s for stage in self.stages.values())
        return stages + self.export_s + self.report_s

    def save(self, path: Path) -> None:
        """Write it, in one step."""
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Read what :meth:`save` wrote.

        Raises:
            ConfigError: it is damaged.
        """
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            facts = dict(record["recipe"])
            for key in ("phases", "finetune_phases"):
                facts[key] = tuple(Phase(**phase) for phase in facts[key])
            for key in ("extra", "exclude", "rename", "notes"):
                facts[key] = tuple(facts[key])
            return cls(
                hours=record["hours"],
                recipe=Recipe(**facts),
                stages={name: StageTime(**time) for name, time in record["stages"].items()},
                export_s=record["export_s"],
                report_s=record["report_s"],
                speeds=record["speeds"] and Speeds(**record["speeds"]),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{path}: damaged ({error}); delete the run's folder") from error


def expected_times(
    recipe: Recipe, speeds: Speeds, num_train: int, num_tune: int, num_extra: int
) -> dict[str, StageTime]:
    """Seconds of each stage of a recipe."""
    looks = 9 * num_tune * speeds.look_s
    ends = 3 * min(num_tune, 128) * (speeds.decode_s + speeds.look_s)

    def steps(phases: tuple[Phase, ...], count: int) -> float:
        return sum(
            max(1, round(phase.epochs * count / phase.batch_size))
            * speeds.classifier_step(phase.size, phase.batch_size)
            for phase in phases
        )

    decoded = min(recipe.finetune_pictures, num_train)
    times = {
        "classifier": StageTime(2 * speeds.begin_s + looks, steps(recipe.phases, num_train)),
        "pretrain": StageTime(
            speeds.begin_s + ends if recipe.pretrain_steps else 0.0,
            recipe.pretrain_steps * speeds.autoencoder_s,
        ),
        "distill": StageTime(
            2 * speeds.begin_s + ends if recipe.distill_steps else 0.0,
            recipe.distill_steps * speeds.distill_s,
        ),
        "finetune": StageTime(
            2 * speeds.begin_s + looks + decoded * speeds.decode_s if decoded else 0.0,
            steps(recipe.finetune_phases, num_train + decoded) if decoded else 0.0,
        ),
    }
    if recipe.teacher:
        whole = times["classifier"]
        more = num_train * speeds.look_s
        times["classifier"] = replace(whole, fixed_s=whole.fixed_s + more)
    return times


def make_plan(
    recipe: Recipe,
    *,
    hours: float | None,
    used_s: float,
    speeds: Speeds | None,
    num_train: int,
    num_tune: int,
    num_extra: int = 0,
) -> Plan:
    """Fit a recipe into the time.

    Args:
        recipe: what would be trained without a limit.
        hours: the time; None leaves the recipe as it is.
        used_s: seconds that have gone by.
        speeds: what was measured; needed with ``hours``.
        num_train, num_tune, num_extra: pictures.

    Raises:
        ConfigError: the time is too short for anything useful.
    """
    if hours is None or speeds is None:
        return Plan(None, recipe, {}, 0.0, MAX_REPORT_S, None)
    limit = hours * 3600
    measured = int(np.clip(600 * hours, min(100, recipe.report_pictures), recipe.report_pictures))
    recipe = replace(recipe, report_pictures=measured)
    export = EXPORT_S * max(1.0, 30 * speeds.look_s) + 6 * recipe.report_pictures * (
        speeds.look_s + speeds.decode_s
    )
    report = float(np.clip(REPORT_SHARE * limit, MIN_REPORT_S, MAX_REPORT_S))
    free = limit * (1 - MARGIN) - used_s - export - report

    def fitted(scale: float) -> Recipe:
        lengths = min(scale, MAX_CLASSIFIER_SCALE)
        decoded = round(recipe.finetune_pictures * min(scale, 1.0))
        return replace(
            recipe,
            phases=tuple(_longer(phase, lengths) for phase in recipe.phases),
            pretrain_steps=_at_least(recipe.pretrain_steps, min(scale, 1.0)),
            distill_steps=_at_least(recipe.distill_steps, min(scale, MAX_DISTILL_SCALE)),
            finetune_pictures=max(decoded, min(recipe.finetune_pictures, 32)),
            finetune_phases=tuple(_longer(p, min(1.0, lengths)) for p in recipe.finetune_phases)
            if scale < 1
            else recipe.finetune_phases,
        )

    def needed(scale: float) -> float:
        times = expected_times(fitted(scale), speeds, num_train, num_tune, num_extra)
        return sum(time.fixed_s + time.steps_s for time in times.values())

    if needed(MIN_SCALE) > free:
        enough = (needed(2 * MIN_SCALE) + used_s + export + report) / (1 - MARGIN) / 3600
        raise ConfigError(
            f"--hours {hours:g} is too short for {num_train} training pictures on this machine; "
            f"give at least {max(enough, hours * 1.1):.2f}"
        )
    low, high = MIN_SCALE, MAX_DISTILL_SCALE
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if needed(middle) <= free else (low, middle)
    chosen = fitted(low)
    times = expected_times(chosen, speeds, num_train, num_tune, num_extra)
    return Plan(hours, chosen, times, export, report, speeds)


def _longer(phase: Phase, scale: float) -> Phase:
    return replace(phase, epochs=round(phase.epochs * scale, 4))


def _at_least(steps: int, scale: float) -> int:
    return max(1, round(steps * scale)) if steps else 0


class Budget:
    """Keeps a run within its plan: see :class:`training.recipe.Pace`.

    Args:
        plan: what was planned.
        folder: of the run; gets ``pace.json``.
        clock: seconds used.
    """

    def __init__(self, plan: Plan, folder: Path, clock: Clock) -> None:
        self._plan = plan
        self._folder = folder
        self._path = folder / "pace.json"
        self._clock = clock
        self._record: dict[str, dict[str, float]] = {"scales": {}, "began_s": {}, "took_s": {}}
        if self._path.exists():
            self._record |= json.loads(self._path.read_text(encoding="utf-8"))

    @property
    def _limit_s(self) -> float:
        return (self._plan.hours or float("inf")) * 3600

    def _save(self) -> None:
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps(self._record, indent=1) + "\n", encoding="utf-8")
        temporary.replace(self._path)

    def _pace(self) -> float:
        """Seconds that finished stages took over those that were planned for them."""
        took = sum(self._record["took_s"].values())
        planned = sum(
            self._plan.stages[name].fixed_s
            + self._plan.stages[name].steps_s * self._record["scales"].get(name, 1.0)
            for name in self._record["took_s"]
        )
        return float(np.clip(took / planned, 0.6, 2.5)) if planned > 0 else 1.0

    def _later(self, stage: str) -> list[StageTime]:
        return [self._plan.stages[name] for name in TIMED[TIMED.index(stage) + 1 :]]

    def scale(self, stage: str) -> float:
        """Share of its planned steps that a stage makes; decided once, when it begins."""
        if self._plan.hours is None:
            return 1.0
        if stage not in self._record["scales"]:
            pace = self._pace()
            mine = [self._plan.stages[stage], *self._later(stage)]
            free = self._limit_s * (1 - MARGIN / 2) - self._clock.used() - self._ending_s(pace)
            fixed = sum(part.fixed_s for part in mine) * pace
            steps = sum(part.steps_s for part in mine) * pace
            share = (free - fixed) / steps if steps > 0 else 1.0
            self._record["scales"][stage] = float(np.clip(share, MIN_SCALE, 1.25))
            self._record["began_s"][stage] = self._clock.used()
            self._save()
        return self._record["scales"][stage]

    def max_seconds(self, stage: str) -> float:
        """Seconds, over all its processes, after which a stage's loop has to stop."""
        if self._plan.hours is None:
            return float("inf")
        pace = self._pace()
        kept = sum(part.fixed_s + 0.5 * part.steps_s for part in self._later(stage)) * pace
        left = self._limit_s * (1 - MARGIN / 4) - self._clock.used() - self._ending_s(pace) - kept
        return _seconds_on_disk(self._folder / stage) + max(0.0, left)

    def ended(self, stage: str) -> None:
        """Note what a stage took."""
        began = self._record["began_s"].get(stage)
        if began is not None and stage not in self._record["took_s"]:
            self._record["took_s"][stage] = self._clock.used() - began
            self._save()

    def _ending_s(self, pace: float) -> float:
        return self._plan.export_s * pace + self._plan.report_s

    def report_seconds(self) -> float:
        """Seconds that the report's pictures may take."""
        if self._plan.hours is None:
            return self._plan.report_s
        left = self._limit_s * 0.985 - self._clock.used() - 5.0
        return float(np.clip(left, 5.0, MAX_REPORT_S))


def _seconds_on_disk(folder: Path) -> float:
    """Seconds of training that a stage's state knows of; 0 where there is none."""
    path = folder / "state.npz"
    if not path.exists():
        return 0.0
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return float(json.loads(arrays["state"].tobytes())["seconds"])
    except (OSError, ValueError, KeyError, EOFError):
        return 0.0


def plan_lines(plan: Plan) -> Iterator[str]:
    """The plan in words."""
    if plan.hours is None:
        yield "plan: the recipe as it is, without a limit; --hours sets one"
        return
    recipe = plan.recipe
    epochs = ", ".join(f"{phase.epochs:.2g} at {phase.size} pixels" for phase in recipe.phases)
    yield f"plan for {plan.hours:g} h:"
    for name, text in (
        ("classifier", f"epochs: {epochs}"),
        ("pretrain", f"{recipe.pretrain_steps} steps"),
        ("distill", f"{recipe.distill_steps} steps"),
        ("finetune", f"{recipe.finetune_pictures} decoded pictures"),
    ):
        stage = plan.stages[name]
        if stage.fixed_s + stage.steps_s > 0:
            yield f"  {name}: {(stage.fixed_s + stage.steps_s) / 60:.1f} min, {text}"
    yield f"  export and its check: {plan.export_s / 60:.1f} min"
    yield f"  report: {plan.report_s / 60:.1f} min"
