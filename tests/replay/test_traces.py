"""Trace files in every form."""

from __future__ import annotations

from pathlib import Path

import pytest

from pnc.errors import ConfigError
from pnc.replay.traces import read_mahimahi, read_slide8, read_trace

SLIDE8 = """image_index,jamming,throughput_kbit_per_s,fully_offloaded_kbyte
1,none,67.2,4.35
2,none,64.8,4.06
21,light,50,3.1
"""


def file_of(folder: Path, text: str) -> Path:
    path = folder / "trace"
    path.write_text(text, encoding="utf-8")
    return path


def test_forms_are_told_apart(tmp_path: Path) -> None:
    assert read_trace(file_of(tmp_path, "time_s,rate_bps\n0,8000\n")).mean_bps == 8000
    assert read_trace(file_of(tmp_path, "0,8000\n")).mean_bps == 8000
    assert read_trace(file_of(tmp_path, SLIDE8)).rates_bps == (67_200, 64_800, 50_000)
    assert read_trace(file_of(tmp_path, "0\n"), packet_bytes=10).bytes_between(0, 0.02) == 10


def test_mahimahi_stamps_become_bytes(tmp_path: Path) -> None:
    trace = read_mahimahi(file_of(tmp_path, "0\n0\n19\n20\n100\n"), packet_bytes=64)
    assert trace.bytes_between(0, 0.02) == pytest.approx(3 * 64)
    assert trace.bytes_between(0.02, 0.04) == pytest.approx(64)
    assert trace.bytes_between(0.04, 0.1) == pytest.approx(0)
    assert trace.bytes_between(0, trace.period_s) == pytest.approx(5 * 64)


def test_slide8_by_jamming(tmp_path: Path) -> None:
    trace = read_slide8(file_of(tmp_path, SLIDE8), jamming="none")
    assert (trace.rates_bps, trace.period_s) == ((67_200, 64_800), 1.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("5\n4\n", "line 2: 4 ms is before"),
        ("5\n-4\n", "line 2: -4 is negative"),
        ("5\nx\n", "line 2: 'x' is not a number"),
        ("5\n6,7\n", "line 2: a packet stamp stands alone"),
        ("0,1\n0,1\n", "line 2: time 0 is not after 0"),
        (SLIDE8 + "3,none,1,1\n", "line 5: picture 3 is not after 21"),
        (SLIDE8 + "30,none,1\n", "line 5: 3 columns"),
        (SLIDE8 + "30,none,-1,1\n", "line 5: -1 is negative"),
    ],
)
def test_bad_files_name_their_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_trace(file_of(tmp_path, text))


def test_empty_selections_are_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no picture under heavy jamming"):
        read_slide8(file_of(tmp_path, SLIDE8), jamming="heavy")
    with pytest.raises(ConfigError, match=r"holds no picture$"):
        read_slide8(file_of(tmp_path, SLIDE8.splitlines()[0]))
    with pytest.raises(ConfigError, match="is empty"):
        read_mahimahi(file_of(tmp_path, ""))
