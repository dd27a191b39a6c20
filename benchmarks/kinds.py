"""The kinds of results by the schema in their JSON: what draws them, what makes their tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import typer

from benchmarks.bench import OnProgress, Plan
from benchmarks.chaos import CHAOS_SCHEMA, chaos_table
from benchmarks.cost import SCHEMA as COST_SCHEMA
from benchmarks.cost import cost_table
from benchmarks.device import SCHEMA as DEVICE_SCHEMA
from benchmarks.device import device_table
from benchmarks.facts import write_json
from benchmarks.late import LatePlan
from benchmarks.output import draw_files, with_progress
from benchmarks.replug import REPLUG_SCHEMA, replug_table
from pnc.replay.report.early_stop import EARLY_STOP_SCHEMA, draw_early_stop, early_stop_table
from pnc.replay.report.faults import FAULTS_SCHEMA, draw_faults, faults_table
from pnc.replay.report.late import LATE_SCHEMA, draw_late, late_table
from pnc.replay.report.loss import LOSS_SCHEMA, draw_loss, loss_tables
from pnc.replay.report.rate_accuracy import (
    RATE_ACCURACY_SCHEMA,
    draw_rate_accuracy,
    rate_accuracy_tables,
)
from pnc.replay.report.results import check_schema
from pnc.replay.report.steps import STEPS_SCHEMA, draw_steps, steps_table

RESULTS = Path("benchmarks/results")
"""Where the committed results lie, relative to the root of the source tree."""

DRAWINGS: dict[str, Callable[[Any, Any], None]] = {
    RATE_ACCURACY_SCHEMA: draw_rate_accuracy,
    STEPS_SCHEMA: draw_steps,
    LOSS_SCHEMA: draw_loss,
    FAULTS_SCHEMA: draw_faults,
    EARLY_STOP_SCHEMA: draw_early_stop,
    LATE_SCHEMA: draw_late,
}
"""What draws results, by their schema."""

TABLES: dict[str, Callable[[Any], str]] = {
    RATE_ACCURACY_SCHEMA: rate_accuracy_tables,
    STEPS_SCHEMA: steps_table,
    LOSS_SCHEMA: loss_tables,
    FAULTS_SCHEMA: faults_table,
    EARLY_STOP_SCHEMA: early_stop_table,
    LATE_SCHEMA: late_table,
    COST_SCHEMA: cost_table,
    DEVICE_SCHEMA: device_table,
    CHAOS_SCHEMA: chaos_table,
    REPLUG_SCHEMA: replug_table,
}
"""What writes them as Markdown."""

AnyPlan = TypeVar("AnyPlan", bound=Plan | LatePlan)
Kind = TypeVar("Kind")


def run(measure: Callable[[AnyPlan, OnProgress], dict[str, Any]], plan: AnyPlan, out: Path) -> None:
    """Measure what is planned, showing progress, and do what `finish` does."""
    finish(with_progress(lambda show: measure(plan, show)), out)


def finish(results: dict[str, Any], out: Path) -> None:
    """Write results, draw them if there is a plot of them, print their table, and say where."""
    schema = results["schema"]
    write_json(out, results)
    if schema in DRAWINGS:
        draw_files(DRAWINGS[schema], results, out)
    typer.echo(TABLES[schema](results))
    typer.echo(f"results in {out}", err=True)


def schema_of(content: Any) -> str:
    """Return the schema that results name, "" if none."""
    return str(content.get("schema")) if isinstance(content, dict) else ""


def look_up(kinds: Mapping[str, Kind], content: Any) -> Kind:
    """Return what is for results of this schema.

    Raises:
        ConfigError: Nothing is.
    """
    if schema_of(content) not in kinds:
        check_schema(content, RATE_ACCURACY_SCHEMA)
    return kinds[schema_of(content)]
