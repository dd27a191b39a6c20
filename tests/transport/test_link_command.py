"""``pnc link pty`` inside the process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pnc.commands.link import app
from pnc.errors import ConfigError


def test_prints_names_then_statistics() -> None:
    outcome = CliRunner().invoke(app, ["pty", "--jamming", "heavy", "--seconds", "0.05"])
    assert outcome.exit_code == 0, outcome.output
    names, statistics = map(json.loads, outcome.stdout.splitlines())
    assert set(names) == {"a", "b"}
    assert set(statistics) == {"time_s", "a_to_b", "b_to_a"}
    assert set(statistics["a_to_b"]) == {"bytes_in", "bytes_out", "bytes_overrun", "trace_bytes"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--jamming", "some"], "not none, light or heavy"),
        (["--trace", "x", "--jamming", "none"], "give one of them"),
        (["--trace", "/nowhere.csv"], "cannot be read"),
        (["--loss", "2"], "not a probability"),
    ],
)
def test_bad_settings_give_one_line(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CliRunner().invoke(app, ["pty", *arguments], catch_exceptions=False)


def test_a_bad_trace_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("time_s,rate_bps\n0,1\n1,-1\n", encoding="ascii")
    with pytest.raises(ConfigError, match="line 3: -1 is negative"):
        CliRunner().invoke(app, ["pty", "--trace", str(path)], catch_exceptions=False)
