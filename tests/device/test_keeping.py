"""Pictures that are kept while nobody answers, on a virtual clock and a virtual link."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from device.keeping import Keeper, KeepingSender
from device.pictures import Finished, PictureReport
from device.policy import parse_policy
from device.spool import Spool
from pnc.errors import ConfigError
from pnc.transport.events import PictureEnded
from tests.device.bench import Bench

NOW = 1.5e9
"""Unix time at which the virtual clock begins."""


class KeepingBench(Bench):
    """A bench with a spool, on whose sender ``keep`` is called as a Keeper does."""

    def __init__(self, folder: Path, *, until: float = 60.0, **options: Any) -> None:
        self.folder = folder
        self.spool = Spool(folder, 1_000_000, checkpoint_id="0badcafe", mtu_bytes=244)
        super().__init__(make=self._make, **options)
        self.keeping.link_opened(0.0)
        for step in range(int(until / 0.05)):
            self.pair.at(0.05 * step, lambda: self.keeping.keep(self.pair.clock()))

    def _make(self, *args: Any, **options: Any) -> KeepingSender:
        options["wall_clock"] = lambda: NOW + self.pair.clock()
        self.keeping = KeepingSender(*args, spool=self.spool, **options)
        return self.keeping

    @property
    def ended(self) -> list[PictureEnded]:
        return [event for _, event in self.pair.receiver_events if isinstance(event, PictureEnded)]

    @property
    def kept(self) -> list[PictureReport]:
        return [report for report in self.reports if report.age_s]


def test_with_a_link_nothing_is_kept(tmp_path: Path) -> None:
    bench = KeepingBench(tmp_path, count=5)
    bench.pair.run_until(20)
    assert len(bench.reports) == 5
    assert not bench.kept
    assert list(tmp_path.iterdir()) == []


def test_what_was_taken_without_a_link_arrives_later_with_its_time(tmp_path: Path) -> None:
    bench = KeepingBench(tmp_path, num=40, cuts=((4.0, 12.0),))
    bench.pair.run_until(60)
    assert sorted(report.source for report in bench.reports) == sorted(
        {report.source for report in bench.reports}
    )
    assert len(bench.kept) >= 10
    assert all(report.result_ms is not None for report in bench.kept)
    kept = [ended for ended in bench.ended if ended.age_s]
    assert len(kept) == len(bench.kept)
    captured = [ended.started_at - ended.age_s for ended in kept]
    assert captured == sorted(captured)
    assert 4.0 < captured[0] < captured[-1] < 13.0
    assert all(len(ended.packets) == 4 for ended in kept)
    assert list(tmp_path.iterdir()) == []


def test_kept_pictures_never_hold_up_new_ones(tmp_path: Path) -> None:
    def new(cuts: tuple[tuple[float, float], ...], folder: Path) -> list[PictureEnded]:
        bench = KeepingBench(folder, count=60, cuts=cuts, rate_bps=20_000)
        bench.pair.run_until(60)
        return [ended for ended in bench.ended if not ended.age_s and ended.started_at > 20]

    with_kept = new(((4.0, 12.0),), tmp_path / "cut")
    without = new((), tmp_path / "whole")
    sent = [
        sum(ended.received_bytes for ended in some) / len(some) for some in (with_kept, without)
    ]
    assert sent[0] == pytest.approx(sent[1], rel=0.03)


def test_a_link_that_is_always_busy_sends_no_kept_picture(tmp_path: Path) -> None:
    bench = KeepingBench(tmp_path, rate_bps=8000, cuts=((4.0, 12.0),))
    bench.pair.run_until(40)
    assert not bench.kept
    assert len(list(tmp_path.iterdir())) >= 10


def test_a_new_picture_does_not_wait_for_a_kept_one_under_any_policy(tmp_path: Path) -> None:
    bench = KeepingBench(tmp_path, num=40, cuts=((4.0, 12.0),), policy=parse_policy("complete"))
    bench.pair.run_until(60)
    assert len(bench.reports) == 40
    assert bench.kept


def test_what_was_kept_is_sent_after_a_restart_while_the_source_has_nothing(
    tmp_path: Path,
) -> None:
    first = KeepingBench(tmp_path, num=6, cuts=((0.0, 60.0),))
    first.pair.run_until(10)
    assert len(list(tmp_path.iterdir())) == 6
    second = KeepingBench(tmp_path, num=0)
    second.pair.run_until(30)
    assert [report.source for report in second.kept] == [f"picture {n}" for n in range(1, 7)]
    assert len(second.times(Finished)) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_kept_picture_of_which_nothing_arrived_waits_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = KeepingBench(tmp_path, num=1, cuts=((0.0, 60.0),))
    first.pair.run_until(10)
    monkeypatch.setattr("tests.device.bench.RESULT", b'{"top":[],"bytes":0}')
    second = KeepingBench(tmp_path, num=0)
    second.pair.run_until(2)
    assert len(list(tmp_path.iterdir())) == 1
    monkeypatch.setattr("tests.device.bench.RESULT", b'{"top":[],"bytes":9}')
    second.pair.run_until(10)
    assert list(tmp_path.iterdir()) == []


def test_the_count_is_of_pictures_that_were_taken(tmp_path: Path) -> None:
    bench = KeepingBench(tmp_path, count=10, cuts=((2.0, 12.0),))
    bench.pair.run_until(40)
    assert len(bench.reports) == 10
    assert len(bench.times(Finished)) == 1


def test_the_rest_of_a_picture_is_kept_as_well(tmp_path: Path) -> None:
    bench = KeepingBench(tmp_path, num=10, rest_s=0.02, cuts=((0.0, 20.0),))
    bench.pair.run_until(60)
    assert {report.encoded_bytes for report in bench.kept} == {800}


def test_a_link_that_closes_makes_pictures_be_kept(tmp_path: Path) -> None:
    bench = KeepingBench(tmp_path)
    bench.pair.run_until(2)
    bench.keeping.link_closed()
    bench.pair.run_until(8)
    assert len(list(tmp_path.iterdir())) >= 8


def test_the_keeper_ends_with_what_makes_the_source_useless(tmp_path: Path) -> None:
    bench = KeepingBench(tmp_path, until=0.0)
    stop = threading.Event()

    def fail() -> None:
        raise ConfigError("folder: gone")

    bench.shelf.collect = fail  # type: ignore[method-assign]
    keeper = Keeper(bench.keeping, threading.Condition(), on_error=stop.set)
    assert stop.wait(10)
    keeper.close()
    with pytest.raises(ConfigError, match="gone"):
        keeper.check()
