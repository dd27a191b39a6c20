from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import bench
from benchmarks.pictures import PictureRef, open_set
from benchmarks.rate_accuracy import RateAccuracyPlan, best_variant, measure_rate_accuracy
from benchmarks.work import Task, run_tasks
from pnc.errors import ConfigError
from pnc.replay.report.rate_accuracy import RATE_ACCURACY_SCHEMA, rate_accuracy_tables
from pnc.replay.report.results import check_schema


@pytest.fixture
def plan(judge_file: Path, tmp_path: Path) -> RateAccuracyPlan:
    return RateAccuracyPlan(
        data=("belt",),
        judges=(f"judge={judge_file}",),
        codecs=("webp",),
        tune=("belt#tune",),
        budgets=(60, 800),
        limit=2,
        cache=tmp_path / "cache",
    )


def row(results: dict[str, Any], budget: int) -> dict[str, Any]:
    return next(r for r in results["results"] if r["budget"] == budget)


def test_results_hold_what_the_report_reads(plan: RateAccuracyPlan) -> None:
    results = measure_rate_accuracy(plan)
    assert check_schema(results, RATE_ACCURACY_SCHEMA)
    assert "| WebP, method 6 |" in rate_accuracy_tables(results)
    assert results["undamaged"][0]["top1"]["value"] == 1.0
    assert results["reference"] is None
    assert [s["n"] for s in (*results["sets"], *results["tuning_sets"])] == [2, 2]
    webp, misfit = row(results, 800), row(results, 60)
    assert webp["num_misfits"] == 0
    assert 400 < webp["mean_bytes"] <= 800
    assert webp["top5"]["value"] == 1.0
    assert webp["psnr_db"]["value"] > 20
    assert webp["setting"] in ("full size", "scale 1/2", "scale 1/4")
    assert misfit["num_misfits"] == 2
    assert misfit["mean_bytes"] is None
    assert misfit["top5"]["value"] == 0.0


def test_second_run_does_nothing_and_says_the_same(
    plan: RateAccuracyPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = measure_rate_accuracy(plan)
    done: list[int] = []

    def count(tasks: Sequence[Task], num_processes: int) -> Any:
        done.append(len(tasks))
        return run_tasks(tasks, num_processes)

    monkeypatch.setattr(bench, "run_tasks", count)
    assert measure_rate_accuracy(plan) == first
    assert done == [0, 0]


def test_killed_run_resumes_where_it_stopped(
    plan: RateAccuracyPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = measure_rate_accuracy(replace(plan, cache=plan.cache / "other"))

    def stop_after_one(tasks: Sequence[Task], num_processes: int) -> Any:
        yield next(iter(run_tasks(tasks, num_processes)))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bench, "run_tasks", stop_after_one)
        with pytest.raises(KeyboardInterrupt):
            measure_rate_accuracy(plan)
    seen: list[PictureRef] = []

    def look(tasks: Sequence[Task], num_processes: int) -> Any:
        seen.extend(task.picture for task in tasks)
        return run_tasks(tasks, num_processes)

    with monkeypatch.context() as patch:
        patch.setattr(bench, "run_tasks", look)
        assert measure_rate_accuracy(plan) == whole
    assert len(seen) == 3


def test_another_judge_needs_no_encoding(
    plan: RateAccuracyPlan, judge_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure_rate_accuracy(plan)
    more = replace(plan, judges=(*plan.judges, f"more={judge_file},crop=0.9,report-only"))
    known: list[bool] = []

    def look(tasks: Sequence[Task], num_processes: int) -> Any:
        known.extend(outcome is not None for task in tasks for _, outcome, _ in task.cells)
        return run_tasks(tasks, num_processes)

    monkeypatch.setattr(bench, "run_tasks", look)
    results = measure_rate_accuracy(more)
    assert known
    assert all(known)
    assert {r["judge"] for r in results["results"]} == {"judge", "more"}
    assert len({(r["budget"], r["setting"]) for r in results["results"]}) == 2


def test_processes_give_what_one_gives(plan: RateAccuracyPlan, photographs: Path) -> None:
    tasks = [Task(p, "crop", ()) for p in open_set(f"m={photographs}").pictures]
    assert sorted(p.name for p, outcomes in run_tasks(tasks, 2) if outcomes == []) == [
        "n1/a.png",
        "n1/b.png",
        "n2/c.png",
    ]


@pytest.mark.parametrize(
    ("variants", "best"),
    [
        ([[(2, 20.0), (1, 20.0)], [(2, 19.0), (2, 19.0)]], 1),
        ([[(2, 20.0), (2, 20.0)], [(2, 21.0), (2, 20.0)]], 1),
        ([[(2, 30.0)] * 200, [(2, 31.0)] * 199 + [(0, 31.0)]], 1),
        ([[(2, 30.0)] * 200, [(2, 31.0)] * 190 + [(0, 31.0)] * 10], 0),
        ([[], []], 0),
    ],
)
def test_a_hit_more_is_chance_and_psnr_decides(
    variants: list[list[tuple[int, float]]], best: int
) -> None:
    assert best_variant(variants) == best


def test_rivals_are_tuned_or_refused(plan: RateAccuracyPlan) -> None:
    with pytest.raises(ConfigError, match="--tune"):
        measure_rate_accuracy(replace(plan, tune=()))


def test_set_that_no_judge_knows_is_refused(plan: RateAccuracyPlan, photographs: Path) -> None:
    with pytest.raises(ConfigError, match="no judge knows"):
        measure_rate_accuracy(replace(plan, data=(f"mine={photographs}",)))


@pytest.mark.parametrize("budgets", [(), (0, 512)])
def test_unusable_budgets_are_refused(plan: RateAccuracyPlan, budgets: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="budgets"):
        measure_rate_accuracy(replace(plan, budgets=budgets))
