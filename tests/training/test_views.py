from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.views import MAX_ZOOM, look, random_views


def test_a_view_without_zoom_is_the_picture(pictures: NDArray[np.uint8]) -> None:
    x = pictures[:2].astype(np.float32)
    views = np.array([[1.0, 0.0, 1.0], [1.0, 0.4, 0.4]], np.float32)
    assert np.allclose(look(x, views), x, atol=1e-2)


def test_a_view_is_a_window_enlarged() -> None:
    ramp = np.broadcast_to(np.arange(224, dtype=np.float32)[:, None, None], (2, 224, 224, 3))
    views = np.array([[1.25, 0.0, 0.5], [1.25, 1.0, 0.5]], np.float32)
    top, bottom = np.asarray(look(ramp, views))[:, :, 100, 0]
    assert abs(top[112] - 112.5 / 1.25 + 0.5) < 1e-3
    assert abs(bottom[-1] - top[-1] - 224 * 0.2) < 0.5
    assert np.allclose(np.diff(top[2:]), 1 / 1.25, atol=1e-3)


def test_views_are_windows_inside_the_picture() -> None:
    views = random_views(500, np.random.default_rng(0))
    assert views.shape == (500, 3)
    assert 1.0 <= views[:, 0].min() < views[:, 0].max() <= MAX_ZOOM
    assert 0.0 <= views[:, 1:].min() < views[:, 1:].max() <= 1.0
