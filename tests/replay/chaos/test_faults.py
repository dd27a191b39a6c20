"""What goes wrong is drawn from a seed."""

from __future__ import annotations

import pytest

from pnc.errors import ConfigError
from pnc.replay.chaos import draw_faults
from pnc.replay.chaos.faults import DURATIONS_S, link_under


def test_faults_are_drawn_in_order_and_within_bounds() -> None:
    faults = list(draw_faults(100_000, 3, 10.0))
    assert faults == list(draw_faults(100_000, 3, 10.0))
    assert faults != list(draw_faults(100_000, 4, 10.0))
    assert {fault.kind for fault in faults} == set(DURATIONS_S)
    assert [fault.start_s for fault in faults] == sorted(fault.start_s for fault in faults)
    ends = [fault.start_s + fault.duration_s for fault in faults]
    assert max(ends) <= 100_000 + 1e-6
    assert 9_000 < len(faults) < 11_000
    for fault in faults:
        low, high = DURATIONS_S[fault.kind]
        assert low <= fault.duration_s <= high


def test_a_gap_is_a_positive_time() -> None:
    with pytest.raises(ConfigError, match="mean_gap_s"):
        next(draw_faults(100, 0, 0.0))


def test_faults_of_the_link_add_up() -> None:
    calm = link_under(frozenset(), 1)
    both = link_under(frozenset({"corrupt", "lose", "jam"}), 1)
    assert calm.channel.bit_error == calm.loss == 0
    assert both.channel.bit_error > 0
    assert both.loss > 0
    assert both.channel.trace.mean_bps < calm.channel.trace.mean_bps
    assert link_under(frozenset({"lose", "cut"}), 1).loss == 1
    assert link_under(frozenset({"stall", "jam"}), 1).channel.trace.mean_bps == 0


def test_no_fault_lasts_beyond_the_end() -> None:
    ends = [fault.start_s + fault.duration_s for fault in draw_faults(100, 0, 0.1)]
    assert max(ends) == pytest.approx(100)
