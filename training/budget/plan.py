"""What fits into the time: epochs and steps of every stage, made once for a run."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from pnc.errors import ConfigError
from training.budget.speeds import Speeds
from training.classifier import Phase
from training.files import read_json, write_json
from training.recipe import Recipe
from training.run_pictures import COMPARED_PICTURES, NUM_TUNE_PICTURES

TIMED = ("classifier", "pretrain", "distill", "finetune")
"""Stages whose length can be chosen."""

MARGIN = 0.08
"""Share of the time that the plan leaves free: measured speeds waver."""

REPORT_SHARE, MIN_REPORT_S, MAX_REPORT_S = 0.1, 45.0, 900.0
"""Of the time, for the pictures of the report."""

EXPORT_S = 60.0
"""Converting the models and fitting tables, seconds on a core that runs 30 classifications of 224
pixels a second; scaled with the measured speed."""

MAX_CLASSIFIER_SCALE, MAX_DISTILL_SCALE = 2.0, 8.0
"""More time than the recipe needs goes into more steps, up to so many times its own."""

ENOUGH_STEPS = 400
"""Few pictures get more passes than the recipe says, for so many steps of the classifier: a class
is not learned in ten."""

MIN_SCALE = 0.03
"""With a smaller share of the recipe nothing useful comes out."""


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

    def save(self, path: Path) -> None:
        """Write it, in one step."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Read what :meth:`save` wrote.

        Raises:
            ConfigError: it is damaged.
        """
        record = read_json(path, "delete the run's folder")
        try:
            facts = dict(record["recipe"])
            for key in ("phases", "finetune_phases"):
                facts[key] = tuple(Phase(**phase) for phase in facts[key])
            for key in ("extra", "exclude", "judges", "rename", "notes"):
                facts[key] = tuple(facts[key])
            return cls(
                hours=record["hours"],
                recipe=Recipe(**facts),
                stages={name: StageTime(**time) for name, time in record["stages"].items()},
                export_s=record["export_s"],
                report_s=record["report_s"],
                speeds=record["speeds"] and Speeds(**record["speeds"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{path}: damaged ({error}); delete the run's folder") from error


def num_steps(phases: Sequence[Phase], num_pictures: int) -> int:
    """Steps that a classifier makes."""
    return sum(max(1, round(phase.epochs * num_pictures / phase.batch_size)) for phase in phases)


def expected_times(
    recipe: Recipe, speeds: Speeds, num_train: int, num_tune: int
) -> dict[str, StageTime]:
    """Seconds of each stage of a recipe."""
    looks = (9 if recipe.patience else 3) * num_tune * speeds.look_s
    ends = 3 * min(num_tune, NUM_TUNE_PICTURES) * (speeds.decode_s + speeds.look_s)

    def steps(phases: tuple[Phase, ...], count: int) -> float:
        return sum(
            num_steps([phase], count) * speeds.classifier_step(phase.size, phase.batch_size)
            for phase in phases
        )

    decoded = min(recipe.finetune_pictures, num_train)
    compared = min(num_tune, COMPARED_PICTURES) * (speeds.decode_s + 2 * speeds.look_s)
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
            2 * speeds.begin_s + looks + decoded * speeds.decode_s + compared if decoded else 0.0,
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
) -> Plan:
    """Fit a recipe into the time.

    Args:
        recipe: what would be trained without a limit.
        hours: the time; None leaves the recipe as it is, but for few pictures.
        used_s: seconds that have gone by.
        speeds: what was measured; needed with ``hours``.
        num_train, num_tune: pictures.

    Raises:
        ConfigError: the time is too short for anything useful.
    """
    passes = max(1.0, ENOUGH_STEPS / num_steps(recipe.phases, num_train))
    recipe = replace(recipe, phases=tuple(_longer(phase, passes) for phase in recipe.phases))
    if hours is None or speeds is None:
        return Plan(None, recipe, {}, 0.0, MAX_REPORT_S, None)
    plan_for = functools.partial(
        _plan_for, recipe, used_s=used_s, speeds=speeds, num_train=num_train, num_tune=num_tune
    )
    plan = plan_for(hours)
    if plan is None:
        enough = hours
        while plan_for(enough) is None:
            enough *= 1.05
        raise ConfigError(
            f"--hours {hours:g} is too short for {num_train} training pictures on this machine; "
            f"give at least {math.ceil(110 * enough) / 100:.2f}"
        )
    return plan


def _plan_for(
    recipe: Recipe, hours: float, *, used_s: float, speeds: Speeds, num_train: int, num_tune: int
) -> Plan | None:
    """The plan for a time, None where it is too short."""
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

    def times(scale: float) -> dict[str, StageTime]:
        return expected_times(fitted(scale), speeds, num_train, num_tune)

    def fits(scale: float) -> bool:
        return sum(time.fixed_s + time.steps_s for time in times(scale).values()) <= free

    if not fits(MIN_SCALE):
        return None
    low, high = MIN_SCALE, MAX_DISTILL_SCALE
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return Plan(hours, fitted(low), times(low), export, report, speeds)


def _longer(phase: Phase, scale: float) -> Phase:
    return replace(phase, epochs=round(phase.epochs * scale, 4))


def _at_least(steps: int, scale: float) -> int:
    return max(1, round(steps * scale)) if steps else 0


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
