from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from benchmarks.bench import CACHE
from benchmarks.options import (
    PlanFields,
    join_numbers,
    parse_fractions,
    parse_numbers,
    parse_shares,
    with_plan_options,
)
from pnc.errors import ConfigError

seen: list[Any] = []


@with_plan_options
def measure(
    fields: PlanFields,
    codec: Annotated[str, typer.Option(help="Own.")],
    budget: Annotated[int, typer.Option(help="Own, too.")] = 512,
) -> None:
    """Measure."""
    seen.append((fields, codec, budget))


def invoke(words: str) -> Any:
    app = typer.Typer()
    app.command()(measure)
    seen.clear()
    return CliRunner().invoke(app, words.split())


def test_a_command_gets_the_fields_of_a_plan_and_its_own_options() -> None:
    words = "--data a=b --data belt --judge photo --limit 7 --seed 3 --fit pad --workers 2"
    assert invoke(f"{words} --cache kept --codec webp --budget 64").exit_code == 0
    assert seen == [
        (
            {
                "data": ("a=b", "belt"),
                "judges": ("photo",),
                "limit": 7,
                "seed": 3,
                "fit": "pad",
                "cache": Path("kept"),
                "num_processes": 2,
            },
            "webp",
            64,
        )
    ]


def test_what_is_not_given_is_as_everywhere() -> None:
    assert invoke("--data belt --judge photo --codec webp").exit_code == 0
    ((fields, _, budget),) = seen
    assert (fields["limit"], fields["seed"], fields["fit"], budget) == (None, 0, "crop", 512)
    assert fields["cache"] == CACHE
    assert fields["num_processes"] >= 1


@pytest.mark.parametrize("missing", ["--data", "--judge", "--codec"])
def test_options_without_a_default_are_required(missing: str) -> None:
    given = {"--data": "belt", "--judge": "photo", "--codec": "webp"}
    del given[missing]
    result = invoke(" ".join(f"{name} {value}" for name, value in given.items()))
    assert result.exit_code == 2
    assert seen == []


def test_a_command_keeps_its_name_and_help() -> None:
    assert (measure.__name__, measure.__doc__) == ("measure", "Measure.")
    assert [*inspect.signature(measure).parameters][-2:] == ["codec", "budget"]


def test_numbers_are_read_as_they_are_written() -> None:
    assert parse_numbers("--b", join_numbers((512, 64))) == (64, 512)
    assert parse_numbers("--b", "64:256:64") == (64, 128, 192, 256)
    assert parse_shares("--s", "50,5") == (0.05, 0.5)
    assert parse_fractions("--f", "0.9,0.5") == (0.5, 0.9)


@pytest.mark.parametrize("parse", [parse_numbers, parse_shares, parse_fractions])
def test_what_is_no_number_is_said(parse: Any) -> None:
    with pytest.raises(ConfigError, match=r"--x 1;b: write"):
        parse("--x", "1;b")
