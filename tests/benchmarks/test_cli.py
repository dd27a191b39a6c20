from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from benchmarks import cli
from benchmarks.cli import PHOTOGRAPHS, app, main
from benchmarks.kinds import RESULTS
from benchmarks.options import OUTPUT


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_measures_draws_and_prints(
    judge_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "results" / "rate_accuracy.json"
    words = f"--data belt --tune belt#tune --judge j={judge_file} --codec webp --budgets 800,400"
    limits = ["--limit", 1, "--workers", 0, "--cache", tmp_path / "cache"]
    assert run("rate-accuracy", *words.split(), *limits, "--out", out) == 0
    assert "| WebP, method 6 |" in capsys.readouterr().out
    assert json.loads(out.read_text(encoding="utf-8"))["budgets"] == [400, 800]
    png, svg = out.with_suffix(".png"), out.with_suffix(".svg")
    assert png.read_bytes().startswith(b"\x89PNG")
    before = svg.read_bytes()
    assert run("plot", out) == 0
    assert svg.read_bytes() == before
    page = tmp_path / "README.md"
    page.write_text("<!-- rate-accuracy:begin -->\n<!-- rate-accuracy:end -->\n", encoding="utf-8")
    assert run("table", out, "--write", page) == 0
    written = page.read_text(encoding="utf-8")
    assert "| WebP, method 6 |" in written
    monkeypatch.setattr(cli, "RESULTS", out.parent)
    (out.parent / "no_place.json").write_bytes(out.read_bytes())
    page.write_text("<!-- rate-accuracy:begin -->\n<!-- rate-accuracy:end -->\n", encoding="utf-8")
    assert run("table", "--write", page) == 0
    assert page.read_text(encoding="utf-8") == written


@pytest.mark.parametrize(
    ("words", "status", "line"),
    [
        ("plot none.json", 1, "benchmarks: error: none.json: no readable results"),
        ("table none.json", 1, "measure first"),
        ("no-such-benchmark", 2, "No such command"),
        ("rate-accuracy --data belt --judge x --budgets 1,b", 1, "write bytes"),
        ("rate-accuracy --data belt --judge x --fit round", 1, "use crop, squash or pad"),
        ("cost --checkpoint no-such-checkpoint", 1, "no such folder or name"),
    ],
)
def test_what_fails_says_so_in_one_line(
    words: str, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words.split()) == status
    assert line in capsys.readouterr().err


def test_a_run_leaves_the_committed_results_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    RESULTS.mkdir(parents=True)
    (RESULTS / "late.json").write_text("committed", encoding="utf-8")
    assert run("late", "--links", "serial", "--pictures", 1, "--workers", 0) == 0
    assert [path.name for path in RESULTS.iterdir()] == ["late.json"]
    assert (RESULTS / "late.json").read_text(encoding="utf-8") == "committed"
    assert {path.name for path in OUTPUT.iterdir()} == {"late.json", "late.png", "late.svg"}
    assert f"results in {OUTPUT / 'late.json'}" in capsys.readouterr().err


def test_every_command_that_measures_writes_into_the_folder_for_runs() -> None:
    commands: Any = typer.main.get_command(app)
    defaults = {
        name: option.default
        for name, command in commands.commands.items()
        for option in command.params
        if option.name == "out"
    }
    assert defaults.pop("all") == OUTPUT
    assert set(commands.commands) - set(defaults) == {"all", "plot", "table"}
    assert {Path(out).parent for out in defaults.values()} == {OUTPUT}


def test_make_bench_replaces_the_committed_results() -> None:
    makefile = Path(__file__).resolve().parents[2] / "Makefile"
    command = f"python -m benchmarks all --out {RESULTS}\n"
    assert command in makefile.read_text(encoding="utf-8")


@pytest.mark.slow
def test_all_writes_into_the_folder_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PHOTOGRAPHS, raising=False)
    assert run("all", "--limit", 1, "--out", tmp_path) == 0
    written = {path.name for path in tmp_path.iterdir()}
    assert {"rate_accuracy_belt.json", "gallery.png", "cost_belt.json"} <= written
    assert "cost.json" not in written  # without photographs
