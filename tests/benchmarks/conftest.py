from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmarks import judges, work
from pnc import belt
from pnc.codec.image import SIZE


class BeltJudge:
    """Stands for a TFLite file: knows four renders of the belt and tells them apart by looks."""

    def __init__(self, content: bytes, *, name: str, num_threads: int) -> None:
        assert content == b"judge"
        assert num_threads == 1
        self.inputs = [{"shape": (1, 32, 32, 3), "dtype": np.uint8}]
        self.outputs = [{"shape": (1, 1 + len(belt.CLASSES)), "quantization": (0.0, 0)}]
        self._known: list[tuple[int, NDArray[np.float64]]] = []
        for seed in (2, 3):
            for index in range(2):
                pixels, label = belt.render(index, seed=seed)
                small = Image.fromarray(pixels).resize((32, 32), Image.Resampling.BILINEAR)
                self._known.append((label, np.asarray(small, np.float64)))

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        scores = np.zeros(1 + len(belt.CLASSES))
        for label, small in self._known:
            scores[1 + label] = max(scores[1 + label], 1 / (1 + np.square(small - pixels).mean()))
        return scores


@pytest.fixture
def judge_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A judge whose file is a fake and whose classes are the belt's, after a background class."""
    monkeypatch.setattr(judges, "Model", BeltJudge)
    work._open_judge.cache_clear()
    index = {str(i): [f"n{i:08}", name] for i, name in enumerate(belt.CLASSES)}
    (tmp_path / judges.CLASS_INDEX).write_text(json.dumps(index), encoding="utf-8")
    path = tmp_path / "judge.tflite"
    path.write_bytes(b"judge")
    return path


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Small pictures in class folders and in a flat folder."""
    for name in ("n1/a.png", "n1/b.png", "n2/c.png", "n2/notes.txt"):
        path = tmp_path / "classes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            shade = ord(path.stem)
            Image.new("RGB", (SIZE, SIZE), (shade, shade, shade)).save(path)
        else:
            path.write_text("no picture", encoding="utf-8")
    return tmp_path / "classes"
