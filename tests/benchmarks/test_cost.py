from __future__ import annotations

from typing import Any

import pytest

from benchmarks.cost import SCHEMA, cost_table, measure_cost
from benchmarks.macs import count_macs
from pnc import Codec
from pnc.errors import ConfigError


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    return measure_cost("belt", "belt", num_pictures=1, num_rounds=1)


@pytest.mark.e2e
def test_everything_is_timed_counted_and_weighed(results: dict[str, Any]) -> None:
    assert results["schema"] == SCHEMA
    assert results["n"] == 1
    beside = {f"decode{part}, beside the network" for part in ("", " 1 KB", " 4 KB")}
    assert beside < results["cpu_ms"].keys()
    times = {name: cell["median"] for name, cell in results["cpu_ms"].items()}
    assert all(time > 0 for name, time in times.items() if name not in beside)
    assert 0 < times["first packet"] < 1000
    assert {(r["of"], r["to"]) for r in results["ratios"]} >= {
        ("encode", "webp"),
        ("encode 4 KB", "webp"),
        ("decode and classify", "classify"),
        ("decode 4 KB and classify", "classify"),
    }
    assert all(2**20 < size < 2**30 for size in results["peak_memory_bytes"].values())
    assert results["python_memory_bytes"].keys() == {"encode", "decode"}
    assert all(2**16 < size < 2**27 for size in results["python_memory_bytes"].values())


@pytest.mark.e2e
def test_table_names_every_work(results: dict[str, Any]) -> None:
    table = cost_table(results)
    assert all(f"| {name} |" in table for name in results["cpu_ms"])
    assert "MMAC" in table


def test_encoder_and_decoder_keep_within_their_limits() -> None:
    checkpoint = Codec.load("belt").checkpoint
    assert 0 < count_macs(checkpoint.read("encoder.tflite")) <= 10e6
    assert 0 < count_macs(checkpoint.read("decoder.tflite")) <= 1e9
    assert 350e6 < count_macs(checkpoint.read("classifier.tflite")) < 420e6


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one"):
        measure_cost("belt", "belt", num_rounds=0)
