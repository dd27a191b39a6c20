"""Networks of planes: levels, and arrays that do not fit each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pnc.codec.context import MAX_HIDDEN, Context, level
from pnc.errors import CheckpointError


def make_context(hidden: int = 2, channels: int = 3) -> Context:
    return Context.of_bias(np.zeros((4, 4, channels), np.int16), hidden)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_levels_are_half_octaves(dtype: type[Any]) -> None:
    numbers = [0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 15, 16, 65_535, 65_536, 98_303, 98_304]
    expected = [0, 0, 0, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 29, 30, 30, 31]
    assert level(np.array(numbers, dtype)).tolist() == expected


@pytest.mark.parametrize(
    "change",
    [
        {"inner": np.zeros((2, 3, 3), np.int16)},
        {"inner": np.zeros((1, 3, 2), np.int16)},
        {"inner_bias": np.zeros(3, np.int32)},
        {"outer": np.zeros((2, 4), np.int16)},
        {"neighbours": np.zeros(2, np.int16)},
    ],
)
def test_arrays_that_do_not_fit_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="2 hidden units"):
        replace(make_context(), **change)


def test_hidden_units_are_bounded() -> None:
    make_context(MAX_HIDDEN)
    with pytest.raises(CheckpointError, match=f"{MAX_HIDDEN + 1} hidden units"):
        make_context(MAX_HIDDEN + 1)
