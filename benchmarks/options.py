"""The options that commands share, and what is written in them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from pnc.codec.image import Fit
from pnc.errors import ConfigError

Data = Annotated[list[str], typer.Option(help="NAME=FOLDER[#odd|#even|#tune], or belt.")]
Judges = Annotated[
    list[str],
    typer.Option(
        help="Checkpoint, NAME=FILE.tflite or .keras[,crop=F][,index=FILE][,report-only]."
    ),
]
Checkpoint = Annotated[str, typer.Option(help="Name or folder.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Pictures of each set.")]
Seed = Annotated[int, typer.Option(help="Chooses the pictures and resamples.")]
FitName = Annotated[str, typer.Option(help="crop, squash or pad.")]
Workers = Annotated[
    int | None, typer.Option(min=0, help="Processes; one for each core by default.")
]
CacheFolder = Annotated[Path, typer.Option(help="Folder of what was done before.")]
Out = Annotated[Path, typer.Option(help="JSON; the plot lies beside it.")]


def check_fit(fit: str) -> Fit:
    """Return the way to make pictures square.

    Raises:
        ConfigError: There is no such way.
    """
    if fit not in get_args(Fit):
        raise ConfigError(f"--fit {fit} is unknown; use crop, squash or pad")
    return cast("Fit", fit)


def count_processes(workers: int | None) -> int:
    """Return how many processes work: one for each core unless told."""
    return len(os.sched_getaffinity(0)) if workers is None else workers


def join_numbers(numbers: Iterable[float]) -> str:
    """Return numbers, comma-separated."""
    return ",".join(f"{number:g}" for number in numbers)


def parse_numbers(option: str, text: str) -> tuple[int, ...]:
    """Return numbers of bytes, rising: ``512,1024``, or ``64:4096:64`` from, to and step.

    Raises:
        ConfigError: The text says something else.
    """
    try:
        if ":" in text:
            start, last, step = (int(word) for word in text.split(":"))
            return tuple(range(start, last + 1, step))
        return tuple(sorted({int(word) for word in text.split(",")}))
    except ValueError as error:
        raise ConfigError(f"{option} {text}: write bytes, as in 512,1024 or 64:4096:64") from error


def parse_shares(option: str, text: str) -> tuple[float, ...]:
    """Return percentages as shares, rising.

    Raises:
        ConfigError: The text says something else.
    """
    try:
        return tuple(sorted({float(word) / 100 for word in text.split(",")}))
    except ValueError as error:
        raise ConfigError(f"{option} {text}: write percents, as in 0,5,10") from error


def parse_fractions(option: str, text: str) -> tuple[float, ...]:
    """Return numbers, rising.

    Raises:
        ConfigError: The text says something else.
    """
    try:
        return tuple(sorted({float(word) for word in text.split(",")}))
    except ValueError as error:
        raise ConfigError(f"{option} {text}: write numbers, as in 0.5,0.9") from error
