"""A server that has enough, and what its device still sends."""

from __future__ import annotations

import pytest

from pnc.errors import ConfigError
from pnc.replay.early_stop import StopRun, send_until_enough

PICTURES = [[bytes([number + 1]) * 100 for number in range(40)] for _ in range(6)]


def run_with(needed: int, previews_per_second: float = 20.0) -> StopRun:
    return send_until_enough(
        PICTURES,
        lambda picture_id, count: picture_id % 2 == 1 and count >= needed,
        previews_per_second=previews_per_second,
        rate_bps=40_000,
        deadline_s=0.5,
        mtu_bytes=100,
    )


def test_what_is_enough_ends_its_picture_and_no_other() -> None:
    run = run_with(5)
    assert run.stopped == [True, False] * 3
    whole, stopped = run.num_packets[1::2], run.num_packets[::2]
    assert min(whole) > 15
    assert all(5 <= count <= 9 for count in stopped)


def test_bytes_on_their_way_and_of_the_round_trip_are_paid_for() -> None:
    run = run_with(5)
    whole, stopped = run.sent_bytes[1::2], run.sent_bytes[::2]
    assert all(2_200 < sent <= 2_700 for sent in whole)
    assert all(
        count * 100 + 300 < sent < 1_900
        for count, sent in zip(run.num_packets[::2], stopped, strict=True)
    )


def test_fewer_previews_stop_later() -> None:
    assert sum(run_with(5, 4.0).sent_bytes) > sum(run_with(5, 20.0).sent_bytes)


def test_what_is_never_enough_is_never_stopped() -> None:
    run = run_with(99)
    assert not any(run.stopped)
    assert len(run.num_packets) == len(PICTURES)


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="must be positive"):
        send_until_enough([], lambda *_: True, previews_per_second=0, rate_bps=1.0, deadline_s=1.0)
