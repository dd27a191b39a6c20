from __future__ import annotations

import hashlib

import numpy as np
import pytest

from pnc import belt
from pnc.codec.lapping import LAPPINGS, MIDDLE, SPREAD, WEIGHT_UNIT, Lapping

LAPPING = LAPPINGS["lapped"]


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
    weights = np.array(LAPPING.weights) / WEIGHT_UNIT

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
    assert hashlib.sha256(found.tobytes()).hexdigest()[:16] == "97c45014c2d6e199"
    np.testing.assert_array_equal(pixels, before)


def test_whole_numbers_give_the_same() -> None:
    """Sums in any order and precision: those of whole numbers have neither."""
    pixels = np.random.default_rng(2).integers(0, 256, (224, 224, 3))
    unit = 2 * WEIGHT_UNIT
    matrix = np.rint(LAPPING.mixing * unit).astype(np.int64)
    mixed = unit * pixels
    for border in range(14, 224, 14):
        around = slice(border - 4, border + 4)
        mixed[around] = np.tensordot(matrix, pixels[around], 1)
    pixels = np.rint(4 * mixed / unit).astype(np.int64)
    mixed = unit * pixels
    for border in range(14, 224, 14):
        around = slice(border - 4, border + 4)
        mixed[:, around] = np.einsum("ij,njc->nic", matrix, pixels[:, around])
    halved = (mixed + unit * 514) // (8 * unit)
    found = LAPPING.forward(
        np.random.default_rng(2).integers(0, 256, (224, 224, 3)).astype(np.uint8)
    )
    np.testing.assert_array_equal(found, np.clip(halved, 0, 255))


@pytest.mark.parametrize("lapping", LAPPINGS.values(), ids=LAPPINGS.keys())
def test_single_precision_is_exact(lapping: Lapping) -> None:
    assert len(lapping.weights) <= lapping.patch // 2
    assert np.abs(lapping.mixing).sum(axis=1).max() <= 4
    np.testing.assert_allclose(
        lapping.mixing.astype(float) @ lapping.unmixing, np.eye(len(lapping.mixing)), atol=1e-6
    )
