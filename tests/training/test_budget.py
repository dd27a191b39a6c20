from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pnc.errors import ConfigError
from training.budget import (
    MARGIN,
    TIMED,
    Budget,
    Clock,
    Plan,
    Speeds,
    make_plan,
    measure_speeds,
    plan_lines,
)
from training.recipe import Recipe

SPEEDS = Speeds(0.05, 1.2e-6, 0.5, 1.5, 20.0)
RECIPE = Recipe("mine", "photos")


class Ticks:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def plan_for(hours: float | None, **settings: Any) -> Plan:
    facts = {"used_s": 60.0, "speeds": SPEEDS, "num_train": 2000, "num_tune": 100, **settings}
    return make_plan(RECIPE, hours=hours, **facts)


def test_the_clock_counts_over_kills(tmp_path: Path) -> None:
    ticks = Ticks()
    first = Clock(tmp_path / "clock.json", now=ticks)
    ticks.seconds += 30
    first.beat()
    ticks.seconds += 1000
    second = Clock(tmp_path / "clock.json", now=ticks, began=ticks.seconds - 5)
    ticks.seconds += 3
    assert second.used() == pytest.approx(38)
    with second:
        pass
    assert json.loads((tmp_path / "clock.json").read_text())["used_s"] == pytest.approx(38)


def test_a_damaged_clock_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "clock.json").write_text("{")
    with pytest.raises(ConfigError, match="delete it") as caught:
        Clock(tmp_path / "clock.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("hours", [0.4, 1.0, 3.0])
def test_the_plan_fills_the_time_and_leaves_a_margin(hours: float) -> None:
    plan = plan_for(hours)
    limit = hours * 3600 * (1 - MARGIN)
    assert plan.total_s + 60 <= limit * 1.001
    assert plan.total_s + 60 >= 0.9 * limit or plan.recipe.distill_steps == 8 * 1200


def test_more_time_is_more_steps() -> None:
    short, long = plan_for(0.5), plan_for(1.0)
    assert short.recipe.distill_steps < long.recipe.distill_steps
    assert short.recipe.phases[0].epochs < long.recipe.phases[0].epochs
    assert plan_for(None).recipe == RECIPE


def test_too_short_is_one_line_that_says_what_is_enough() -> None:
    with pytest.raises(ConfigError, match=r"--hours 0\.02 is too short.*at least") as caught:
        plan_for(0.02)
    text = str(caught.value)
    assert "\n" not in text
    plan_for(float(text.rsplit(" ", 1)[1]))


def test_what_is_skipped_costs_nothing() -> None:
    plan = make_plan(
        Recipe("mine", "photos", pretrain_steps=0, finetune_pictures=0),
        hours=1.0,
        used_s=0.0,
        speeds=SPEEDS,
        num_train=2000,
        num_tune=100,
    )
    assert plan.stages["pretrain"].fixed_s == plan.stages["pretrain"].steps_s == 0
    assert plan.stages["finetune"].fixed_s == plan.stages["finetune"].steps_s == 0
    assert plan.recipe.finetune_pictures == plan.recipe.pretrain_steps == 0


def test_the_plan_survives_its_file(tmp_path: Path) -> None:
    plan = plan_for(1.0)
    plan.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json") == plan
    assert "plan for 1 h:" in list(plan_lines(plan))
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(ConfigError, match="damaged"):
        Plan.load(tmp_path / "plan.json")


def simulate(hours: float, slowness: float, folder: Path, *, lost_s: float = 0.0) -> float:
    """Seconds that a run takes on a machine that is slower than it was when it was measured."""
    ticks = Ticks()
    clock = Clock(folder / "clock.json", now=ticks)
    ticks.seconds += 60
    plan = plan_for(hours)
    budget = Budget(plan, folder, clock)
    for stage in TIMED:
        time = plan.stages[stage]
        scale = budget.scale(stage)
        ticks.seconds += lost_s
        assert budget.scale(stage) == Budget(plan, folder, clock).scale(stage) == scale
        steps = min(time.steps_s * scale * slowness, budget.max_seconds(stage))
        ticks.seconds += time.fixed_s * slowness + steps
        budget.ended(stage)
    ticks.seconds += plan.export_s * slowness
    ticks.seconds += budget.report_seconds() + 5.0
    return clock.used()


@pytest.mark.parametrize("slowness", [0.5, 1.0, 1.3, 1.7])
def test_the_time_holds_on_a_machine_that_changes_its_speed(
    slowness: float, tmp_path: Path
) -> None:
    used = simulate(1.0, slowness, tmp_path)
    assert 0.5 * 3600 < used <= 1.03 * 3600


def test_the_time_holds_with_kills(tmp_path: Path) -> None:
    assert simulate(1.0, 1.1, tmp_path, lost_s=90.0) <= 1.03 * 3600


def test_without_hours_nothing_is_cut(tmp_path: Path) -> None:
    budget = Budget(plan_for(None), tmp_path, Clock(tmp_path / "clock.json", now=Ticks()))
    assert budget.scale("distill") == 1.0
    assert budget.max_seconds("distill") == float("inf")
    budget.ended("distill")
    assert list(tmp_path.iterdir()) == []


def test_speeds_are_measured(tiny_run: Any, pictures: NDArray[np.uint8]) -> None:
    with tiny_run.with_its_models():
        speeds = measure_speeds(tiny_run.recipe, pictures, 3)
    assert min(speeds.classifier_pixel_s, speeds.autoencoder_s, speeds.distill_s) > 0
    assert speeds.classifier_step(224) > speeds.classifier_step(64)
    assert speeds.look_s > 0
    assert speeds.decode_s > 0
