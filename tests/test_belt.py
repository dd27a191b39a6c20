from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pnc import belt
from pnc.errors import ConfigError

GOLDEN = Path(__file__).parent / "golden" / "belt" / "sha256.json"
GOLDEN_PICTURES = ((0, 0), (0, 1), (1, 24), (2, 100_003), (3, 7), (987_654_321, 5))


def test_the_same_bytes_on_every_machine() -> None:
    found = {
        f"v{belt.RENDERER_VERSION} seed {seed} index {index}": hashlib.sha256(
            belt.render(index, seed=seed)[0].tobytes()
        ).hexdigest()
        for seed, index in GOLDEN_PICTURES
    }
    if os.environ.get("GENERATE_EXPECTED") == "1":
        GOLDEN.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    assert found == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_a_picture_does_not_depend_on_what_was_rendered_before() -> None:
    first, label = belt.render(41, seed=6)
    belt.render(7, seed=1)
    again, same = belt.render(41, seed=6)
    assert np.array_equal(first, again)
    assert label == same == belt.label_of(41, seed=6)


def test_pictures_yields_what_render_gives() -> None:
    for index, (picture, label) in enumerate(belt.pictures(seed=4, start=10, count=3), 10):
        expected, expected_label = belt.render(index, seed=4)
        assert np.array_equal(picture, expected)
        assert label == expected_label
    assert list(belt.pictures(count=0)) == []


def test_seeds_and_indices_differ() -> None:
    pictures = [belt.render(index, seed=seed)[0] for seed in (1, 2) for index in (0, 1)]
    assert len({picture.tobytes() for picture in pictures}) == 4


def test_labels_are_balanced_and_shuffled() -> None:
    labels = [belt.label_of(index, seed=3) for index in range(240)]
    assert np.bincount(labels).tolist() == [20] * len(belt.CLASSES)
    assert labels[:12] != labels[12:24]
    assert sorted(belt.CLASSES) == list(belt.CLASSES)


@pytest.mark.parametrize("size", [16, 128, 224])
def test_shape_type_and_contrast(size: int) -> None:
    picture, label = belt.render(5, size=size)
    assert picture.shape == (size, size, 3)
    assert picture.dtype == np.uint8
    assert 0 <= label < len(belt.CLASSES)
    assert picture.std() > 5


def test_every_kind_is_drawn_without_a_warning() -> None:
    spreads = [belt.render(index, seed=8, size=64)[0].std() for index in range(24)]
    assert min(spreads) > 3


@pytest.mark.parametrize(("index", "seed", "size"), [(-1, 0, 224), (0, -1, 224), (0, 0, 8)])
def test_numbers_out_of_range_are_refused(index: int, seed: int, size: int) -> None:
    with pytest.raises(ConfigError, match="belt: "):
        belt.render(index, seed=seed, size=size)


def small(index: int, seed: int) -> NDArray[np.float64]:
    return belt.render(index, seed=seed, size=32)[0].ravel() / 255


def ridge_accuracy(train: int, test: int) -> float:
    """Return the best held-out accuracy of ridge regression on 32 x 32 pixels."""
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        x = np.stack(list(pool.map(small, range(train), [1] * train, chunksize=50)))
        x_test = np.stack(list(pool.map(small, range(test), [3] * test, chunksize=50)))
    y = np.eye(len(belt.CLASSES))[[belt.label_of(index, seed=1) for index in range(train)]]
    y_test = np.array([belt.label_of(index, seed=3) for index in range(test)])
    mean, spread = x.mean(0), x.std(0)
    x, x_test = (x - mean) / spread, (x_test - mean) / spread
    kernel, cross = x @ x.T / x.shape[1], x_test @ x.T / x.shape[1]
    scores = [
        cross @ np.linalg.solve(kernel + strength * np.eye(train), y)
        for strength in (1.0, 30.0, 1000.0)
    ]
    return max(float((score.argmax(1) == y_test).mean()) for score in scores)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_linear_classifier_on_pixels_stays_near_chance() -> None:
    assert ridge_accuracy(train=3000, test=900) < 0.25
