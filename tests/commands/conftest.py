"""A codec small enough to see through, and the commands run as the user runs them."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pnc import cli
from pnc.codec.codec import Segment, StreamInfo
from pnc.codec.image import load_picture
from pnc.errors import CorruptBitstreamError

HEADER = b"\xc3\x12\x34"
NUM_SEGMENTS = 4
SIDE = 16


@dataclass(frozen=True)
class FakeCodec:
    """Sixteen by sixteen grey pixels in four interleaved segments; the class is the brightness."""

    name: str

    @property
    def checkpoint(self) -> SimpleNamespace:
        return SimpleNamespace(name=self.name, id="1234abcd", classes=("dark", "grey", "bright"))

    def encode(self, picture: Any, *, max_bytes: int | None = None) -> bytes:
        pixels = load_picture(picture, size=SIDE)[..., 0].reshape(-1)
        segments = [pixels[first::NUM_SEGMENTS].tobytes() for first in range(NUM_SEGMENTS)]
        return (HEADER + b"".join(segments))[:max_bytes]

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        self._check(stream)
        known = np.frombuffer(stream[len(HEADER) :], np.uint8)
        values = np.full(SIDE * SIDE, 128, np.uint8)
        values[: len(known)] = known
        grey = values.reshape(NUM_SEGMENTS, -1).T.reshape(SIDE, SIDE)
        return np.asarray(Image.fromarray(grey).resize((224, 224)).convert("RGB"))

    def classify(self, picture: Any, *, top: int = 5) -> list[SimpleNamespace]:
        if isinstance(picture, bytes) and picture.startswith(HEADER):
            picture = self.decode(picture)
        index = int(load_picture(picture).mean()) * 3 // 256
        order = sorted(range(3), key=lambda other: abs(other - index))[:top]
        return [
            SimpleNamespace(label=self.checkpoint.classes[i], index=i, probability=0.7 / (k + 1))
            for k, i in enumerate(order)
        ]

    def info(self, stream: bytes) -> StreamInfo:
        """Plane 1 with one class; plane 0 with two, an empty one and the refinement."""
        self._check(stream)
        size, rest = SIDE * SIDE // NUM_SEGMENTS, len(stream) - len(HEADER)
        segments = []
        for number, (plane, of_class) in enumerate([(1, 13), (0, 3), (0, None), (0, 12)]):
            known = min(max(rest - number * size, 0), size)
            if known:
                segments.append(Segment(plane, of_class, size, known, 8 * known))
        segments.insert(1, Segment(0, 0, 0, 0, 0))
        return StreamInfo(len(stream), "1234abcd", 3, tuple(segments), rest == SIDE * SIDE)

    def _check(self, stream: bytes) -> None:
        if not HEADER.startswith(stream[: len(HEADER)]):
            raise CorruptBitstreamError("corrupt stream: wrong magic byte")


@dataclass(frozen=True)
class Ended:
    status: int
    out: str
    err: str
    out_bytes: bytes


Run = Callable[..., Ended]


@pytest.fixture
def fake_codec(monkeypatch: pytest.MonkeyPatch) -> FakeCodec:
    monkeypatch.setattr("pnc.commands.codec._load", FakeCodec)
    return FakeCodec("belt")


@pytest.fixture
def pnc(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``pnc WORDS...`` in this process, with bytes on standard input."""

    def run(*words: str | Path, stdin: bytes = b"", terminal: bool = False) -> Ended:
        class Stream(io.TextIOWrapper):
            def isatty(self) -> bool:
                return terminal

        class Buffer(io.BytesIO):
            def isatty(self) -> bool:
                return terminal

        out, err = Buffer(), Buffer()
        with monkeypatch.context() as patch:
            streams = [Stream(buffer, "utf-8", write_through=True) for buffer in (out, err)]
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            patch.setattr(sys, "stdout", streams[0])
            patch.setattr(sys, "stderr", streams[1])
            status = cli.main([str(word) for word in words])
        texts = out.getvalue(), err.getvalue()
        for stream in streams:
            stream.detach()
        return Ended(status, texts[0].decode(errors="replace"), texts[1].decode(), texts[0])

    return run


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of two classes, three pictures, one broken one and one that is no picture."""
    folder = tmp_path / "pictures"
    for name, value in (("bright/a.png", 240), ("dark/a.png", 10), ("dark/b.jpg", 20)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (value,) * 3).save(path)
    (folder / "dark" / "broken.png").write_bytes(b"no picture at all")
    (folder / "notes.txt").write_text("notes")
    return folder
