"""Late bytes, measured, drawn and written down."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.cli import main
from benchmarks.late import REAL_RATES, LatePlan, measure_late
from benchmarks.output import read_json
from pnc.errors import ConfigError
from pnc.replay.report.late import late_table


def test_a_serial_line_is_measured_drawn_and_written_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "late.json"
    words = ["late", "--links", "serial", "--pictures", "5", "--workers", "0", "--out", str(out)]
    assert main(words) == 0
    assert "| serial, 10 kB/s | 9.2 | 5 |" in capsys.readouterr().out
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    rows = {(r["contender"], r["rate_bytes_per_s"]): r for r in read_json(out)["results"]}
    window, none, published = (
        rows[contender, 10_000] for contender in ("window", "no window", "stop-and-wait")
    )
    assert window["goodput_share"]["value"] > 0.9 > published["goodput_share"]["value"]
    assert window["late_packets_max"] <= 2 < none["late_packets_p99"]
    assert none["last_late_s"] > 0.5


def test_processes_measure_what_one_process_does() -> None:
    plans = (LatePlan(kinds=("serial",), num_pictures=2, num_processes=n) for n in (0, 1))
    alone, together = (measure_late(plan)["results"] for plan in plans)
    assert alone == together


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pty", "tcp", "udp", "ws"])
def test_links_in_real_time_carry_what_they_can(kind: str) -> None:
    results = measure_late(LatePlan(kinds=(kind,), num_real_pictures=4))
    window = [row for row in results["results"] if row["contender"] == "window"]
    assert [row["rate_bytes_per_s"] for row in window] == list(REAL_RATES)
    assert all(row["goodput_share"]["value"] > 0.5 for row in window)
    assert f"| {kind}, 30 kB/s |" in late_table(results)


def test_what_cannot_be_measured_is_said() -> None:
    with pytest.raises(ConfigError, match="pigeon"):
        measure_late(LatePlan(kinds=("serial", "pigeon")))
    with pytest.raises(ConfigError, match="needs a picture"):
        measure_late(LatePlan(num_real_pictures=3))
