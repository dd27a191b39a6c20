from __future__ import annotations

import pytest

from edge_server.metrics import BUCKET_S, HISTORY_S, Metrics


def test_goodput_is_the_mean_of_the_whole_buckets_of_the_window() -> None:
    metrics = Metrics()
    for step in range(20):
        metrics.add_payload(1000, 100.0 + step * BUCKET_S)
    assert metrics.goodput_bps(100.0 + 20 * BUCKET_S) == 1000 * 8 / BUCKET_S
    assert metrics.goodput_bps(200.0) == 0


def test_the_bucket_that_is_still_open_does_not_count() -> None:
    metrics = Metrics()
    metrics.add_payload(1000, 100.0)
    metrics.add_payload(1000, 100.1)
    assert metrics.goodput_bps(100.2, window_s=BUCKET_S) == 0
    assert metrics.goodput_bps(100.6, window_s=BUCKET_S) == 2000 * 8 / BUCKET_S


def test_the_curve_shows_gaps_as_zeros_and_forgets_what_is_old() -> None:
    metrics = Metrics()
    metrics.add_payload(100, 0.0)
    metrics.add_payload(300, 2 * BUCKET_S)
    curve = metrics.curve(3 * BUCKET_S)
    assert curve == [(-1.5, 1600.0), (-1.0, 0.0), (-0.5, 4800.0)]
    assert sum(value for _, value in metrics.curve(10 * HISTORY_S)) == 0


def test_an_unused_curve_is_empty() -> None:
    assert Metrics().curve(50.0) == []


def test_summary_counts_and_shares() -> None:
    metrics = Metrics()
    assert metrics.summary(0.0)["on_time_share"] is None
    metrics.count(results=4, on_time=3, late_bytes=17)
    for delay in (0.3, 0.1, 0.2):
        metrics.add_delay(delay)
    summary = metrics.summary(0.0)
    assert summary["on_time_share"] == 0.75
    assert summary["late_bytes"] == 17
    assert summary["median_delay_s"] == 0.2


def test_an_unknown_count_is_a_defect() -> None:
    with pytest.raises(AttributeError):
        Metrics().count(nonsense=1)
