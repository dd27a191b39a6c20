from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pnc.replay.baselines.whole_files import open_webp
from tests.training.report.cases import CLASSES
from training.report.gather import measure_pictures
from training.report.summary import summarise


def test_pictures_are_measured_once(
    tiny_run: Any, pictures: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    labels, names = np.array([0, 1, 2]), ["a", "b", "c"]
    clock = iter(range(100))

    def measure(seconds: float) -> list[dict[str, Any]]:
        return measure_pictures(
            tmp_path,
            tiny_run.checkpoint,
            pictures[:3],
            labels,
            names,
            seconds=seconds,
            rivals={"webp": open_webp},
            now=lambda: float(next(clock)),
        )

    first = measure(1.5)
    assert [record["index"] for record in first] == [0]
    assert set(first[0]["rivals"]["webp"]) == {"full size", "scale 1/2", "scale 1/4"}
    path = tmp_path / "pictures.jsonl"
    path.write_text(path.read_text() + '{"index": 1, "cut', encoding="utf-8")
    every = measure(2.5)
    assert every[0] == first[0]
    assert len(every) == 3
    assert every[2]["rivals"] == {}
    assert summarise(every, CLASSES)["n"] == 3
    names[1] = "another picture"
    again = measure(2.5)
    assert [record["name"] for record in again] == ["a", "another picture", "c"]
    assert (again[0], again[2]) == (every[0], every[2])
