"""What a machine can do as a device."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image
from rich.console import Console

from device.probe import EncodeTimes, foresee, measure_encoder, read_machine
from device.probe_report import describe_machine, prospect_table
from pnc import cli

TIMES = EncodeTimes(num=50, first_ms=80, median_ms=12, p95_ms=20, slowdown=1.3, stream_bytes=4000)
CARD = {"n": 600.0, "at_256_bytes": 0.5, "at_1024_bytes": 0.7, "at_4096_bytes": 0.9}


@pytest.fixture(autouse=True)
def cheap_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    Image.effect_noise((320, 240), 30).save(buffer, "JPEG")
    monkeypatch.setattr("device.probe._picture", lambda index: buffer.getvalue())


class FakeCodec:
    def encode_packets(self, picture: bytes, mtu_bytes: int, *, redundancy: float) -> list[bytes]:
        assert picture.startswith(b"\xff\xd8")
        return [bytes(mtu_bytes)] * 3


def test_encode_times_leave_the_first_picture_out() -> None:
    durations = [0.5, *[0.01] * 10, *[0.02] * 9, 0.03]

    def ticks() -> Iterator[float]:
        now = 0.0
        for duration in durations:
            yield now
            now += duration
            yield now

    clock = ticks()
    times = measure_encoder(cast("Any", FakeCodec()), num=20, clock=lambda: next(clock))
    assert times.first_ms == pytest.approx(500)
    assert times.median_ms == pytest.approx(15)
    assert times.p95_ms == pytest.approx(20)
    assert times.slowdown == pytest.approx(2)
    assert times.stream_bytes == 3 * 244


def verdicts(rate: float, *deadlines: float) -> list[tuple[str, int]]:
    found = foresee(TIMES, CARD, rates=[rate], deadlines=deadlines)
    return [(one.verdict, one.payload_bytes) for one in found]


def test_a_link_carries_nothing_a_part_or_all() -> None:
    (nothing, part, whole) = verdicts(1000, 0.2, 1.0, 10.0)
    assert nothing == ("nothing", 0)
    assert part[0] == "part"
    assert 800 < part[1] < 900
    assert whole == ("whole", 4000)


def test_a_pace_faster_than_the_encoder_is_not_possible() -> None:
    assert verdicts(1e6, 0.03, 0.05) == [("too fast", 0), ("whole", 4000)]


def test_expected_accuracy_lies_between_what_was_measured() -> None:
    (part, whole) = foresee(TIMES, CARD, rates=[1000], deadlines=[1.0, 60.0])
    assert part.accuracy is not None
    assert 0.6 < part.accuracy < 0.7
    assert whole.accuracy == pytest.approx(0.9, abs=0.01)
    assert foresee(TIMES, {}, rates=[1000], deadlines=[1.0])[0].accuracy is None


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture
def pi(tmp_path: Path) -> tuple[Path, Path]:
    """What a Raspberry Pi 4 shows below /sys and /proc."""
    cpu = "devices/system/cpu/cpu0/cpufreq"
    sysfs = {
        "class/thermal/thermal_zone0/temp": "81250\n",
        "class/thermal/thermal_zone0/type": "cpu-thermal\n",
        "class/thermal/thermal_zone1/type": "broken\n",
        f"{cpu}/scaling_cur_freq": "600000\n",
        f"{cpu}/cpuinfo_max_freq": "1500000\n",
    }
    procfs = {
        "device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
        "meminfo": "MemTotal:  1900000 kB\nMemFree: 1 kB\nMemAvailable:  950000 kB\n",
        "self/status": "Name: python\nVmHWM:   102400 kB\n",
    }
    return write(tmp_path / "sys", sysfs), write(tmp_path / "proc", procfs)


def test_a_pi_says_how_it_is(pi: tuple[Path, Path]) -> None:
    machine = read_machine(*pi, run=lambda command: "throttled=0x50005\n")
    assert machine.model == "Raspberry Pi 4 Model B Rev 1.4"
    assert machine.temperatures_c == {"cpu-thermal": 81.25}
    assert (machine.frequency_mhz, machine.max_frequency_mhz) == (600, 1500)
    assert machine.throttling == (
        *("under-voltage now", "throttled now", "under-voltage since boot"),
        "throttled since boot",
    )
    assert (machine.memory_mb, machine.resident_mb) == (1855.5, 100.0)
    text = "\n".join(describe_machine(machine, machine, TIMES))
    for part in (
        "81 degrees",
        "600 of 1,500 MHz",
        "under-voltage now",
        "130%",
        "p95 20.0 ms",
        "0.04 s or longer; 25 pic",
    ):
        assert part in text


def test_a_machine_that_says_nothing_is_described_all_the_same(tmp_path: Path) -> None:
    machine = read_machine(tmp_path, tmp_path, run=lambda command: None)
    assert machine.temperatures_c == {}
    assert machine.throttling == ()
    assert machine.memory_mb is None
    assert len(describe_machine(machine, machine, TIMES)) == 4


def test_the_table_has_a_row_a_rate_and_a_column_a_deadline() -> None:
    screen = io.StringIO()
    prospects = foresee(TIMES, CARD, rates=[1000, 1e6], deadlines=[0.03, 0.2, 10])
    Console(file=screen, width=100).print(prospect_table(prospects))
    shown = screen.getvalue()
    for part in ("1,000,000", "0.03 s", "too fast", "nothing", "4,000 B 90%"):
        assert part in shown


def test_the_command_measures_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--num", "4", "--rate", "1000", "--rate", "20000", "--deadline", "5"]
    assert cli.main(["device", "probe", *words, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["encode"]["num"] == 4
    assert record["shortest_deadline_s"] == pytest.approx(
        record["encode"]["p95_ms"] / 1e3 + 0.02, abs=0.001
    )
    assert record["encode"]["stream_bytes"] > 500
    assert [one["rate_bytes_per_s"] for one in record["prospects"]] == [1000, 20000]
    assert cli.main(["device", "probe", *words]) == 0
    assert "p95" in capsys.readouterr().out
