"""The options that commands share, and what is written in them."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypedDict, cast, get_args

import typer

from benchmarks.bench import CACHE
from pnc.codec.image import Fit
from pnc.errors import ConfigError

OUTPUT = Path("runs/bench")
"""Where results are written unless told, relative to the root of the source tree: not where the
committed ones lie, which a shorter run would spoil."""

Checkpoint = Annotated[str, typer.Option(help="Name or folder.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Pictures of each set.")]
TuneLimit = Annotated[
    int | None, typer.Option(min=1, help="Pictures of each tuning set; as --limit.")
]
Workers = Annotated[
    int | None, typer.Option(min=0, help="Processes; one for each core by default.")
]
Out = Annotated[Path, typer.Option(help="JSON; the plot lies beside it.")]


class PlanFields(TypedDict):
    """What every `Plan` has, to make one of."""

    data: tuple[str, ...]
    judges: tuple[str, ...]
    limit: int | None
    seed: int
    fit: Fit
    cache: Path
    num_processes: int


def read_plan_options(
    data: Annotated[list[str], typer.Option(help="NAME=FOLDER[#odd|#even|#tune], or belt.")],
    judge: Annotated[
        list[str],
        typer.Option(
            help="Checkpoint, NAME=FILE.tflite or .keras[,crop=F][,index=FILE][,report-only]."
        ),
    ],
    limit: Limit = None,
    seed: Annotated[int, typer.Option(help="Chooses the pictures and resamples.")] = 0,
    fit: Annotated[str, typer.Option(help="crop, squash or pad.")] = "crop",
    workers: Workers = None,
    cache: Annotated[Path, typer.Option(help="Folder of what was done before.")] = CACHE,
) -> PlanFields:
    """Return what the options say that all measurements on pictures have.

    Raises:
        ConfigError: There is no such way to make pictures square.
    """
    return PlanFields(
        data=tuple(data),
        judges=tuple(judge),
        limit=limit,
        seed=seed,
        fit=check_fit(fit),
        cache=cache,
        num_processes=count_processes(workers),
    )


def with_plan_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `read_plan_options` before its own.

    Args:
        command: Takes the `PlanFields`, then its own options.
    """
    shared = inspect.signature(read_plan_options, eval_str=True).parameters
    _, *own = inspect.signature(command, eval_str=True).parameters.values()
    options = [each.replace(kind=each.KEYWORD_ONLY) for each in (*shared.values(), *own)]

    @wraps(command)
    def run(**given: Any) -> None:
        fields = read_plan_options(**{name: given.pop(name) for name in shared})
        command(fields, **given)

    run.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in options}
    return run


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
