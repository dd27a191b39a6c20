"""Progress of a stage: a live line on a terminal, plain lines elsewhere, files on disk."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from training.files import write_text

logger = logging.getLogger(__name__)

PLAIN_LINE_EVERY_S = 15.0
"""Seconds between two plain lines where standard error is no terminal: a log for people."""


class Progress:
    """Shows and stores the metrics of one stage.

    Used as a context: files are open inside it only.

    Args:
        run_dir: gets ``metrics.jsonl`` (one object a line) and ``tensorboard/``.
        num_steps: the length of the bar.
        first_step: where a resumed run begins; what was recorded after it, before a kill, goes.
    """

    def __init__(self, run_dir: Path, num_steps: int, *, first_step: int = 0) -> None:
        self._console = Console(stderr=True)
        self._run_dir = run_dir
        self._stage = run_dir.name
        self._num_steps = num_steps
        self._first_step = first_step
        self._last_line = 0.0
        self._open = ExitStack()
        self._jsonl: TextIO | None = None
        self._board: _BoardWriter | None = None
        self._bar: RichProgress | None = None

    def __enter__(self) -> Progress:
        with ExitStack() as stack:
            path = self._run_dir / "metrics.jsonl"
            _forget_after(path, self._first_step)
            self._jsonl = stack.enter_context(path.open("a", encoding="utf-8"))
            self._board = _summary_writer(self._run_dir / "tensorboard")
            if self._board:
                stack.callback(self._board.close)
            if self._console.is_terminal:
                self._bar = stack.enter_context(
                    RichProgress(
                        TextColumn("{task.description}"),
                        BarColumn(),
                        MofNCompleteColumn(),
                        TimeRemainingColumn(),
                        TextColumn("{task.fields[figures]}"),
                        console=self._console,
                    )
                )
                self._task = self._bar.add_task(
                    self._stage, total=self._num_steps, completed=self._first_step, figures=""
                )
            self._open = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def log(
        self, step: int, seconds: float, figures: Mapping[str, float], label: str = "train"
    ) -> None:
        """Record the figures of a step; ``seconds`` is the stage's running time."""
        record = {"step": step, "seconds": round(seconds, 2), "label": label, **figures}
        if self._jsonl:
            self._jsonl.write(json.dumps(record) + "\n")
            self._jsonl.flush()
        if self._board:
            for name, value in figures.items():
                self._board.scalar(f"{label}/{name}", value, step)
        text = " ".join(f"{name} {value:.4g}" for name, value in figures.items())
        if self._bar:
            self._bar.update(self._task, completed=step, figures=text)
        elif label != "train" or time.monotonic() - self._last_line >= PLAIN_LINE_EVERY_S:
            self._last_line = time.monotonic()
            self._console.print(
                f"{self._stage}: step {step}/{self._num_steps} {seconds:.0f} s {label}: {text}",
                highlight=False,
                soft_wrap=True,
            )


def read_records(run_dir: Path) -> list[dict[str, Any]]:
    """What :class:`Progress` recorded in a folder; a line that a kill cut short is left out."""
    records: list[dict[str, Any]] = []
    path = run_dir / "metrics.jsonl"
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            with suppress(ValueError):
                records.append(json.loads(line))
    return records


def last_evaluation(run_dir: Path) -> dict[str, Any]:
    """The last evaluation of a stage, empty if there is none."""
    evaluations = [r for r in read_records(run_dir) if r.get("label") == "evaluation"]
    return evaluations[-1] if evaluations else {}


def stage_seconds(run_dir: Path) -> float:
    """How long a stage trained, 0 if it did not."""
    records = read_records(run_dir)
    return float(records[-1]["seconds"]) if records else 0.0


def _forget_after(path: Path, step: int) -> None:
    """Keep the records up to a step, so that none is there twice after a resumed run."""
    if path.exists():
        kept = [record for record in read_records(path.parent) if record["step"] <= step]
        write_text(path, "".join(json.dumps(record) + "\n" for record in kept))


class _BoardWriter:
    def __init__(self, writer: Any, summary: Any) -> None:
        self._writer = writer
        self._summary = summary

    def scalar(self, name: str, value: float, step: int) -> None:
        with self._writer.as_default():
            self._summary.scalar(name, value, step=step)

    def close(self) -> None:
        self._writer.close()


def _summary_writer(folder: Path) -> _BoardWriter | None:
    """TensorBoard events through TensorFlow; without it JSONL is all there is."""
    try:
        import tensorflow as tf
    except ImportError:
        logger.info("no TensorBoard events: TensorFlow is not installed")
        return None
    return _BoardWriter(tf.summary.create_file_writer(str(folder)), tf.summary)


class CountProgress:
    """Progress of plain counting: called with items done and all.

    Args:
        title: what is counted.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._console = Console(stderr=True)
        self._last_line = 0.0

    def __call__(self, done: int, count: int) -> None:
        """Show that ``done`` of ``count`` are done."""
        now = time.monotonic()
        finished = done >= count
        every = 0.2 if self._console.is_terminal else PLAIN_LINE_EVERY_S
        if not finished and now - self._last_line < every:
            return
        self._last_line = now
        end = "\r" if self._console.is_terminal and not finished else "\n"
        self._console.print(f"{self._title} {done}/{count}", end=end, highlight=False)
