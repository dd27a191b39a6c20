"""What the report says in numbers: statistics of the records of :mod:`training.report.gather`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pnc.replay.rates import bytes_for_accuracy
from training.report.gather import BUDGETS, RIVAL_BUDGETS

PICTURE_BUDGETS = (256, 512, 1024, 2048)
"""Bytes at which best and worst pictures are shown."""

CONFUSION_BYTES = 1024

LINKS_KBPS = (10, 30, 100, 250)
"""Links that deadlines are told for, kbit/s."""

DEADLINES_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

PAYLOAD_SHARE = 0.9
"""Of a link's bits, what is left for streams once frames and answers are paid (`docs/wire.md`)."""


def summarise(records: list[dict[str, Any]], classes: Sequence[str]) -> dict[str, Any]:
    """The report's numbers from what :func:`training.report.gather.measure_pictures` returned.

    A rival's setting is chosen for each budget on one half of the pictures and used for the other,
    so that no rival is flattered by a choice made with hindsight, nor hurt by a poor one.
    """
    labels = np.array([record["label"] for record in records])
    undamaged = _rate(records, lambda record: record["undamaged"])
    curve = {budget: _own_rate(records, budget) for budget in BUDGETS}
    compared = [record for record in records if record["rivals"]]
    comparison: dict[str, Any] = {
        "n": len(compared),
        "bytes": list(RIVAL_BUDGETS),
        "undamaged": _rate(compared, lambda record: record["undamaged"]),
        "ours": [_own_rate(compared, b) for b in RIVAL_BUDGETS],
    }
    for family in compared[0]["rivals"] if compared else ():
        comparison[family] = [_best_setting(compared, family, b) for b in RIVAL_BUDGETS]
    confusion = np.zeros((len(classes), len(classes)), int)
    tops = np.array([int(record["ours"][str(CONFUSION_BYTES)][0]) for record in records])
    np.add.at(confusion, (labels, tops), 1)
    return {
        "n": len(records),
        "classes": list(classes),
        "undamaged": undamaged,
        "bytes": list(BUDGETS),
        "accuracy": list(curve.values()),
        "half_width_95": [
            1.96 * float(np.sqrt(p * (1 - p) / len(records))) for p in curve.values()
        ],
        "mean_stream_bytes": float(np.mean([record["bytes"] for record in records])),
        "bytes_for_95_percent": bytes_for_accuracy(BUDGETS, list(curve.values()), 0.95 * undamaged),
        "comparison": comparison,
        "confusion_bytes": CONFUSION_BYTES,
        "confusion": confusion.tolist(),
        "links": link_table(BUDGETS, list(curve.values()), undamaged),
    }


def _rate(records: Sequence[dict[str, Any]], view: Callable[[dict[str, Any]], Any]) -> float:
    hits = [bool(seen) and seen[0] == r["label"] for r in records for seen in [view(r)]]
    return float(np.mean(hits)) if hits else 0.0


def _own_rate(records: Sequence[dict[str, Any]], budget: int) -> float:
    return _rate(records, lambda record: record["ours"][str(budget)])


def _best_setting(records: list[dict[str, Any]], family: str, budget: int) -> float:
    halves = [records[::2], records[1::2]]
    settings = list(records[0]["rivals"][family])

    def rate(half: list[dict[str, Any]], setting: str) -> float:
        return _rate(half, lambda r: r["rivals"][family][setting][str(budget)])

    hits = 0.0
    for mine, other in (halves, halves[::-1]):
        best = max(settings, key=lambda setting: rate(other or mine, setting))
        hits += rate(mine, best) * len(mine)
    return hits / len(records)


def link_table(
    budgets: Sequence[int], accuracy: Sequence[float], undamaged: float
) -> list[dict[str, Any]]:
    """For each link: bytes and expected accuracy of each deadline, and the shortest useful ones."""
    rows = []
    for kbps in LINKS_KBPS:
        per_second = kbps * 1000 / 8 * PAYLOAD_SHARE
        cells = []
        for deadline in DEADLINES_S:
            room = per_second * deadline
            known = room >= budgets[0]
            expected = np.interp(np.log(max(room, 1.0)), np.log(budgets), accuracy)
            cells.append(
                {
                    "deadline_s": deadline,
                    "bytes": int(room),
                    "accuracy": float(expected) if known else None,
                }
            )
        shortest = {}
        for share in (0.9, 0.95):
            needed = bytes_for_accuracy(budgets, accuracy, share * undamaged)
            shortest[f"{share:.0%}"] = None if needed is None else needed / per_second
        rows.append({"kbps": kbps, "cells": cells, "shortest_s": shortest})
    return rows


def pick_examples(records: list[dict[str, Any]], count: int = 4) -> tuple[list[int], list[int]]:
    """Places in ``records`` of the pictures that are recognised best and worst.

    By the mean logarithm of the true class's probability at :data:`PICTURE_BUDGETS`.
    """
    scores = [
        np.mean([np.log(max(1e-6, record["ours"][str(b)][1])) for b in PICTURE_BUDGETS])
        for record in records
    ]
    order = np.argsort(scores)[::-1].tolist()
    best = order[: min(count, len(order) // 2)]
    worst = order[::-1][: min(count + 2, len(order) - len(best))]
    return best, worst
