"""Augmentation in numpy and Pillow: fast enough to feed a training step on the same core."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def crop_and_flip(
    picture: NDArray[np.uint8],
    size: int,
    rng: np.random.Generator,
    min_area: float,
    *,
    turn: bool = False,
) -> NDArray[np.uint8]:
    """A random crop, resized, mirrored half the time.

    Args:
        picture: uint8 ``[h, w, 3]``.
        size: side of the result, pixels.
        rng: where chance comes from.
        min_area: smallest share of the picture that the crop keeps; its aspect is 3:4 to 4:3.
        turn: whether the crop may be turned by quarters.

    Returns:
        uint8 ``[size, size, 3]``.
    """
    height, width = picture.shape[:2]
    area = rng.uniform(min_area, 1.0) * height * width
    aspect = np.exp(rng.uniform(-0.288, 0.288))
    w = min(width, round(np.sqrt(area * aspect)))
    h = min(height, round(np.sqrt(area / aspect)))
    left, top = rng.integers(0, width - w + 1), rng.integers(0, height - h + 1)
    crop = Image.fromarray(picture).resize(
        (size, size), Image.Resampling.BILINEAR, box=(left, top, left + w, top + h)
    )
    pixels = np.asarray(crop)
    if turn:
        pixels = np.rot90(pixels, int(rng.integers(4)))
    return pixels[:, ::-1] if rng.random() < 0.5 else pixels


def jitter_colour(
    pictures: NDArray[np.float32], rng: np.random.Generator, strength: float = 0.3
) -> NDArray[np.float32]:
    """Random brightness, contrast and saturation of each picture, in place.

    Args:
        pictures: ``[n, h, w, 3]`` in 0..255.
        rng: where chance comes from.
        strength: each factor lies within ``1 +- strength``.

    Returns:
        The same array.
    """
    n = len(pictures)
    gain = rng.uniform(1 - strength, 1 + strength, (3, n, 1, 1, 1)).astype(np.float32)
    pictures *= gain[0]
    mean = pictures.mean((1, 2, 3), keepdims=True)
    pictures -= mean
    pictures *= gain[1]
    pictures += mean
    grey = pictures.mean(3, keepdims=True)
    pictures -= grey
    pictures *= gain[2]
    pictures += grey
    return np.clip(pictures, 0, 255, out=pictures)
