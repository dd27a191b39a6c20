"""Probe, recorder and echo over a virtual link, in virtual time."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pnc.commands.link_echo import Deframer, LinkEcho, encode_frame
from pnc.commands.link_figures import percentile, propose_mtu, trace_of_arrivals
from pnc.commands.link_measure import LinkProbe, LinkRecorder, ProbeFinished
from pnc.errors import LinkError
from pnc.testing import VirtualLinkConfig, VirtualPair
from pnc.transport.links.channel import ChannelConfig
from pnc.transport.links.trace import RateTrace


def link(rate_bps: float, *, delay_s: float = 0.01, **options: Any) -> VirtualLinkConfig:
    trace = options.pop("trace", RateTrace.constant(rate_bps))
    return VirtualLinkConfig(ChannelConfig(trace=trace, delay_s=delay_s, **options))


def run(near: LinkProbe, forward: VirtualLinkConfig, seconds: float = 120.0) -> VirtualPair:
    near.link_opened(0.0)
    pair = VirtualPair(cast("Any", near), cast("Any", LinkEcho()), forward, link(1e6))
    pair.run_until(seconds)
    return pair


@pytest.mark.parametrize("rate_bps", [8e3, 1.6e5])
def test_figures_are_those_of_the_link(rate_bps: float) -> None:
    probe = LinkProbe("emu://x", seconds=6.0, seed=1)
    pair = run(probe, link(rate_bps, delay_s=0.02, fifo_bytes=3000))
    figures = probe.figures
    assert figures is not None
    assert [type(event) for _, event in pair.sender_events] == [ProbeFinished]
    small_s = 0.03 + 8 * 13 / rate_bps
    assert small_s <= figures.round_trip_s <= figures.round_trip_p95_s < small_s + 0.02
    share = figures.goodput_bps / (rate_bps * 244 / 260)
    assert 0.88 < share < 1.03
    assert figures.loss == 0
    assert 3000 <= figures.hidden_bytes < 3000 + 2 * 260 + rate_bps / 8 * 0.04
    assert not figures.hidden_unbounded
    needed = rate_bps / 8 * 0.05
    assert figures.window_bytes <= max(1200, 4 * needed)
    assert figures.windows[0].window_bytes == 600


def test_a_layer_that_takes_everything_is_told() -> None:
    probe = LinkProbe("emu://x", seconds=3.0, seed=1)
    run(probe, link(8e4, fifo_bytes=10_000_000))
    assert probe.figures is not None
    assert probe.figures.hidden_unbounded
    assert probe.figures.hidden_bytes > 40_000


def test_losses_are_counted_and_make_packets_smaller() -> None:
    probe = LinkProbe("emu://x", seconds=6.0, seed=1)
    run(probe, link(1.6e5, loss=0.03, seed=1))
    assert probe.figures is not None
    assert 0.08 < probe.figures.loss < 0.18
    assert probe.figures.mtu_bytes < 244


def test_a_link_that_stands_still_now_and_then_is_measured_to_the_end() -> None:
    times = (0.0, 2.0, 4.0)
    probe = LinkProbe("emu://x", seconds=6.0, seed=1)
    trace = RateTrace(times, (8e4, 0.0, 8e4), 6.0)
    run(probe, link(0, trace=trace), seconds=300)
    assert probe.figures is not None
    assert probe.figures.loss == 0


def test_nobody_answers() -> None:
    with pytest.raises(LinkError, match=r"nobody answers; run `pnc link test URL --echo`"):
        run(LinkProbe("emu://x"), link(0.0))


def test_somebody_else_answers() -> None:
    probe = LinkProbe("emu://x")
    probe.link_opened(0.0)
    probe.receive_data(b"AT+OK\r\n\0", 1.0)
    with pytest.raises(LinkError, match="8 bytes came, none of them an answer"):
        probe.handle_timer(6.0)


def test_a_recording_plays_what_the_link_did() -> None:
    rates = (16_000.0, 64_000.0, 0.0, 32_000.0)
    trace = RateTrace((0.0, 2.0, 4.0, 5.0), rates, 8.0)
    recorder = LinkRecorder("emu://x", seconds=16.0, seed=1)
    run(recorder, link(0, trace=trace))
    recorded = trace_of_arrivals(recorder.arrivals, 0.25)
    assert recorded.mean_bps == pytest.approx(trace.mean_bps, rel=0.08)
    standstill = min(recorded.bytes_between(start / 4, start / 4 + 0.75) for start in range(28))
    assert standstill < 260


def test_arrivals_become_rates() -> None:
    arrivals = [(10.0, 100), (10.1, 200), (10.4, 500), (10.6, 500), (11.0, 900)]
    trace = trace_of_arrivals(arrivals, 0.2)
    assert trace.rates_bps == pytest.approx((8000, 8000, 0, 8000, 8000), abs=1e-6)
    for few in ([], [(0.0, 1)], [(0.0, 1), (0.1, 2)]):
        with pytest.raises(LinkError, match="too little arrived"):
            trace_of_arrivals(few, 0.2)


def test_proposed_packets() -> None:
    assert propose_mtu(0.0, 100_000) == 244
    assert propose_mtu(0.0, 1_000) == 64
    assert propose_mtu(0.5, 100_000) == 64
    assert propose_mtu(1.0, 0.0) == 64


def test_percentiles() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([float(number) for number in range(1, 21)], 0.95) == 19.0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=5), st.integers(1, 9))
def test_frames_come_back_in_any_portions(bodies: list[bytes], size: int) -> None:
    data = b"junk\0" + b"".join(map(encode_frame, bodies)) + b"\1" * 3000
    deframer = Deframer()
    got = [body for at in range(0, len(data), size) for body in deframer.feed(data[at : at + size])]
    assert got == bodies
    assert Deframer().feed(data) == bodies


def test_an_echo_does_not_mind_garbage() -> None:
    echo = LinkEcho()
    echo.link_opened(0.0)
    assert echo.receive_data(encode_frame(b"\x71short") + encode_frame(b"?"), 0.0) == []
    assert (echo.data_to_send(0.0), echo.handle_timer(0.0), echo.next_timer()) == (b"", [], None)
