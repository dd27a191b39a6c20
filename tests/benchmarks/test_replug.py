from __future__ import annotations

import pytest

from benchmarks.replug import measure_replug, replug_table, summarize


def test_times_become_quantiles() -> None:
    row = summarize("server_restart", [3.0, 1.0, 2.0])
    assert (row["n"], row["p50_s"], row["p95_s"], row["max_s"]) == (3, 2.0, 2.9, 3.0)
    table = replug_table({"results": [row]})
    assert table.endswith("| server restart | 3 | 2.00 s | 2.90 s | 3.00 s |")


@pytest.mark.e2e
@pytest.mark.slow
def test_pictures_come_again_within_seconds() -> None:
    results = measure_replug(3)
    assert [row["n"] for row in results["results"]] == [3, 3]
    assert all(row["p50_s"] < 10 for row in results["results"])
