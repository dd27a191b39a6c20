from __future__ import annotations

from pathlib import Path

import pytest

from edge_server.processes import Child
from pnc.cli import main


def test_a_missing_folder_of_pictures_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    missing = tmp_path / "missing"
    assert main(["demo", "--data", str(missing), "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"pnc: error: {missing}: no such folder; --data takes a folder of pictures"
    ]


def test_a_folder_that_cannot_be_made_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    assert main(["demo", "--out", str(tmp_path / "file" / "out")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "choose another folder with --out" in line


def test_an_unknown_jamming_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--jamming", "total"]) == 2
    assert "'none', 'light', 'heavy'" in capsys.readouterr().err


def test_a_child_that_dies_ends_the_demo_with_its_line_and_ends_the_others(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Child] = []

    def refuse(children: list[Child]) -> None:
        started.extend(children)
        for child in children:
            child.stop()

    monkeypatch.setattr("edge_server.demo.stop_children", refuse)
    words = ["demo", "--checkpoint", str(tmp_path / "missing"), "--seconds", "1"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("pnc: error: the server ended:")
    assert "missing" in line
    assert len(started) == 3
    assert not any(child.is_running for child in started)
