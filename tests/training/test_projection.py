from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from training.projection import (
    COMPONENT_BIAS,
    COMPONENT_GREY,
    COMPONENT_KERNEL,
    ORTHONORMAL,
    TO_ORTHONORMAL,
    PatchProjection,
    components,
    directions_of,
    principal_directions,
    to_patches,
)


@pytest.fixture
def projection() -> PatchProjection:
    layer = PatchProjection(14, 5, 2.0)
    layer.build((None, 224, 224, 3))
    return layer


def coordinates(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    around_grey = np.asarray(components(pictures.astype(np.float32))) - COMPONENT_GREY
    found: NDArray[np.float32] = (around_grey @ TO_ORTHONORMAL.T).astype(np.float32)
    return found


@pytest.mark.parametrize("level", [0, 127, 255])
def test_grey_has_no_colour(level: int) -> None:
    grey = np.full((1, 4, 4, 3), level, np.float32)
    assert np.array_equal(np.asarray(components(grey))[0, 0, 0], [level] * 4 + [128, 128])


def test_no_component_lies_between_two_whole_numbers() -> None:
    squares = np.random.default_rng(0).integers(0, 256, (10_000, 12))
    raw = squares @ COMPONENT_KERNEL.reshape(12, 6).astype(np.float64) + COMPONENT_BIAS
    assert np.abs(raw % 1.0 - 0.5).min() > 0.02


def test_components_hold_brightness_and_half_the_colour(pictures: NDArray[np.uint8]) -> None:
    assert np.allclose(ORTHONORMAL @ ORTHONORMAL.T, np.eye(6), atol=1e-12)
    squares = pictures[:2].reshape(-1, 112, 2, 112, 2, 3).transpose(0, 1, 3, 2, 4, 5)
    around_grey = squares.reshape(-1, 112, 112, 12) - 127.5
    difference = coordinates(pictures[:2]) - around_grey @ ORTHONORMAL.T
    assert np.abs(difference).max() < 3.0
    assert np.square(difference).mean() < 1.0


def test_rows_have_unit_norm_and_int8_weights(projection: PatchProjection) -> None:
    projection.steps.assign([2.0, 2.0, 1.0, 0.5, 2.0])
    weights = np.asarray(projection.rounded_weights())
    found, steps = directions_of(weights)
    assert np.allclose(np.linalg.norm(found, axis=0), 1.0, atol=1e-5)
    parts = weights / np.abs(weights).max(axis=0) * 127
    assert np.allclose(parts, np.round(parts), atol=1e-3)
    directions = np.asarray(projection.directions)
    unit = directions / np.linalg.norm(directions, axis=0)
    assert np.abs(found - unit).max() < 0.01
    assert np.allclose(steps, np.asarray(projection.steps), rtol=0.01)


def test_values_are_inner_products_with_the_rows_of_the_synthesis(
    projection: PatchProjection, pictures: NDArray[np.uint8]
) -> None:
    x = pictures[:2].astype(np.float32)
    values = np.asarray(PatchProjection.from_config(projection.get_config())(x))
    assert values.shape == (2, 16, 16, 5)
    patches = np.asarray(to_patches(x - 127.5, 14))
    expected = patches @ (projection.synthesis() / projection.step**2).T
    assert np.std(np.asarray(projection(x)) - expected) < 0.05 * np.std(expected)


def test_the_transform_compacts_energy(pictures: NDArray[np.uint8]) -> None:
    patches = np.asarray(to_patches(coordinates(pictures), 7)).reshape(-1, 294)
    directions = principal_directions(patches, 64)
    assert np.allclose(directions.T @ directions, np.eye(64), atol=1e-4)
    energy = np.square(patches @ directions).sum(0)
    assert (np.diff(energy) <= energy[0] * 1e-5).all()
    assert energy.sum() > 0.9 * np.square(patches).sum()
