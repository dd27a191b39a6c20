"""The sessions over a link that damages what both of them send."""

from __future__ import annotations

import random

import pytest

from pnc.errors import ConfigError
from pnc.replay.faults import Fault, FaultRun, longest_skip, resent_share, send_through
from pnc.transport.wire import Data, Ping, encode_frame

NUM_PICTURES = 40


def run_with(fault: Fault, mtu_bytes: int = 64) -> FaultRun:
    source = random.Random(1)
    pictures = [[source.randbytes(mtu_bytes) for _ in range(20)] for _ in range(NUM_PICTURES)]
    run = send_through(pictures, fault, rate_bps=20_000, deadline_s=0.4, mtu_bytes=mtu_bytes)
    assert all(
        packet in packets
        for packets, arrived in zip(pictures, run.arrived, strict=True)
        for packet in arrived
    )
    return run


@pytest.mark.parametrize(
    "fault",
    [Fault(), Fault(loss=0.2), Fault(loss=0.5), Fault(bit_error=1e-4), Fault(bit_error=1e-3)],
    ids=str,
)
def test_every_picture_has_one_end_and_one_result_at_the_device(fault: Fault) -> None:
    run = run_with(fault)
    assert run.num_ends == run.num_results == [1] * NUM_PICTURES
    assert max(run.result_after_s) < 60
    assert run.longest_skip_bytes <= run.longest_frame_bytes


def test_faults_cost_bytes_in_proportion() -> None:
    whole, lossy, lossier = (run_with(Fault(loss=share)) for share in (0.0, 0.2, 0.5))
    assert whole.goodput_bps > 0.75 * 20_000
    assert 0.6 < lossy.goodput_bps / whole.goodput_bps < 0.9
    assert 0.2 < lossier.goodput_bps / whole.goodput_bps < 0.6
    assert whole.resent_share == 0 < lossy.resent_share


def test_the_same_seed_gives_the_same_run() -> None:
    assert run_with(Fault(loss=0.2)) == run_with(Fault(loss=0.2))


def test_what_was_sent_before_is_counted() -> None:
    frames = [Data(1, seq, 1, index, 3, 100, b"x") for seq, index in enumerate([0, 1, 0, 2])]
    assert resent_share(b"".join(map(encode_frame, frames))) == 0.25
    assert resent_share(encode_frame(Ping(1, 0))) == 0.0


def test_a_damaged_delimiter_costs_the_frame_behind_it_and_no_more() -> None:
    frames = [encode_frame(Data(1, seq, 1, seq, 9, 100, b"packet")) for seq in range(4)]
    written = b"".join(frames)
    end = len(frames[0]) + len(frames[1]) - 1
    damaged = written[:end] + b"!" + written[end + 1 :]
    assert longest_skip(written, damaged) == len(frames[2])
    cut = written[: end - 2] + written[end + 3 :]
    assert longest_skip(written, cut) == 0
    assert longest_skip(written, written) == 0
    assert longest_skip(written, frames[0] + frames[3]) == 0


@pytest.mark.parametrize(("rate_bps", "deadline_s"), [(1.0, 0.0), (0.0, 1.0)])
def test_impossible_settings_are_refused(rate_bps: float, deadline_s: float) -> None:
    with pytest.raises(ConfigError, match="must be positive"):
        send_through([], Fault(), rate_bps=rate_bps, deadline_s=deadline_s)


def test_impossible_faults_are_refused() -> None:
    with pytest.raises(ConfigError, match="not a probability"):
        send_through([[b"x"]], Fault(loss=2.0), rate_bps=1.0, deadline_s=1.0)
