"""What the user of ``pnc device run`` reads."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from device.pictures import PictureReport
from device.report import JsonReporter, LineReporter, LiveReporter, describe
from pnc.errors import ImageError, LinkLostError

REPORT = PictureReport(
    picture_id=12,
    source="gear/4.jpg",
    label="gear",
    encoded_bytes=1834,
    sent_bytes=1210,
    encode_ms=4.2,
    result_ms=612.3,
    received_bytes=1100,
    top=(("gear", 0.931), ("bolt", 0.02)),
)
SILENT = replace(REPORT, picture_id=13, result_ms=None, received_bytes=None, top=())


def tell_everything(reporter: LineReporter) -> None:
    reporter.started("camera: belt -> emu://x, deadline 1 s")
    reporter.connected()
    reporter.connected()
    reporter.picture(REPORT)
    reporter.broken(ImageError("broken.png: not a picture"))
    reporter.lost(LinkLostError("emu://x: gone"), 0.25)
    reporter.connected()
    reporter.picture(SILENT)
    reporter.close()


def test_one_line_says_everything_about_a_picture() -> None:
    assert describe(REPORT) == (
        "   12 gear/4.jpg  1,834 B encoded  1,210 B sent  gear 93%"
        "  encode 4 ms  result after 612 ms"
    )
    assert describe(SILENT).endswith("1,210 B sent  no result  encode 4 ms")
    assert "result without classes" in describe(replace(REPORT, top=()))


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    tell_everything(LineReporter())
    ended = capsys.readouterr()
    assert ended.out.splitlines() == [describe(REPORT), describe(SILENT)]
    assert ended.err.splitlines() == [
        "pnc device: camera: belt -> emu://x, deadline 1 s",
        "pnc device: connected to the edge server",
        "pnc device: skipped: broken.png: not a picture",
        "pnc device: link lost: emu://x: gone; trying again",
        "pnc device: connected to the edge server",
        "pnc device: 2 sent, 1 skipped as unreadable, 1 result, 2,420 bytes; 1 of 1 right",
    ]


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    tell_everything(JsonReporter())
    ended = capsys.readouterr()
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert ended.err == ""
    assert [line.get("state", line["event"]) for line in lines] == [
        *("started", "connected", "picture", "skipped", "lost", "connected", "picture", "ended")
    ]
    assert lines[2]["top"] == [["gear", 0.931], ["bolt", 0.02]]
    assert lines[2]["picture_id"] == 12
    assert lines[-1]["num_results"] == 1
    assert lines[-1]["num_right"] == 1


def test_a_terminal_gets_one_line_that_changes(capsys: pytest.CaptureFixture[str]) -> None:
    screen = io.StringIO()
    tell_everything(LiveReporter(Console(file=screen, force_terminal=True, width=200)))
    shown = screen.getvalue()
    assert "gear 93%" in shown
    assert "no result" in shown
    assert "link lost: emu://x: gone" in shown
    assert "\x1b[2K" in shown, "the line is replaced"
    assert "2 sent" in capsys.readouterr().err + shown
