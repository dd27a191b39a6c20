"""What a running device tells: a socket, systemd, the journal."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device.health import Health, HealthServer, Notifier, read_health
from device.pictures import PictureReport
from device.report import LogReporter, Tee, redact
from device.sources import SourceLostError
from pnc import cli
from pnc.errors import ConfigError, ImageError, LinkLostError

REPORT = PictureReport(
    picture_id=1,
    source="gear/4.jpg",
    label="gear",
    encoded_bytes=1834,
    sent_bytes=1210,
    encode_ms=4.2,
    result_ms=612.3,
    top=(("gear", 0.931),),
)


def test_health_counts_and_says_what_is_wrong() -> None:
    now = [10.0]
    health = Health({"device": "camera"}, clock=lambda: now[0])
    assert health.snapshot()["state"] == "waiting"
    health.connected()
    health.picture(REPORT)
    now[0] = 12.5
    health.picture(replace(REPORT, picture_id=2, result_ms=None, top=()))
    health.broken(ImageError("bad.png: not a picture"))
    for _ in range(3):
        health.lost(LinkLostError("serial: unplugged"), 1.0)
        health.source_lost(SourceLostError("camera: unplugged"))
    now[0] = 13.0
    told = json.loads(json.dumps(health.snapshot()))
    assert told["device"] == "camera"
    assert (told["state"], told["link_error"]) == ("lost", "serial: unplugged")
    assert told["source_error"] == "camera: unplugged"
    assert (told["pictures"], told["results"], told["skipped"]) == (2, 1, 1)
    assert (told["connections"], told["link_losses"], told["source_losses"]) == (1, 1, 1)
    assert (told["uptime_s"], told["last_picture_age_s"], told["last_result_age_s"]) == (3, 0.5, 3)
    assert told["memory_mb"] > 1
    assert len(told["last_pictures"]) == 2
    health.connected()
    health.source_back()
    told = health.snapshot()
    assert (told["state"], told["link_error"], told["source_error"]) == ("connected", None, None)


def test_the_socket_answers_every_asker_with_one_object(tmp_path: Path) -> None:
    path = tmp_path / "run" / "health.sock"
    server = HealthServer(path, lambda: {"pictures": 3})
    assert [read_health(path) for _ in range(3)] == [{"pictures": 3}] * 3
    assert path.stat().st_mode & 0o777 == 0o660
    server.close()
    assert not path.exists()


def test_a_socket_left_by_a_killed_agent_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "health.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    server = HealthServer(path, lambda: {"pictures": 3})
    assert read_health(path)["pictures"] == 3
    with pytest.raises(ConfigError, match="another device answers there"):
        HealthServer(path, dict)
    server.close()


def test_a_place_for_no_socket_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="is no socket"):
        HealthServer(tmp_path / "file", dict)
    with pytest.raises(ConfigError, match="no health socket can be made there"):
        HealthServer(tmp_path / ("x" * 200), dict)
    assert (tmp_path / "file").read_text() == "mine"


def test_asking_nobody_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["device", "health", str(tmp_path / "no.sock")]) == 1
    assert "no device answers" in capsys.readouterr().err


def test_the_command_prints_the_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server = HealthServer(tmp_path / "h.sock", lambda: {"pictures": 3})
    assert cli.main(["device", "health", str(tmp_path / "h.sock")]) == 0
    server.close()
    assert json.loads(capsys.readouterr().out) == {"pictures": 3}


@pytest.mark.parametrize("abstract", [False, True])
def test_the_service_manager_is_told(tmp_path: Path, abstract: bool) -> None:
    address = f"@pnc-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + address[1:] if abstract else address)
        manager.settimeout(5)
        now = [0.0]
        environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000000"}
        notifier = Notifier(environment, clock=lambda: now[0])
        notifier.ready("camera")
        for now[0] in (0.0, 1.0, 14.9, 15.0, 16.0):
            notifier.alive()
        notifier.stopping()
        said = [manager.recv(1000) for _ in range(4)]
        assert said == [b"READY=1\nSTATUS=camera", b"WATCHDOG=1", b"WATCHDOG=1", b"STOPPING=1"]


def test_a_service_manager_that_does_not_read_holds_nothing_up(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        for _ in range(1000):
            notifier.ready("camera")


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"NOTIFY_SOCKET": "/missing", "WATCHDOG_USEC": "0"},
        {"NOTIFY_SOCKET": "/missing", "WATCHDOG_USEC": "1000"},
        {"NOTIFY_SOCKET": "/missing", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"},
    ],
)
def test_without_a_service_manager_nothing_happens(environment: dict[str, str]) -> None:
    notifier = Notifier(environment)
    notifier.ready("x")
    notifier.alive()


def test_a_journal_gets_one_object_an_event_and_no_repetition(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reporter = LogReporter(clock=lambda: 1.7e9)
    tee = Tee(reporter, Health({}))
    reporter.started("camera")
    tee.connected()
    tee.picture(REPORT)
    tee.broken(ImageError("bad.png: not a picture"))
    for _ in range(3):
        tee.lost(LinkLostError("serial: unplugged"), 1.0)
    tee.source_lost(SourceLostError("camera: unplugged"))
    tee.source_back()
    reporter.close()
    told = capsys.readouterr()
    assert told.out == ""
    lines: list[dict[str, Any]] = [json.loads(line) for line in told.err.splitlines()]
    assert [(line["level"], line["event"]) for line in lines] == [
        ("info", "started"),
        ("info", "connected"),
        ("info", "picture"),
        ("warning", "skipped"),
        ("warning", "lost"),
        ("warning", "source_lost"),
        ("info", "source_back"),
        ("info", "ended"),
    ]
    assert {line["time"] for line in lines} == {"2023-11-14T22:13:20.000+00:00"}
    assert lines[2]["sent_bytes"] == 1210


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://me:secret@host/x.jpg", "http://host/x.jpg"),
        ("ws://host/?token=secret&x=1", "ws://host/?token=...&x=1"),
        ("serial:///dev/ttyACM0?baud=9600", "serial:///dev/ttyACM0?baud=9600"),
    ],
)
def test_messages_hold_no_secrets(address: str, shown: str) -> None:
    assert redact(address) == shown
