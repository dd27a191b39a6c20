"""What a running device costs: processor, memory, and how old a picture is when it begins to leave.

The real ``pnc device run`` sends over UDP to a real receiver in this process. The renderer of the
belt stands in for a camera whose driver gives pixels; its work is in the processor's share.
Pictures from files have to be opened first, JPEG of 640 x 480 to be decoded and scaled down.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.facts import describe_run
from pnc import belt
from pnc.config import ReceiverConfig
from pnc.errors import ConfigError
from pnc.transport.driver import Driver
from pnc.transport.events import Event, PictureEnded
from pnc.transport.session import Receiver

SCHEMA = "pnc.device/1"

PICTURES_PER_S = 2.0
"""What the limits are about."""

LIMITS = {"cpu_share": 0.1, "memory_mb": 150.0, "first_packet_ms": 5.0}
"""Of one core; resident at most; the 95th percentile."""

NUM_FRAMES = 20
"""Different pictures, in turn."""

WARM_UPS = 4
"""Pictures before the measuring begins: the first ones load what is needed."""

MAX_ENDING_S = 20.0
"""A device that is told to end ends within seconds."""

RESULT = b'{"top":[["gear",0.9]],"bytes":1,"ms":1}'

PIXELS = "pixels, rendered"

FILES: dict[str, tuple[tuple[int, int], str]] = {
    "BMP files, 224 x 224": ((224, 224), ".bmp"),
    "JPEG files, 640 x 480": ((640, 480), ".jpg"),
}
"""Size and kind of files with pictures."""

JPEG_QUALITY = 90
"""Of a camera rather than of a web page."""


@dataclass(frozen=True)
class _Usage:
    """What a process has used until now."""

    at: float
    cpu_s: float
    peak_bytes: int

    @classmethod
    def of(cls, pid: int) -> _Usage:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])
        peak = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text("ascii"))
        assert peak is not None, "a process that runs has a peak"
        return cls(time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), 1024 * int(peak[1]))


def measure_device(checkpoint: str, *, num_pictures: int = 120) -> dict[str, Any]:
    """Return what a device uses, and the age of its pictures, as JSON values.

    Args:
        checkpoint: Name or folder.
        num_pictures: Of each kind of frame, besides the first ones.

    Raises:
        ConfigError: This is no Linux, or the device ends with an error.
    """
    if not Path("/proc/self/stat").exists():
        raise ConfigError("device: needs Linux, which tells what a process uses in /proc")
    return {
        **describe_run(SCHEMA),
        "checkpoint": checkpoint,
        "pictures_per_s": PICTURES_PER_S,
        "num_pictures": num_pictures,
        "load_before": round(os.getloadavg()[0], 2),
        "scheduling": _scheduling(),
        "limits": LIMITS,
        "frames": {
            PIXELS: _watch(["--source", "belt", "--checkpoint", checkpoint], num_pictures),
            **{
                name: _measure_files(checkpoint, num_pictures, *kind)
                for name, kind in FILES.items()
            },
        },
    }


def device_table(results: dict[str, Any]) -> str:
    """Return Markdown: what is used, beside what is allowed."""
    limits = results["limits"]
    lines = [
        f"`{results['checkpoint']}`, {results['pictures_per_s']:g} pictures/s over UDP, "
        f"{results['num_pictures']} of each kind, {results['machine']['cores']} cores of "
        f"{results['machine']['architecture']}.",
        "",
        "| frames | of one core | resident, peak | first packet after the frame: median, p95 | "
        "all packets coded: median, p95 |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, row in results["frames"].items():
        first, encode = row["first_packet_ms"], row["encode_ms"]
        lines.append(
            f"| {name} | {row['cpu_share']:.1%} | {row['memory_mb']:.0f} MB | "
            f"{first['median']:.1f}, {first['p95']:.1f} ms | "
            f"{encode['median']:.1f}, {encode['p95']:.1f} ms |"
        )
    lines.append(
        f"| at most | {limits['cpu_share']:.0%} | {limits['memory_mb']:.0f} MB | "
        f"{limits['first_packet_ms']:g} ms | |"
    )
    return "\n".join(lines)


def _measure_files(
    checkpoint: str, num_pictures: int, size: tuple[int, int], suffix: str
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        for index in range(NUM_FRAMES):
            frame = Image.fromarray(belt.render(index, seed=0)[0]).resize(size)
            frame.save(Path(folder, f"{index:02}{suffix}"), quality=JPEG_QUALITY)
        words = ["--source", folder, "--loop", "--checkpoint", checkpoint]
        return _watch(words, num_pictures)


def _watch(words: list[str], num_pictures: int) -> dict[str, Any]:
    """Run a device until it has sent so many pictures, and look at it from outside."""
    pictures: list[dict[str, Any]] = []
    with _receiver() as url, _device([*words, "--link", url]) as (pid, records):
        for record in records:
            if record["event"] != "picture":
                continue
            pictures.append(record)
            if len(pictures) == WARM_UPS:
                before = _Usage.of(pid)
            elif len(pictures) == WARM_UPS + num_pictures:
                after = _Usage.of(pid)
                break
        else:
            raise ConfigError("device: it ended before it had sent its pictures; try it by hand")
    measured = pictures[WARM_UPS:]
    return {
        "n": len(measured),
        "results": sum(picture["result_ms"] is not None for picture in measured),
        "cpu_share": round((after.cpu_s - before.cpu_s) / (after.at - before.at), 4),
        "seconds": round(after.at - before.at, 1),
        "memory_mb": round(after.peak_bytes / 1e6, 1),
        "first_packet_ms": _summarize([p["first_packet_ms"] for p in measured]),
        "encode_ms": _summarize([p["encode_ms"] for p in measured]),
        "mean_bytes": round(float(np.mean([p["encoded_bytes"] for p in measured])), 1),
    }


@contextmanager
def _receiver() -> Iterator[str]:
    """Answer every picture on a port of this machine; gives the URL to send to."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def answer(event: Event) -> None:
        if isinstance(event, PictureEnded):
            driver.call(lambda one, now: one.send_result(event.picture_id, RESULT, now))

    driver = Driver(Receiver(ReceiverConfig()), f"udp://127.0.0.1:{port}?listen=1", on_event=answer)
    with driver:
        yield f"udp://127.0.0.1:{port}"


@contextmanager
def _device(words: list[str]) -> Iterator[tuple[int, Iterator[dict[str, Any]]]]:
    """Run ``pnc device run``; gives its process id and what it says."""
    command = [sys.executable, "-m", "pnc", "device", "run", "--json", *words]
    process = subprocess.Popen(
        [*command, "--deadline", str(1 / PICTURES_PER_S)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.pid, map(json.loads, process.stdout)
    finally:
        process.terminate()
        process.stdout.close()
        try:
            process.wait(MAX_ENDING_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _summarize(values: list[float]) -> dict[str, float]:
    median, p95 = np.percentile(values, [50, 95])
    return {
        "median": round(float(median), 2),
        "p95": round(float(p95), 2),
        "max": round(max(values), 2),
    }


def _scheduling() -> str:
    """Return how this process is scheduled: on a busy machine only a real-time one is measured."""
    names = {os.SCHED_FIFO: "fifo", os.SCHED_RR: "round robin"}
    return names.get(os.sched_getscheduler(0), "normal")
