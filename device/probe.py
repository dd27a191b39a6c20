"""What this machine can do as a device: how fast it encodes, how warm it gets, what is in time.

A device encodes one picture while it sends another, so a deadline is possible if a picture is
encoded within it. What arrives is what the link carries between two pictures: a part of the stream
that is classified less well, or all of it.
"""

from __future__ import annotations

import io
import math
import os
import platform
import re
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pnc.transport.wire import Data, encode_frame

if TYPE_CHECKING:
    from pnc.codec.codec import Codec

__all__ = [
    "DEADLINES_S",
    "RATES_BYTES_PER_S",
    "EncodeTimes",
    "Machine",
    "Prospect",
    "foresee",
    "measure_encoder",
    "read_machine",
]

RATES_BYTES_PER_S = (1_000, 3_000, 10_000, 23_000, 100_000)
"""From a jammed 802.15.4 radio over a serial port at 230,400 baud to Bluetooth at its best."""

DEADLINES_S = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0)

GOODPUT_SHARE = 0.9
"""What of a link's rate arrives as payload in time, besides headers: what the tests hold us to."""

SPARE_S = 0.02
"""What a pace has to leave besides encoding, seconds: taking a picture, a late scheduler."""

NUM_PICTURES = 4
"""Different pictures that are encoded in turn."""

PICTURE_SIZE = (640, 480)
"""What a camera is asked for unless told otherwise, pixels."""

TOOL_TIMEOUT_S = 5.0

SYSFS = Path("/sys")

_THROTTLING = {
    0: "under-voltage now",
    1: "frequency capped now",
    2: "throttled now",
    3: "soft temperature limit now",
    16: "under-voltage since boot",
    17: "frequency capped since boot",
    18: "throttled since boot",
    19: "soft temperature limit since boot",
}
"""Bits of `vcgencmd get_throttled` (Raspberry Pi documentation, "vcgencmd")."""

Verdict = Literal["whole", "part", "nothing", "too fast"]


@dataclass(frozen=True)
class EncodeTimes:
    """How long pictures took, from a JPEG of 640 x 480 to packets; milliseconds."""

    num: int
    first_ms: float
    """The first one: the interpreter starts."""
    median_ms: float
    p95_ms: float
    slowdown: float
    """Median of the last quarter over that of the first: above 1 where heat slows the machine."""
    stream_bytes: int
    """Median length of a stream."""

    @property
    def shortest_deadline_s(self) -> float:
        """The fastest pace that is possible: a picture is encoded while another is sent."""
        return self.p95_ms / 1e3 + SPARE_S


@dataclass(frozen=True)
class Machine:
    """What Linux says about the machine; None or empty where it does not."""

    model: str
    architecture: str
    python: str
    num_cores: int
    temperatures_c: Mapping[str, float]
    frequency_mhz: float | None
    """Of the first core, now."""
    max_frequency_mhz: float | None
    throttling: tuple[str, ...]
    """What the Raspberry Pi's firmware says, in words."""
    memory_mb: float | None
    available_mb: float | None
    resident_mb: float | None
    """What this program has taken, with the encoder in it, at most so far."""


@dataclass(frozen=True)
class Prospect:
    """What to expect of one deadline at one link rate."""

    rate_bytes_per_s: float
    deadline_s: float
    verdict: Verdict
    """``too fast``: pictures cannot be encoded at that pace. ``nothing``: not even one packet."""
    payload_bytes: int
    """Of each picture, in time; at most all of it."""
    accuracy: float | None
    """By the checkpoint's own measurement, where there is one and something arrives."""


