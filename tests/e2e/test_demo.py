from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from pnc import belt
from pnc.cli import main
from pnc.codec.image import encode_png

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

DEMO = [sys.executable, "-m", "pnc.cli", "demo"]
WAIT_S = 60.0


def find_processes(word: str) -> list[str]:
    """Return the command lines of living processes that hold a word."""
    lines = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if word in line and int(folder.name) != os.getpid():
            lines.append(line)
    return lines


def test_demo_shows_the_whole_idea_at_work(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["--seconds", "4", "--jamming", "heavy", "--out", str(out), "--json"]
    status = main(["demo", *words])
    printed, said = capfd.readouterr()
    assert status == 0, said
    summary = json.loads(printed)
    assert summary["pictures"] == 8
    assert summary["with_one_result"] == 8
    assert summary["errors"] == 0
    assert summary["labelled"] == 8
    assert summary["delivered_bytes"] > 0
    assert summary["trace_bps"] > 0
    assert 0 < summary["trace_share"] < 1
    assert sum(one["pictures"] for one in summary["accuracy_by_bytes"]) == 8
    written = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert written["checkpoint"] == "belt"
    assert {**written, **summary} == written
    with Image.open(out / "contact-sheet.png") as sheet:
        assert sheet.format == "PNG"
        assert sheet.width > 1000
    with sqlite3.connect(out / "results.sqlite") as store:
        rows = store.execute(
            "SELECT picture_id, received_bytes, ended_at - started_at, deadline_s FROM results"
        ).fetchall()
    store.close()
    assert sorted(row[0] for row in rows) == list(range(1, 9))
    assert "page at http://127.0.0.1:" in said
    assert "Traceback" not in said
    assert find_processes(str(out)) == []


def test_pictures_of_the_user_in_class_folders(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for index in range(3):
        pixels, label = belt.render(index, seed=5)
        folder = tmp_path / "data" / belt.CLASSES[label]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{index}.png").write_bytes(encode_png(pixels))
    out = tmp_path / "out"
    words = ["--data", str(tmp_path / "data"), "--checkpoint", "belt", "--out", str(out)]
    status = main(["demo", *words, "--seconds", "1", "--deadline", "0.25", "--jamming", "none"])
    printed, said = capfd.readouterr()
    assert status == 0, said
    assert "first picture sent" in printed
    assert "every picture exactly one" in printed
    assert "undamaged" in printed
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert summary["labelled"] == summary["pictures"] == 4


def test_ctrl_c_ends_everything(tmp_path: Path) -> None:
    out = tmp_path / "out"
    demo = subprocess.Popen(
        [*DEMO, "--seconds", "600", "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert demo.stdout is not None
    lines = iter(demo.stdout.readline, "")
    assert any("first picture sent" in line for line in lines)
    assert len(find_processes(str(out))) >= 2
    demo.send_signal(signal.SIGINT)
    _, errors = demo.communicate(timeout=WAIT_S)
    assert demo.returncode == 130
    assert "Traceback" not in errors
    assert find_processes(str(out)) == []
    assert not (out / "results.sqlite-wal").exists()


def test_a_killed_demo_leaves_no_orphan(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("prctl is Linux's")
    out = tmp_path / "out"
    demo = subprocess.Popen(
        [*DEMO, "--seconds", "600", "--out", str(out)], stdout=subprocess.PIPE, text=True
    )
    assert demo.stdout is not None
    with demo.stdout as output:
        assert any("page at" in line for line in iter(output.readline, ""))
    demo.kill()
    demo.wait()
    end = time.monotonic() + WAIT_S
    while find_processes(str(out)) and time.monotonic() < end:
        time.sleep(0.05)
    assert find_processes(str(out)) == []
