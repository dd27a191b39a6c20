"""A decoder of ``lite`` for one projection becomes the start of one for another.

The new encoder's values nearly tell those of the old one: a least-squares map from new to old
stands before the old decoder's first layers, and what the new values know beyond it is added by
linear synthesis. Made for the step from 64 channels of RGB to 120 of half the colour (decision
0024).
"""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import NDArray

from training.architectures import LITE_PATCH
from training.autoencoder import Autoencoder
from training.export import run_encoder
from training.pictures import Pictures
from training.projection import GREY, to_patches

NUM_PICTURES = 200
"""Pictures that the maps are fitted to: 51,200 patches for at most 120 unknowns."""

_RIDGE = 1e-6
"""Added to the Gram matrix, in units of its mean diagonal: channels may be silent."""


def carry_over(
    encoder: bytes, zero_point: int, decoder: keras.Model, images: Pictures
) -> Autoencoder:
    """A fresh ``lite`` whose decoder goes on where another one stands.

    Args:
        encoder: the old one's TFLite file.
        zero_point: the symbol that means 0 to it.
        decoder: the old one, with as many channels as its encoder.
        images: training pictures, uint8 ``[n, 224, 224, 3]``.
    """
    autoencoder = Autoencoder.fresh("lite", images)
    sample = images[:NUM_PICTURES]
    pixels = sample.astype(np.float32)
    before = _rows(run_encoder(encoder, sample)) - zero_point
    after = _rows(autoencoder.encoder.predict(pixels, batch_size=32, verbose=0))
    patches = _rows(to_patches(pixels - GREY, LITE_PATCH))
    _fill(autoencoder.decoder, decoder, before, after, patches)
    return autoencoder


def _rows(grid: object) -> NDArray[np.float64]:
    """``[n, height, width, size]`` -> ``[n * height * width, size]``."""
    array = np.asarray(grid, np.float64)
    return array.reshape(-1, array.shape[-1])


def _solve(given: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """The linear map that tells ``wanted`` from ``given`` best, both ``[n, ...]``."""
    gram = given.T @ given
    gram += _RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    return np.asarray(np.linalg.solve(gram, given.T @ wanted), np.float64)


def _fill(
    new: keras.Model,
    old: keras.Model,
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    patches: NDArray[np.float64],
) -> None:
    """Set the new decoder's weights; old values, new values and pixels are a position a row."""
    to_old = _solve(after, before)
    told_by = np.square(to_old) * after.var(axis=0)[:, None]
    told_by /= np.maximum(told_by.sum(axis=0), np.finfo(np.float64).tiny)
    scale_before = np.asarray(old.get_layer("normalise").scale)
    scale_after = 1.0 / np.maximum(after.std(axis=0), 1.0)
    channels = len(scale_before)
    for source, target in zip(old.layers, new.layers, strict=True):
        weights = source.get_weights()
        if source.name == "normalise":
            weights = [scale_after]
        elif source.name == "synthesis":
            beyond = _solve(after, patches) - to_old @ _solve(before, patches)
            weights[0] = to_old @ weights[0] + beyond
        elif weights and weights[0].shape[0] == 2 * channels:
            values, received = weights[0][:channels], weights[0][channels:]
            values = (to_old * scale_before / scale_after[:, None]) @ values
            weights[0] = np.concatenate([values, told_by @ received])
        target.set_weights(weights)
