"""What counts as late and what as in time."""

from __future__ import annotations

from pnc.replay.lateness import Outcome, judge, make_picture
from pnc.replay.stop_and_wait import Arrival


def test_a_packet_after_the_deadline_is_late_even_if_it_is_within_the_links_way() -> None:
    arrivals = [
        Arrival(1, 0, 100, 0.9),
        Arrival(1, 0, 100, 0.95),
        Arrival(1, 1, 100, 1.1),
        Arrival(1, 2, 100, 1.5),
        Arrival(2, 0, 100, 1.5),
    ]
    first, second, third = judge({1: 1.0, 2: 2.0, 3: 3.0}, arrivals, way_s=0.2)
    assert first == Outcome(in_time_bytes=200, late_packets=2, last_late_s=0.5)
    assert second == Outcome(in_time_bytes=100, late_packets=0, last_late_s=0.0)
    assert third == Outcome(in_time_bytes=0, late_packets=0, last_late_s=0.0)


def test_a_picture_is_more_than_a_link_carries() -> None:
    assert sum(map(len, make_picture(10_000, 244))) > 15_000
