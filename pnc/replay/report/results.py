"""What all results have in common: a schema, judges, and a headline for each judge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pnc.errors import ConfigError

MANY_CLASSES = 100
"""From so many classes on top-5 is the headline; with few, five guesses are nearly always right."""

Results = Mapping[str, Any]


def check_schema(results: Any, schema: str) -> Results:
    """Return results if they are of this schema.

    Raises:
        ConfigError: They are not, or are of another version.
    """
    found = results.get("schema") if isinstance(results, dict) else None
    if found != schema:
        raise ConfigError(f"these results are {found!r}, not {schema!r}; measure again")
    checked: Results = results
    return checked


def headlines(results: Results) -> dict[str, str]:
    """Return by judge the metric to show, "top1" or "top5"."""
    return {
        judge["name"]: "top5" if judge["num_classes"] >= MANY_CLASSES else "top1"
        for judge in results["judges"]
    }


def list_panels(results: Results) -> list[tuple[str, str, str]]:
    """Return (set, judge, headline metric "top1" or "top5") in the order of the results."""
    metrics = headlines(results)
    return [(row["set"], row["judge"], metrics[row["judge"]]) for row in results["undamaged"]]


def title_of(metric: str) -> str:
    """Return what people call "top1" or "top5"."""
    return "top-5" if metric == "top5" else "top-1"


def widest_half(rows: Iterable[Mapping[str, Any]], metric: str) -> float:
    """Return the largest half-width of a metric's intervals, percent points."""
    return max(50.0 * float(row[metric]["high"] - row[metric]["low"]) for row in rows)
