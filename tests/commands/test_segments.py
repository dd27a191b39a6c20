"""What ``pnc inspect`` tells of a stream."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("fake_codec")


def test_inspect_lists_planes(pnc: Run, pictures: Path) -> None:
    stream = pnc("encode", pictures / "dark" / "a.png", "--out", "-", "--max-bytes", "150")
    ended = pnc("inspect", "-", stdin=stream.out_bytes)
    assert ended.status == 0
    assert "150 bytes, cut short, checkpoint 1234abcd, bitstream version 3" in ended.out
    rows = [line.split() for line in ended.out.splitlines() if "█" in line]
    assert [row[:-1] for row in rows] == [
        ["1", "13", "64", "64", "64.0", "64"],
        ["0", "3,", "refined", "128", "83", "83.0", "147"],
    ]
    assert "--all shows its classes" in ended.out


def test_inspect_lists_classes(pnc: Run, pictures: Path) -> None:
    ended = pnc("inspect", pictures / "bright" / "a.png", "--all")
    rows = [line.split()[:2] for line in ended.out.splitlines() if "█" in line]
    assert rows == [["1", "13"], ["0", "3"], ["0", "refined"], ["0", "12"]]
    assert "--all" not in ended.out
    ended = pnc("inspect", pictures / "bright" / "a.png")
    assert [line.split()[:2] for line in ended.out.splitlines() if "refined" in line] == [
        ["0", "3-12,"]
    ]


def test_inspect_of_a_header_lists_nothing(pnc: Run) -> None:
    ended = pnc("inspect", "-", stdin=b"\xc3\x12")
    assert ended.status == 0
    assert "2 bytes, cut short" in ended.out
    assert "█" not in ended.out


def test_json_has_every_segment(pnc: Run, pictures: Path) -> None:
    (line,) = pnc("inspect", pictures / "bright" / "a.png", "--json").out.splitlines()
    segments = json.loads(line)["segments"]
    assert segments[0] == {"plane": 1, "class": 13, "coefficients": 64, "known": 64, "bits": 512}
    assert [segment["class"] for segment in segments] == [13, 0, 3, None, 12]
