"""When a picture is over, and when the next one begins."""

from __future__ import annotations

import numpy as np
import pytest

from device.policy import COMPLETE_S, Policy, parse_policy
from pnc.errors import ConfigError
from pnc.transport.events import PictureEnded
from tests.device.bench import Bench


def ended(bench: Bench) -> list[PictureEnded]:
    return [event for _, event in bench.pair.receiver_events if isinstance(event, PictureEnded)]


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("deadline", Policy()),
        ("deadline+grace=0.25", Policy(grace_s=0.25)),
        ("complete", Policy(grace_s=COMPLETE_S)),
        ("budget=4096", Policy(max_bytes=4096)),
    ],
)
def test_policies_are_read(text: str, policy: Policy) -> None:
    assert parse_policy(text) == policy


@pytest.mark.parametrize(
    "text",
    ["", "never", "budget=", "budget=0", "budget=-3", "deadline+grace=0", "deadline+grace=1.2.3"],
)
def test_what_is_no_policy_is_one_line_that_names_it(text: str) -> None:
    with pytest.raises(ConfigError, match="--policy") as caught:
        parse_policy(text)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_next_picture_cuts_off_one_that_has_no_grace() -> None:
    bench = Bench(count=4, rate_bps=8_000.0)
    bench.pair.run_until(30)
    assert all(event.received_bytes < 800 for event in ended(bench))


def test_a_grace_lets_a_picture_finish_and_no_longer() -> None:
    bench = Bench(count=4, rate_bps=8_000.0, policy=Policy(grace_s=2.0))
    bench.pair.run_until(30)
    assert [event.received_bytes for event in ended(bench)] == [800] * 4
    steps = np.diff(bench.shelf.requests)
    assert all(0.7 < step < 1.5 for step in steps)
    short = Bench(count=3, rate_bps=8_000.0, policy=Policy(grace_s=0.1))
    short.pair.run_until(30)
    assert all(event.received_bytes < 800 for event in ended(short))
    assert all(0.59 < step < 0.75 for step in np.diff(short.shelf.requests))


def test_a_grace_costs_nothing_where_pictures_are_complete() -> None:
    bench = Bench(count=4, policy=Policy(grace_s=5.0))
    bench.pair.run_until(30)
    assert np.diff(bench.shelf.requests) == pytest.approx([0.5] * 3, abs=0.01)


def test_complete_pictures_take_as_long_as_they_take() -> None:
    bench = Bench(
        count=4, rate_bps=2_000.0, loss=0.1, cuts=((4.0, 9.0),), policy=parse_policy("complete")
    )
    bench.pair.at(6.0, lambda: bench.paced.link_opened(6.0))
    bench.pair.run_until(120)
    assert [event.received_bytes for event in ended(bench)] == [800] * 4
    assert [report.picture_id for report in bench.reports] == [1, 2, 3, 4]
    starts = [event.started_at for event in ended(bench)]
    ends = [event.ended_at for event in ended(bench)]
    assert all(start >= end for start, end in zip(starts[1:], ends, strict=False))


def test_a_budget_limits_what_is_sent_of_a_picture() -> None:
    bench = Bench(count=3, policy=Policy(max_bytes=500), loss=0.1, seed=2)
    bench.pair.run_until(30)
    assert all(event.received_bytes <= 400 for event in ended(bench))
    assert [report.sent_bytes for report in bench.reports] == [400] * 3
    assert np.diff(bench.shelf.requests) == pytest.approx([0.5] * 2, abs=0.01)
