from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pnc.errors import ConfigError
from training.budget.plan import ENOUGH_STEPS, MARGIN, Plan, make_plan, num_steps, plan_lines
from training.budget.speeds import Speeds
from training.recipe import Recipe

SPEEDS = Speeds(0.05, 1.2e-6, 0.5, 1.5, 20.0)
RECIPE = Recipe("mine", "photos")


def plan_for(hours: float | None, **settings: Any) -> Plan:
    facts = {"used_s": 60.0, "speeds": SPEEDS, "num_train": 2000, "num_tune": 100, **settings}
    return make_plan(RECIPE, hours=hours, **facts)


def seconds_of(plan: Plan) -> float:
    stages = sum(stage.fixed_s + stage.steps_s for stage in plan.stages.values())
    return stages + plan.export_s + plan.report_s


@pytest.mark.parametrize("hours", [0.4, 1.0, 3.0])
def test_the_plan_fills_the_time_and_leaves_a_margin(hours: float) -> None:
    plan = plan_for(hours)
    limit = hours * 3600 * (1 - MARGIN)
    assert seconds_of(plan) + 60 <= limit * 1.001
    assert seconds_of(plan) + 60 >= 0.9 * limit or plan.recipe.distill_steps == 8 * 1200


def test_more_time_is_more_steps() -> None:
    short, long = plan_for(0.5), plan_for(1.0)
    assert short.recipe.distill_steps < long.recipe.distill_steps
    assert short.recipe.phases[0].epochs < long.recipe.phases[0].epochs
    assert plan_for(None).recipe == RECIPE


@pytest.mark.parametrize(
    ("hours", "settings"),
    [
        (0.02, {}),
        (0.1, {"num_train": 200_000, "num_tune": 10_000}),
        (0.6, {"num_train": 90_000, "num_tune": 5_000, "used_s": 1500.0}),
        (1.0, {"speeds": Speeds(2.0, 4e-5, 10.0, 40.0, 90.0)}),
    ],
)
def test_too_short_is_one_line_that_says_what_is_enough(
    hours: float, settings: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match=rf"--hours {hours:g} is too short.*at least") as caught:
        plan_for(hours, **settings)
    text = str(caught.value)
    assert "\n" not in text
    plan_for(float(text.rsplit(" ", 1)[1]), **settings)


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


def test_few_pictures_get_enough_steps() -> None:
    few, many = plan_for(2.0, num_train=90, num_tune=6), plan_for(9.0, num_train=9000)
    assert ENOUGH_STEPS <= num_steps(few.recipe.phases, 90) <= 2.01 * ENOUGH_STEPS
    assert num_steps(many.recipe.phases, 9000) <= 2.001 * num_steps(RECIPE.phases, 9000)
    unlimited = plan_for(None, num_train=90, num_tune=6).recipe
    assert num_steps(unlimited.phases, 90) == pytest.approx(ENOUGH_STEPS, rel=0.03)
    assert unlimited.distill_steps == RECIPE.distill_steps
