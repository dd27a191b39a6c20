from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from training import progress
from training.curves import draw_curves
from training.progress import CountProgress, Progress, read_records


def test_figures_go_to_files_and_plain_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress(tmp_path, 10) as shown:
        shown.log(2, 1.234, {"loss": 0.5})
        shown.log(4, 2, {"loss": 0.25})
        shown.log(4, 2, {"score": 0.9}, label="evaluation")
    assert read_records(tmp_path)[0] == {
        "step": 2,
        "seconds": 1.23,
        "label": "train",
        "loss": 0.5,
    }
    assert len(read_records(tmp_path)) == 3
    assert list((tmp_path / "tensorboard").iterdir())
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"{tmp_path.name}: step 4/10 2 s evaluation: score 0.9" in captured.err


def test_a_terminal_gets_a_live_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = (tmp_path / "screen").open("w+")
    console = Console(file=file, force_terminal=True, width=120, color_system=None)
    monkeypatch.setattr(progress, "Console", lambda **_: console)
    with Progress(tmp_path, 10, first_step=3) as shown:
        shown.log(5, 1, {"loss": 0.5})
    count = CountProgress("pictures")
    count(1, 2)
    count(2, 2)
    file.seek(0)
    text = file.read()
    file.close()
    assert "5/10" in text
    assert "loss 0.5" in text
    assert "pictures 2/2" in text


def test_nothing_is_open_outside_the_context(tmp_path: Path) -> None:
    shown = Progress(tmp_path / "missing", 10)
    assert not (tmp_path / "missing").exists()
    with pytest.raises(FileNotFoundError), shown:
        raise AssertionError("entered")
    with pytest.raises(ZeroDivisionError), Progress(tmp_path, 10) as entered:
        entered.log(1, 0, {"loss": 1 / 0})
    assert read_records(tmp_path) == []


def test_records_beyond_the_first_step_go(tmp_path: Path) -> None:
    lines = [json.dumps({"step": step, "label": "train"}) for step in (10, 20, 30)]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*lines, '{"step": 40, "la']))
    with Progress(tmp_path, 50, first_step=20):
        pass
    assert [record["step"] for record in read_records(tmp_path)] == [10, 20]


def test_without_tensorflow_there_is_jsonl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def lacking(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "tensorflow":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", lacking)
    with Progress(tmp_path, 10) as shown:
        shown.log(1, 1, {"loss": 0.5})
    assert not (tmp_path / "tensorboard").exists()
    assert len(read_records(tmp_path)) == 1


def test_counting_says_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    count = CountProgress("pictures")
    for done in range(1, 6):
        count(done, 5)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == "pictures 5/5"
    assert len(lines) <= 2


def test_curves_are_drawn_for_what_is_there(tmp_path: Path) -> None:
    with Progress(tmp_path, 10) as shown:
        shown.log(5, 1, {"loss": 0.5})
        shown.log(10, 2, {"loss": 0.2})
        shown.log(10, 2, {"score": 0.9}, label="evaluation")
    draw_curves([tmp_path, tmp_path / "missing"], tmp_path / "curves.png")
    draw_curves([tmp_path / "missing"], tmp_path / "empty.png")
    for name in ("curves.png", "empty.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
