"""How much each place of a picture matters to the judge: the scales of a coding plan.

Bit planes are sent by magnitude, so what is scaled up is sent earlier and finer. If the loss grows
with the square of an error, errors cost least bytes where each place is scaled by the root of its
weight (reverse water-filling; Cover, Thomas, "Elements of Information Theory", section 10.3). The
weights are the mean squared gradients of the judge's loss, a diagonal Fisher matrix. Less than the
root is taken: gradients speak of small errors, streams are cut early (experiment 0004). All
channels of a place share its scale: scales of channels bring nothing to a transform that stays as
it is (experiment 0016).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from training.losses import Judge
from training.pictures import Pictures

if TYPE_CHECKING:
    from training.autoencoder import Autoencoder

logger = logging.getLogger(__name__)

IMPORTANCE_PICTURES = 160
"""Training pictures that gradients are averaged over."""

BATCH_SIZE = 8
"""Pictures of one gradient."""

BUDGETS = (400.0, 3000.0)
"""Bytes between which the streams are cut, uniform in the logarithm."""

PLACE_POWER = 0.35
"""Power of a place's weight that makes its scale."""

LARGEST_SCALE = 3.0
"""And the smallest is one over it."""


def measure_scales(
    autoencoder: Autoencoder, judge: Judge, images: Pictures, seed: int = 0
) -> NDArray[np.float32]:
    """Scales for an autoencoder that has a plan.

    Args:
        autoencoder: what is trained; must tell its decoder what arrived.
        judge: whose loss counts.
        images: training pictures.
        seed: of the budgets.

    Returns:
        float32 ``[height, width, channels]``: places' scales of geometric mean 1 times the steps of
        channels. The same to the left and to the right, since a picture may be mirrored. Places
        count alike where Keras runs on another backend than TensorFlow.
    """
    shape = autoencoder.architecture.grid
    steps = autoencoder.relative_steps
    if keras.backend.backend() != "tensorflow":
        logger.warning(
            "scales: all alike, since Keras does not run on TensorFlow (docs/training.md)"
        )
        return np.broadcast_to(steps, shape)
    gradient = _gradient_function(autoencoder, judge)
    weights = np.zeros(shape)
    rng = np.random.default_rng([seed, 4])
    count = min(IMPORTANCE_PICTURES, len(images)) // BATCH_SIZE * BATCH_SIZE
    for start in range(0, count, BATCH_SIZE):
        pictures = images[start : start + BATCH_SIZE].astype(np.float32)
        num_bytes = float(np.exp(rng.uniform(*np.log(BUDGETS))))
        cuts = autoencoder.cuts.at(num_bytes, BATCH_SIZE)
        weights += np.square(np.asarray(gradient(pictures, cuts))).sum(axis=0)
    return scales_of(weights / np.square(steps)) * steps


def _gradient_function(
    autoencoder: Autoencoder, judge: Judge
) -> Callable[[NDArray[np.float32], NDArray[np.float32]], Any]:
    """Pictures and cuts -> gradients of the summed loss at what arrived, as one graph."""
    import tensorflow as tf

    def gradient(pictures: Any, cuts: Any) -> Any:
        restored, received = autoencoder.cuts.drop(autoencoder.analyse(pictures), cuts)
        with tf.GradientTape() as tape:
            tape.watch(restored)
            decoded = keras.ops.clip(autoencoder.synthesise(restored, received), 0.0, 255.0)
            loss = judge.features(pictures, decoded)["loss"] * BATCH_SIZE
        return tape.gradient(loss, restored)

    compiled: Callable[[NDArray[np.float32], NDArray[np.float32]], Any] = tf.function(gradient)
    return compiled


def scales_of(weights: NDArray[np.float64]) -> NDArray[np.float32]:
    """Smooth scales of places from the weight of each coefficient, both ``[h, w, channels]``."""
    tiny = 1e-6 * weights.mean() + 1e-30
    place = np.log(weights.mean(axis=2) + tiny)
    place = _blurred(_blurred((place + place[:, ::-1]) / 2))
    scales = np.exp(PLACE_POWER * (place - place.mean()))
    scales = np.clip(scales, 1 / LARGEST_SCALE, LARGEST_SCALE).astype(np.float32)
    return np.repeat(scales[:, :, None], weights.shape[2], axis=2)


def _blurred(field: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights 1 2 1 down and across, edges repeated."""
    padded = np.pad(field, 1, mode="edge")
    rows = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    blurred: NDArray[np.float64] = (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 4
    return blurred


__all__ = ["measure_scales", "scales_of"]
