from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from pnc.codec.checkpoint import Checkpoint
from training.export import convert_float16
from training.tflite_weights import fill_model, open_normalisation, read_operations


def make_normalised() -> keras.Model:
    picture = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(6, 3, use_bias=False)(picture)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.DepthwiseConv2D(3, use_bias=False)(keras.layers.Activation("relu")(x))
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(picture, keras.layers.Dense(4)(x))


def test_folded_normalisation_is_laid_open_again() -> None:
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    model, again = make_normalised(), make_normalised()
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            for weight in layer.weights:
                weight.assign(rng.uniform(0.5, 2.0, weight.shape))
    images = rng.integers(0, 256, (8, 16, 16, 3), np.uint8)
    fill_model(again, read_operations(convert_float16(model)))
    normalisations = [x for x in again.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert all((np.asarray(layer.moving_mean) == 0).all() for layer in normalisations)
    expected = np.asarray(model(images.astype(np.float32)))
    for is_open in (False, True):
        if is_open:
            open_normalisation(again, images)
        found = np.asarray(again(images.astype(np.float32)))
        assert np.abs(found - expected).max() < 0.01 * np.abs(expected).max()
    assert all((np.asarray(layer.moving_variance) != 1).all() for layer in normalisations)


def test_another_model_is_not_filled(tiny_run: Any, small_classifier: Any) -> None:
    content = Checkpoint.load(tiny_run.checkpoint).read("decoder.tflite")
    with pytest.raises(ValueError, match="nothing in the file fits layer"):
        fill_model(small_classifier, read_operations(content))
