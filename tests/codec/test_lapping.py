from __future__ import annotations

import hashlib

import numpy as np
import pytest

from pnc import belt
from pnc.codec.lapping import MIDDLE, SPREAD, WEIGHT_UNIT, Lapping
from pnc.errors import CheckpointError

WEIGHTS = np.array(
    [[59, 46, 21, 17], [-39, 55, 37, 16], [10, -27, 67, 26], [-3, 3, -12, 75]], np.int16
)
LAPPING = Lapping(14, WEIGHTS)


def whole(halved: np.ndarray) -> np.ndarray:
    return (halved.astype(np.float32) - MIDDLE) * SPREAD + MIDDLE


def test_what_is_mixed_is_unmixed() -> None:
    pixels = belt.render(0)[0]
    back = LAPPING.inverse(whole(LAPPING.forward(pixels)))
    assert np.abs(back - pixels).mean() < 0.7
    assert np.abs(back - pixels).max() < 6


def test_it_is_what_the_module_says() -> None:
    """Pixel by pixel, along columns and then along rows."""
    pixels = np.random.default_rng(0).integers(64, 192, (42, 42, 3)).astype(np.float64)
    weights = WEIGHTS / WEIGHT_UNIT

    def mix(lines: np.ndarray) -> None:
        for border in (14, 28):
            left, right = [border - 1 - i for i in range(4)], [border + i for i in range(4)]
            total = lines[left] + lines[right]
            difference = np.tensordot(weights, lines[right] - lines[left], 1)
            lines[left], lines[right] = (total - difference) / 2, (total + difference) / 2

    mixed = pixels.copy()
    mix(mixed)
    mix(mixed.transpose(1, 0, 2))
    found = LAPPING.forward(pixels.astype(np.uint8))
    assert np.abs(whole(found) - np.clip(mixed, -127.5, 382.5)).max() <= 1.3


def test_flat_pictures_stay_flat() -> None:
    for grey in (0, 100, 255):
        found = LAPPING.forward(np.full((224, 224, 3), grey, np.uint8))
        assert (found == (grey + 128) // 2).all()


def test_the_same_bytes_everywhere() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (224, 224, 3)).astype(np.uint8)
    before = pixels.copy()
    found = LAPPING.forward(pixels)
    assert hashlib.sha256(found.tobytes()).hexdigest()[:16] == "9eb4cc4f4acce2cd"
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (np.zeros((0, 0)), "n x n with n from 1 to 7"),
        (np.eye(8), "n x n with n from 1 to 7"),
        (np.ones((3, 2)), "n x n"),
        (np.zeros((2, 2)), "cannot be undone"),
        (9 * np.eye(2), "too large"),
        (0.01 * np.eye(2), "cannot be undone|too large"),
    ],
)
def test_weights_that_do_not_fit(weights: np.ndarray, words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        Lapping(14, (WEIGHT_UNIT * weights).astype(np.int16))
