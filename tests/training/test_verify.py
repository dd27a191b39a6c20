from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from training import verify as module
from training.verify import classifier_agreement


class Fixed:
    """Stands for a model and for a file: gives rows of probabilities in turn."""

    def __init__(self, rows: list[list[float]]) -> None:
        self._rows = np.array(rows, np.float32)
        self._next = 0

    def predict_on_batch(self, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._rows[: len(pictures)]

    def run(self, _picture: NDArray[np.float32]) -> NDArray[np.float32]:
        row: NDArray[np.float32] = self._rows[self._next]
        self._next += 1
        return row


@pytest.mark.parametrize(
    ("mine", "theirs", "share"),
    [
        ([[0.9, 0.1], [0.2, 0.8]], [[0.8, 0.2], [0.3, 0.7]], 1.0),
        ([[0.9, 0.1], [0.2, 0.8]], [[0.8, 0.2], [0.7, 0.3]], 0.5),
        ([[0.501, 0.499], [0.2, 0.8]], [[0.499, 0.501], [0.3, 0.7]], 1.0),
        ([[0.501, 0.499], [0.5, 0.5]], [[0.1, 0.9], [0.9, 0.1]], 0.5),
        ([[float("nan")] * 2] * 2, [[0.1, 0.9], [0.9, 0.1]], 0.0),
    ],
)
def test_only_classes_as_good_as_tied_may_differ(
    mine: list[list[float]],
    theirs: list[list[float]],
    share: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "Model", lambda _content, **_options: Fixed(theirs))
    model: Any = Fixed(mine)
    pictures = np.zeros((2, 224, 224, 3), np.uint8)
    assert classifier_agreement(model, b"", pictures) == share
