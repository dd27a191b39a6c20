from __future__ import annotations

from pathlib import Path

import pytest

from training.budget.clock import Clock
from training.budget.pace import Budget
from training.budget.plan import TIMED, Plan, make_plan
from training.budget.speeds import Speeds
from training.recipe import Recipe


class Ticks:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def plan_for(hours: float | None) -> Plan:
    return make_plan(
        Recipe("mine", "photos"),
        hours=hours,
        used_s=60.0,
        speeds=Speeds(0.05, 1.2e-6, 0.5, 1.5, 20.0),
        num_train=2000,
        num_tune=100,
    )


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
