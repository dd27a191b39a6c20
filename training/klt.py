"""Fit the baseline without learning, see :mod:`pnc.replay.klt`."""

from __future__ import annotations

import numpy as np

from pnc.codec.image import SIZE
from pnc.errors import ConfigError
from pnc.replay.klt import ZERO_POINT, Transform, to_patches, to_symbols
from training.export import PLAN_PICTURES
from training.pictures import Pictures
from training.plan import fit_plan
from training.projection import principal_directions


def fit_klt(images: Pictures, patch: int, channels: int) -> Transform:
    """The transform of some pictures, and the plan to code it.

    Args:
        images: training pictures.
        patch: side of a patch, pixels.
        channels: how many directions are kept, those of the largest variance.

    Raises:
        ConfigError: pictures are not made of such patches, or these have fewer directions.
    """
    if patch < 4 or SIZE % patch:
        raise ConfigError(f"patches of {patch} pixels: 224 has to be a multiple, such as 8 or 14")
    if channels > patch * patch * 3:
        raise ConfigError(
            f"{channels} channels: a patch of {patch} pixels has {patch * patch * 3} directions"
        )
    pictures = np.asarray(images[:PLAN_PICTURES])
    rows = principal_directions(to_patches(pictures, patch), channels)
    return Transform(rows, fit_plan(to_symbols(pictures, rows, patch), ZERO_POINT).plan)
