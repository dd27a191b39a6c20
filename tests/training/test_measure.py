from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from training.measure import measure_checkpoint


class FakeCodec:
    """Streams of 600 bytes; pictures are known by their brightness once 500 bytes arrived."""

    classifier: Any

    def __init__(self) -> None:
        self.classifier = self

    def encode(self, pixels: NDArray[np.uint8]) -> bytes:
        return bytes([int(pixels[0, 0, 0])]) * 600

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        value = stream[0] if len(stream) >= 500 else 0
        return np.full((224, 224, 3), value, np.uint8)

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        sure: NDArray[np.float32] = (np.arange(4) == pixels[0, 0, 0]).astype(np.float32)
        return sure


class AlwaysTwo:
    """A classifier file that says 2."""

    def __init__(self, content: bytes, *, name: str) -> None:
        assert (content, name) == (b"another", "classifier.tflite")

    def run(self, _pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        sure: NDArray[np.float32] = (np.arange(4) == 2).astype(np.float32)
        return sure


def test_accuracy_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.measure.Codec.load", lambda _folder: FakeCodec())
    monkeypatch.setattr("training.measure.Model", AlwaysTwo)
    pictures = np.stack([np.full((224, 224, 3), value, np.uint8) for value in (0, 1, 2, 3)])
    labels = np.array([0, 1, 2, 0])
    calls: list[tuple[int, int]] = []
    figures = measure_checkpoint(
        Path("checkpoint"),
        pictures,
        labels,
        others=[b"another"],
        budgets=(256, 512),
        on_progress=lambda done, count: calls.append((done, count)),
    )
    assert figures == [
        {
            "n": 4.0,
            "undamaged": undamaged,
            "at_256_bytes": at_256,
            "at_512_bytes": at_512,
            "mean_stream_bytes": 600.0,
        }
        for undamaged, at_256, at_512 in ((0.75, 0.5, 0.75), (0.25, 0.25, 0.25))
    ]
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
