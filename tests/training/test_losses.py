from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pnc.errors import ConfigError
from training.losses import (
    FEATURE_MSE_WEIGHT,
    PUBLISHED_MSE_WEIGHT,
    Judge,
    divergence,
    load_judge,
    middle_layers,
    relative_error,
)


def test_the_divergence_is_zero_only_between_equals() -> None:
    p = np.array([[0.7, 0.2, 0.1], [0.0, 0.5, 0.5]], np.float32)
    q = np.array([[0.1, 0.2, 0.7], [0.4, 0.3, 0.3]], np.float32)
    assert np.asarray(divergence(p, p)).tolist() == [0, 0]
    expected = [0.6 * np.log(7), np.log(0.5 / 0.3)]
    assert np.asarray(divergence(p, q)) == pytest.approx(expected, rel=1e-4)
    assert np.isfinite(np.asarray(divergence(q, p))).all()


def test_the_relative_error_does_not_depend_on_the_scale() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3, 4, 4, 5)).astype(np.float32)
    assert np.asarray(relative_error(a, a)).tolist() == [0, 0, 0]
    assert np.asarray(relative_error(a, np.zeros_like(a))) == pytest.approx([1] * 3, rel=1e-4)
    assert np.allclose(relative_error(10 * a, 10 * b), relative_error(a, b), rtol=1e-4)


def test_a_judge_matches_pixels_features_and_output(
    small_classifier: Any, pictures: NDArray[np.uint8]
) -> None:
    assert [m.shape[1] for m in middle_layers(small_classifier)] == [None] * 3
    judge = Judge(small_classifier)
    assert not judge.models[0].trainable_variables
    x = pictures[:2].astype(np.float32)
    x_hat = np.clip(x + 40, 0, 255)
    published, features = judge.published(x, x_hat), judge.features(x, x_hat)
    mse = float(np.mean(np.square(x - x_hat)))
    for terms in (published, features):
        assert float(terms["mse"]) == pytest.approx(mse, rel=1e-3)
        assert float(terms["kl"]) > 0
    assert float(published["loss"]) == pytest.approx(
        PUBLISHED_MSE_WEIGHT * mse / 255**2 + float(published["kl"]), rel=1e-4
    )
    assert float(features["loss"]) == pytest.approx(
        float(features["kl"]) + float(features["features"]) + FEATURE_MSE_WEIGHT * mse, rel=1e-4
    )
    assert float(judge.features(x, x)["loss"]) == pytest.approx(0, abs=1e-6)


def test_several_judges_share_the_batch(small_classifier: Any, pictures: NDArray[np.uint8]) -> None:
    x = pictures[:4].astype(np.float32)
    x_hat = np.clip(x + 40, 0, 255)
    one, two = Judge(small_classifier), Judge(small_classifier, small_classifier)
    for name, value in one.features(x, x_hat).items():
        assert float(two.features(x, x_hat)[name]) == pytest.approx(float(value), rel=1e-3)


def test_judges_look_through_windows(small_classifier: Any, pictures: NDArray[np.uint8]) -> None:
    judge = Judge(small_classifier)
    x = pictures[:2].astype(np.float32)
    x_hat = x.copy()
    x_hat[:, :40] = 0
    whole = np.array([[1.0, 0.3, 0.7]] * 2, np.float32)
    below = np.array([[1.4, 1.0, 0.5]] * 2, np.float32)
    expected = judge.features(x, x_hat)
    assert float(judge.features(x, x_hat, whole)["loss"]) == pytest.approx(
        float(expected["loss"]), rel=1e-3
    )
    assert float(judge.features(x, x_hat, below)["features"]) == pytest.approx(0, abs=1e-6)
    assert float(expected["features"]) > 1e-3


def test_only_what_can_judge_pictures_is_a_judge(small_classifier: Any, tmp_path: Path) -> None:
    from keras import Input, Model, layers

    path = tmp_path / "judge.keras"
    small_classifier.save(path)
    assert load_judge(path).output.shape == (None, 3)
    vector, grey = Input((8,)), Input((None, None, 1))
    picture, small = Input((None, None, 3)), Input((160, 160, 3))
    pooled = layers.GlobalAveragePooling2D()
    wrong = (
        Model(vector, layers.Dense(3)(vector)),
        Model(grey, pooled(layers.Conv2D(3, 3, strides=4)(grey))),
        Model(small, pooled(layers.Conv2D(3, 3, strides=4)(small))),
        Model(picture, layers.Conv2D(3, 3, strides=4)(picture)),
        Model(picture, pooled(layers.Conv2D(3, 3)(picture))),
    )
    for model in wrong:
        model.save(path)
        with pytest.raises(ConfigError, match=r"judge.keras: cannot judge pictures"):
            load_judge(path)
