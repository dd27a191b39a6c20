"""``pnc device run`` as a process of its own, over a radio between two pseudo-terminals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pnc import Codec, belt
from pnc.config import ReceiverConfig
from pnc.transport.driver import Driver
from pnc.transport.events import DeviceConnected, Event, PictureEnded
from pnc.transport.links.channel import ChannelConfig
from pnc.transport.links.pty_radio import PtyRadio
from pnc.transport.links.trace import RateTrace
from pnc.transport.session import Receiver

pytestmark = pytest.mark.e2e

MAX_RESIDENT_MB = 150
"""What the issue allows a device."""

# VmHWM and not getrusage: the latter counts the parent's pages that fork() shared before exec().
RUN_AND_TELL = """
import json, re, sys
from pathlib import Path
from pnc.cli import main
status = main(sys.argv[1:])
forbidden = {"tensorflow", "keras", "fastapi", "starlette", "uvicorn", "matplotlib"}
print(json.dumps({
    "event": "process",
    "status": status,
    "loaded": sorted(forbidden.intersection(sys.modules)),
    "resident_mb": int(
        re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
    ) / 1024,
}))
"""

ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PNC_CHECKPOINTS"}


class Server:
    """Answers every picture with its number of bytes; remembers what it heard."""

    def __init__(self, port: str) -> None:
        self.events: list[Event] = []
        self.heard = threading.Condition()
        self._driver = Driver(Receiver(ReceiverConfig()), f"serial:{port}", on_event=self._note)

    def __enter__(self) -> Server:
        self._driver.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._driver.stop()

    def of_kind(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def wait_for_pictures(self, count: int) -> None:
        with self.heard:
            assert self.heard.wait_for(lambda: len(self.of_kind(PictureEnded)) >= count, 30)

    def _note(self, event: Event) -> None:
        if isinstance(event, PictureEnded):
            result = {"top": [["gear", 0.9]], "bytes": event.received_bytes, "ms": 1}
            payload = json.dumps(result).encode()
            self._driver.call(
                lambda session, now: session.send_result(event.picture_id, payload, now)
            )
        with self.heard:
            self.events.append(event)
            self.heard.notify_all()


@contextmanager
def radio(link: Path, rate_bps: float) -> Iterator[Server]:
    """A radio whose device end has a stable name, and a server at the other."""
    config = ChannelConfig(trace=RateTrace.constant(rate_bps))
    with PtyRadio(config, config, link_a=link) as terminals:
        terminals.start()
        with Server(terminals.b) as server:
            yield server


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start ``pnc device run`` on the radio; nothing is left running."""
    started: list[subprocess.Popen[str]] = []

    def run(*words: str | Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", RUN_AND_TELL, "device", "run", "--json"]
        where = ["--link", f"serial:{tmp_path / 'radio'}", "--source", "belt", "--seed", "5"]
        process = subprocess.Popen(
            [*command, *where, *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_what_a_device_sends_is_the_pictures_and_it_stays_small(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    manifest = tmp_path / "manifest.jsonl"
    with radio(tmp_path / "radio", rate_bps=60_000) as server:
        words = ("--deadline", "0.6", "--count", "4", "--manifest", manifest, "--name", "camera")
        process = start(*words)
        out, err = process.communicate(timeout=60)
    lines = records(out)
    told = [line for line in lines if line["event"] == "picture"]
    assert [line["picture_id"] for line in told] == [1, 2, 3, 4], err
    assert lines[-1]["status"] == 0
    assert lines[-1]["loaded"] == []
    assert lines[-1]["resident_mb"] <= MAX_RESIDENT_MB

    (device,) = server.of_kind(DeviceConnected)
    codec = Codec.load("belt")
    assert (device.device_name, device.checkpoint_id) == ("camera", codec.checkpoint.id)
    written = records(manifest.read_text())
    assert [line["source"] for line in written] == [f"belt:5:{index}" for index in range(4)]
    for index, ended in enumerate(server.of_kind(PictureEnded)):
        pixels, label = belt.render(index, seed=5)
        assert written[index]["label"] == belt.CLASSES[label]
        assert written[index]["session_id"] == device.session_id
        packets = codec.encode_packets(pixels, 244, redundancy=0.0)
        assert ended.num_packets == len(packets)
        assert all(packets[key] == packet for key, packet in ended.packets.items())
        decoded = codec.decode_packets(ended.packets.values())
        assert decoded.shape == (224, 224, 3)
        assert told[index]["received_bytes"] == ended.received_bytes
    best = max(server.of_kind(PictureEnded), key=lambda ended: ended.received_bytes)
    pixels, _ = belt.render(best.picture_id - 1, seed=5)
    error = np.mean((codec.decode_packets(best.packets.values()).astype(float) - pixels) ** 2)
    assert error < np.mean((pixels - pixels.mean(axis=(0, 1))) ** 2) / 2


def test_a_radio_that_is_unplugged_is_found_again(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    with radio(tmp_path / "radio", rate_bps=60_000) as server:
        process = start("--deadline", "0.3")
        server.wait_for_pictures(2)
    with radio(tmp_path / "radio", rate_bps=60_000) as server:
        server.wait_for_pictures(2)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    lines = records(out)
    states = [line["state"] for line in lines if line["event"] == "state"]
    assert states[:2] == ["started", "connected"], err
    assert states[-2:] == ["connected", "ended"]
    assert set(states[2:-2]) == {"lost"}
    assert lines[-1]["status"] == 0
    told = [line["picture_id"] for line in lines if line["event"] == "picture"]
    assert len(set(told)) == len(told)
    assert max(told) == len(told)


def test_what_was_taken_without_a_radio_is_sent_when_it_is_back(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    with radio(tmp_path / "radio", rate_bps=200_000) as server:
        process = start("--deadline", "0.5", "--spool", spool)
        server.wait_for_pictures(2)
    until = time.time() + 60
    while not spool.is_dir() or len(list(spool.glob("*.kept"))) < 3:
        assert time.time() < until
        time.sleep(0.05)
    with radio(tmp_path / "radio", rate_bps=200_000) as server:
        while list(spool.iterdir()):
            assert time.time() < until
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
        kept = [event for event in server.of_kind(PictureEnded) if event.age_s]
    told = [line for line in records(out) if line["event"] == "picture" and line["age_s"]]
    assert len(told) == len(kept) >= 3, err
    codec = Codec.load("belt")
    for line, ended in zip(told, kept, strict=True):
        assert line["result_ms"] is not None
        index = int(line["source"].rpartition(":")[2])
        packets = codec.encode_packets(belt.render(index, seed=5)[0], 244, redundancy=0.0)
        assert all(packets[key] == packet for key, packet in ended.packets.items())
        assert line["age_s"] > 0
    sources = [line["source"] for line in records(out) if line["event"] == "picture"]
    assert len(set(sources)) == len(sources)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("chatter", "advice"),
    [(b"", "is `pnc serve` running"), (b"Adafruit CircuitPython\r\n>>> ", "is it the right port")],
)
def test_a_port_without_an_edge_server_is_one_line(chatter: bytes, advice: str) -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    command = [sys.executable, "-m", "pnc", "device", "run", "--source", "belt"]
    process = subprocess.Popen(
        [*command, "--link", f"serial:{os.ttyname(slave)}"],
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    try:
        assert process.stderr is not None
        started = process.stderr.readline()
        os.read(master, 999)
        os.write(master, chatter)
        told = process.stderr.readline()
    finally:
        process.terminate()
        process.communicate()
        os.close(master)
        os.close(slave)
    assert "belt -> serial" in started
    assert told.startswith("pnc device: no edge server: ")
    assert advice in told
