from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from keras import ops

from training import towers
from training.towers import in_towers, share_cores


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


@pytest.mark.parametrize(("cores", "share"), [(None, "1"), (2, "1"), (16, "8")])
def test_each_tower_has_its_share_of_the_cores(
    cores: int | None, share: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(towers, "NUM_TOWERS", 2)
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    share_cores()
    assert os.environ["TF_NUM_INTRAOP_THREADS"] == share
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")
    share_cores()
    assert os.environ["TF_NUM_INTRAOP_THREADS"] == "3"
