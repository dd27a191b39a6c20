"""What the commands share: progress on standard error, plots beside their JSON, tables in pages."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.bench import OnProgress
from pnc.errors import ConfigError

Result = TypeVar("Result")


def with_progress(work: Callable[[OnProgress], Result]) -> Result:
    """Do work that tells its progress, and show it on standard error."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done)

        return work(show)


def draw_files(
    draw: Callable[[Any, Any], None],
    results: Any,
    beside: Path,
    suffixes: Sequence[str] = (".png", ".svg"),
) -> list[Path]:
    """Draw results as files beside their JSON.

    Args:
        draw: Draws results on an empty Matplotlib figure.
        results: What it takes.
        beside: The JSON.
        suffixes: Of the files; they say the formats.

    Raises:
        ConfigError: Matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ConfigError("plots need Matplotlib: pip install 'pnc[dev]'") from error
    paths = [beside.with_suffix(suffix) for suffix in suffixes]
    beside.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": "pnc"}):
        figure = Figure()
        FigureCanvasAgg(figure)
        draw(figure, results)
        for path in paths:
            # A date in the file would change it without a change of results.
            metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
            figure.savefig(path, dpi=160, metadata=metadata)
    return paths


def replace_between(page: str, marker: str, text: str) -> str:
    """Return a page with `text` between ``<!-- MARKER:begin -->`` and ``<!-- MARKER:end -->``.

    Raises:
        ConfigError: The page lacks the two markers, in this order.
    """
    begin, end = f"<!-- {marker}:begin -->", f"<!-- {marker}:end -->"
    before, found_begin, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        raise ConfigError(f"the page has no {begin} ... {end}; add the two lines")
    return f"{before}{begin}\n{text.strip()}\n{end}{after}"


def write_between(path: Path, marker: str, text: str) -> None:
    """Do what `replace_between` does to a file.

    Raises:
        ConfigError: It cannot be read, or lacks the markers.
    """
    path.write_text(replace_between(read_page(path), marker, text), encoding="utf-8")


def read_page(path: Path) -> str:
    """Return the text of a page.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: no readable results ({error}); measure first") from error
