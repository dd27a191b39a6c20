from __future__ import annotations

from pathlib import Path

from benchmarks.shipped import photograph_plan


def test_photographs_are_reported_on_the_halves_kept_from_training() -> None:
    plan = photograph_plan(Path("data"), ["photo", "rtss23"], ["webp"], 300, 2)
    assert plan.data == (
        "imagenet-sample=data/imagenet-sample-224#odd",
        "imagenette-val=data/imagenette-224/val",
    )
    assert all(spec.endswith(("#even", "#tune")) for spec in plan.tune)
    assert plan.codecs == ("photo", "rtss23", "webp")
    assert all("val" not in spec and "#odd" not in spec for spec in (*plan.tune, *plan.train))
    assert any("stranger" in judge and judge.endswith("report-only") for judge in plan.judges)
