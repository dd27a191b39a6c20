"""What distillation minimises: the published loss, and one at the judge's middle layers."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
from keras import ops

from pnc.codec.image import SIZE
from training.towers import in_towers

PUBLISHED_MSE_WEIGHT = 10.0
"""RTSS'23 minimises ``10 * MSE + KL`` with pictures in 0..1 (training code of the paper)."""

FEATURE_MSE_WEIGHT = 1e-3
"""Weight of the squared error, grey levels squared, beside the feature terms: keeps colours true
where no judge looks."""

NUM_FEATURE_STAGES = 4
"""Middle layers that are matched: the last of each size from a quarter of the input downwards."""


class Judge:
    """A frozen classifier that scores how far a decoded picture is from its original.

    Args:
        classifier: float RGB 0..255 ``[n, 224, 224, 3]`` -> probabilities ``[n, k]``.
    """

    def __init__(self, classifier: keras.Model) -> None:
        classifier.trainable = False
        stages = middle_layers(classifier)
        self.model = keras.Model(classifier.input, [*stages, classifier.output])
        self.model.trainable = False

    def _see(self, pictures: Any) -> Any:
        """The middle layers and the output."""
        return in_towers(functools.partial(self.model, training=False), pictures)

    def published(self, x: Any, x_hat: Any) -> dict[str, Any]:
        """``10 * MSE + KL`` of arXiv 2310.05306, section 4."""
        mse = ops.mean(ops.square(x - x_hat)) / 255.0**2
        kl = divergence(self._see(x)[-1], self._see(x_hat)[-1])
        return {"loss": PUBLISHED_MSE_WEIGHT * mse + kl, "kl": kl, "mse": mse * 255.0**2}

    def features(self, x: Any, x_hat: Any) -> dict[str, Any]:
        """KL of the output, relative error of four middle layers, a little error of the pixels."""
        mse = ops.mean(ops.square(x - x_hat))
        clean = [ops.stop_gradient(t) for t in self._see(x)]
        seen = self._see(x_hat)
        distance = sum(relative_error(a, b) for a, b in zip(clean[:-1], seen[:-1], strict=True))
        kl = divergence(clean[-1], seen[-1])
        return {
            "loss": kl + distance + FEATURE_MSE_WEIGHT * mse,
            "kl": kl,
            "features": distance,
            "mse": mse,
        }


def middle_layers(classifier: keras.Model) -> list[Any]:
    """The last output of each spatial size from a quarter of the input's side downwards."""
    maps = [
        layer.output for layer in classifier.layers if len(getattr(layer.output, "shape", ())) == 4
    ]
    probe = keras.Model(classifier.input, maps)(np.zeros((1, SIZE, SIZE, 3), np.float32))
    last = {int(found.shape[1]): output for found, output in zip(probe, maps, strict=True)}
    sizes = sorted((size for size in last if 1 < size <= SIZE // 4), reverse=True)
    return [last[size] for size in sizes[:NUM_FEATURE_STAGES]]


def divergence(target: Any, probabilities: Any) -> Any:
    """Mean Kullback-Leibler divergence of two probability tensors ``[n, k]``, in nats."""
    p, q = ops.clip(target, 1e-7, 1.0), ops.clip(probabilities, 1e-7, 1.0)
    return ops.mean(ops.sum(p * (ops.log(p) - ops.log(q)), axis=-1))


def relative_error(target: Any, features: Any) -> Any:
    """Squared error over squared norm, by picture, averaged: feature maps ``[n, h, w, c]``."""
    axes = (1, 2, 3)
    error = ops.mean(ops.square(target - features), axis=axes)
    return ops.mean(error / (ops.mean(ops.square(target), axis=axes) + 1e-6))
