"""``pnc encode``, ``decode``, ``classify`` and ``inspect``."""

from __future__ import annotations

import errno
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Run = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("fake_codec")


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_stream_goes_beside_its_picture(pnc: Run, pictures: Path) -> None:
    ended = pnc("encode", pictures / "dark" / "a.png")
    assert ended.status == 0
    assert (pictures / "dark" / "a.pnc").stat().st_size == 259
    assert ended.out == ""
    assert ended.err.startswith(f"{pictures}/dark/a.png -> {pictures}/dark/a.pnc  259 bytes")


def test_a_folder_is_encoded_around_its_broken_picture(
    pnc: Run, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ended = pnc("encode", pictures, "--out", out, "--max-bytes", "100")
    assert ended.status == 1
    written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*"))
    assert written == ["bright/a.pnc", "dark/a.pnc", "dark/b.pnc"]
    assert {path.stat().st_size for path in out.rglob("*.pnc")} == {100}
    errors = [line for line in ended.err.splitlines() if "error" in line]
    assert len(errors) == 1
    assert "dark/broken.png" in errors[0]
    assert "1 of 4 inputs failed" in ended.err


def test_json_has_one_line_per_input_also_for_a_broken_one(
    pnc: Run, pictures: Path, tmp_path: Path
) -> None:
    ended = pnc("encode", pictures, "missing.png", "--out", tmp_path / "out", "--json")
    lines = records(ended.out)
    assert ended.status == 1
    assert len(lines) == 5
    assert sorted("error" in line for line in lines) == [False, False, False, True, True]
    good = next(line for line in lines if "bytes" in line)
    assert good["bytes"] == 259
    assert good["checkpoint"] == "1234abcd"
    assert Path(good["output"]).is_file()


def test_pipes_through_stdin_and_stdout(pnc: Run, pictures: Path) -> None:
    data = (pictures / "bright" / "a.png").read_bytes()
    encoded = pnc("encode", "-", stdin=data)
    decoded = pnc("decode", "-", "--bytes", "200", stdin=encoded.out_bytes)
    assert (encoded.status, decoded.status) == (0, 0)
    with Image.open(io.BytesIO(decoded.out_bytes)) as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (224, 224, 3)
    assert pixels.max() >= 239


def test_every_prefix_decodes_beside_its_stream(pnc: Run, pictures: Path) -> None:
    picture = pictures / "bright" / "a.png"
    assert pnc("encode", picture, "-o", pictures).status == 0
    ended = pnc("decode", pictures / "a.pnc", "--bytes", "0", "--json")
    assert ended.status == 0
    (line,) = records(ended.out)
    assert line["bytes"] == 0
    with Image.open(pictures / "a.png") as decoded:
        assert np.asarray(decoded).std() == 0


def test_one_output_may_be_named(pnc: Run, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    stream, picture = out / "x.pnc", out / "y.PNG"
    assert pnc("encode", pictures / "dark" / "a.png", "-o", stream).status == 0
    assert pnc("decode", stream, "-o", picture).status == 0
    assert pnc("decode", stream, "-o", picture).status == 1
    assert sorted(path.name for path in out.iterdir()) == ["x.pnc", "y.PNG"]


@pytest.mark.parametrize("command", ["encode", "decode"])
def test_existing_files_are_kept_without_force(command: str, pnc: Run, pictures: Path) -> None:
    source = pictures / "dark" / "a.png"
    pnc("encode", source)
    target = source.with_suffix(".pnc")
    if command == "decode":
        source, target = target, source
    before = target.read_bytes()
    target.write_bytes(b"precious")
    refused = pnc(command, source, "--json")
    assert refused.status == 1
    assert target.read_bytes() == b"precious"
    assert f"{target}: exists already; --force overwrites it" in refused.err
    assert pnc(command, source, "--force").status == 0
    assert target.read_bytes() != b"precious"
    assert (target.read_bytes() == before) == (command == "encode")


def test_two_inputs_never_share_an_output(pnc: Run, pictures: Path, tmp_path: Path) -> None:
    files = [pictures / "dark" / "a.png", pictures / "bright" / "a.png"]
    ended = pnc("encode", *files, "--out", tmp_path / "out", "--force")
    assert ended.status == 1
    assert "another input already gave" in ended.err


def test_binary_data_is_not_written_to_a_terminal(pnc: Run, pictures: Path) -> None:
    picture = pictures / "dark" / "a.png"
    ended = pnc("encode", picture, "--out", "-", terminal=True)
    assert (ended.status, ended.out) == (1, "")
    assert "not written to a terminal" in ended.err
    assert pnc("encode", picture, "--out", "-", "--force", terminal=True).out_bytes[:1] == b"\xc3"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("a.png", "b.png", "--out", "-"), "stdout holds one output"),
        (("-", "--json"), "stdout cannot hold"),
        (("a.png", "--out", __file__), "not a folder"),
        (("a.png", "b.png", "--out", "a.pnc"), "holds one output"),
    ],
)
def test_wrong_command_lines_end_with_status_2(
    words: tuple[str, ...], message: str, pnc: Run
) -> None:
    ended = pnc("encode", *words)
    assert ended.status == 2
    assert message in ended.err
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "missing", "no such file or folder"),
        (lambda folder: folder, "no picture in this folder"),
        (lambda folder: "-", "nothing came on standard input"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(
    make: Callable[[Path], Path | str], message: str, pnc: Run, tmp_path: Path
) -> None:
    ended = pnc("encode", make(tmp_path))
    assert ended.status == 1
    assert message in ended.err
    assert len(ended.err.splitlines()) == 1


def test_a_full_disk_leaves_nothing_behind_and_ends_the_run(
    pnc: Run, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pnc.commands.files.os.fsync", full)
    ended = pnc("encode", pictures / "dark", "--out", tmp_path / "out")
    assert ended.status == 1
    assert "the disk is full" in ended.err
    assert len(ended.err.splitlines()) == 1
    assert list((tmp_path / "out").iterdir()) == []


def test_an_output_that_cannot_be_written_is_one_line(pnc: Run, pictures: Path) -> None:
    ended = pnc("encode", pictures / "dark" / "a.png", "--out", pictures / "notes.txt" / "x")
    assert ended.status == 1
    assert "cannot be written" in ended.err


def test_classify_names_pictures_and_streams(pnc: Run, pictures: Path) -> None:
    pnc("encode", pictures / "bright" / "a.png", "-o", pictures / "bright")
    ended = pnc("classify", pictures / "bright", "--top", "2")
    assert ended.status == 0
    stream, picture = ended.out.splitlines()
    assert stream == f"{pictures}/bright/a.pnc (259 bytes): bright 70.0%, grey 35.0%"
    assert picture == f"{pictures}/bright/a.png: bright 70.0%, grey 35.0%"


def test_classify_judges_a_picture_by_what_some_bytes_tell(pnc: Run, pictures: Path) -> None:
    ended = pnc("classify", pictures / "bright" / "a.png", "--bytes", "3", "--json")
    (line,) = records(ended.out)
    assert line["bytes"] == 3
    assert line["top"][0] == {"label": "grey", "index": 1, "probability": 0.7}


def test_classify_takes_either_kind_from_stdin(pnc: Run, pictures: Path) -> None:
    picture = (pictures / "dark" / "a.png").read_bytes()
    stream = pnc("encode", "-", stdin=picture).out_bytes
    assert pnc("classify", "-", stdin=picture).out.startswith("-: dark")
    assert pnc("classify", "-", stdin=stream).out.startswith("- (259 bytes): dark")


def test_an_error_inside_a_stream_names_its_file(pnc: Run, tmp_path: Path) -> None:
    path = tmp_path / "random.pnc"
    path.write_bytes(b"random")
    ended = pnc("decode", path)
    assert ended.status == 1
    assert ended.err == f"pnc: error: {path}: corrupt stream: wrong magic byte\n"


def test_inspect_draws_and_counts(pnc: Run, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "drawing.png"
    ended = pnc("inspect", pictures / "bright" / "a.png", "--out", out, "--json")
    assert ended.status == 0
    (line,) = records(ended.out)
    assert line["complete"] is True
    assert sum(segment["bits"] for segment in line["segments"]) == 8 * 256
    with Image.open(out) as drawing:
        assert drawing.width > 1000
        assert len(drawing.convert("RGB").getcolors(1 << 24) or []) > 20
    assert pnc("inspect", pictures / "bright" / "a.png", "--out", out).status == 1


def test_inspect_refuses_what_is_missing(pnc: Run) -> None:
    ended = pnc("inspect", "missing.pnc")
    assert ended.status == 1
    assert "no such file" in ended.err


def test_a_terminal_gets_a_bar_and_the_same_lines(
    pnc: Run, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    ended = pnc("encode", pictures, terminal=True)
    assert ended.status == 1
    for name in ("bright/a.pnc", "dark/a.pnc", "dark/b.pnc", "broken.png"):
        assert name in ended.err
