from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.cli import main


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_measures_draws_and_prints(
    judge_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
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
    assert "| WebP, method 6 |" in page.read_text(encoding="utf-8")


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
