from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from edge_server.store import Guess, PictureKey, Store
from pnc.errors import StoreError
from tests.edge_server.conftest import make_key, make_packets, make_result

WRITER = """
import sys
from edge_server.store import PictureKey, Result, Store
store = Store(sys.argv[1])
for number in range(1, 100_000):
    row = store.insert(Result(
        key=PictureKey("cam", int(sys.argv[2]), number), link_url="emu://x",
        checkpoint_id="00c0ffee", started_at=0.0, ended_at=0.5, stored_at=0.6, deadline_s=0.5,
        num_packets=8, packets={n: bytes([n]) * 200 for n in range(8)}, late_bytes=0,
        decode_s=0.0, classify_s=0.0, top=(), error=None, payload=b"{}"))
    sys.stdout.write(f"{row.key.picture_id}\\n")
    sys.stdout.flush()
"""


def test_a_result_comes_back_as_it_was_stored(store: Store) -> None:
    result = make_result(3, error="no decoder", top=(Guess("schön", 4, 0.25),))
    row = store.insert(result)
    for name in ("key", "link_url", "checkpoint_id", "started_at", "ended_at", "stored_at"):
        assert getattr(row, name) == getattr(result, name)
    for name in ("deadline_s", "num_packets", "late_bytes", "decode_s", "classify_s"):
        assert getattr(row, name) == getattr(result, name)
    assert (row.top, row.error, row.payload) == (result.top, result.error, result.payload)
    assert (row.received_packets, row.received_bytes) == (3, 120)
    assert store.packets(row.id) == make_packets()
    assert store.get(row.id) == row
    assert store.find(result.key) == row


def test_packets_come_back_in_priority_order_with_gaps_closed(store: Store) -> None:
    row = store.insert(make_result(packets={9: b"late", 0: b"first", 4: b"second"}))
    assert store.packets(row.id) == [b"first", b"second", b"late"]


def test_the_first_result_of_a_picture_stays(store: Store) -> None:
    first = store.insert(make_result(1))
    again = store.insert(make_result(1, payload=b"other", packets={0: b"other"}))
    assert again == first
    assert store.packets(first.id) == make_packets()
    assert store.count() == 1


def test_the_same_picture_twice_in_one_batch_is_one_row(store: Store) -> None:
    rows = store.insert_many([make_result(1), make_result(2), make_result(1, payload=b"x")])
    assert rows[0] == rows[2]
    assert store.count() == 2


@pytest.mark.parametrize("other", [make_key(2), make_key(1, device="b"), make_key(1, session_id=8)])
def test_device_session_and_picture_make_the_identity(store: Store, other: PictureKey) -> None:
    store.insert(make_result(1))
    store.insert(make_result(key=other))
    assert store.count() == 2


def test_unknown_pictures_are_none(store: Store) -> None:
    assert store.find(make_key(1)) is None
    assert store.get(1) is None
    assert store.packets(1) == []


def test_pages_go_back_from_the_newest(store: Store) -> None:
    store.insert_many([make_result(number) for number in range(1, 8)])
    first = store.page(limit=3)
    second = store.page(limit=3, before=first[-1].id)
    assert [row.key.picture_id for row in first + second] == [7, 6, 5, 4, 3, 2]


def test_pages_filter_by_device_and_time(store: Store) -> None:
    store.insert_many([make_result(1), make_result(2), make_result(key=make_key(3, device="b"))])
    assert [row.key.picture_id for row in store.page(device="cam")] == [2, 1]
    assert [row.key.picture_id for row in store.page(since=1002.5, device="cam")] == [2]
    assert store.page(device="nobody") == []


def test_devices_sum_up(store: Store) -> None:
    store.insert_many([make_result(1), make_result(2, packets={}, error="nothing")])
    (row,) = store.devices()
    assert row["device"] == "cam"
    assert (row["results"], row["on_time"], row["errors"]) == (2, 1, 1)
    assert (row["received_bytes"], row["late_bytes"]) == (120, 22)
    assert (row["first_seen_at"], row["last_seen_at"]) == (1001.0, 1002.5)


