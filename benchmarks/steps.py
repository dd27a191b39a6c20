"""Accuracy byte by byte: one checkpoint on a fine grid of budgets, and whether it ever steps down.

A step is the difference of two neighbouring budgets on the same pictures. It goes down beyond noise
if its confidence interval lies below zero, where the intervals of all steps hold together with
95 %: Bonferroni's, by the normal approximation.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.bench import ACCURACIES, OnProgress, Plan, open_bench
from benchmarks.codecs import is_rival, open_codec
from benchmarks.work import Cell
from pnc.errors import ConfigError
from pnc.replay.metrics import CONFIDENCE, bootstrap_interval
from pnc.replay.report.steps import STEPS_SCHEMA

BUDGETS = tuple(range(64, 4097, 64))
"""Bytes."""


@dataclass(frozen=True, kw_only=True)
class StepsPlan(Plan):
    """Which steps to measure."""

    checkpoint: str
    """Ours."""
    budgets: tuple[int, ...] = BUDGETS
    """Bytes."""


def measure_steps(plan: StepsPlan, on_progress: OnProgress | None = None) -> dict[str, Any]:
    """Return the results as JSON values; `docs/benchmarks.md` explains the fields.

    Raises:
        ConfigError: A set or judge is not usable, there are fewer than two budgets, or the codec
            is not one of ours.
        CheckpointError: No such checkpoint.
        ImageError: A picture cannot be read.
    """
    budgets = sorted(set(plan.budgets))
    if len(budgets) < 2 or budgets[0] < 1:
        raise ConfigError("steps need at least two budgets, positive numbers of bytes")
    if is_rival(plan.checkpoint):
        raise ConfigError("steps are those of one checkpoint of ours")
    cells = [Cell(plan.checkpoint, 0, budget) for budget in budgets]
    rows = []
    with open_bench(plan, on_progress) as bench:
        bench.complete("stepping", [job for s in bench.sets for job in bench.jobs(s, cells)])
        for panel in bench.panels():
            columns = [panel.columns(cell) for cell in cells]
            row = panel.head
            for name in ACCURACIES:
                hits = np.array([column[name] for column in columns])
                row[name] = [bootstrap_interval(h, seed=plan.seed).to_json() for h in hits]
                row[f"{name}_steps"] = find_steps(budgets, hits)
            rows.append(row)
    codec = open_codec(plan.checkpoint)[0].family
    return {**bench.describe(STEPS_SCHEMA, codec=codec, budgets=budgets), "results": rows}


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
