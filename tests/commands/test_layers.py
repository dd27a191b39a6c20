"""What ``pnc inspect`` tells of a stream."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("fake_codec")


def test_inspect_lists_layers(pnc: Run, pictures: Path) -> None:
    stream = pnc("encode", pictures / "dark" / "a.png", "--out", "-", "--max-bytes", "150")
    ended = pnc("inspect", "-", stdin=stream.out_bytes)
    assert ended.status == 0
    assert "150 bytes, cut short, checkpoint 1234abcd, bitstream version 1" in ended.out
    assert ended.out.count("64") >= 4


def test_many_layers_share_rows(pnc: Run, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pnc.commands.layers.MAX_ROWS", 2)
    short = pnc("inspect", pictures / "bright" / "a.png")
    assert "2 layers a row; --all shows each" in short.out
    assert [line.split()[0] for line in short.out.splitlines() if "128 " in line] == ["0-1", "2-3"]
    assert "a row" not in pnc("inspect", pictures / "bright" / "a.png", "--all").out
