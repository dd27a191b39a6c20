"""The order of positions within anything that covers the grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def scan_order(height: int, width: int) -> NDArray[np.intp]:
    """Positions of a grid, coarse lattice first, each lattice from the centre outwards.

    The step of a position is the largest power of two, at most 8, that divides both its row and
    its column. Larger steps come first, then smaller squared distance to the centre (in doubled
    coordinates, so that it is an integer), then raster order. Half a layer is then a picture of
    half the detail, not half a picture.

    Returns:
        intp ``[height * width]``: raster indices in coding order.
    """
    row, column = np.divmod(np.arange(height * width), width)
    steps = np.ones(height * width, np.int64)
    for step in (2, 4, 8):
        steps[(row % step == 0) & (column % step == 0)] = step
    distance = (2 * row - height + 1) ** 2 + (2 * column - width + 1) ** 2
    return np.lexsort((np.arange(height * width), distance, -steps))
