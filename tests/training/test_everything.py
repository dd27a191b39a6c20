from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pnc.cli import main
from pnc.errors import CheckpointError, ConfigError
from training import everything as module
from training.budget import Speeds
from training.everything import Order, train_everything
from training.recipe import Run

SPEEDS = Speeds(1e-4, 1e-9, 0.01, 0.01, 0.1)


class KilledError(Exception):
    """Stands for a kill: nothing is tidied up."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("all")


@pytest.fixture(scope="module")
def order(tiny_run: Any, place: Path) -> Order:
    return Order(
        tiny_run.recipe.data,
        place / "mine",
        place / "run",
        hours=1.0,
        start=str(tiny_run.checkpoint),
        base=tiny_run.recipe,
        cache=tiny_run.cache,
    )


def test_killed_twice_and_finished(
    tiny_run: Any, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_arguments: Any) -> Any:
        raise KilledError

    def measure(*_arguments: Any) -> Speeds:
        measured.append(1)
        return SPEEDS

    measured: list[int] = []
    with tiny_run.with_its_models():
        for stage in ("distill", "export"):
            with monkeypatch.context() as patch:
                patch.setattr(Run, stage, kill)
                with pytest.raises(KilledError):
                    train_everything(order, measure=measure)
        plan = (order.run / "plan.json").read_bytes()
        used = json.loads((order.run / "clock.json").read_text())["used_s"]
        outcome = train_everything(order, measure=measure)
    assert measured == [1]
    assert (order.run / "plan.json").read_bytes() == plan
    facts = json.loads((order.run / "report.json").read_text(encoding="utf-8"))
    assert facts == outcome.facts
    assert facts["used_s"] > used > 0
    assert facts["used_s"] < 3600
    assert facts["verification"]["passed"]
    assert facts["start"] == [
        "start: classifier from checkpoint tiny",
        "start: autoencoder from checkpoint tiny",
    ]
    assert facts["results"]["n"] == sum(facts["check"]["counts"]["val"])
    page = outcome.report.read_text(encoding="utf-8")
    assert "Checkpoint mine" in page
    assert "AVIF" in page
    assert not (order.run / "pretrain" / "state.npz").exists()
    assert json.loads((order.run / "pace.json").read_text())["took_s"]["distill"] > 0


def test_a_finished_run_only_writes_its_report_again(tiny_run: Any, order: Order) -> None:
    before = (order.out / "manifest.json").stat().st_mtime_ns
    with tiny_run.with_its_models():
        outcome = train_everything(order, measure=lambda *_: SPEEDS)
    assert (order.out / "manifest.json").stat().st_mtime_ns == before
    assert outcome.report.exists()


def test_another_order_needs_another_folder(order: Order) -> None:
    with pytest.raises(ConfigError, match="hours, seed differ") as caught:
        train_everything(replace(order, hours=2.0, seed=4))
    assert "\n" not in str(caught.value)


def test_files_that_differ_are_an_error(
    tiny_run: Any, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = json.loads((order.run / "verification.json").read_text())
    monkeypatch.setattr(module, "_export", lambda *_: {**record, "passed": False})
    with tiny_run.with_its_models(), pytest.raises(CheckpointError, match="do not do what"):
        train_everything(order, measure=lambda *_: SPEEDS)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--data", "missing"], "no such folder"),
        (["--data", "DATA", "--start", "missing.keras"], "no such file"),
        (["--data", "DATA", "--rename", "unicorn=x", "--start", "none"], "unicorn"),
    ],
)
def test_bad_input_is_one_line(
    options: list[str],
    text: str,
    tiny_run: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [tiny_run.recipe.data if word == "DATA" else word for word in options]
    with tiny_run.with_its_models():
        assert main(["train", "all", *words, "--out", "ckpt"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    last = captured.err.strip().splitlines()[-1]
    assert last.startswith("pnc: error: ")
    assert text in last
