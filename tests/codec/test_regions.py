"""Regions: tiles of the grid dealt out to four smaller grids."""

from __future__ import annotations

import numpy as np
import pytest

from pnc.codec.regions import NUM_REGIONS, is_divisible, region_places

SHAPES = [(8, 8), (16, 16), (8, 24), (24, 16), (64, 64)]


@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_every_place_is_in_one_region(height: int, width: int) -> None:
    places = region_places(height, width)
    assert places.shape == (NUM_REGIONS, height * width // NUM_REGIONS)
    assert sorted(places.ravel().tolist()) == list(range(height * width))


@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_places_follow_from_the_tiles(height: int, width: int) -> None:
    places = region_places(height, width).reshape(NUM_REGIONS, height // 2, width // 2)
    for row, column in np.ndindex(height, width):
        region = 2 * (row // 4 % 2) + column // 4 % 2
        inner = (row // 8 * 4 + row % 4, column // 8 * 4 + column % 4)
        assert places[region][inner] == row * width + column


def test_grids_of_odd_tiles_cannot_be_cut() -> None:
    assert is_divisible(8, 16)
    assert not is_divisible(12, 16)
    assert not is_divisible(16, 4)
    assert not is_divisible(7, 7)
