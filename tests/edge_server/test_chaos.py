"""The edge server's own intake and store under every fault, the jumps of the wall clock too."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_server.receiver import Intake, LinkState
from edge_server.store import PictureKey, Store, StoredResult
from edge_server.workers import EndedPicture, Snapshot
from pnc.replay.chaos import ChaosWorld, Key, Server, Surroundings, judge, make_payload
from pnc.transport.events import DeviceConnected, Event
from tests.edge_server.conftest import make_result


class RealServer:
    """An :class:`Intake` and a :class:`Store`; a worker that takes its time in virtual time."""

    def __init__(self, path: Path, around: Surroundings) -> None:
        self._store = Store(path)
        self._around = around
        self._intake = self._make_intake()
        self._in_work: set[PictureKey] = set()

    def handle(self, event: Event, wall_offset_s: float) -> None:
        self._intake.handle(event, wall_offset_s)

    def kill(self) -> None:
        self._in_work = set()
        self._intake = self._make_intake()

    def rows(self) -> Iterator[tuple[Key, bytes]]:
        with sqlite3.connect(self._store.path) as file:
            query = "SELECT session_id, picture_id, payload FROM results ORDER BY 1, 2"
            for session_id, picture_id, payload in file.execute(query):
                yield Key(session_id, picture_id), payload
        file.close()

    def close(self) -> None:
        self._store.close()

    def find(self, key: PictureKey) -> StoredResult | None:
        return self._store.find(key)

    def picture_ended(self, picture: EndedPicture) -> bool:
        in_work, intake = self._in_work, self._intake
        if picture.key in in_work:
            return True
        in_work.add(picture.key)

        def finish() -> None:
            if in_work is self._in_work:
                in_work.discard(picture.key)
                row = self._store.insert(
                    make_result(
                        key=picture.key,
                        packets=picture.packets,
                        payload=make_payload(picture.packets),
                        started_at=picture.started_at,
                        ended_at=picture.ended_at,
                    )
                )
                intake.acknowledge(row.key, row.payload)

        self._around.later(self._around.draw_work_s(), finish)
        return True

    def device_connected(self, url: str, device: DeviceConnected) -> None: ...
    def picture_started(self, key: PictureKey, deadline_s: float, num_packets: int) -> None: ...
    def packet_received(self, snapshot: Snapshot) -> None: ...
    def answered_again(self, row: StoredResult) -> None: ...
    def link_changed(self, state: LinkState) -> None: ...

    def _make_intake(self) -> Intake:
        return Intake(
            "emu://chaos",
            self,
            lambda key, payload: self._around.send_result(
                Key(key.session_id, key.picture_id), payload
            ),
        )


def make_server(folder: Path, around: Surroundings) -> Server:
    return RealServer(folder / "results.sqlite", around)


def run(folder: Path, seed: int, duration_s: float, mean_gap_s: float) -> ChaosWorld:
    world = ChaosWorld(seed, folder, make_server=make_server, mean_gap_s=mean_gap_s)
    world.run(duration_s)
    verdict = judge(world.submitted, world.server.rows(), world.heard.rows())
    assert verdict.lost == verdict.stored_again == verdict.contradicted == 0
    assert verdict.stored + verdict.unheard == world.tally.submitted
    assert world.tally.heard_again == 0
    assert "clock" in world.tally.faults
    with sqlite3.connect(folder / "results.sqlite") as file:
        query = "SELECT MIN(ended_at - started_at), MAX(ended_at - started_at) FROM results"
        shortest_s, longest_s = file.execute(query).fetchone()
    file.close()
    assert shortest_s >= 0, "the wall clock jumped between start and end"
    assert longest_s < 60
    world.close()
    return world


@pytest.mark.parametrize("seed", [1, 2])
def test_one_row_for_each_picture(tmp_path: Path, seed: int) -> None:
    run(tmp_path, seed, 180, mean_gap_s=4.0)


@pytest.mark.slow
def test_one_row_for_each_picture_of_two_hours(tmp_path: Path) -> None:
    run(tmp_path, 9, 7200, mean_gap_s=45.0)
