"""The device's pace, on a virtual clock and a virtual link."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.pacing import RESULT_WAIT_S, SILENCE_S
from device.pictures import Finished, Unanswered
from pnc.transport.events import PictureEnded
from tests.device.bench import Bench


def test_every_picture_is_reported_once_with_its_result() -> None:
    bench = Bench(count=5)
    bench.pair.run_until(10)
    assert [report.picture_id for report in bench.reports] == [1, 2, 3, 4, 5]
    report = bench.reports[2]
    assert report.source == "picture 3"
    assert report.top[0] == ("gear", 0.93)
    assert (report.encoded_bytes, report.sent_bytes, report.received_bytes) == (800, 800, 800)
    assert report.result_ms is not None
    assert 0 < report.result_ms < 500
    assert len(bench.times(Finished)) == 1


def test_pictures_follow_at_the_pace_of_the_deadline() -> None:
    bench = Bench(count=5)
    bench.pair.run_until(10)
    steps = np.diff(bench.shelf.requests)
    assert len(bench.shelf.requests) == 5
    assert steps == pytest.approx([0.5] * 4, abs=1e-6)


def test_no_picture_is_spent_before_the_server_answers() -> None:
    bench = Bench(count=2, cuts=((0.0, 3.0),))
    bench.pair.run_until(2.9)
    assert bench.shelf.requests == []
    bench.pair.run_until(20)
    assert len(bench.reports) == 2
    assert all(report.result_ms is not None for report in bench.reports)


def test_a_late_encoder_delays_its_picture_and_no_other() -> None:
    bench = Bench(count=3, late_s=0.2)
    bench.pair.run_until(10)
    assert np.diff(bench.shelf.requests) == pytest.approx([0.7] * 2, abs=0.02)
    assert len(bench.reports) == 3


def test_a_slow_link_sends_less_and_says_how_much() -> None:
    bench = Bench(count=4, rate_bps=6000.0)
    bench.pair.run_until(20)
    ended = [event for _, event in bench.pair.receiver_events if isinstance(event, PictureEnded)]
    sent = [report.sent_bytes for report in bench.reports]
    assert sent[2:] == [event.received_bytes for event in ended][2:]
    assert 0 < max(sent[2:]) < 800


def test_a_picture_without_a_result_is_reported_after_a_while() -> None:
    bench = Bench(count=1, answers=False)
    bench.pair.run_until(60)
    (report,) = bench.reports
    assert report.result_ms is None
    assert report.top == ()
    (end,) = bench.times(Finished)
    assert end == pytest.approx(0.5 + RESULT_WAIT_S, abs=1.0)


def test_ends_when_the_source_ends() -> None:
    bench = Bench(num=3)
    bench.pair.run_until(20)
    assert len(bench.reports) == 3
    assert len(bench.times(Finished)) == 1


def test_a_fresh_link_goes_on_with_the_newest_picture() -> None:
    bench = Bench(count=10)
    bench.pair.at(1.1, lambda: bench.paced.link_opened(1.1))
    bench.pair.run_until(20)
    assert len(bench.reports) == 10
    after = bench.shelf.requests[4:]
    assert bench.shelf.requests[3] == pytest.approx(1.5, abs=0.1)
    assert after[0] == pytest.approx(1.1, abs=0.1)
    assert np.diff(after) == pytest.approx([0.5] * (len(after) - 1), abs=1e-6)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**16), loss=st.floats(0, 0.4))
def test_every_picture_is_reported_exactly_once_whatever_is_lost(seed: int, loss: float) -> None:
    bench = Bench(count=6, loss=loss, seed=seed)
    bench.pair.run_until(60)
    assert sorted(report.picture_id for report in bench.reports) == [1, 2, 3, 4, 5, 6]
    assert len(bench.times(Finished)) == 1


def test_a_late_picture_is_looked_for_less_and_less_often() -> None:
    ticks: list[None] = []
    bench = Bench(num=2, late_s=20.0, on_tick=lambda: ticks.append(None))
    bench.pair.run_until(19)
    assert 150 < len(ticks) < 800


def test_a_picture_goes_at_once_when_the_one_before_it_has_arrived() -> None:
    bench = Bench(count=3, late_s=-0.1)
    bench.pair.at(0.45, lambda: None)
    bench.pair.run_until(10)
    assert np.diff(bench.shelf.requests) == pytest.approx([0.5] * 2, abs=1e-6)
    assert [time for time, _ in bench.data_times][1] == pytest.approx(0.46, abs=0.03)


def test_a_picture_waits_for_the_deadline_of_one_that_is_still_sent() -> None:
    bench = Bench(count=3, late_s=-0.1, rate_bps=6000.0)
    bench.pair.at(0.45, lambda: None)
    bench.pair.run_until(10)
    starts = [time for time, picture_id in bench.data_times if picture_id > 1]
    assert starts[0] >= bench.shelf.requests[1]


def test_the_first_packet_goes_while_the_rest_is_coded() -> None:
    bench = Bench(count=3, rest_s=0.02)
    bench.pair.run_until(10)
    assert [report.encoded_bytes for report in bench.reports] == [800] * 3
    assert [report.sent_bytes for report in bench.reports] == [800] * 3
    assert [report.received_bytes for report in bench.reports] == [800] * 3
    assert [report.encode_ms for report in bench.reports] == [3.0] * 3
    for report in bench.reports:
        assert report.first_packet_ms is not None
        assert 2.9 < report.first_packet_ms < 10


def test_a_picture_without_a_rest_in_time_is_reported_as_far_as_it_went() -> None:
    bench = Bench(count=2, rest_s=0.7)
    bench.pair.run_until(20)
    assert [report.sent_bytes for report in bench.reports] == [200] * 2
    assert [report.encoded_bytes for report in bench.reports] == [200] * 2
    assert np.diff(bench.shelf.requests) == pytest.approx([0.7], abs=0.02)


def test_a_fresh_link_forgets_the_rest_of_a_picture() -> None:
    bench = Bench(count=4, rest_s=0.2)
    bench.pair.at(0.1, lambda: bench.paced.link_opened(0.1))
    bench.pair.run_until(20)
    assert [report.picture_id for report in bench.reports] == [1, 2, 3, 4]


def test_a_picture_of_which_nothing_went_has_no_first_packet() -> None:
    bench = Bench(count=1, cuts=((0.3, 60.0),), late_s=0.4)
    bench.pair.run_until(60)
    (report,) = bench.reports
    assert report.sent_bytes == 0 or report.first_packet_ms is not None


def test_a_link_without_a_server_is_told_of_once() -> None:
    bench = Bench(cuts=((0.0, 60.0),))
    bench.pair.run_until(50)
    assert bench.times(Unanswered) == [pytest.approx(SILENCE_S, abs=1.1)]
    bench.pair.run_until(65)
    assert bench.reports


def test_a_server_that_falls_silent_is_told_of() -> None:
    bench = Bench(cuts=((10.0, 60.0),))
    bench.pair.run_until(50)
    (told,) = bench.times(Unanswered)
    assert 10 + SILENCE_S < told < 30


@pytest.mark.parametrize(
    ("data", "advice"),
    [(b"", "is `pnc serve` running"), (b">>> \r\n" * 40, "is it the right port")],
)
def test_what_is_heard_instead_of_a_server_decides_the_advice(data: bytes, advice: str) -> None:
    bench = Bench()
    bench.paced.link_opened(0.0)
    bench.paced.handle_timer(0.0)
    bench.paced.receive_data(data, 1.0)
    (event,) = [event for event in bench.paced.handle_timer(6.0) if isinstance(event, Unanswered)]
    assert advice in str(event)
    assert event.received_bytes == len(data)
    assert "\n" not in str(event)
