"""Random views: the part of a picture that a judge looks at, enlarged to the whole.

A network takes pictures apart at fixed places, and a decoder distilled through it may learn these.
Looking at original and decoded picture through one random window leaves what is in the picture.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from pnc.codec.image import SIZE

MAX_ZOOM = 1.4
"""Largest enlargement; the usual centre crop of evaluation is 1.14."""


def random_views(count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Windows for so many pictures: float32 ``[count, 3]``, zoom and place of the window, 0..1."""
    zoom = rng.uniform(1.0, MAX_ZOOM, (count, 1))
    return np.concatenate([zoom, rng.random((count, 2))], axis=1).astype(np.float32)


def look(pictures: Any, views: Any) -> Any:
    """What the windows show, interpolated linearly: ``[n, 224, 224, 3]`` of the same."""
    down = _sampling(views[:, 0], views[:, 1])
    across = _sampling(views[:, 0], views[:, 2])
    rows = ops.einsum("nij,njkc->nikc", down, pictures)
    return ops.einsum("nlk,nikc->nilc", across, rows)


def _sampling(zoom: Any, share: Any) -> Any:
    """The matrix that samples one side: ``[n, 224, 224]``, output by input."""
    zoom, share = zoom[:, None], share[:, None]
    place = ops.arange(SIZE, dtype="float32")
    source = (place + 0.5) / zoom - 0.5 + share * SIZE * (1.0 - 1.0 / zoom)
    source = ops.clip(source, 0.0, SIZE - 1.0)
    return ops.relu(1.0 - ops.abs(source[:, :, None] - place))
