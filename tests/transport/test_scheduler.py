"""Window, patience, and which packet is next."""

from __future__ import annotations

import math

import pytest

from pnc.config import SenderConfig
from pnc.transport.scheduler import OutgoingPicture
from pnc.transport.window import (
    GOODPUT_HORIZON_S,
    MIN_PROBE_S,
    USUAL_SPREAD,
    WORST,
    GoodputMeter,
    SentFrame,
    WindowControl,
)
from pnc.transport.wire import wire_bytes


def send_and_ack(control: WindowControl, at: float, rtt_s: float, num_bytes: int) -> None:
    frame = SentFrame(at, num_bytes)
    control.on_sent(frame)
    control.on_delivered(frame, at + rtt_s)


def test_packets_come_in_priority_order_and_lost_ones_keep_their_rank() -> None:
    picture = OutgoingPicture(1, [b"a", b"bb", b"ccc"], deadline=1.0)
    assert [picture.take() for _ in range(3)] == [b"a", b"bb", b"ccc"]
    assert picture.peek() is None
    picture.lost(2)
    picture.lost(0)
    assert picture.peek() == 0
    picture.delivered(0)
    assert picture.peek() == 2
    assert picture.bytes_sent == 6
    assert not picture.complete
    picture.delivered(1)
    picture.delivered(2)
    assert picture.complete
    picture.restart()
    assert picture.peek() == 0


def test_window_begins_at_its_start_and_obeys_the_grant() -> None:
    control = WindowControl(SenderConfig(window_start_bytes=2000))
    assert control.window_bytes(16384) == pytest.approx(2000, abs=1)
    assert control.window_bytes(700) == 700


def test_window_follows_rate_times_round_trip_within_bounds() -> None:
    control = WindowControl(SenderConfig(window_max_bytes=4000))
    send_and_ack(control, 0.0, 0.1, 1000)
    assert control.rate_bytes_per_s == pytest.approx(10_000)
    assert control.window_bytes(16384) == pytest.approx(2000, abs=1)
    send_and_ack(control, 1.0, 0.1, 9000)
    control.meter.mean = 90_000.0
    assert control.window_bytes(16384) == pytest.approx(4000, abs=1)
    slow = WindowControl(SenderConfig())
    send_and_ack(slow, 0.0, 0.01, 100)
    assert slow.window_bytes(16384) == max(512, 2 * wire_bytes(244))


def test_rate_forgets_an_old_maximum_but_not_for_lack_of_pictures() -> None:
    control = WindowControl(SenderConfig())
    send_and_ack(control, 0.0, 0.1, 1000)
    send_and_ack(control, 0.5, 0.1, 100)
    assert control.rate_bytes_per_s == pytest.approx(10_000)
    send_and_ack(control, 5.0, 0.1, 100)
    assert control.rate_bytes_per_s == pytest.approx(1_000)
    control.on_idle()
    send_and_ack(control, 9.0, 0.1, 10)
    assert control.rate_bytes_per_s == pytest.approx(1_000)


def test_acks_that_come_bunched_give_no_rate() -> None:
    control = WindowControl(SenderConfig())
    send_and_ack(control, 0.0, 0.1, 100)
    first, second = SentFrame(1.0, 100), SentFrame(1.0, 100)
    control.on_sent(first)
    control.on_delivered(first, 1.1)
    control.in_flight_bytes = 50
    control.on_sent(second)
    control.on_delivered(second, 1.1)
    assert control.rate_bytes_per_s == pytest.approx(1000)


def test_hopeless_frames_are_held_once_a_rate_is_known() -> None:
    control = WindowControl(SenderConfig())
    assert control.arrives_by(0.0, 500, 1.0)
    send_and_ack(control, 0.0, 1.0, 1000)
    control.on_sent(SentFrame(2.0, 500))
    assert control.arrives_by(3.0, 500, 2.0)
    assert not control.arrives_by(2.9, 500, 2.0)


