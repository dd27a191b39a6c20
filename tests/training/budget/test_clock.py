from __future__ import annotations

import json
from pathlib import Path

import pytest

from pnc.errors import ConfigError
from training.budget.clock import Clock


class Ticks:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_the_clock_counts_over_kills(tmp_path: Path) -> None:
    ticks = Ticks()
    first = Clock(tmp_path / "clock.json", now=ticks)
    ticks.seconds += 30
    first.beat()
    ticks.seconds += 1000
    second = Clock(tmp_path / "clock.json", now=ticks, began=ticks.seconds - 5)
    ticks.seconds += 3
    assert second.used() == pytest.approx(38)
    with second:
        pass
    assert json.loads((tmp_path / "clock.json").read_text())["used_s"] == pytest.approx(38)


def test_a_damaged_clock_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "clock.json").write_text("{")
    with pytest.raises(ConfigError, match="delete it") as caught:
        Clock(tmp_path / "clock.json")
    assert "\n" not in str(caught.value)


def test_what_belongs_to_no_run_is_not_counted(tmp_path: Path) -> None:
    ticks = Ticks()
    clock = Clock(tmp_path / "clock.json", now=ticks, began=40.0)
    assert clock.used() == 60
    clock.forget()
    ticks.seconds += 2
    assert clock.used() == 2
