from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pnc.cli import main
from training import run as module
from training import speed
from training.cli import app
from training.recipe import BELT, Recipe
from training.run import STAGES, Run

COMMANDS = ("classifier", "pretrain", "distill", "finetune", "export", "run", "belt", "speed")


@pytest.fixture
def called(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> list[tuple[Recipe, tuple[str, ...], Path]]:
    """The stages that the command asks for, instead of their run; in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    calls: list[tuple[Recipe, tuple[str, ...], Path]] = []

    def run_stages(run: Run, stages: tuple[str, ...], out: Path) -> None:
        calls.append((run.recipe, stages, out))
        out.mkdir(parents=True, exist_ok=True)
        card = {"accuracy": {"n": 2, "undamaged": 1.0}}
        (out / "card.json").write_text(json.dumps(card), encoding="utf-8")

    monkeypatch.setattr(module, "run_stages", run_stages)
    return calls


def test_help_lists_every_stage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    text = capsys.readouterr().out
    for command in COMMANDS:
        assert command in text
        assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0


def test_a_stage_gets_the_recipe_of_the_options(called: list[Any], tmp_path: Path) -> None:
    options = [
        *("--data", "photos", "--run", str(tmp_path / "run"), "--name", "mine", "--seed", "7"),
        *("--teacher", "t.keras", "--extra", "more#even", "--exclude", "a*", "--loss", "published"),
        *("--rename", "n01=tench", "--pretrain-steps", "5", "--distill-steps", "0"),
        *("--architecture", "rtss23", "--window", "56"),
    ]
    result = CliRunner().invoke(app, ["distill", *options])
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    recipe, stages, out = called[0]
    assert stages == ("distill",)
    assert out == Path("checkpoints/mine")
    assert recipe == Recipe(
        "mine",
        "photos",
        seed=7,
        teacher="t.keras",
        extra=("more#even",),
        exclude=("a*",),
        rename=("n01=tench",),
        distill_loss="published",
        pretrain_steps=5,
        distill_steps=0,
        architecture="rtss23",
        window=56,
    )


def test_the_belt_is_one_command(called: list[Any], tmp_path: Path) -> None:
    out = tmp_path / "belt"
    result = CliRunner().invoke(app, ["belt", "--run", str(tmp_path / "run"), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert called == [(BELT, STAGES, out)]
    assert json.loads(result.stdout) == {"checkpoint": str(out), "n": 2, "undamaged": 1.0}


def test_bad_data_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = str(tmp_path / "missing")
    assert main(["train", "classifier", "--data", missing, "--run", str(tmp_path / "run")]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    last = captured.err.strip().splitlines()[-1]
    assert last.startswith("pnc: error: ")
    assert "no such folder" in last
    assert "Traceback" not in captured.err


@pytest.mark.parametrize(
    ("option", "value", "line"),
    [
        ("--architecture", "light", "is not one of 'lapped', 'rtss23'"),
        ("--window", "56", "windows of 56 pixels: lapped needs 224"),
    ],
)
def test_an_impossible_recipe_is_refused_at_once(
    option: str, value: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "run", option, value, "--run", str(tmp_path / "run")]) != 0
    assert line in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()


def test_speed_writes_what_it_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "measure_speed", lambda steps, batch: {"n": steps, "b": batch})
    out = tmp_path / "results" / "speed.json"
    options = ["speed", "--out", str(out), "--steps", "2", "--batch-size", "1"]
    result = CliRunner().invoke(app, options)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == json.loads(out.read_text()) == {"n": 2, "b": 1}
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["speed"]).exit_code == 0
    assert Path("runs/bench/training_speed.json").is_file()
