"""Pictures through standard input: a stream of files cut by their own structure, or names."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from device.sources import Picture
from device.sources.pipe import MAX_NAME_BYTES, PictureSplitter, PipeSource
from pnc.errors import ConfigError


def encode(seed: int, kind: str = "JPEG", **options: object) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def with_thumbnail(picture: bytes) -> bytes:
    """A JPEG that holds another JPEG in an APP1 segment, as cameras write them."""
    inner = b"Exif\0\0" + encode(99)
    return picture[:2] + b"\xff\xe1" + (len(inner) + 2).to_bytes(2) + inner + picture[2:]


FILES = [
    encode(1),
    encode(2, progressive=True),
    encode(3, "PNG"),
    with_thumbnail(encode(4)),
    encode(5, restart_marker_blocks=1),
    encode(6, quality=100, subsampling=0),
]


@settings(deadline=None, max_examples=40)
@given(
    order=st.lists(st.integers(0, len(FILES) - 1), max_size=5),
    gap=st.sampled_from([b"", b"\r\n", b"\0" * 7, b"\xff\xff"]),
    step=st.integers(1, 4000),
)
def test_files_come_out_whole_however_they_are_cut(order: list[int], gap: bytes, step: int) -> None:
    stream = gap.join(FILES[index] for index in order)
    splitter = PictureSplitter()
    found = []
    for start in range(0, len(stream), step):
        found += splitter.feed(stream[start : start + step])
    assert found == [FILES[index] for index in order]
    assert splitter.num_skipped_bytes == max(0, len(order) - 1) * len(gap)


@settings(deadline=None, max_examples=60)
@given(
    junk=st.binary(max_size=300),
    begin=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", FILES[0][:200]]),
    step=st.integers(1, 100),
)
def test_random_bytes_never_raise_and_cut_alike(junk: bytes, begin: bytes, step: int) -> None:
    stream = begin + junk
    whole, pieces = PictureSplitter(), PictureSplitter()
    found = []
    for start in range(0, len(stream), step):
        found += pieces.feed(stream[start : start + step])
    assert whole.feed(stream) == found
    assert whole.num_skipped_bytes == pieces.num_skipped_bytes


@pytest.mark.parametrize("cut", [3, 40, 400])
def test_a_picture_after_a_damaged_one_is_found(cut: int) -> None:
    broken = FILES[0][:cut] + b"\xff\xd9"
    assert PictureSplitter().feed(broken + FILES[2])[-1] == FILES[2]


def test_a_picture_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("device.sources.pipe.MAX_PICTURE_BYTES", 5000)
    splitter = PictureSplitter()
    endless = FILES[0][:-2] + bytes(6000)
    assert splitter.feed(endless) == []
    assert splitter.feed(FILES[1]) == [FILES[1]]


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    yield read, write
    for descriptor in (read, write):
        try:
            os.close(descriptor)
        except OSError:
            continue


def drain(source: PipeSource) -> list[Picture]:
    return list(iter(source.take, None))


def test_every_picture_of_a_pipe_in_order(pipe: tuple[int, int]) -> None:
    read, write = pipe
    source = PipeSource(read, every=True)
    os.write(write, b"".join(FILES))
    os.close(write)
    pictures = drain(source)
    assert [picture.content for picture in pictures] == FILES
    assert [picture.name for picture in pictures][:2] == ["stdin:1", "stdin:2"]


def test_the_newest_picture_of_a_pipe_wins(pipe: tuple[int, int]) -> None:
    read, write = pipe
    source = PipeSource(read)
    os.write(write, b"".join(FILES))
    os.close(write)
    source._thread.join(10)
    assert [picture.name for picture in drain(source)] == ["stdin:6"]


def test_names_of_files(pipe: tuple[int, int], tmp_path: Path) -> None:
    read, write = pipe
    os.write(write, b"a.jpg\n\n  sub/b.png\r\n\xc3\xa4.jpg")
    os.close(write)
    pictures = drain(PipeSource(read, every=True))
    assert [picture.content for picture in pictures] == [
        Path("a.jpg"),
        Path("sub/b.png"),
        Path("ä.jpg"),
    ]


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xff\xd8\xffno end", b"x" * (MAX_NAME_BYTES + 9)])
def test_an_input_without_a_picture_is_one_line(pipe: tuple[int, int], data: bytes) -> None:
    read, write = pipe
    os.write(write, data)
    os.close(write)
    with pytest.raises(ConfigError, match="no picture came on standard input"):
        PipeSource(read).take()


def test_closing_ends_a_take_that_waits(pipe: tuple[int, int]) -> None:
    source = PipeSource(pipe[0])
    source.close()
    assert source.take() is None
