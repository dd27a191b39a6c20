"""What a running device uses, measured on the real process with a few pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import device
from benchmarks.cli import main
from benchmarks.device import LIMITS, device_table, measure_device
from pnc.errors import ConfigError


@pytest.mark.slow
@pytest.mark.e2e
def test_a_real_device_is_measured_and_stays_small(tmp_path: Path) -> None:
    out = tmp_path / "device.json"
    assert main(["device", "--pictures", "6", "--out", str(out)]) == 0
    results = json.loads(out.read_text())
    assert results["schema"] == device.SCHEMA
    assert set(results["frames"]) == {device.PIXELS, *device.FILES}
    for row in results["frames"].values():
        assert row["n"] == 6
        assert row["results"] > 0
        assert 0 < row["cpu_share"] < 1
        assert 10 < row["memory_mb"] <= LIMITS["memory_mb"]
        assert 0 < row["first_packet_ms"]["median"] <= row["first_packet_ms"]["p95"]


def test_the_table_has_a_row_a_kind_of_frame_and_the_limits() -> None:
    share = {"median": 3.14, "p95": 4.2, "max": 5.0}
    row = {"cpu_share": 0.051, "memory_mb": 84.4, "first_packet_ms": share, "encode_ms": share}
    lines = device_table(
        {
            "checkpoint": "belt",
            "pictures_per_s": 2.0,
            "num_pictures": 120,
            "machine": {"cores": 2, "architecture": "x86_64"},
            "limits": LIMITS,
            "frames": {"pixels": row},
        }
    ).splitlines()
    assert lines[-2] == "| pixels | 5.1% | 84 MB | 3.1, 4.2 ms | 3.1, 4.2 ms |"
    assert lines[-1] == "| at most | 10% | 150 MB | 5 ms | |"


def test_a_device_that_fails_is_one_line() -> None:
    with pytest.raises(ConfigError, match="it ended before it had sent its pictures"):
        measure_device("no such checkpoint", num_pictures=1)
