"""Made links have the published statistics."""

from __future__ import annotations

import pytest

from pnc.errors import ConfigError
from pnc.replay.worlds import BIN_S, PEAK_BPS, PUBLISHED, Jamming, jamming


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", list(PUBLISHED))
def test_half_seconds_have_the_published_mean_minimum_and_maximum(kind: Jamming, seed: int) -> None:
    trace = jamming(kind, 30, seed)
    bins = [
        8 * trace.bytes_between(index * BIN_S, (index + 1) * BIN_S) / BIN_S for index in range(60)
    ]
    published = PUBLISHED[kind]
    assert sum(bins) / 60 == pytest.approx(published.mean_bps, rel=1e-6)
    assert min(bins) == pytest.approx(published.min_bps, rel=1e-6)
    assert max(bins) == pytest.approx(published.max_bps, rel=1e-6)
    spread = (sum((one - published.mean_bps) ** 2 for one in bins) / 60) ** 0.5
    assert 0.5 * published.sd_bps < spread < 1.5 * published.sd_bps
    assert max(trace.rates_bps) <= PEAK_BPS * 1.001


def test_only_jamming_stops_the_link_for_a_while() -> None:
    stops = {kind: jamming(kind, 60, 1).rates_bps.count(0.0) for kind in PUBLISHED}
    assert stops["none"] == 0
    assert 0 < stops["light"] < stops["heavy"]


def test_the_same_seed_makes_the_same_link() -> None:
    assert jamming("heavy", 5, 1).rates_bps == jamming("heavy", 5, 1).rates_bps
    assert jamming("heavy", 5, 1).rates_bps != jamming("heavy", 5, 2).rates_bps


def test_length_is_whole_half_seconds() -> None:
    assert jamming("none", 0.1).period_s == pytest.approx(0.5)
    assert jamming("none", 1.5).period_s == pytest.approx(1.5)
    assert jamming("none", 0.5).mean_bps == pytest.approx(PUBLISHED["none"].mean_bps, rel=0.2)


@pytest.mark.parametrize(("kind", "seconds"), [("some", 1.0), ("none", 0.0), ("none", 1e6)])
def test_impossible_worlds_are_refused(kind: str, seconds: float) -> None:
    with pytest.raises(ConfigError, match="jamming"):
        jamming(kind, seconds)
