from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from keras import ops

from training import towers
from training.towers import in_towers


@pytest.mark.parametrize("length", [1, 2, 7])
@pytest.mark.parametrize("num_towers", [1, 2, 3])
def test_parts_are_joined_in_order(
    length: int, num_towers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(towers, "NUM_TOWERS", num_towers)
    x = np.arange(length * 3, dtype=np.float32).reshape(length, 3)
    lengths = []

    def function(a: Any, b: Any) -> dict[str, Any]:
        lengths.append(len(a))
        return {"sum": a + b, "pair": (ops.mean(a, axis=-1), b)}

    joined = in_towers(function, x, 2 * x)
    assert np.array_equal(np.asarray(joined["sum"]), 3 * x)
    assert np.array_equal(np.asarray(joined["pair"][0]), x.mean(-1))
    assert np.array_equal(np.asarray(joined["pair"][1]), 2 * x)
    assert sum(lengths) == length
    assert len(lengths) == (num_towers if length >= num_towers else 1)