def measure_encoder(
    codec: Codec,
    *,
    num: int,
    mtu_bytes: int = 244,
    clock: Callable[[], float] = time.perf_counter,
) -> EncodeTimes:
    """Encode rendered pictures as a device does, and take the time.

    Args:
        codec: Its encoder is loaded by the first picture.
        num: Pictures after the first, at least 4.
        mtu_bytes: Largest packet.
        clock: Seconds.
    """
    pictures = [_picture(index) for index in range(NUM_PICTURES)]
    times_ms, sizes = [], []
    for index in range(num + 1):
        begin = clock()
        packets = codec.encode_packets(pictures[index % NUM_PICTURES], mtu_bytes, redundancy=0.0)
        times_ms.append(1e3 * (clock() - begin))
        sizes.append(sum(map(len, packets)))
    first_ms, *rest = times_ms
    quarter = max(1, num // 4)
    return EncodeTimes(
        num=num,
        first_ms=first_ms,
        median_ms=statistics.median(rest),
        p95_ms=sorted(rest)[min(num - 1, math.ceil(0.95 * num) - 1)],
        slowdown=statistics.median(rest[-quarter:]) / (statistics.median(rest[:quarter]) or 1.0),
        stream_bytes=round(statistics.median(sizes)),
    )


def foresee(
    times: EncodeTimes,
    accuracy: Mapping[str, float],
    *,
    mtu_bytes: int = 244,
    rates: Sequence[float] = RATES_BYTES_PER_S,
    deadlines: Sequence[float] = DEADLINES_S,
) -> list[Prospect]:
    """Say for each link rate and deadline what arrives in time.

    Args:
        times: Of this machine.
        accuracy: From the checkpoint's card: ``at_512_bytes`` and the like.
        mtu_bytes: Largest packet.
        rates: Of the link, bytes per second.
        deadlines: Seconds from one picture to the next.
    """
    overhead = len(encode_frame(Data(0, 0, 0, 0, 1, 0, bytes(mtu_bytes)))) - mtu_bytes
    share = GOODPUT_SHARE * mtu_bytes / (mtu_bytes + overhead)
    prospects = []
    for rate in rates:
        for deadline_s in deadlines:
            payload = min(int(share * rate * deadline_s), times.stream_bytes)
            verdict: Verdict
            if times.shortest_deadline_s > deadline_s:
                verdict, payload = "too fast", 0
            elif payload < min(mtu_bytes, times.stream_bytes):
                verdict, payload = "nothing", 0
            else:
                verdict = "whole" if payload == times.stream_bytes else "part"
            expected = _accuracy_at(accuracy, payload) if payload else None
            prospects.append(Prospect(rate, deadline_s, verdict, payload, expected))
    return prospects


def read_machine(
    sysfs: Path = SYSFS,
    procfs: Path = Path("/proc"),
    run: Callable[[Sequence[str]], str | None] | None = None,
) -> Machine:
    """Read what Linux and, on a Raspberry Pi, the firmware say.

    Args:
        sysfs, procfs: Where they are mounted.
        run: Runs a program and returns what it prints, or None where there is none.
    """
    memory = _fields(_text(procfs / "meminfo"))
    status = _fields(_text(procfs / "self/status"))
    frequency = sysfs / "devices/system/cpu/cpu0/cpufreq"
    model = _text(procfs / "device-tree/model") or _text(sysfs / "class/dmi/id/product_name")
    return Machine(
        model=(model or platform.node()).strip("\0\n "),
        architecture=platform.machine(),
        python=platform.python_version(),
        num_cores=len(os.sched_getaffinity(0)),
        temperatures_c=dict(_temperatures(sysfs)),
        frequency_mhz=_number(frequency / "scaling_cur_freq", 1e3),
        max_frequency_mhz=_number(frequency / "cpuinfo_max_freq", 1e3),
        throttling=_throttling((run or _run)(["vcgencmd", "get_throttled"])),
        memory_mb=memory.get("MemTotal"),
        available_mb=memory.get("MemAvailable"),
        resident_mb=status.get("VmHWM"),
    )


def _picture(index: int) -> bytes:
    from PIL import Image

    from pnc import belt

    pixels, _ = belt.render(index, seed=0)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize(PICTURE_SIZE).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _accuracy_at(accuracy: Mapping[str, Any], num_bytes: int) -> float | None:
    """Interpolate between measured lengths, in the logarithm of bytes; flat beyond them."""
    points = sorted(
        (int(found[1]), float(value))
        for name, value in accuracy.items()
        if (found := re.fullmatch(r"at_(\d+)_bytes", name))
    )
    if not points or num_bytes < points[0][0]:
        return None
    for (low, at_low), (high, at_high) in pairwise(points):
        if num_bytes <= high:
            share = math.log(num_bytes / low) / math.log(high / low)
            return at_low + share * (at_high - at_low)
    return points[-1][1]


def _temperatures(sysfs: Path) -> Iterable[tuple[str, float]]:
    for zone in sorted((sysfs / "class/thermal").glob("thermal_zone*")):
        value = _number(zone / "temp", 1e3)
        if value is not None:
            yield _text(zone / "type").strip() or zone.name, value


def _throttling(answer: str | None) -> tuple[str, ...]:
    found = re.search(r"throttled=0x([0-9a-fA-F]+)", answer or "")
    bits = int(found[1], 16) if found else 0
    return tuple(text for bit, text in _THROTTLING.items() if bits >> bit & 1)


def _run(command: Sequence[str]) -> str | None:
    if shutil.which(command[0]) is None:
        return None
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TOOL_TIMEOUT_S, check=False
        )
        return done.stdout
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""


def _number(path: Path, unit: float) -> float | None:
    with suppress(ValueError):
        return float(_text(path)) / unit
    return None


def _fields(text: str) -> dict[str, float]:
    """Return the lines ``Name:  123 kB`` as megabytes."""
    found = re.findall(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE)
    return {name: round(int(number) / 1024, 1) for name, number in found}
