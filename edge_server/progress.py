"""What the demo shows while it runs and at its end: rich on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from edge_server.summary import Summary

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

__all__ = ["Progress", "open_progress", "percent", "print_summary"]

PLAIN_INTERVAL_S = 5.0
"""Pause between lines where there is no terminal."""

BAR_WIDTH = 28


class Progress(ABC):
    """Told about the state of the server, some times a second."""

    @abstractmethod
    def update(self, status: dict[str, Any], newest: dict[str, Any] | None) -> None:
        """Show the server's status and its newest result."""

    @abstractmethod
    def note(self, line: str) -> None:
        """Show a line that stays."""


class _Silence(Progress):
    def update(self, status: dict[str, Any], newest: dict[str, Any] | None) -> None:
        return

    def note(self, line: str) -> None:
        return


class _Lines(Progress):
    def __init__(self, num_pictures: int) -> None:
        self._num_pictures = num_pictures
        self._next = time.monotonic() + PLAIN_INTERVAL_S

    def update(self, status: dict[str, Any], newest: dict[str, Any] | None) -> None:
        if time.monotonic() < self._next:
            return
        self._next += PLAIN_INTERVAL_S
        typer.echo(_describe(status, self._num_pictures, newest))

    def note(self, line: str) -> None:
        typer.echo(line)


class _LivePanel(Progress):
    def __init__(self, num_pictures: int, url: str, live: Live) -> None:
        self._num_pictures = num_pictures
        self._url = url
        self._live = live

    def update(self, status: dict[str, Any], newest: dict[str, Any] | None) -> None:
        self._live.update(self._draw(status, newest), refresh=True)

    def note(self, line: str) -> None:
        self._live.console.print(line, highlight=False, markup=False)

    def _draw(self, status: dict[str, Any], newest: dict[str, Any] | None) -> RenderableType:
        from rich.panel import Panel
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        metrics = status["metrics"]
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", justify="right", no_wrap=True)
        table.add_column(no_wrap=True)
        bar = ProgressBar(self._num_pictures, metrics["results"], width=BAR_WIDTH)
        results = Table.grid(padding=(0, 1))
        results.add_row(bar, f"{metrics['results']} of {self._num_pictures}")
        table.add_row("results", results)
        table.add_row("on time", percent(metrics["on_time_share"]))
        table.add_row("goodput", f"{_rate(metrics['goodput_bps'])}  {_sparks(status['goodput'])}")
        if newest is not None and newest["top"]:
            table.add_row("", Text(f"picture {newest['picture_id']}", style="dim"))
            for guess in newest["top"][:3]:
                level = ProgressBar(1.0, guess["probability"], width=BAR_WIDTH)
                row = Table.grid(padding=(0, 1))
                row.add_row(level, f"{guess['probability']:4.0%}")
                table.add_row(guess["label"].replace("_", " "), row)
        return Panel(table, title=f"[bold]PNC demo[/]  {self._url}", expand=False, padding=(0, 2))


@contextmanager
def open_progress(num_pictures: int, url: str, *, quiet: bool) -> Iterator[Progress]:
    """Choose how to show progress: nothing, a live panel, or plain lines."""
    if quiet:
        yield _Silence()
    elif sys.stdout.isatty():
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(), auto_refresh=False, transient=False) as live:
            yield _LivePanel(num_pictures, url, live)
    else:
        yield _Lines(num_pictures)


def print_summary(summary: Summary, conditions: str) -> None:
    """Print the figures of a demo for people."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    one = summary
    table = Table(title=f"PNC demo, {conditions}", show_header=False, title_justify="left")
    table.add_column(style="dim")
    table.add_column(justify="right")
    table.add_column()
    exactly = "every picture exactly one" if one.exactly_one else "NOT EXACTLY ONE EACH"
    missing = f", {one.without_result} without" if one.without_result else ""
    table.add_row("pictures", str(one.pictures), f"mean {_bytes(one.mean_encoded_bytes)} encoded")
    table.add_row("results", str(one.with_one_result), exactly + missing)
    share = one.on_time / one.pictures if one.pictures else None
    table.add_row("on time", str(one.on_time), percent(share))
    if one.errors:
        table.add_row("errors", str(one.errors), "see the page or the store")
    table.add_row(
        "delivered", _bytes(one.mean_delivered_bytes), "mean per picture, before its deadline"
    )
    table.add_row("late", _bytes(one.late_bytes), "came after a deadline, not used")
    table.add_row(
        "answer",
        _milliseconds(one.median_delay_s),
        f"median after the end of a picture; 95 %: {_milliseconds(one.p95_delay_s)}",
    )
    table.add_row("goodput", _rate(one.goodput_bps), "payload in time")
    if one.trace_bps is not None:
        table.add_row("trace", _rate(one.trace_bps), f"goodput is {percent(one.trace_share)} of it")
    console.print(table)
    if one.labelled:
        accuracy = Table(title="Top-1 accuracy by delivered bytes", title_justify="left")
        for column in ("bytes", "pictures", "right", "accuracy"):
            accuracy.add_column(column, justify="right")
        for level in one.accuracy_by_bytes:
            accuracy.add_row(
                level.name, str(level.labelled), str(level.right), percent(level.accuracy)
            )
        accuracy.add_section()
        accuracy.add_row("all", str(one.labelled), "", percent(one.accuracy))
        accuracy.add_row("undamaged", str(one.labelled), "", percent(one.undamaged_accuracy))
        console.print(accuracy)


def percent(share: float | None) -> str:
    """Return a share as text, a dash for None."""
    return "–" if share is None else f"{share:.1%}"


def _describe(status: dict[str, Any], num_pictures: int, newest: dict[str, Any] | None) -> str:
    metrics = status["metrics"]
    line = (
        f"{metrics['results']} of {num_pictures} results, {percent(metrics['on_time_share'])} "
        f"on time, goodput {_rate(metrics['goodput_bps'])}"
    )
    if newest is not None and newest["top"]:
        best = newest["top"][0]
        line += f", last: {best['label']} {best['probability']:.0%}"
    return line


def _rate(bps: float | None) -> str:
    return "–" if bps is None else f"{bps / 1000:.1f} kbit/s"


def _bytes(size: float | None) -> str:
    return "–" if size is None else f"{size:,.0f} B"


def _milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1000:.0f} ms"


def _sparks(curve: list[list[float]]) -> str:
    """Return the end of the goodput curve as a row of blocks."""
    values = [value for _, value in curve[-2 * BAR_WIDTH :]]
    pairs = [sum(values[place : place + 2]) / 2 for place in range(0, len(values), 2)]
    top = max(pairs, default=0.0)
    blocks = "▁▂▃▄▅▆▇█"
    return "".join(blocks[min(7, int(value / top * 7.99))] if top else blocks[0] for value in pairs)
