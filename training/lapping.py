"""Lapping (:mod:`pnc.codec.lapping`) for batches in the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from pnc.codec.lapping import MIDDLE, SPREAD, Lapping


def lapped(images: NDArray[np.uint8], lapping: Lapping | None) -> NDArray[np.uint8]:
    """What the encoder gets of pictures, both uint8 ``[n, size, size, 3]``, outside the graph."""
    return images if lapping is None else np.stack([lapping.forward(image) for image in images])


def lap(pictures: Any, lapping: Lapping | None) -> Any:
    """What the encoder gets of pictures, both float 0..255 ``[n, size, size, 3]``.

    The same numbers as :func:`lapped` gives, where the pictures are whole numbers.
    """
    if lapping is None:
        return pictures
    mixed = _along_columns(pictures, lapping, lapping.mixing)
    mixed = ops.round(4 * mixed) / 4
    mixed = _along_rows(mixed, lapping, lapping.mixing)
    return ops.clip(ops.floor(mixed / SPREAD + (MIDDLE * (1 - 1 / SPREAD) + 0.5)), 0.0, 255.0)


def unlap(mixed: Any, lapping: Lapping | None) -> Any:
    """Pictures from what the decoder makes, both float ``[n, size, size, 3]``."""
    if lapping is None:
        return mixed
    return _along_rows(_along_columns(mixed, lapping, lapping.unmixing), lapping, lapping.unmixing)


def _along_columns(pictures: Any, lapping: Lapping, matrix: NDArray[Any]) -> Any:
    _, size, width, colours = pictures.shape
    num, patch = len(matrix), lapping.patch
    start, borders = patch - num // 2, size // patch - 1
    lines = ops.reshape(pictures, (-1, size, width * colours))
    top, rest = lines[:, :start], lines[:, start:]
    middle, bottom = rest[:, : borders * patch], rest[:, borders * patch :]
    middle = ops.reshape(middle, (-1, borders, patch, width * colours))
    around = ops.matmul(matrix, middle[:, :, :num])
    middle = ops.concatenate([around, middle[:, :, num:]], axis=2)
    middle = ops.reshape(middle, (-1, borders * patch, width * colours))
    filtered = ops.concatenate([top, middle, bottom], axis=1)
    return ops.reshape(filtered, (-1, size, width, colours))


def _along_rows(pictures: Any, lapping: Lapping, matrix: NDArray[Any]) -> Any:
    turned = _along_columns(ops.transpose(pictures, (0, 2, 1, 3)), lapping, matrix)
    return ops.transpose(turned, (0, 2, 1, 3))
