from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_server.store import Guess, PictureKey, Result, Store
from edge_server.workers import Catalogue, EndedPicture
from pnc.errors import CheckpointError, CorruptBitstreamError

if TYPE_CHECKING:
    from pnc.codec.codec import Codec

CHECKPOINT_ID = "00c0ffee"
CLASSES = ("dark", "grey", "bright")
HEADER_BYTES = 4


class FakeCodec:
    """Packets of 4 header bytes and grey levels; what arrived decides brightness and class."""

    def __init__(self, name: str) -> None:
        self.checkpoint = SimpleNamespace(name=name, id=CHECKPOINT_ID, classes=CLASSES)
        self.in_use = threading.Lock()

    @classmethod
    def load(cls, name: str) -> FakeCodec:
        if name != "fake":
            raise CheckpointError(f"{name}: no such checkpoint; the fake one is called fake")
        return cls(name)

    def decode_packets(self, packets: Iterable[bytes]) -> NDArray[np.uint8]:
        assert self.in_use.acquire(blocking=False), "two threads in one codec"
        try:
            levels = [*b"".join(map(self._levels, packets))] or [128]
            return np.full((224, 224, 3), int(np.mean(levels)), np.uint8)
        finally:
            self.in_use.release()

    def classify(self, pixels: NDArray[np.uint8], *, top: int = 5) -> list[Any]:
        share = float(pixels.mean()) / 255
        index = min(2, int(share * 3))
        rest = [other for other in range(3) if other != index]
        shares = [(index, 0.8), (rest[0], 0.15), (rest[1], 0.05)]
        return [Guess(CLASSES[number], number, value) for number, value in shares][:top]

    def _levels(self, packet: bytes) -> bytes:
        if len(packet) < HEADER_BYTES or packet[0] != 0xD1:
            raise CorruptBitstreamError("corrupt packet")
        return packet[HEADER_BYTES:]


def make_packets(count: int = 3, level: int = 200, size: int = 40) -> list[bytes]:
    header = b"\xd1\x00\x00"
    return [header + bytes([n]) + bytes([level]) * (size - HEADER_BYTES) for n in range(count)]


def make_key(picture_id: int = 1, *, device: str = "cam", session_id: int = 7) -> PictureKey:
    return PictureKey(device, session_id, picture_id)


def make_result(picture_id: int = 1, *, key: PictureKey | None = None, **changes: Any) -> Result:
    values: dict[str, Any] = {
        "key": key or make_key(picture_id),
        "link_url": "emu://test",
        "checkpoint_id": CHECKPOINT_ID,
        "started_at": 1000.0 + picture_id,
        "ended_at": 1000.5 + picture_id,
        "stored_at": 1000.6 + picture_id,
        "deadline_s": 0.5,
        "num_packets": 3,
        "packets": dict(enumerate(make_packets())),
        "late_bytes": 11,
        "decode_s": 0.01,
        "classify_s": 0.02,
        "top": (Guess("bright", 2, 0.8), Guess("dark", 0, 0.2)),
        "error": None,
        "payload": b'{"top":[["bright",0.8]],"bytes":120,"ms":30}',
    }
    return Result(**{**values, **changes})


def make_ended(picture_id: int = 1, **changes: Any) -> EndedPicture:
    values: dict[str, Any] = {
        "key": make_key(picture_id),
        "link_url": "emu://test",
        "checkpoint_id": CHECKPOINT_ID,
        "packets": dict(enumerate(make_packets())),
        "num_packets": 3,
        "late_bytes": 0,
        "started_at": 1000.0 + picture_id,
        "ended_at": 1000.5 + picture_id,
        "deadline_s": 0.5,
    }
    return EndedPicture(**{**values, **changes})


@pytest.fixture
def load() -> Callable[[str], Codec]:
    return cast("Callable[[str], Codec]", FakeCodec.load)


@pytest.fixture
def catalogue(load: Callable[[str], Codec]) -> Catalogue:
    return Catalogue(["fake"], load=load)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "results.sqlite")
    yield store
    store.close()