def test_patience_grows_with_probes_up_to_its_limit() -> None:
    control = WindowControl(SenderConfig(initial_rtt_s=0.1, probe_max_s=0.5))
    assert control.patience_s == 0.2
    control.probes = 9
    assert control.patience_s == 0.5
    control.probes = 0
    for _ in range(50):
        control.on_rtt(0.001)
    assert control.patience_s == MIN_PROBE_S


def test_the_meter_knows_mean_and_spread_of_a_link() -> None:
    meter = GoodputMeter()
    assert (meter.mean, meter.spread) == (None, 1.0)
    meter.resume()
    for step in range(400):
        meter.add(100 if step // 25 % 2 else 60, step / 100)
    assert meter.mean == pytest.approx(8_000, rel=0.05)
    assert meter.spread == pytest.approx(0.25, rel=0.2)
    for step in range(400, 2400):
        meter.add(100, step / 100)
    assert meter.mean == pytest.approx(10_000, rel=0.05)
    assert meter.spread < 0.1


def test_the_meter_leaves_out_times_in_which_nothing_waited() -> None:
    meter = GoodputMeter()
    now = 0.0
    for _ in range(20):
        meter.resume()
        for _ in range(11):
            meter.add(100, now)
            now += 0.01
        meter.pause()
        meter.add(100, now)
        now += 3.0
    assert meter.mean == pytest.approx(10_000)
    assert meter.spread == pytest.approx(0, abs=1e-6)


def test_the_meter_begins_anew_on_a_link_that_came_back_faster() -> None:
    meter = GoodputMeter()
    meter.resume()
    for step in range(400):
        meter.add(10, step / 100)
    meter.pause()
    assert meter.mean == pytest.approx(1_000, rel=0.02)
    assert meter.is_recent(4 + GOODPUT_HORIZON_S - 0.5)
    assert not meter.is_recent(4 + GOODPUT_HORIZON_S)
    meter.resume()
    for step in range(900, 1030):
        meter.add(100, step / 100)
    assert meter.mean == pytest.approx(10_000, rel=0.02)
    assert meter.spread < 0.02


def test_near_the_deadline_the_mean_rate_decides() -> None:
    control = WindowControl(SenderConfig())
    send_and_ack(control, 0.0, 1.0, 1000)
    control.on_sent(SentFrame(2.0, 500))
    meter = control.meter
    meter.mean, meter._num_values, meter._valued_at = 800.0, 10**6, 1.5
    assert control.arrives_by(3.25, 500, 2.0)
    assert not control.arrives_by(3.24, 500, 2.0)
    meter._valued_at = -GOODPUT_HORIZON_S
    assert control.arrives_by(3.0, 500, 2.0), "the mean is not recent any more"


def test_in_a_bad_moment_two_frames_are_late_at_most() -> None:
    control = WindowControl(SenderConfig(mtu_bytes=244))
    send_and_ack(control, 0.0, 0.1, 10_000)
    control.on_sent(SentFrame(2.0, 3 * wire_bytes(244)))
    meter = control.meter
    meter.mean, meter._num_values, meter._valued_at = 10_000.0, 10**6, 1.9
    assert control.arrives_by(2.2, wire_bytes(244), 2.0)
    meter._variance = (USUAL_SPREAD * meter.mean) ** 2
    missing = WORST * USUAL_SPREAD * 10_000 * math.sqrt(0.25 * 0.2)
    assert 10_000 * 0.2 - missing + 2 * wire_bytes(244) < 4 * wire_bytes(244)
    assert not control.arrives_by(2.2, wire_bytes(244), 2.0)
    control.on_gone(SentFrame(2.0, 2 * wire_bytes(244)), link_lost_it=False)
    assert control.arrives_by(2.2, wire_bytes(244), 2.0)


def test_a_radio_that_is_polled_gets_a_window_for_its_usual_round_trip() -> None:
    control = WindowControl(SenderConfig(window_max_bytes=16384))
    now = 0.0
    for step in range(40):
        rtt_s = 0.004 if step % 4 == 0 else 0.08
        send_and_ack(control, now, rtt_s, 4840)
        now += 0.1
    assert control.window_bytes(16384) > 4840