def test_results_outlive_the_store(tmp_path: Path) -> None:
    path = tmp_path / "r.sqlite"
    first = Store(path)
    row = first.insert(make_result(1))
    first.close()
    first.close()
    assert not path.with_name("r.sqlite-wal").exists()
    second = Store(path)
    assert second.find(make_key(1)) == row
    second.close()


def test_commits_wait_for_the_disk(store: Store) -> None:
    assert store._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._writer.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_second_server_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    first = Store(tmp_path / "r.sqlite")
    with pytest.raises(StoreError, match=rf"another server .*process {os.getpid()}.*--store"):
        Store(tmp_path / "r.sqlite")
    first.close()
    Store(tmp_path / "r.sqlite").close()


def test_readers_are_not_locked_out(store: Store) -> None:
    store.insert(make_result(1))
    with sqlite3.connect(store.path) as reader:
        assert reader.execute("SELECT COUNT(*) FROM results").fetchone() == (1,)
    reader.close()


def test_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot make the store here") as caught:
        Store(tmp_path / "missing" / "r.sqlite")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.sqlite"
    path.write_bytes(b"not a database, " * 100)
    with pytest.raises(StoreError, match="not an SQLite file"):
        Store(path)
    path.unlink()
    Store(path).close()


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "r.sqlite"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE diary (line TEXT)")
    other.close()
    with pytest.raises(StoreError, match="not a result store"):
        Store(path)


def test_a_store_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "r.sqlite"
    Store(path).close()
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(StoreError, match="version 99"):
        Store(path)


@pytest.mark.parametrize(
    ("version", "without"), [(1, ["stopped_early", "captured_at"]), (2, ["captured_at"])]
)
def test_a_store_of_an_older_version_is_carried_over(
    tmp_path: Path, version: int, without: list[str]
) -> None:
    path = tmp_path / "r.sqlite"
    with closing(Store(path)) as store:
        store.insert(make_result(1))
    with closing(sqlite3.connect(path)) as old:
        for column in without:
            old.execute(f"ALTER TABLE results DROP COLUMN {column}")
        old.execute(f"PRAGMA user_version = {version}")
    with closing(Store(path)) as store:
        assert [(row.stopped_early, row.captured_at) for row in store.page()] == [(False, None)]
        assert store.insert(make_result(2, stopped_early=True, captured_at=1e9)).stopped_early
    with closing(Store(path)) as store:
        rows = [row.to_json() for row in store.page()]
        assert [row["stopped_early"] for row in rows] == [True, False]
        assert [row["captured_at"] for row in rows] == [1e9, None]


def test_a_full_disk_stores_nothing_of_a_batch_and_heals(store: Store) -> None:
    store.insert(make_result(1))
    pages = store._writer.execute("PRAGMA page_count").fetchone()[0]
    store._writer.execute(f"PRAGMA max_page_count = {pages}")
    large = {0: bytes(100_000)}
    with pytest.raises(StoreError, match="disk is full") as caught:
        store.insert_many([make_result(2), make_result(3, packets=large)])
    assert "\n" not in str(caught.value)
    assert store.count() == 1
    store._writer.execute("PRAGMA max_page_count = 1000000")
    store.insert_many([make_result(2), make_result(3, packets=large)])
    assert store.count() == 3


def test_a_read_only_store_is_one_line(store: Store) -> None:
    store._writer.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreError, match="read-only"):
        store.insert(make_result(1))


def test_threads_share_a_store(store: Store) -> None:
    def write(session_id: int) -> None:
        for number in range(20):
            store.insert(make_result(key=make_key(number, session_id=session_id)))
            store.page(limit=5)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.count() == 80


def test_kill_loses_no_acknowledged_row(tmp_path: Path) -> None:
    path = tmp_path / "r.sqlite"
    for session_id, num_rows in enumerate((1, 7, 40)):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(session_id)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout is not None
        with writer.stdout as output:
            acknowledged = [int(output.readline()) for _ in range(num_rows)]
            writer.send_signal(signal.SIGKILL)
            acknowledged += [int(line) for line in output if line.endswith("\n")]
        assert writer.wait() == -signal.SIGKILL
        store = Store(path)
        for number in acknowledged:
            row = store.find(PictureKey("cam", session_id, number))
            assert row is not None, f"picture {number} was acknowledged and is lost"
            assert len(store.packets(row.id)) == 8
        assert store._writer.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        store.close()
