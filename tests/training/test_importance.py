from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from training.autoencoder import Autoencoder
from training.importance import measure_scales, scales_of
from training.losses import Judge


def test_what_matters_is_scaled_up() -> None:
    weights = np.ones((8, 8, 3))
    weights[3:5, 3:5] = 100.0
    weights[..., 1] *= 16.0  # a channel's weight does not count
    scales = scales_of(weights)
    assert np.exp(np.log(scales).mean()) == pytest.approx(1.0, rel=0.05)
    assert scales[3, 3, 0] > 1.5 * scales[0, 0, 0]
    assert np.array_equal(scales[..., 1], scales[..., 0])
    assert np.allclose(scales, scales[:, ::-1])


def test_nothing_known_is_nothing_preferred() -> None:
    assert np.allclose(scales_of(np.zeros((8, 8, 3))), 1.0)
    assert scales_of(np.eye(8)[:, :, None] * 1e12).max() <= 3.0


def test_the_judge_is_asked(
    lapped: Autoencoder, small_classifier: Any, pictures: NDArray[np.uint8]
) -> None:
    scales = measure_scales(lapped, Judge(small_classifier), pictures)
    assert scales.shape == lapped.architecture.grid
    places = scales / lapped.relative_steps
    assert np.allclose(places, places[..., :1])
    assert places.std() > 0.01
    lapped.fit_plan(pictures, scales)
    assert np.array_equal(lapped.fitted.plan.grid.scale, scales)
