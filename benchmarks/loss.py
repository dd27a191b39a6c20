"""What is recognized when packets are lost: our packets within budgets, against no loss.

Packets are lost independently; each seed is another draw. A picture's value is its mean over the
seeds, and intervals resample pictures. Outcomes are kept as those of `benchmarks.rate_accuracy`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.bench import (
    ACCURACIES,
    Columns,
    OnProgress,
    Panel,
    Plan,
    intervals,
    open_bench,
)
from benchmarks.codecs import is_rival, name_lossy, open_codec
from benchmarks.work import UNDAMAGED, Cell
from pnc.errors import ConfigError
from pnc.replay.metrics import paired_interval
from pnc.replay.report.loss import LOSS_SCHEMA

LOSSES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
"""Shares of packets that are lost."""

MTUS = (64, 244)
"""Bytes of the largest packet: the published one, and what BLE carries."""

REDUNDANCIES = (0.0, 0.125, 0.25, 0.5)
"""Repairs for each piece of a stream."""

BUDGETS = (512, 1024, 2048, 4096)
"""Bytes that are sent, of which some are lost."""

NUM_SEEDS = 3
"""Draws of the loss."""


@dataclass(frozen=True, kw_only=True)
class LossPlan(Plan):
    """Which losses to measure."""

    checkpoints: tuple[str, ...]
    """Ours."""
    budgets: tuple[int, ...] = BUDGETS
    """Bytes."""
    losses: tuple[float, ...] = LOSSES
    """Probabilities; no loss is always measured, too."""
    mtus: tuple[int, ...] = MTUS
    """Bytes."""
    redundancies: tuple[float, ...] = REDUNDANCIES
    """Repairs for each piece."""
    num_seeds: int = NUM_SEEDS
    """Draws of each loss."""


def measure_loss(plan: LossPlan, on_progress: OnProgress | None = None) -> dict[str, Any]:
    """Return the results as JSON values; `docs/benchmarks.md` explains the fields.

    Raises:
        ConfigError: A set, judge, budget, size or loss is not usable.
        CheckpointError: No such checkpoint.
        ImageError: A picture cannot be read.
    """
    if not plan.budgets or min(plan.budgets) < 1 or not plan.mtus or plan.num_seeds < 1:
        raise ConfigError("loss needs budgets, packet sizes and at least one seed")
    if not plan.redundancies:
        raise ConfigError("loss needs redundancies; 0 for none")
    if any(not 0 <= share <= 1 for share in (*plan.losses, *plan.redundancies)):
        raise ConfigError("losses and redundancies are shares of packets, 0 to 1")
    if rivals := [name for name in plan.checkpoints if is_rival(name)]:
        raise ConfigError(f"{rivals[0]}: only our checkpoints come in packets")
    whole = Cell(UNDAMAGED, 0, 0)
    cells = [
        Cell(text, 0, budget)
        for checkpoint in plan.checkpoints
        for mtu, redundancy in _sizes(plan)
        for loss in _losses(plan)
        for text in _draws(plan, checkpoint, mtu, redundancy, loss)
        for budget in plan.budgets
    ]
    undamaged, rows = [], []
    with open_bench(plan, on_progress) as bench:
        jobs = [job for s in bench.sets for job in bench.jobs(s, [whole, *cells])]
        bench.complete("losing packets", jobs)
        for panel in bench.panels():
            means = intervals(panel.columns(whole), ACCURACIES, plan.seed)
            undamaged.append({**panel.head, **means})
            for checkpoint in plan.checkpoints:
                rows += _rows(plan, panel, checkpoint)
    facts = bench.describe(
        LOSS_SCHEMA,
        budgets=sorted(plan.budgets),
        losses=_losses(plan),
        mtus=sorted(plan.mtus),
        redundancies=sorted(plan.redundancies),
        num_seeds=plan.num_seeds,
        codecs=[open_codec(checkpoint)[0].family for checkpoint in plan.checkpoints],
    )
    return {**facts, "undamaged": undamaged, "results": rows}


def _rows(plan: LossPlan, panel: Panel, checkpoint: str) -> list[dict[str, Any]]:
    rows = []
    for mtu, redundancy in _sizes(plan):
        for budget in sorted(plan.budgets):
            whole: Columns = {}
            for loss in _losses(plan):
                draws = [
                    panel.columns(Cell(text, 0, budget))
                    for text in _draws(plan, checkpoint, mtu, redundancy, loss)
                ]
                names = (*ACCURACIES, "psnr_db")
                means = {name: np.mean([draw[name] for draw in draws], axis=0) for name in names}
                whole = whole or means
                row = {
                    **panel.head,
                    "codec": open_codec(checkpoint)[0].family,
                    "mtu_bytes": mtu,
                    "redundancy": redundancy,
                    "budget": budget,
                    "loss": loss,
                    "num_seeds": len(draws),
                    **intervals(means, names, plan.seed),
                }
                for name in ACCURACIES:
                    change = paired_interval(means[name], whole[name], seed=plan.seed)
                    row[f"{name}_less_no_loss"] = change.to_json()
                rows.append(row)
    return rows


def _losses(plan: LossPlan) -> list[float]:
    return sorted({0.0, *plan.losses})


def _sizes(plan: LossPlan) -> list[tuple[int, float]]:
    """Return sizes of packets and redundancies."""
    return list(itertools.product(sorted(plan.mtus), sorted(plan.redundancies)))


def _draws(plan: LossPlan, checkpoint: str, mtu: int, redundancy: float, loss: float) -> list[str]:
    """Return the codecs of all seeds; without loss they would all be the same."""
    seeds = range(plan.num_seeds if 0 < loss < 1 else 1)
    return [name_lossy(checkpoint, mtu, redundancy, loss, seed) for seed in seeds]
