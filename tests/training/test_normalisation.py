from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from training.classifier import build_classifier
from training.files import load_keras, save_keras
from training.normalisation import (
    FusedBatchNormalization,
    fold_normalisation,
    refresh_input_scaling,
    with_fused_normalisation,
    with_plain_normalisation,
)

PICTURES = np.random.default_rng(0).normal(3.0, 2.0, (4, 6, 6, 5)).astype(np.float32)


def plain_model() -> keras.Model:
    keras.utils.set_random_seed(0)
    given = keras.Input((None, None, 5))
    x = layers.Conv2D(7, 3, name="conv")(given)
    x = layers.BatchNormalization(name="bn", beta_initializer="random_normal")(x)
    return keras.Model(given, layers.ReLU()(x))


def test_training_gives_what_keras_gives() -> None:
    plain = plain_model()
    fused = with_fused_normalisation(plain)
    assert type(fused.get_layer("bn")) is FusedBatchNormalization
    targets = np.ones((4, 4, 4, 7), np.float32)
    for model in (plain, fused):
        model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
        for _ in range(3):
            model.train_on_batch(PICTURES, targets)
    for expected, found in zip(plain.get_weights(), fused.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(fused(PICTURES), plain(PICTURES), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("training", [False, True])
def test_a_frozen_layer_uses_its_moving_statistics(training: bool) -> None:
    plain = plain_model()
    fused = with_fused_normalisation(plain)
    for model in (plain, fused):
        model.trainable = False
    np.testing.assert_allclose(
        fused(PICTURES, training=training), plain(PICTURES, training=training), atol=1e-5
    )


def normalisations_of(model: keras.Model) -> set[type]:
    return {type(x) for x in model.layers if isinstance(x, layers.BatchNormalization)}


def test_the_classifier_is_fused_and_saved_plain(tmp_path: Path) -> None:
    model = build_classifier(3)
    assert normalisations_of(model) == {FusedBatchNormalization}
    save_keras(with_plain_normalisation(model), tmp_path / "classifier.keras")
    again = load_keras(tmp_path / "classifier.keras")
    assert normalisations_of(again) == {layers.BatchNormalization}
    for expected, found in zip(model.get_weights(), again.get_weights(), strict=True):
        assert np.array_equal(found, expected)


def normalised_model() -> keras.Model:
    """Convolutions of both kinds, one without a normalisation, and one that two layers read."""
    given = keras.Input((8, 8, 5))
    x = layers.Normalization(name="scaling")(given)
    x = layers.Conv2D(6, 3, use_bias=False, name="conv")(x)
    x = layers.ReLU()(layers.BatchNormalization(name="conv_bn")(x))
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = layers.BatchNormalization(name="depthwise_bn")(x)
    shared = layers.Conv2D(6, 1, activation="relu", name="shared")(x)
    x = layers.Add()([shared, layers.BatchNormalization(name="shared_bn")(shared)])
    return keras.Model(given, layers.Conv2D(2, 1, name="last")(x))


def test_folded_normalisation_gives_the_same() -> None:
    model = normalised_model()
    generator = np.random.default_rng(1)
    model.set_weights([generator.uniform(0.2, 1.5, x.shape) for x in model.get_weights()])
    refresh_input_scaling(model)
    pictures = generator.normal(size=(3, 8, 8, 5)).astype(np.float32)
    folded = fold_normalisation(model)
    np.testing.assert_allclose(folded(pictures), model(pictures), rtol=1e-4, atol=1e-4)
    assert [x.name for x in folded.layers[1:]] == [x.name for x in model.layers[1:]]
    left = [x.name for x in folded.layers if isinstance(x, layers.BatchNormalization)]
    assert left == ["shared_bn"]
    assert folded.get_layer("conv").output.shape == model.get_layer("conv").output.shape


def test_efficientnet_folds_whole() -> None:
    model = build_classifier(3)
    folded = fold_normalisation(model)
    assert not any(isinstance(x, layers.BatchNormalization) for x in folded.layers)
    pictures = np.random.default_rng(2).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    np.testing.assert_allclose(folded(pictures), model(pictures), atol=1e-4)
