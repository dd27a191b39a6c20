"""Accuracy byte by byte: one checkpoint on a fine grid of budgets, and whether it ever steps down.

A step is the difference of two neighbouring budgets on the same pictures. It goes down beyond noise
if its confidence interval lies below zero, where the intervals of all steps hold together with
95 %: Bonferroni's, by the normal approximation.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.bench import KS, Bench, Job, OnProgress
from benchmarks.cache import Cache
from benchmarks.codecs import is_rival, open_codec
from benchmarks.facts import describe_command, describe_machine, describe_versions
from benchmarks.judges import open_judges
from benchmarks.pictures import open_set
from benchmarks.rate_accuracy import Plan
from benchmarks.work import Cell
from pnc.errors import ConfigError
from pnc.replay.metrics import CONFIDENCE, bootstrap_interval
from pnc.replay.report.steps import STEPS_SCHEMA

BUDGETS = tuple(range(64, 4097, 64))
"""Bytes."""


def measure_steps(plan: Plan, on_progress: OnProgress | None = None) -> dict[str, Any]:
    """Return the results as JSON values; `docs/benchmarks.md` explains the fields.

    Args:
        plan: With one checkpoint of ours as its only codec; no pictures to tune on are needed.
        on_progress: See `benchmarks.bench`.

    Raises:
        ConfigError: A set or judge is not usable, there are fewer than two budgets, or the codec
            is not one of ours.
        CheckpointError: No such checkpoint.
        ImageError: A picture cannot be read.
    """
    budgets = sorted(set(plan.budgets))
    if len(budgets) < 2 or budgets[0] < 1:
        raise ConfigError("steps need at least two budgets, positive numbers of bytes")
    if len(plan.codecs) != 1 or is_rival(plan.codecs[0]):
        raise ConfigError("steps are those of one checkpoint of ours")
    judges, labels = open_judges(plan.judges, plan.cache)
    sets = [open_set(s, fit=plan.fit, limit=plan.limit, seed=plan.seed) for s in plan.data]
    cells = [Cell(plan.codecs[0], 0, budget) for budget in budgets]
    cache = Cache(plan.cache / "outcomes.sqlite")
    rows = []
    try:
        report = on_progress or (lambda what, done, total: None)
        bench = Bench(judges, labels, cache, plan.fit, plan.num_processes, report)
        jobs: list[Job] = [
            (picture, cells, bench.judges_of(pictures))
            for pictures in sets
            for picture in pictures.pictures
        ]
        bench.complete("stepping", jobs)
        for pictures in sets:
            outcomes = bench.read(pictures)
            for judge in bench.judges_of(pictures):
                columns = [bench.columns(outcomes, cell, judge, pictures) for cell in cells]
                row: dict[str, Any] = {
                    "set": pictures.name,
                    "judge": judge.name,
                    "n": len(pictures.pictures),
                }
                for name in (f"top{k}" for k in KS):
                    hits = np.array([column[name] for column in columns])
                    row[name] = [bootstrap_interval(h, seed=plan.seed).to_json() for h in hits]
                    row[f"{name}_steps"] = find_steps(budgets, hits)
                rows.append(row)
    finally:
        cache.close()
    return {
        "schema": STEPS_SCHEMA,
        "command": describe_command(),
        "machine": describe_machine(),
        "versions": describe_versions(),
        "seed": plan.seed,
        "fit": plan.fit,
        "codec": open_codec(plan.codecs[0])[0].family,
        "budgets": budgets,
        "judges": [judge.describe() for judge in judges],
        "sets": [pictures.describe() for pictures in sets],
        "results": rows,
    }


def find_steps(budgets: list[int], hits: NDArray[np.float64]) -> dict[str, Any]:
    """Return the deepest step down and those beyond noise.

    Args:
        budgets: Rising, [budgets].
        hits: [budgets, pictures].
    """
    steps = np.diff(hits, axis=0)
    num_steps, num_pictures = steps.shape
    sigmas = NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / num_steps)
    means = steps.mean(axis=1)
    noise = sigmas * steps.std(axis=1, ddof=min(1, num_pictures - 1)) / np.sqrt(num_pictures)
    deepest = int(np.argmin(means))
    return {
        "deepest": {
            "budget": budgets[deepest + 1],
            "value": round(float(means[deepest]), 5),
            "noise": round(float(noise[deepest]), 5),
        },
        "down_beyond_noise": [
            budgets[place + 1] for place in range(num_steps) if means[place] < -noise[place]
        ],
    }
