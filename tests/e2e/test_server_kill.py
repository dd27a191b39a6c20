"""``kill -9`` of the server under load, over a real pty radio: nothing acknowledged is lost."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pnc import Codec, belt
from pnc.config import SenderConfig
from pnc.transport.driver import Driver
from pnc.transport.events import Event, ResultReceived
from pnc.transport.links.channel import ChannelConfig
from pnc.transport.links.pty_radio import PtyRadio
from pnc.transport.links.trace import RateTrace
from pnc.transport.sender import Sender

pytestmark = pytest.mark.e2e

DEADLINE_S = 0.2
SESSION_ID = 42
ACKNOWLEDGED_BETWEEN_KILLS = 5
WAIT_S = 60.0


class Camera:
    """Submits a picture every deadline; remembers every acknowledgement, repeated ones too."""

    def __init__(self, url: str, codec: Codec) -> None:
        self.answers: dict[int, list[bytes]] = {}
        self.num_submitted = 0
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._packets = [
            codec.packetize(codec.encode(belt.render(index, seed=4)[0]), 244) for index in range(4)
        ]
        config = SenderConfig(
            device_name="cam", checkpoint_id=codec.checkpoint.id, session_id=SESSION_ID
        )
        self.driver = Driver(Sender(config), url, on_event=self._note)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self.driver.start()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def wait_for_more(self, count: int) -> None:
        """Wait until so many further pictures are acknowledged."""
        with self._changed:
            goal = len(self.answers) + count
            assert self._changed.wait_for(lambda: len(self.answers) >= goal, WAIT_S), (
                "the server does not answer"
            )

    def _run(self) -> None:
        while not self._stop.wait(DEADLINE_S):
            self.num_submitted = self.driver.call(self._submit)

    def _submit(self, sender: Sender, now: float) -> int:
        packets = self._packets[self.num_submitted % len(self._packets)]
        return sender.submit(packets, deadline=now + DEADLINE_S, now=now)

    def _note(self, event: Event) -> None:
        if isinstance(event, ResultReceived):
            with self._changed:
                self.answers.setdefault(event.picture_id, []).append(event.payload)
                self._changed.notify_all()


@contextmanager
def run_server(url: str, store: Path, log: Path) -> Iterator[subprocess.Popen[str]]:
    words = ["--link", url, "--store", str(store), "--port", "0", "--json"]
    with log.open("a", encoding="utf-8") as errors:
        server = subprocess.Popen(
            [sys.executable, "-m", "pnc.cli", "serve", *words],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert server.stdout is not None
    with server.stdout as output:
        try:
            first = output.readline()
            assert first, log.read_text(encoding="utf-8")
            assert json.loads(first)["event"] == "ready"
            yield server
        finally:
            server.kill()
            server.wait()


def kill_and_check(tmp_path: Path, num_kills: int, seed: int) -> None:
    store, log = tmp_path / "results.sqlite", tmp_path / "server.log"
    source = random.Random(seed)
    channel = ChannelConfig(trace=RateTrace.constant(150_000))
    with PtyRadio(channel) as radio:
        radio.start()
        camera = Camera(f"serial://{radio.a}?baud=230400", Codec.load("belt"))
        camera.start()
        url = f"serial://{radio.b}?baud=230400"
        for _ in range(num_kills):
            with run_server(url, store, log) as server:
                camera.wait_for_more(ACKNOWLEDGED_BETWEEN_KILLS)
                threading.Event().wait(source.uniform(0, DEADLINE_S))
                server.kill()
        with run_server(url, store, log) as server:
            camera.wait_for_more(ACKNOWLEDGED_BETWEEN_KILLS)
            camera.stop()
            server.terminate()
            assert server.wait(WAIT_S) == 0, log.read_text(encoding="utf-8")
        camera.driver.stop()
    assert "Traceback" not in log.read_text(encoding="utf-8")
    with sqlite3.connect(store) as database:
        rows = database.execute("SELECT session_id, picture_id, payload FROM results").fetchall()
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()
    stored = {picture_id: payload for _, picture_id, payload in rows}
    assert {session_id for session_id, _, _ in rows} == {SESSION_ID}
    assert max(Counter(row[1] for row in rows).values()) == 1
    assert set(stored) <= set(range(1, camera.num_submitted + 1))
    for picture_id, answers in camera.answers.items():
        assert picture_id in stored, f"seed {seed}: {picture_id} was acknowledged and is lost"
        assert set(answers) == {stored[picture_id]}, f"seed {seed}: {picture_id} has two results"


@pytest.mark.timeout(180)
def test_two_kills_under_load_lose_no_acknowledged_result(tmp_path: Path) -> None:
    kill_and_check(tmp_path, num_kills=2, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twenty_kills_under_load_lose_no_acknowledged_result(tmp_path: Path) -> None:
    kill_and_check(tmp_path, num_kills=20, seed=2)
