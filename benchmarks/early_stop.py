"""How much air time a server saves that stops a picture once it is sure, and what that costs.

    prefixes of packets  ->  judged by the checkpoint's own classifier (cached)  ->  sure, right
    threshold  ->  pnc.replay.early_stop: Sender, Receiver, previews  ->  bytes sent, packets used

Thresholds are chosen on the tuning sets and reported on the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.bench import Bench, OnProgress, Panel, Plan, open_bench
from benchmarks.codecs import is_rival, name_received, open_codec
from benchmarks.faults import DEADLINE_S, RATE_BPS, packets_of
from benchmarks.work import Cell
from pnc.errors import ConfigError
from pnc.replay.early_stop import StopRun, send_until_enough
from pnc.replay.metrics import bootstrap_interval, paired_interval
from pnc.replay.report.early_stop import EARLY_STOP_SCHEMA

THRESHOLDS = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99)
"""Probabilities from which on a server has enough."""

PREVIEWS = (4.0, 10.0, 20.0)
"""A second: the default of ``pnc serve``, and more."""

TARGETS = (0.0, 0.005, 0.01)
"""Shares of pictures that may be recognized less."""

MTU_BYTES = 244


@dataclass(frozen=True, kw_only=True)
class EarlyStopPlan(Plan):
    """Which thresholds to measure."""

    checkpoint: str
    """Ours; the judge is its classifier."""
    tune: tuple[str, ...]
    """Sets on which thresholds are chosen."""
    tune_limit: int | None = None
    """Pictures of each tuning set; as `limit` if None."""
    thresholds: tuple[float, ...] = THRESHOLDS
    """Probabilities."""
    previews: tuple[float, ...] = PREVIEWS
    """A second."""
    mtu_bytes: int = MTU_BYTES
    """Largest packet."""


@dataclass(frozen=True)
class _Sheet:
    """A set as the checkpoint sees the first packets of its pictures."""

    panel: Panel
    packets: list[Sequence[bytes]]
    sure: NDArray[np.float64]
    """[pictures, packets + 1], 0 without a packet."""
    right: NDArray[np.float64]
    """The same: 1 if the class is right."""


def measure_early_stop(
    plan: EarlyStopPlan, on_progress: OnProgress | None = None
) -> dict[str, Any]:
    """Return the results as JSON values; `docs/benchmarks.md` explains the fields.

    Raises:
        ConfigError: A set, judge, threshold or number of previews is not usable.
        CheckpointError: No such checkpoint.
        ImageError: A picture cannot be read.
    """
    if is_rival(plan.checkpoint):
        raise ConfigError(f"{plan.checkpoint}: only our checkpoints are stopped early")
    if len(plan.judges) != 1 or not plan.tune:
        raise ConfigError("early-stop needs one judge, the checkpoint's classifier, and --tune")
    if not plan.thresholds or any(not 0 < one <= 1 for one in plan.thresholds):
        raise ConfigError("thresholds are probabilities above 0 and at most 1")
    if not plan.previews or min(plan.previews) <= 0:
        raise ConfigError("early-stop needs previews a second, more than 0")
    rows, chosen = [], []
    with open_bench(plan, on_progress) as bench:
        limit = plan.limit if plan.tune_limit is None else plan.tune_limit
        tuning_sets = plan.open_sets(plan.tune, limit)
        tuning = replace(bench, sets=tuning_sets)
        sheets, tuning_sheets = _read_sheets(bench, plan), _read_sheets(tuning, plan)
        for previews in plan.previews:
            lost = _lost_on_tuning(plan, tuning_sheets, previews)
            picks = [choose_threshold(sorted(plan.thresholds), lost, target) for target in TARGETS]
            for sheet in sheets:
                curve = _curve(plan, sheet, previews)
                rows += curve
                by_threshold = {row["enough"]: row for row in curve}
                chosen += [
                    {**by_threshold[pick], "target": target}
                    for target, pick in zip(TARGETS, picks, strict=True)
                ]
    facts = bench.describe(
        EARLY_STOP_SCHEMA,
        codec=open_codec(plan.checkpoint)[0].family,
        thresholds=sorted(plan.thresholds),
        previews_per_second=list(plan.previews),
        targets=list(TARGETS),
        mtu_bytes=plan.mtu_bytes,
        rate_bps=RATE_BPS,
        deadline_s=DEADLINE_S,
        tuning_sets=[pictures.describe() for pictures in tuning_sets],
    )
    return {**facts, "results": rows, "chosen": chosen}


def choose_threshold(
    thresholds: Sequence[float], lost: Sequence[float], target: float
) -> float | None:
    """Return the lowest threshold that, like all above it, loses at most a share of accuracy.

    Args:
        thresholds: In any order.
        lost: Of each.
        target: Share; None is returned if even the highest loses more: never stop.
    """
    best = None
    for threshold, share in sorted(zip(thresholds, lost, strict=True), reverse=True):
        if share > target + 1e-9:
            break
        best = threshold
    return best


def _read_sheets(bench: Bench, plan: EarlyStopPlan) -> list[_Sheet]:
    """Judge all prefixes of packets that can be here before a deadline."""
    sheets = []
    packets = [packets_of(bench, plan.checkpoint, one, plan.mtu_bytes) for one in bench.sets]
    most = [max(_send(plan, one, None, plan.previews[0]).num_packets) for one in packets]
    cells = [
        [[_cell(plan, one[:count]) for count in range(1, top + 1)] for one in mine]
        for mine, top in zip(packets, most, strict=True)
    ]
    for pictures, mine in zip(bench.sets, cells, strict=True):
        jobs = zip(pictures.pictures, mine, strict=True)
        judges = bench.judges_of(pictures)
        bench.complete(
            f"judging {pictures.name}",
            [(picture, prefixes, judges) for picture, prefixes in jobs],
            sureness=True,
        )
    for panel, mine, one in zip(bench.panels(), cells, packets, strict=True):
        columns = [panel.columns_of(prefixes) for prefixes in zip(*mine, strict=True)]
        nothing = np.zeros(len(one))
        sure = np.array([nothing, *(column["sureness"] for column in columns)]).T
        right = np.array([nothing, *(column["top1"] for column in columns)]).T
        sheets.append(_Sheet(panel, one, sure, right))
    return sheets


def _cell(plan: EarlyStopPlan, packets: Sequence[bytes]) -> Cell:
    return Cell(name_received(plan.checkpoint, packets), 0, 0)


def _send(
    plan: EarlyStopPlan,
    packets: Sequence[Sequence[bytes]],
    sure: NDArray[np.float64] | None,
    previews: float,
    threshold: float = 2.0,
) -> StopRun:
    return send_until_enough(
        packets,
        lambda picture_id, count: (
            sure is not None and bool(sure[picture_id - 1, count] >= threshold)
        ),
        previews_per_second=previews,
        rate_bps=RATE_BPS,
        deadline_s=DEADLINE_S,
        mtu_bytes=plan.mtu_bytes,
    )


def _lost_on_tuning(plan: EarlyStopPlan, sheets: Sequence[_Sheet], previews: float) -> list[float]:
    """Return for each threshold the share of all tuning pictures that are recognized no more."""
    curves = [_curve(plan, sheet, previews) for sheet in sheets]
    weights = [len(sheet.packets) for sheet in sheets]
    return [
        float(np.average([curve[index]["top1_lost"]["value"] for curve in curves], weights=weights))
        for index in range(len(plan.thresholds))
    ]


def _curve(plan: EarlyStopPlan, sheet: _Sheet, previews: float) -> list[dict[str, Any]]:
    """Return a row for each threshold, rising, then one for never stopping."""
    never = _send(plan, sheet.packets, None, previews)
    pictures = np.arange(len(sheet.packets))
    whole = sheet.right[pictures, never.num_packets]
    all_bytes = np.array(never.sent_bytes, np.float64)
    rows = []
    for threshold in (*sorted(plan.thresholds), None):
        run = never
        if threshold is not None:
            run = _send(plan, sheet.packets, sheet.sure, previews, threshold)
        right = sheet.right[pictures, run.num_packets]
        sent = np.array(run.sent_bytes, np.float64)
        saved = paired_interval(
            all_bytes / all_bytes.mean(), sent / all_bytes.mean(), seed=plan.seed
        )
        rows.append(
            {
                **sheet.panel.head,
                "previews_per_second": previews,
                "enough": threshold,
                "stopped_share": round(float(np.mean(run.stopped)), 5),
                "sent_bytes": bootstrap_interval(sent, seed=plan.seed).to_json(),
                "air_time_saved": saved.to_json(),
                "top1": bootstrap_interval(right, seed=plan.seed).to_json(),
                "top1_lost": paired_interval(whole, right, seed=plan.seed).to_json(),
            }
        )
    return rows
