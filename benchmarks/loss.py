"""What is recognized when packets are lost: our packets within budgets, against no loss.

Packets are lost independently; each seed is another draw. A picture's value is its mean over the
seeds, and intervals resample pictures. Outcomes are kept as those of `benchmarks.rate_accuracy`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.bench import KS, Bench, Job, OnProgress, Outcomes
from benchmarks.cache import Cache
from benchmarks.codecs import is_rival, name_lossy, open_codec
from benchmarks.facts import describe_command, describe_machine, describe_versions
from benchmarks.judges import JudgeSpec, open_judges
from benchmarks.pictures import PictureSet, open_set
from benchmarks.work import UNDAMAGED, Cell
from pnc.codec.image import Fit
from pnc.errors import ConfigError
from pnc.replay.metrics import bootstrap_interval, paired_interval
from pnc.replay.report.loss import LOSS_SCHEMA

LOSSES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
"""Shares of packets that are lost."""

MTUS = (64, 244)
"""Bytes of the largest packet: the published one, and what BLE carries."""

BUDGETS = (1024, 2048, 4096)
"""Bytes that are sent, of which some are lost."""

NUM_SEEDS = 3
"""Draws of the loss."""

ACCURACIES = tuple(f"top{k}" for k in KS)


@dataclass(frozen=True)
class LossPlan:
    """What to measure; texts as on the command line."""

    data: tuple[str, ...]
    """Sets to report on, see `benchmarks.pictures`."""
    judges: tuple[str, ...]
    """See `benchmarks.judges`."""
    checkpoints: tuple[str, ...]
    """Ours."""
    budgets: tuple[int, ...] = BUDGETS
    """Bytes."""
    losses: tuple[float, ...] = LOSSES
    """Probabilities; no loss is always measured, too."""
    mtus: tuple[int, ...] = MTUS
    """Bytes."""
    num_seeds: int = NUM_SEEDS
    """Draws of each loss."""
    limit: int | None = None
    """Pictures of each set; all if None."""
    seed: int = 0
    """Of thinning and resampling."""
    fit: Fit = "crop"
    """How pictures are made square."""
    cache: Path = Path(".cache/benchmarks")
    """Folder of what was done before."""
    num_processes: int = 0
    """0 works in this process."""


def measure_loss(plan: LossPlan, on_progress: OnProgress | None = None) -> dict[str, Any]:
    """Return the results as JSON values; `docs/benchmarks.md` explains the fields.

    Raises:
        ConfigError: A set, judge, budget, size or loss is not usable.
        CheckpointError: No such checkpoint.
        ImageError: A picture cannot be read.
    """
    if not plan.budgets or min(plan.budgets) < 1 or not plan.mtus or plan.num_seeds < 1:
        raise ConfigError("loss needs budgets, packet sizes and at least one seed")
    if any(not 0 <= loss <= 1 for loss in plan.losses):
        raise ConfigError("losses are shares of packets, 0 to 1")
    if rivals := [name for name in plan.checkpoints if is_rival(name)]:
        raise ConfigError(f"{rivals[0]}: only our checkpoints come in packets")
    judges, labels = open_judges(plan.judges, plan.cache)
    sets = [open_set(s, fit=plan.fit, limit=plan.limit, seed=plan.seed) for s in plan.data]
    cache = Cache(plan.cache / "outcomes.sqlite")
    try:
        bench = Bench(
            judges,
            labels,
            cache,
            plan.fit,
            plan.num_processes,
            on_progress or (lambda what, done, total: None),
        )
        undamaged, rows = _report(bench, plan, sets)
    finally:
        cache.close()
    return {
        "schema": LOSS_SCHEMA,
        "command": describe_command(),
        "machine": describe_machine(),
        "versions": describe_versions(),
        "seed": plan.seed,
        "fit": plan.fit,
        "budgets": sorted(plan.budgets),
        "losses": _losses(plan),
        "mtus": sorted(plan.mtus),
        "num_seeds": plan.num_seeds,
        "codecs": [open_codec(checkpoint)[0].family for checkpoint in plan.checkpoints],
        "judges": [judge.describe() for judge in judges],
        "sets": [pictures.describe() for pictures in sets],
        "undamaged": undamaged,
        "results": rows,
    }


def _report(
    bench: Bench, plan: LossPlan, sets: Sequence[PictureSet]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    whole = Cell(UNDAMAGED, 0, 0)
    cells = [
        Cell(text, 0, budget)
        for checkpoint in plan.checkpoints
        for mtu in plan.mtus
        for loss in _losses(plan)
        for text in _draws(plan, checkpoint, mtu, loss)
        for budget in plan.budgets
    ]
    jobs: list[Job] = [
        (picture, [whole, *cells], bench.judges_of(pictures))
        for pictures in sets
        for picture in pictures.pictures
    ]
    bench.complete("losing packets", jobs)
    undamaged, rows = [], []
    for pictures in sets:
        outcomes = bench.read(pictures)
        for judge in bench.judges_of(pictures):
            head = {"set": pictures.name, "judge": judge.name, "n": len(pictures.pictures)}
            columns = bench.columns(outcomes, whole, judge, pictures)
            undamaged.append(
                {
                    **head,
                    **{
                        a: bootstrap_interval(columns[a], seed=plan.seed).to_json()
                        for a in ACCURACIES
                    },
                }
            )
            for checkpoint in plan.checkpoints:
                rows += _rows(bench, plan, head, outcomes, judge, pictures, checkpoint)
    return undamaged, rows


def _rows(
    bench: Bench,
    plan: LossPlan,
    head: dict[str, Any],
    outcomes: Outcomes,
    judge: JudgeSpec,
    pictures: PictureSet,
    checkpoint: str,
) -> list[dict[str, Any]]:
    rows = []
    for mtu in sorted(plan.mtus):
        for budget in sorted(plan.budgets):
            whole: dict[str, NDArray[np.float64]] = {}
            for loss in _losses(plan):
                draws = [
                    bench.columns(outcomes, Cell(text, 0, budget), judge, pictures)
                    for text in _draws(plan, checkpoint, mtu, loss)
                ]
                means = {
                    name: np.mean([draw[name] for draw in draws], axis=0)
                    for name in (*ACCURACIES, "psnr_db")
                }
                whole = whole or means
                row = {
                    **head,
                    "codec": open_codec(checkpoint)[0].family,
                    "mtu_bytes": mtu,
                    "budget": budget,
                    "loss": loss,
                    "num_seeds": len(draws),
                }
                for name, values in means.items():
                    row[name] = bootstrap_interval(values, seed=plan.seed).to_json()
                for name in ACCURACIES:
                    change = paired_interval(means[name], whole[name], seed=plan.seed)
                    row[f"{name}_less_no_loss"] = change.to_json()
                rows.append(row)
    return rows


def _losses(plan: LossPlan) -> list[float]:
    return sorted({0.0, *plan.losses})


def _draws(plan: LossPlan, checkpoint: str, mtu: int, loss: float) -> list[str]:
    """Return the codecs of all seeds; without loss they would all be the same."""
    seeds = range(plan.num_seeds if 0 < loss < 1 else 1)
    return [name_lossy(checkpoint, mtu, loss, seed) for seed in seeds]
