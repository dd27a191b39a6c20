"""A device, a server and every fault, for some virtual minutes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pnc.replay.chaos import ChaosWorld, Fault, Kind, Verdict, judge, world
from pnc.replay.chaos.faults import DURATIONS_S
from pnc.transport.driver import RETRY_MAX_S, RETRY_S


@contextmanager
def chaos(tmp_path: Path, seed: int, duration_s: float, **options: object) -> Iterator[ChaosWorld]:
    folder = tmp_path / f"{seed} {len(list(tmp_path.iterdir()))}"
    folder.mkdir()
    one = ChaosWorld(seed, folder, **options)  # type: ignore[arg-type]
    one.run(duration_s)
    yield one
    one.close()


def verdict_of(one: ChaosWorld) -> Verdict:
    return judge(one.submitted, one.server.rows(), one.heard.rows())


def check(one: ChaosWorld, seed: int) -> Verdict:
    verdict, tally = verdict_of(one), one.tally
    repeat = f"python -m benchmarks chaos --hours 0.1 --seed {seed}"
    assert verdict.stored + verdict.unheard == tally.submitted, repeat
    assert verdict.lost == verdict.stored_again == verdict.contradicted == 0, repeat
    assert tally.ended_again == tally.ended_in_gaps == tally.heard_again == 0, repeat
    assert tally.damaged == 0, repeat
    return verdict


@pytest.mark.parametrize("seed", range(3))
def test_every_picture_has_one_result_whatever_happens(tmp_path: Path, seed: int) -> None:
    with chaos(tmp_path, seed, 240, mean_gap_s=8.0) as one:
        verdict = check(one, seed)
        assert len(one.tally.faults) > 5
        assert 0 < one.tally.heard <= verdict.stored


@pytest.mark.parametrize("kind", sorted(DURATIONS_S))
def test_a_fault_alone_loses_nothing(
    tmp_path: Path, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    length_s = min(20.0, DURATIONS_S[kind][1])
    faults = [Fault(kind, start_s, length_s) for start_s in (10.0, 20.0, 55.3)]
    monkeypatch.setattr(world, "draw_faults", lambda *_: iter(faults))
    with chaos(tmp_path, 1, 150) as one:
        verdict = check(one, 1)
        assert one.tally.faults == {kind: 3}
        assert verdict.unheard <= (3 if kind == "restart-device" else 0)


def test_same_seed_same_log(tmp_path: Path) -> None:
    lines: list[str] = []
    with (
        chaos(tmp_path, 5, 120, mean_gap_s=5.0, on_line=lines.append) as first,
        chaos(tmp_path, 5, 120, mean_gap_s=5.0) as again,
        chaos(tmp_path, 6, 120, mean_gap_s=5.0) as other,
    ):
        assert first.log_sha256 == again.log_sha256 != other.log_sha256
        assert first.tally == again.tally
    assert any("restart-server" in line for line in lines)


def test_without_faults_the_device_hears_everything(tmp_path: Path) -> None:
    with chaos(tmp_path, 0, 120, mean_gap_s=1e9) as one:
        assert verdict_of(one) == Verdict(one.tally.submitted, 0, 0, 0, 0)
        assert one.tally.heard == one.tally.submitted
        assert one.tally.late_packets <= 2


@pytest.mark.parametrize(
    ("away_s", "reopened_s"),
    [(0.0, RETRY_S), (RETRY_S, RETRY_S), (0.3, 0.75), (2.0, 2.75), (10.5, 9.75 + RETRY_MAX_S)],
)
def test_a_lost_link_is_opened_when_a_driver_would(away_s: float, reopened_s: float) -> None:
    assert world.reopened_after(away_s) == reopened_s


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_hours_of_chaos(tmp_path: Path, seed: int) -> None:
    with chaos(tmp_path, seed, 4 * 3600) as one:
        check(one, seed)
