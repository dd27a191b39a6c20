"""Regions: parts of the grid that are coded on their own, so that a lost packet costs one of them.

The grid is cut into tiles of 4x4 positions. Region 0 holds the tiles in even rows and columns,
1 those in even rows and odd columns, 2 and 3 those in odd rows. So a region is spread over the
whole picture: where one is missing, every hole has neighbours, and all regions take about as many
bytes. Within a region the tiles lie side by side as a smaller grid.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pnc.codec.coefficients import BLOCK

NUM_REGIONS = 4
"""Regions of a picture."""


def is_divisible(height: int, width: int) -> bool:
    """Whether a grid can be cut into regions of one size."""
    return height % (2 * BLOCK) == 0 and width % (2 * BLOCK) == 0


def region_places(height: int, width: int) -> NDArray[np.intp]:
    """The positions of each region.

    Args:
        height, width: of the grid, multiples of 8.

    Returns:
        intp ``[4, height / 2 * width / 2]``: raster indices in the whole grid, in the raster order
        of the region's own grid.
    """
    places = np.arange(height * width).reshape(height // (2 * BLOCK), 2, BLOCK, -1, 2, BLOCK)
    by_region = places.transpose(1, 4, 0, 2, 3, 5)
    return by_region.reshape(NUM_REGIONS, -1)
