from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge_server.cli import _explain_address, _listen, _OneLine
from edge_server.store import Store
from pnc.cli import main
from pnc.errors import ConfigError

if TYPE_CHECKING:
    from pnc.codec.codec import Codec


@pytest.fixture(autouse=True)
def _undisturbed_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def fake_codec(monkeypatch: pytest.MonkeyPatch, load: Callable[[str], Codec]) -> None:
    monkeypatch.setattr("pnc.codec.codec.Codec.load", load)


def run_serve(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, list[str]]:
    status = main(["serve", *words])
    out, err = capsys.readouterr()
    return status, out, err.splitlines()


def options(tmp_path: Path, link: str = "emu://cli?side=b") -> list[str]:
    store = str(tmp_path / "results.sqlite")
    return ["--link", link, "--port", "0", "--checkpoint", "fake", "--store", store]


def test_a_port_in_use_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        words = [*options(tmp_path), "--port", port]
        status, _, lines = run_serve(capsys, *words)
    assert status == 1
    assert lines == [
        f"pnc: error: port {port} on 127.0.0.1 is in use; choose another with --port "
        "(0 takes a free one)"
    ]


@pytest.mark.usefixtures("fake_codec")
def test_a_store_in_use_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    store = Store(tmp_path / "results.sqlite")
    status, _, lines = run_serve(capsys, *options(tmp_path))
    store.close()
    assert status == 1
    assert len(lines) == 1
    assert f"another server has this store open (process {os.getpid()})" in lines[0]


@pytest.mark.usefixtures("fake_codec")
@pytest.mark.parametrize("link", ["serial:///dev/no-such-port", "nonsense", "emu://x?side=q"])
def test_a_wrong_link_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, link: str
) -> None:
    status, _, lines = run_serve(capsys, *options(tmp_path, link))
    assert status == 1
    assert len(lines) == 1
    assert link.removeprefix("serial://") in lines[0]


@pytest.mark.usefixtures("fake_codec")
def test_an_unknown_checkpoint_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, _, lines = run_serve(capsys, *options(tmp_path), "--checkpoint", "missing")
    assert status == 1
    assert lines == ["pnc: error: missing: no such checkpoint; the fake one is called fake"]


@pytest.mark.usefixtures("fake_codec")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_the_server_cleanly(
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    number: signal.Signals,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    announced: list[str] = []

    def ask_and_kill(line: str, *, err: bool = False) -> None:
        if err:
            return
        announced.append(line)
        url = json.loads(line)["url"]

        def ask() -> None:
            with urllib.request.urlopen(f"{url}api/v1/status", timeout=30) as answer:
                announced.append(answer.read().decode())
            os.kill(os.getpid(), number)

        threading.Thread(target=ask, daemon=True).start()

    monkeypatch.setattr("edge_server.cli.typer.echo", ask_and_kill)
    assert main(["serve", *options(tmp_path), "--json", "--workers", "1"]) == status
    assert json.loads(announced[0])["event"] == "ready"
    assert json.loads(announced[1])["links"][0]["url"] == "emu://cli?side=b"
    assert not (tmp_path / "results.sqlite-wal").exists()
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("number", "words"), [(13, "more rights"), (98, "is in use"), (99, "check --host")]
)
def test_addresses_that_cannot_be_had_are_explained(number: int, words: str) -> None:
    if sys.platform != "linux":
        pytest.skip("numbers of Linux")
    assert words in _explain_address("h", 80, OSError(number, os.strerror(number)))


def test_a_host_that_is_not_here_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="--host"), _listen("192.0.2.1", 0):
        pass


def test_log_lines_are_one_line_unless_asked() -> None:
    try:
        raise ValueError("why")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, __file__, 1, "what", (), sys.exc_info())
    assert _OneLine(debug=False).format(record) == (
        "pnc serve: what (ValueError: why; --debug shows where)"
    )
    assert "Traceback" in _OneLine(debug=True).format(record)


def test_a_device_cannot_write_lines_into_the_log() -> None:
    name = "cam\npnc serve: all is well\x1b[2J"
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "%s connected", (name,), None)
    assert _OneLine(debug=False).format(record) == (
        "pnc serve: cam?pnc serve: all is well?[2J connected"
    )
    record.exc_info = (ValueError, ValueError("a\nb"), None)
    assert len(_OneLine(debug=False).format(record).splitlines()) == 1
