"""Fields: float32 pictures ``[rows, columns]``, and what is done to whole ones."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

SIZE = 224
"""Side, in pixels, at which every picture is rendered; other sizes are reduced from it."""

Field = NDArray[Any]
"""A float32 array [rows, columns]."""


def turn(degrees: float) -> tuple[float, float]:
    """Return cosine and sine, rounded so that the last bit of a machine's libm does not matter."""
    return round(math.cos(math.radians(degrees)), 9), round(math.sin(math.radians(degrees)), 9)


@lru_cache(maxsize=1)
def grid() -> tuple[Field, Field]:
    """Return the row and the column of every pixel."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    return rows, columns


def blurred(field: Field, radius: float, low: float, high: float) -> Field:
    """Return a Gaussian blur of `field`, computed by Pillow on 8 bits between low and high."""
    scale = 255 / (high - low)
    levels = ((np.clip(field, low, high) - low) * scale + 0.5).astype(np.uint8)
    picture = Image.fromarray(levels).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(picture, np.float32) * np.float32(1 / scale) + np.float32(low)


def moved(padded: Field, margin: int, down: int, right: int) -> Field:
    """Return the inner field of one padded by `margin`, moved by whole pixels."""
    height, width = padded.shape
    return padded[margin - down : height - margin - down, margin - right : width - margin - right]
