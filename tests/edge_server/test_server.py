from __future__ import annotations

import asyncio
import json
import queue
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from edge_server.server import EdgeServer
from edge_server.store import Store
from edge_server.workers import Catalogue, Snapshot
from pnc.transport.events import DeviceConnected
from tests.edge_server.conftest import (
    CHECKPOINT_ID,
    make_ended,
    make_key,
    make_packets,
    make_result,
)

WAIT_S = 20.0


class Watcher:
    """An open page: collects events in a thread of its own."""

    def __init__(self, server: EdgeServer) -> None:
        self._events: queue.Queue[tuple[str, dict[str, Any]]] = queue.Queue()
        self._server = server
        self._thread = threading.Thread(target=lambda: asyncio.run(self._watch()))
        self._thread.start()
        self.wait_for("status")

    async def _watch(self) -> None:
        subscription = self._server.events.subscribe()
        await anext(subscription)
        async for text in subscription:
            kind, data = text.strip().split("\n")
            event = json.loads(data.removeprefix("data: "))
            self._events.put((kind.removeprefix("event: "), event))

    def wait_for(self, kind: str) -> dict[str, Any]:
        while True:
            name, data = self._events.get(timeout=WAIT_S)
            if name == kind:
                return data

    def close(self) -> None:
        self._server.events.close()
        self._thread.join()


@pytest.fixture
def server(
    store: Store, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> Iterator[EdgeServer]:
    monkeypatch.setattr("edge_server.server.STATUS_INTERVAL_S", 0.01)
    server = EdgeServer(store, catalogue)
    server.start([], open_link=lambda url: pytest.fail(url))
    yield server
    server.stop()


@pytest.fixture
def watcher(server: EdgeServer) -> Iterator[Watcher]:
    watcher = Watcher(server)
    yield watcher
    watcher.close()


def make_snapshot(count: int) -> Snapshot:
    packets = dict(enumerate(make_packets(count)))
    return Snapshot(
        key=make_key(1), link_url="emu://x", checkpoint_id=CHECKPOINT_ID, packets=packets
    )


def test_a_picture_is_followed_from_its_start_to_its_result(
    server: EdgeServer, watcher: Watcher
) -> None:
    server.device_connected("emu://x", DeviceConnected("cam", CHECKPOINT_ID, 7))
    assert watcher.wait_for("link")["state"] == "connected"
    server.picture_started(make_key(1), 0.5, 3)
    name = {"device": "cam", "session_id": 7, "picture_id": 1}
    assert watcher.wait_for("picture") == {**name, "deadline_s": 0.5, "num_packets": 3}
    server.packet_received(make_snapshot(1))
    progress = watcher.wait_for("progress")
    assert progress == {**name, "received_packets": 1, "received_bytes": 40}
    preview = watcher.wait_for("preview")
    assert preview["top"][0]["label"] == "bright"
    assert server.previewer is not None
    assert server.previewer.picture("cam") is not None
    assert server.picture_ended(make_ended(1))
    assert watcher.wait_for("ended") == {**name, "received_bytes": 120}
    result = watcher.wait_for("result")
    assert (result["picture_id"], result["received_bytes"]) == (1, 120)
    totals = server.metrics.totals
    assert (totals.results, totals.previews, totals.received_bytes) == (1, 1, 40)


def test_the_delay_of_a_result_does_not_depend_on_the_clock_on_the_wall(
    server: EdgeServer, watcher: Watcher
) -> None:
    ended = make_ended(1)
    assert ended.ended_at < 2000, "the clock was set since"
    assert server.picture_ended(ended)
    watcher.wait_for("result")
    delay_s = server.status()["metrics"]["median_delay_s"]
    assert 0 < delay_s < WAIT_S


def test_a_device_that_calls_itself_anything_fills_no_memory(
    store: Store, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_server.server.MAX_DEVICES", 5)
    server = EdgeServer(store, catalogue)
    for number in range(20):
        device = DeviceConnected(f"cam {number}", CHECKPOINT_ID, number)
        server.device_connected("emu://x", device)
        server.device_connected("emu://x", DeviceConnected("regular", CHECKPOINT_ID, 1))
    assert list(server.connected_devices()) == ["cam 16", "cam 17", "cam 18", "cam 19", "regular"]
    server.stop()


def test_a_picture_in_work_is_not_worked_on_twice(store: Store, catalogue: Catalogue) -> None:
    server = EdgeServer(store, catalogue)
    assert server.picture_ended(make_ended(1))
    assert server.picture_ended(make_ended(1))
    assert server.pool.num_waiting == 1
    assert server.metrics.totals.pictures == 1
    server.stop()


def test_a_picture_that_was_refused_may_come_again(
    store: Store, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = EdgeServer(store, catalogue)
    monkeypatch.setattr("edge_server.workers.MAX_QUEUED_PICTURES", 0)
    assert not server.picture_ended(make_ended(1))
    monkeypatch.undo()
    assert server.picture_ended(make_ended(1))
    monkeypatch.setattr("edge_server.recorder.MAX_BACKLOG", 0)
    server._finished(make_result(1))
    assert server.picture_ended(make_ended(1))
    assert server.pool.num_waiting == 2
    server.stop()


def test_a_failing_store_is_told_to_the_page(server: EdgeServer, watcher: Watcher) -> None:
    server._store_changed("the disk is full")
    assert watcher.wait_for("store") == {"error": "the disk is full"}
    server._store_changed(None)
    assert watcher.wait_for("store") == {"error": None}
    assert server.metrics.totals.store_failures == 1
