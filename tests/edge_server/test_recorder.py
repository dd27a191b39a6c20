from __future__ import annotations

import queue
from collections.abc import Sequence
from pathlib import Path

import pytest

from edge_server.recorder import Recorder
from edge_server.store import Result, Store, StoredResult
from pnc.errors import StoreError
from tests.edge_server.conftest import make_key, make_result

WAIT_S = 20.0


class FailingStore(Store):
    """A store that fails so many times."""

    def __init__(self, path: Path, num_failures: int) -> None:
        super().__init__(path)
        self.num_failures = num_failures
        self.num_commits = 0

    def insert_many(self, results: Sequence[Result]) -> list[StoredResult]:
        if self.num_failures > 0:
            self.num_failures -= 1
            raise StoreError("results.sqlite: the disk is full; make room")
        self.num_commits += 1
        return super().insert_many(results)


def test_a_result_is_told_only_after_its_commit(store: Store) -> None:
    told: queue.Queue[tuple[StoredResult, StoredResult | None]] = queue.Queue()
    recorder = Recorder(store, lambda row: told.put((row, store.find(row.key))))
    recorder.start()
    recorder.put(make_result(1))
    row, found = told.get(timeout=WAIT_S)
    recorder.close()
    assert row == found


def test_results_that_wait_share_one_commit(tmp_path: Path) -> None:
    store = FailingStore(tmp_path / "r.sqlite", 0)
    told: list[int] = []
    recorder = Recorder(store, lambda row: told.append(row.key.picture_id))
    for number in range(1, 6):
        recorder.put(make_result(number))
    recorder.start()
    recorder.close()
    store.close()
    assert told == [1, 2, 3, 4, 5]
    assert store.num_commits == 1


def test_while_the_store_fails_nothing_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    store = FailingStore(tmp_path / "r.sqlite", 3)
    told: queue.Queue[int] = queue.Queue()
    lines: list[str | None] = []
    recorder = Recorder(
        store, lambda row: told.put(row.key.picture_id), lines.append, retry_s=0.001
    )
    recorder.start()
    for number in (1, 2):
        recorder.put(make_result(number))
    assert [told.get(timeout=WAIT_S) for _ in range(2)] == [1, 2]
    recorder.close()
    assert store.num_failures == 0
    store.close()
    assert lines == ["results.sqlite: the disk is full; make room", None]
    assert recorder.error is None


def test_closing_gives_up_on_a_store_that_still_fails(tmp_path: Path) -> None:
    store = FailingStore(tmp_path / "r.sqlite", 10**9)
    told: list[StoredResult] = []
    recorder = Recorder(store, told.append, retry_s=3600)
    recorder.put(make_result(1))
    recorder.start()
    recorder.close()
    store.close()
    assert told == []
    assert recorder.error is not None


def test_a_backlog_has_an_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_server.recorder.MAX_BACKLOG", 2)
    recorder = Recorder(store, lambda row: None)
    assert [recorder.put(make_result(number)) for number in (1, 2, 3)] == [True, True, False]


def test_a_listener_that_fails_does_not_stop_the_others(store: Store) -> None:
    told: queue.Queue[int] = queue.Queue()

    def tell(row: StoredResult) -> None:
        if row.key == make_key(1):
            raise RuntimeError("a defect")
        told.put(row.key.picture_id)

    recorder = Recorder(store, tell)
    recorder.start()
    for number in (1, 2):
        recorder.put(make_result(number))
    assert told.get(timeout=WAIT_S) == 2
    recorder.close()
