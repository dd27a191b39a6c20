"""``pnc link``: list, test, record and play."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from serial.tools.list_ports_common import ListPortInfo
from typer.testing import CliRunner

from pnc.commands import link as commands
from pnc.commands.link_echo import LinkEcho
from pnc.commands.link_play import LinkRadio
from pnc.errors import ConfigError, LinkError
from pnc.replay.traces import read_trace
from pnc.transport.driver import Driver
from pnc.transport.links import open_link
from pnc.transport.links.base import Link
from pnc.transport.links.ble import NUS_SERVICE
from pnc.transport.links.channel import ChannelConfig
from pnc.transport.links.tcp import open_tcp
from pnc.transport.links.trace import RateTrace

PATIENCE_S = 20.0
FAST = ChannelConfig(trace=RateTrace.constant(8e6), fifo_bytes=4096)


def call(*arguments: str) -> str:
    outcome = CliRunner().invoke(commands.app, list(arguments), catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return outcome.stdout


@contextmanager
def echo(name: str) -> Iterator[str]:
    """A far end; the URL of the near one."""
    url = f"emu://{name}?rate_bps=1e6"
    with Driver(LinkEcho(), f"{url}&side=b", on_event=lambda event: None):
        yield f"{url}&side=a"


def usb_port(device: str) -> ListPortInfo:
    port = ListPortInfo(device)
    port.vid, port.pid, port.serial_number, port.hwid = 0x2886, 0x8045, "A 1", "USB"
    port.description = "XIAO nRF52840"
    return port


# --- list


@pytest.fixture
def one_port(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    device = str(tmp_path / "ttyACM0")
    monkeypatch.setattr(
        "pnc.transport.links.serial.list_ports.comports", lambda: [usb_port(device)]
    )
    return device


def test_ports_are_listed_with_a_url_that_opens_them_again(one_port: str) -> None:
    seen = json.loads(call("list", "--seconds", "0", "--json"))
    assert seen == {
        "serial": [
            {
                "device": one_port,
                "description": "XIAO nRF52840",
                "usb_id": "2886:8045",
                "serial_number": "A 1",
                "url": "serial://?vid=2886&pid=8045&serial=A%201",
                "permitted": False,
                "group": "dialout",
            }
        ],
        "bluetooth": None,
        "bluetooth_note": "not looked for",
    }
    text = call("list", "--seconds", "0")
    assert "2886:8045  XIAO nRF52840" in text
    assert "sudo usermod -aG dialout" in text


def test_the_ports_of_one_board_get_urls_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    ports = [usb_port("/dev/ttyACM0"), usb_port("/dev/ttyACM1")]
    for number, port in enumerate(ports):
        port.location = f"1-1:1.{2 * number}"
    monkeypatch.setattr("pnc.transport.links.serial.list_ports.comports", lambda: ports)
    seen = json.loads(call("list", "--seconds", "0", "--json"))
    assert [port["url"] for port in seen["serial"]] == [
        "serial://?vid=2886&pid=8045&serial=A%201&interface=0",
        "serial://?vid=2886&pid=8045&serial=A%201&interface=2",
    ]


def test_bluetooth_devices_are_listed_nearest_first(
    one_port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bleak = pytest.importorskip("bleak")

    async def discover(**_: Any) -> dict[str, Any]:
        def seen(address: str, name: str | None, rssi: int, uuids: list[str]) -> Any:
            advertisement = SimpleNamespace(rssi=rssi, service_uuids=uuids)
            return SimpleNamespace(address=address, name=name), advertisement

        far, near = seen("AA", None, -80, []), seen("BB", "cam", -40, [NUS_SERVICE])
        return {"AA": far, "BB": near}

    monkeypatch.setattr(bleak.BleakScanner, "discover", discover)
    text = call("list")
    assert text.index("ble://BB  -40 dBm  cam  Nordic UART") < text.index("ble://AA  -80 dBm")

    async def fail(**_: Any) -> None:
        raise bleak.exc.BleakError("No adapter\nfound")

    monkeypatch.setattr(bleak.BleakScanner, "discover", fail)
    seen = json.loads(call("list", "--json"))
    assert seen["bluetooth"] is None
    assert seen["bluetooth_note"].startswith("no Bluetooth here (No adapter); is the adapter in")


# --- test


def test_a_link_is_measured() -> None:
    with echo("measured") as url:
        figures = json.loads(call("test", url, "--seconds", "0.6", "--json"))
        assert figures["loss"] == 0
        assert 0 < figures["goodput_bps"] < 1.2e6
        assert figures["hidden_bytes"] > 500
        assert figures["mtu_bytes"] in (64, 120, 244)


def test_figures_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    from pnc.commands.link_figures import LinkFigures, WindowFigure

    window = WindowFigure(600, 80_000.0, 0.03)
    commands._print_figures(
        LinkFigures(0.012, 0.02, 80_000.0, 0.01, 5000, True, 600, 244, (window,))
    )
    assert capsys.readouterr().out.splitlines() == [
        "round trip  12.0 ms, 95 of 100 within 20.0 ms",
        "loss        1.0 % of frames",
        "window         600 B:     80.0 kbit/s, answered after 30.0 ms",
        "hidden      5000 B or more accepted that had not arrived",
        "proposed    window 600 B, --mtu-bytes 244: 80.0 kbit/s",
    ]


def test_the_far_end_answers_for_so_long() -> None:
    line = json.loads(call("test", "emu://far?side=b", "--echo", "--seconds", "0.5", "--json"))
    assert line == {"event": "ready", "url": "emu://far?side=b"}


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pnc.commands.link_measure.CONTACT_S", 0.05)
    with pytest.raises(LinkError, match="nobody answers"):
        call("test", "emu://alone?side=a")


# --- record


def test_a_recording_can_be_read_and_played(tmp_path: Path) -> None:
    out = tmp_path / "trace.csv"
    with echo("recorded") as url:
        line = json.loads(
            call("record", url, "--out", str(out), "--seconds", "0.6", "--bin-s", "0.05", "--json")
        )
    assert line["mean_bps"] == pytest.approx(read_trace(out).mean_bps)
    link = open_link(f"emu://played?side=a&trace={out}")
    link.close()


def test_what_somebody_else_sends_is_recorded(tmp_path: Path) -> None:
    out = tmp_path / "trace.csv"
    stop = threading.Event()
    sender = open_link("emu://passive?side=b&rate_bps=1e6")

    def send() -> None:
        while not stop.is_set():
            sender.write(b"x" * 500)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        text = call(
            "record", "emu://passive?side=a", "--out", str(out), "--passive", "--seconds", "0.6"
        )
    finally:
        stop.set()
        thread.join()
        sender.close()
    assert "kbit/s on average" in text
    assert 0 < read_trace(out).mean_bps < 2e6


def test_a_recording_needs_a_folder_and_bytes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no folder"):
        call("record", "emu://x?side=a", "--out", str(tmp_path / "no" / "trace.csv"))
    out = str(tmp_path / "trace.csv")
    with pytest.raises(LinkError, match="too little arrived"):
        call("record", "emu://x?side=a", "--out", out, "--passive", "--seconds", "0.5")


# --- play


def read_all(link: Link, count: int) -> bytes:
    got = b""
    end = time.monotonic() + PATIENCE_S
    while len(got) < count and time.monotonic() < end:
        got += link.read(0.2)
    return got


def test_a_radio_joins_any_two_links_and_waits_for_those_that_go() -> None:
    server = open_tcp("tcp://", "127.0.0.1:0", {"listen": "1"})
    port = server.port
    near = open_link("emu://played-through?side=a&rate_bps=8e6")
    radio = LinkRadio(
        lambda: open_link("emu://played-through?side=b&rate_bps=8e6"),
        lambda: open_link(f"tcp://127.0.0.1:{port}"),
        FAST,
        FAST,
    )
    with radio:
        data = bytes(range(256)) * 4
        near.write(data)
        assert read_all(server, len(data)) == data
        assert radio.statistics()["a_to_b"].bytes_out == len(data)
        server.close()
        server = open_tcp("tcp://", f"127.0.0.1:{port}", {"listen": "1"})
        end = time.monotonic() + PATIENCE_S
        got = b""
        while not got and time.monotonic() < end:
            server.read(0.05)
            server.write(b"back")
            got = near.read(0.05)
        assert got.startswith(b"back")
    near.close()
    server.close()


def test_a_link_that_cannot_be_opened_ends_the_radio() -> None:
    with pytest.raises(LinkError, match="start the other side first"):
        call("play", "--a", "emu://half?side=a", "--b", "tcp://127.0.0.1:1")
    open_link("emu://half?side=a").close()


def test_play_makes_terminals_and_prints_statistics() -> None:
    lines = call("play", "--jamming", "heavy", "--seconds", "0.2", "--b", "emu://p?side=a")
    names, statistics = map(json.loads, lines.splitlines())
    assert names["a"].startswith("/dev/")
    assert names["b"] == "emu://p?side=a"
    assert set(statistics) == {"time_s", "a_to_b", "b_to_a"}
    with pytest.raises(ConfigError, match="bursts of this kind lose"):
        call("play", "--loss", "0.9", "--burst-packets", "3")
