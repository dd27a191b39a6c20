from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.cli import MEASURES
from benchmarks.rate_accuracy import RateAccuracyPlan
from benchmarks.shipped import belt_plans, photo_plans

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
RIVALS = ("jpeg", "webp", "avif", "avif-stripped", "jpegxl", "jpeg2000")
PLANS = belt_plans(RIVALS) | photo_plans(Path("data"), ["klt=14.npz", "klt=8.npz", *RIVALS])


def test_photographs_are_reported_on_the_halves_kept_from_training() -> None:
    kept = {
        "imagenet-sample=data/imagenet-sample-224#odd",
        "imagenette-val=data/imagenette-224/val",
    }
    for plan in photo_plans(Path("data"), ["webp"]).values():
        assert set(plan.data) <= kept
        if isinstance(plan, RateAccuracyPlan):
            assert all(spec.endswith(("#even", "#tune")) for spec in plan.tune)
            assert any("stranger" in spec and "report-only" in spec for spec in plan.judges)


@pytest.mark.parametrize("name", PLANS)
def test_the_committed_results_are_of_these_plans(name: str) -> None:
    plan, results = PLANS[name], json.loads((RESULTS / name).read_text(encoding="utf-8"))
    assert type(plan) in MEASURES
    assert {row["n"] for row in results["sets"]} == {plan.limit}
    assert len(results["sets"]) == len(plan.data)
    assert len(results["judges"]) == len(plan.judges)
    if isinstance(plan, RateAccuracyPlan):
        assert results["budgets"] == list(plan.budgets)
        assert len(results["codecs"]) == len(plan.codecs)
        assert {row["n"] for row in results["tuning_sets"]} <= {plan.tune_limit}
