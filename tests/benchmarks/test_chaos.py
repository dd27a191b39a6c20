from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.chaos import NUM_SAMPLES, WINDOWS, measure_chaos
from benchmarks.cli import main
from pnc.errors import ConfigError

HOURS = 0.05


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    folder = tmp_path_factory.mktemp("chaos")
    words = ["--hours", str(HOURS), "--out", str(folder / "c.json"), "--log", str(folder / "log")]
    assert main(["chaos", *words]) == 0
    log = (folder / "log").read_text(encoding="utf-8")
    return json.loads((folder / "c.json").read_text(encoding="utf-8")), log


def test_results_say_that_nothing_was_lost_or_doubled(
    measured: tuple[dict[str, Any], str],
) -> None:
    results, log = measured
    verdict = results["verdict"]
    assert results["schema"] == "pnc.chaos/1"
    assert verdict["stored"] + verdict["unheard"] == results["counts"]["submitted"] > 250
    assert verdict["lost"] == verdict["stored_again"] == 0
    assert sum(results["faults"].values()) == log.count(" s\n")
    assert results["run_s"] > 0


def test_memory_is_sampled_and_traced_in_windows(measured: tuple[dict[str, Any], str]) -> None:
    results, _ = measured
    assert len(results["memory"]) == NUM_SAMPLES
    assert len(results["traced"]) == sum(last - first for first, last in WINDOWS)
    assert all(0 < row["bytes"] < 2**20 for row in results["traced"])


def test_the_same_seed_gives_the_same_log(measured: tuple[dict[str, Any], str]) -> None:
    assert measure_chaos(HOURS)["log_sha256"] == measured[0]["log_sha256"]
    assert measure_chaos(HOURS, seed=1)["log_sha256"] != measured[0]["log_sha256"]


def test_what_cannot_be_measured_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--hours"):
        measure_chaos(0.01)
    with pytest.raises(ConfigError, match="the log cannot be written"):
        measure_chaos(HOURS, log=tmp_path)


@pytest.mark.slow
def test_a_day_of_chaos() -> None:
    results = measure_chaos(24.0)
    verdict = results["verdict"]
    assert results["counts"]["submitted"] > 160_000
    assert verdict["lost"] == verdict["stored_again"] == verdict["contradicted"] == 0
    warm, last = results["memory"][NUM_SAMPLES // 8], results["memory"][-1]
    assert last["rss_bytes"] < warm["rss_bytes"] + 8 * 2**20
    assert results["cpu_s"] < 600
