"""What distillation minimises: the published loss, and one at the judge's middle layers."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from pnc.codec.image import SIZE
from pnc.errors import ConfigError
from training.files import load_keras
from training.normalisation import fold_normalisation
from training.towers import in_towers
from training.views import look

PUBLISHED_MSE_WEIGHT = 10.0
"""RTSS'23 minimises ``10 * MSE + KL`` with pictures in 0..1 (training code of the paper)."""

FEATURE_MSE_WEIGHT = 2e-3
"""Weight of the squared error, grey levels squared, beside the feature terms: keeps colours true
where no judge looks."""

NUM_FEATURE_STAGES = 4
"""Middle layers that are matched: the last of each size from a quarter of the input downwards."""


class Judge:
    """Frozen classifiers that score how far a decoded picture is from its original.

    Several share the batch: each sees a part of it, so that they cost no more than one.

    Args:
        classifiers: float RGB 0..255 ``[n, 224, 224, 3]`` -> probabilities ``[n, k]``.
    """

    def __init__(self, *classifiers: keras.Model) -> None:
        self.models = []
        for classifier in map(fold_normalisation, classifiers):
            model = keras.Model(classifier.input, [*middle_layers(classifier), classifier.output])
            model.trainable = False
            self.models.append(model)

    def _compare(self, *inputs: Any) -> tuple[Any, Any]:
        """Mean divergence of the outputs and mean error of the middle layers."""
        if len(self.models) == 1:
            found = in_towers(functools.partial(_compare, self.models[0]), *inputs)
        else:
            length, count = ops.shape(inputs[0])[0], len(self.models)
            places = [length * part // count for part in range(count + 1)]
            parts = [
                _compare(model, *(whole[start:end] for whole in inputs))
                for model, (start, end) in zip(self.models, itertools.pairwise(places), strict=True)
            ]
            found = tuple(ops.concatenate(column) for column in zip(*parts, strict=True))
        return ops.mean(found[0]), ops.mean(found[1])

    def published(self, x: Any, x_hat: Any) -> dict[str, Any]:
        """``10 * MSE + KL`` of arXiv 2310.05306, section 4."""
        mse = ops.mean(ops.square(x - x_hat)) / 255.0**2
        kl, _ = self._compare(x, x_hat)
        return {"loss": PUBLISHED_MSE_WEIGHT * mse + kl, "kl": kl, "mse": mse * 255.0**2}

    def features(self, x: Any, x_hat: Any, views: Any = None) -> dict[str, Any]:
        """KL of the output, relative error of four middle layers, a little error of the pixels.

        Args:
            x, x_hat: original and decoded pictures, float ``[n, 224, 224, 3]``.
            views: windows that the judges look through, see :mod:`training.views`; whole pictures
                if absent.
        """
        mse = ops.mean(ops.square(x - x_hat))
        kl, distance = self._compare(x, x_hat, *([] if views is None else [views]))
        return {
            "loss": kl + distance + FEATURE_MSE_WEIGHT * mse,
            "kl": kl,
            "features": distance,
            "mse": mse,
        }


def _compare(model: keras.Model, x: Any, x_hat: Any, views: Any = None) -> tuple[Any, Any]:
    """Divergence and error of the middle layers of each picture, both ``[n]``."""
    if views is not None:
        x, x_hat = look(x, views), look(x_hat, views)
    clean = [ops.stop_gradient(seen) for seen in model(x, training=False)]
    seen = model(x_hat, training=False)
    errors = [relative_error(a, b) for a, b in zip(clean[:-1], seen[:-1], strict=True)]
    return divergence(clean[-1], seen[-1]), sum(errors[1:], start=errors[0])


def load_judge(path: Path) -> keras.Model:
    """A classifier from a file, for :class:`Judge`.

    Raises:
        ConfigError: it cannot be read, or it cannot judge pictures.
    """
    classifier = load_keras(path)
    try:
        if middle_layers(classifier) and len(classifier.output.shape) == 2:
            return classifier
        reason = "it has no middle layers or no classes"
    except (AttributeError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
    raise ConfigError(
        f"{path}: cannot judge pictures ({reason}); give a convolutional classifier of RGB "
        f"pictures of {SIZE} x {SIZE}"
    )


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
    """Kullback-Leibler divergences of probability tensors ``[n, k]``, in nats, ``[n]``."""
    p, q = ops.clip(target, 1e-7, 1.0), ops.clip(probabilities, 1e-7, 1.0)
    return ops.sum(p * (ops.log(p) - ops.log(q)), axis=-1)


def relative_error(target: Any, features: Any) -> Any:
    """Squared error over squared norm of feature maps ``[n, h, w, c]``, by picture, ``[n]``."""
    axes = (1, 2, 3)
    error = ops.mean(ops.square(target - features), axis=axes)
    return error / (ops.mean(ops.square(target), axis=axes) + 1e-6)
