from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pnc.cli import main
from pnc.errors import CheckpointError, ConfigError
from training import everything as module
from training.budget import plan as planning
from training.budget.plan import Plan
from training.budget.speeds import Speeds
from training.everything import Order, train_everything
from training.files import only_process
from training.run import Run
from training.verify import Verification

PERFECT = Verification(1.0, 0.0, 1.0, 8)
SPEEDS = Speeds(1e-4, 1e-9, 0.01, 0.01, 0.1)


class KilledError(Exception):
    """Stands for a kill: nothing is tidied up."""


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "ENOUGH_STEPS", 3)


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


@pytest.mark.timeout(300)
def test_killed_three_times_and_finished(
    tiny_run: Any, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_arguments: Any) -> Any:
        raise KilledError

    def measure(*_arguments: Any) -> Speeds:
        measured.append(1)
        return SPEEDS

    measured: list[int] = []
    with tiny_run.with_its_models():
        for place, name in ((Run, "distill"), (module, "verify_export"), (module, "render_page")):
            with monkeypatch.context() as patch:
                patch.setattr(place, name, kill)
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


@pytest.mark.parametrize("changed", ["finetune/classifier.keras", "manifest.json", "nothing"])
def test_what_was_exported_before_is_exported_again_once_it_changed(
    changed: str, order: Order, tiny_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported: list[Path] = []
    monkeypatch.setattr(Run, "export", lambda _run, out: exported.append(out))
    monkeypatch.setattr(module, "verify_export", lambda *_: PERFECT)
    run, out = tmp_path / "run", tmp_path / "mine"
    shutil.copytree(order.run, run)
    shutil.copytree(order.out, out)
    again = Run(Plan.load(run / "plan.json").recipe, run, cache=tiny_run.cache)
    if changed != "nothing":
        path = out / changed if changed == "manifest.json" else run / changed
        path.write_bytes(path.read_bytes() + b" ")
    with tiny_run.with_its_models(), monkeypatch.context() as patch:
        patch.setattr(Run, "finetune", lambda _run: None)
        patch.setattr(Run, "distill", lambda _run: None)
        assert module._export(again, out)["passed"]
    assert exported == ([] if changed == "nothing" else [out])


def test_a_refused_order_used_no_time_and_binds_nobody(
    tiny_run: Any, order: Order, tmp_path: Path
) -> None:
    refused = replace(order, run=tmp_path / "run", out=tmp_path / "out", hours=0.02, start="none")
    with tiny_run.with_its_models(), pytest.raises(ConfigError, match="too short"):
        train_everything(refused, measure=lambda *_: SPEEDS, began=time.monotonic() - 5000)
    assert json.loads((refused.run / "clock.json").read_text())["used_s"] < 1000
    module._begin(replace(refused, hours=3.0))
    assert not (refused.run / "clock.json").exists()
    (refused.run / "plan.json").touch()
    with pytest.raises(ConfigError, match="hours differ"):
        module._begin(refused)


def test_an_order_says_how_pictures_become_square(order: Order) -> None:
    recipe = replace(order, fit="pad", judges=("j.keras",)).recipe()
    assert (recipe.fit, recipe.judges) == ("pad", ("j.keras",))


def test_one_process_at_a_time(order: Order) -> None:
    with only_process(order.run), pytest.raises(ConfigError, match="another process"):
        train_everything(order)


def test_what_would_fail_at_the_end_fails_at_once(order: Order, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cases: dict[str, dict[str, Any]] = {
        "no checkpoint can be written there": {"out": tmp_path / "file" / "mine"},
        "--teacher t.keras: no such file": {"teacher": "t.keras"},
        "--judge j.keras: no such file": {"judges": ("j.keras",)},
        "--hours nan": {"hours": float("nan")},
    }
    for text, options in cases.items():
        with pytest.raises(ConfigError, match=text) as caught:
            train_everything(replace(order, run=tmp_path / "run", **options))
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "order.json").exists()


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
        (["--data", "DATA", "--start", "unicorn"], "unicorn"),
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
