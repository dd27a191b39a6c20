from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.facts import describe_command, describe_machine, describe_versions, write_json


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["cost", "--data", "x=/home/me/photos#odd"], "cost --data x=.../photos#odd"),
        (["--judge", "t=/a/b/t.tflite,crop=0.875"], "--judge t=.../t.tflite,crop=0.875"),
        (["--data", "x=../shared/data"], "--data x=../shared/data"),
        (["--out", "/var/r.json"], "--out .../r.json"),
    ],
)
def test_command_tells_no_absolute_path(given: list[str], shown: str) -> None:
    assert describe_command(given) == f"python -m benchmarks {shown}"


def test_machine_is_a_class_not_a_name() -> None:
    machine = describe_machine()
    assert machine["cores"] is None or machine["cores"] >= 1
    assert not any(character.isdigit() for character in machine["processor"])


def test_versions_are_known() -> None:
    assert {"pnc", "python", "numpy", "pillow"} <= describe_versions().keys()


def test_json_replaces_whole(tmp_path: Path) -> None:
    path = tmp_path / "results" / "r.json"
    write_json(path, {"a": 1})
    write_json(path, {"a": 2})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": 2}
    assert list(path.parent.iterdir()) == [path]
