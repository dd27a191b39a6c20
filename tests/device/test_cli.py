"""``pnc device run`` in this process, against a receiver in this process."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from device.health import read_health
from pnc import cli
from pnc.codec.image import load_picture
from pnc.config import ReceiverConfig
from pnc.transport.driver import Driver
from pnc.transport.events import DeviceConnected, Event, PictureEnded
from pnc.transport.session import Receiver

SLOW_TO_THE_DEVICE = "emu://{name}?side=b&rate_bps=1000000"


class FakeCodec:
    checkpoint = SimpleNamespace(id="1234abcd")

    @classmethod
    def load(cls, name: str) -> FakeCodec:
        return cls()

    def iter_packets(
        self,
        picture: Any,
        mtu_bytes: int,
        *,
        max_bytes: int | None = None,
        redundancy: float = 0.0,
    ) -> Iterator[bytes]:
        stream = load_picture(picture, size=16).tobytes()[:max_bytes]
        for start in range(0, len(stream), mtu_bytes):
            yield stream[start : start + mtu_bytes]


class Server:
    """Answers every picture; remembers what it heard."""

    def __init__(self, name: str) -> None:
        self.events: list[Event] = []
        self.on_ended: Callable[[int], None] = lambda picture_id: None
        receiver = Receiver(ReceiverConfig())
        self._driver = Driver(
            receiver, SLOW_TO_THE_DEVICE.format(name=name), on_event=self._on_event
        )

    def __enter__(self) -> Server:
        self._driver.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._driver.stop()

    @property
    def ended(self) -> list[PictureEnded]:
        return [event for event in self.events if isinstance(event, PictureEnded)]

    def _on_event(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, PictureEnded):
            payload = json.dumps({"top": [["gear", 0.9]], "bytes": event.received_bytes, "ms": 1})
            self._driver.call(
                lambda session, now: session.send_result(event.picture_id, payload.encode(), now)
            )
            self.on_ended(event.picture_id)


@pytest.fixture(autouse=True)
def fake_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("pnc.codec.codec")
    module.Codec = FakeCodec  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pnc.codec.codec", module)


def name_of(request: pytest.FixtureRequest) -> str:
    """Return a name without brackets: an address has no place for them."""
    return "".join(letter for letter in request.node.name if letter.isalnum())


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server(name_of(request)) as server:
        yield server


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    return f"emu://{name_of(request)}?side=a&rate_bps=200000"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index in range(3):
        path = tmp_path / "pictures" / "gear" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (80 * index,) * 3).save(path)
    (tmp_path / "pictures" / "gear" / "1b.png").write_bytes(b"broken")
    return tmp_path / "pictures"


def run(*words: str | Path) -> int:
    return cli.main(["device", "run", *(str(word) for word in words)])


@pytest.mark.e2e
def test_a_folder_is_sent_once_around_its_broken_picture(
    folder: Path, server: Server, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tmp_path / "manifest.jsonl"
    words = ("--deadline", "0.15", "--manifest", manifest, "--name", "camera", "--max-bytes", "500")
    assert run("--source", folder, "--link", url, *words, "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    told = [line for line in lines if line["event"] == "picture"]
    assert [line["source"] for line in told] == ["gear/0.png", "gear/1.png", "gear/2.png"]
    assert all(line["top"] == [["gear", 0.9]] for line in told)
    assert [line["state"] for line in lines if line["event"] == "state"] == [
        *("started", "connected", "skipped", "ended")
    ]
    (device,) = [event for event in server.events if isinstance(event, DeviceConnected)]
    assert (device.device_name, device.checkpoint_id) == ("camera", "1234abcd")
    written = [json.loads(line) for line in manifest.read_text().splitlines()]
    assert [line["picture_id"] for line in written] == [1, 2, 3]
    assert {line["session_id"] for line in written} == {device.session_id}
    assert {line["label"] for line in written} == {"gear"}
    assert [event.received_bytes for event in server.ended] == [500] * 3


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(
    number: signal.Signals, server: Server, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)
    server.on_ended = lambda picture_id: os.kill(os.getpid(), number) if picture_id == 2 else None
    assert run("--source", "belt", "--link", url, "--deadline", "0.2") == 0
    ended = capsys.readouterr()
    assert len(ended.out.splitlines()) >= 2
    assert "sent" in ended.err.splitlines()[-1]
    assert signal.getsignal(number) is before
    assert not [thread for thread in threading.enumerate() if thread.name == "camera"]


@pytest.mark.e2e
def test_a_service_tells_how_it_is(
    folder: Path,
    server: Server,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told: list[dict[str, Any]] = []
    with (
        TemporaryDirectory(prefix="pnc-") as short,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
    ):
        manager.bind(f"{short}/notify")
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", f"{short}/notify")
        monkeypatch.setenv("WATCHDOG_USEC", "20000")
        health = Path(short) / "health.sock"
        server.on_ended = lambda picture_id: told.append(read_health(health))
        words = ("--deadline", "0.15", "--count", "2", "--health", health, "--log-json")
        assert run("--source", folder, "--link", url, *words, "--wait-for-link") == 0
        said = [manager.recv(1000).decode() for _ in range(3)]
        assert not health.exists()
    assert said[0].startswith("READY=1\nSTATUS=")
    assert "WATCHDOG=1" in said[1:]
    assert told[-1]["state"] == "connected"
    assert told[-1]["checkpoint"] == "1234abcd"
    assert told[-1]["sender"]["pictures_submitted"] >= 1
    ended = capsys.readouterr()
    assert ended.out == ""
    events = [json.loads(line)["event"] for line in ended.err.splitlines()]
    assert events.count("picture") == 2
    assert (events[0], events[-1]) == ("started", "ended")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--source", "missing", "--link", "emu://x?side=a"), "missing: no such file or folder"),
        (("--source", "{empty}", "--link", "emu://x?side=a"), "no picture in this folder"),
        (("--source", "belt", "--watch", "--link", "emu://x?side=a"), "--watch is for a folder"),
        (("--source", "belt", "--json", "--log-json", "--link", "emu://x"), "one of them"),
        (("--source", "belt", "--link", "serial:///dev/missing"), "/dev/missing"),
        (("--source", "belt", "--link", "carrier-pigeon://x"), "carrier-pigeon"),
        (("--source", "belt", "--link", "emu://x?side=a", "--name", "x" * 40), "device_name"),
        (("--source", "belt", "--link", "emu://x?side=a", "--name", ""), "device_name"),
        (
            ("--source", "belt", "--link", "emu://x?side=a", "--manifest", "/dev/null/x"),
            "the manifest cannot be written",
        ),
    ],
)
def test_what_cannot_be_used_is_one_line(
    words: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*(word.format(empty=tmp_path) for word in words)) == 1
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert message in line


def test_a_wrong_address_is_one_line_on_a_terminal_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert run("--source", "belt", "--link", "carrier-pigeon://x", "--wait-for-link") == 1
    said = capsys.readouterr()
    assert said.out.strip() == ""
    assert len(said.err.splitlines()) == 1


@pytest.mark.e2e
def test_a_source_of_broken_pictures_ends_with_an_error(
    tmp_path: Path, server: Server, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.png").write_bytes(b"broken")
    assert run("--source", tmp_path, "--link", url, "--deadline", "0.1", "--loop") == 1
    assert "none of its 1 pictures can be read" in capsys.readouterr().err
