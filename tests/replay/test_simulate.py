"""The sessions keep links busy, on the virtual clock."""

from __future__ import annotations

import random

import pytest

from pnc.errors import ConfigError
from pnc.replay.simulate import Simulation, simulate
from pnc.replay.worlds import jamming
from pnc.testing import VirtualClock, VirtualLinkConfig
from pnc.transport.links.trace import RateTrace


def pictures(count: int, num_packets: int, size: int = 244) -> list[list[bytes]]:
    source = random.Random(1)
    return [[source.randbytes(size) for _ in range(num_packets)] for _ in range(count)]


def share_of(trace: RateTrace, run: Simulation) -> float:
    """Goodput of what the trace would have let through, 0 to 1."""
    return run.goodput_bps * run.duration_s / (8 * trace.bytes_between(0.0, run.duration_s))


@pytest.mark.parametrize("delay_s", [0.002, 0.02])
@pytest.mark.parametrize("rate", [1_000, 4_000, 16_000, 50_000, 100_000])
def test_the_window_keeps_the_link_busy(rate: int, delay_s: float) -> None:
    trace = RateTrace.constant(8 * rate)
    run = simulate(pictures(6, rate // 200 + 2), trace, deadline_s=1.0, delay_s=delay_s)
    assert share_of(trace, run) >= 0.85
    assert run.goodput_bps >= 0.85 * 8 * rate
    assert run.receiver.duplicate_bytes == 0
    assert run.sender.data_frames_lost == 0


@pytest.mark.parametrize(("kind", "least"), [("none", 0.9), ("light", 0.88), ("heavy", 0.85)])
def test_jammed_links_are_kept_busy_with_little_that_comes_late(kind: str, least: float) -> None:
    trace = jamming(kind, 15, 1)
    run = simulate(pictures(30, 24), trace, deadline_s=0.5)
    assert share_of(trace, run) >= least
    assert run.receiver.late_bytes <= 30 * 300
    assert all(one.result_at is not None for one in run.pictures)
    assert all(
        one.ended_at is not None and one.ended_at - one.submitted_at < 0.8 for one in run.pictures
    )


@pytest.mark.parametrize(("loss", "least"), [(0.05, 0.8), (0.2, 0.7)])
def test_loss_costs_what_is_lost_and_little_more(loss: float, least: float) -> None:
    trace = RateTrace.constant(64_000)
    run = simulate(pictures(20, 24), trace, deadline_s=0.5, loss=loss, seed=3)
    assert share_of(trace, run) >= least


def test_outcomes_add_up() -> None:
    run = simulate(pictures(3, 4), RateTrace.constant(160_000), deadline_s=0.3, period_s=0.5)
    assert [one.picture_id for one in run.pictures] == [1, 2, 3]
    assert [one.submitted_at for one in run.pictures] == [0.0, 0.5, 1.0]
    assert all(one.received_bytes == one.offered_bytes == 976 for one in run.pictures)
    assert run.duration_s == 1.5


def test_the_same_seed_gives_the_same_run() -> None:
    runs = [
        simulate(pictures(4, 24), jamming("heavy", 5), deadline_s=0.5, bit_error=1e-4, seed=9)
        for _ in range(2)
    ]
    assert runs[0].pictures == runs[1].pictures


def test_a_dead_link_delivers_nothing_and_ends() -> None:
    run = simulate(pictures(2, 4), RateTrace.constant(0), deadline_s=0.5)
    assert [one.ended_at for one in run.pictures] == [None, None]


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigError):
        simulate([], RateTrace.constant(1), deadline_s=0.0)
    with pytest.raises(ConfigError):
        VirtualLinkConfig(loss=2.0)


def test_the_virtual_clock_reads_as_a_clock() -> None:
    clock = VirtualClock()
    clock.now = 3.0
    assert clock() == 3.0
