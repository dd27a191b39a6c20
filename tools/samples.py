"""Symbols of training pictures, for tools that measure what a bitstream could save."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pnc.codec.checkpoint import Checkpoint
from training.export import run_encoder
from training.recipe import Recipe
from training.run_pictures import mixed_training_pictures, open_pictures


def encoded_pictures(
    checkpoint: Checkpoint, folders: Sequence[str], count: int
) -> NDArray[np.uint8]:
    """What a checkpoint's encoder makes of training pictures, ``[n, height, width, channels]``.

    Args:
        checkpoint: whose encoder.
        folders: ``belt`` or a folder of class folders, then more of unlabeled pictures.
        count: n at most.
    """
    recipe = Recipe("samples", folders[0], extra=tuple(folders[1:]), fit=checkpoint.fit)
    data = open_pictures(recipe)
    images = mixed_training_pictures(data, 0)[:count]
    return run_encoder(checkpoint.read("encoder.tflite"), images, checkpoint.lapping)
