"""``lapped``'s encoder: brightness at every pixel, colour at every fourth, projected in patches.

Each square of 2x2 pixels becomes six 8-bit *components*: the brightness of the four, and two colour
differences that they share (as JPEG's 4:2:0). A patch of these has half the numbers that it has in
RGB, so that the same multiplications pay for nearly twice the channels (experiment 0010).
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

GREY = 127.5
"""What values are taken around, grey levels."""

SQUARE = 2
"""Side of the squares of pixels that share their colour."""

NUM_COMPONENTS = 6
"""Of such a square."""


def _component_kernel() -> NDArray[np.float32]:
    """How a square becomes components: float32 ``[2, 2, 3, 6]``.

    Brightness is the mean of red, green and blue; then red less blue and red less green, each the
    mean of the square, halved. All are exact in int8 weights, and none of them mixes grey into
    colour.
    """
    kernel = np.zeros((SQUARE, SQUARE, 3, NUM_COMPONENTS), np.float32)
    for place in range(SQUARE * SQUARE):
        kernel[place // SQUARE, place % SQUARE, :, place] = 1 / 3
    kernel[..., 4] = np.array([1, 0, -1]) / 8
    kernel[..., 5] = np.array([1, -1, 0]) / 8
    return kernel


COMPONENT_KERNEL = _component_kernel()

COMPONENT_BIAS = np.array([0, 0, 0, 0, 128.03, 128.03], np.float32)
"""Moves colour into 0..255; no sum lies between two whole numbers, so that all machines round
alike."""

COMPONENT_GREY = np.array([GREY, GREY, GREY, GREY, 128, 128], np.float32)
"""Components of :data:`GREY`."""


def _orthonormal() -> NDArray[np.float64]:
    """What of a square is kept, as an orthonormal basis: float64 ``[6, 12]``."""
    basis = np.zeros((NUM_COMPONENTS, SQUARE * SQUARE, 3))
    for place in range(SQUARE * SQUARE):
        basis[place, place] = np.array([1, 1, 1]) / np.sqrt(3)
    basis[4] = np.array([1, 0, -1]) / np.sqrt(8)
    basis[5] = np.array([-1, 2, -1]) / np.sqrt(24)
    return basis.reshape(NUM_COMPONENTS, -1)


ORTHONORMAL = _orthonormal()

TO_ORTHONORMAL = ORTHONORMAL @ np.linalg.pinv(COMPONENT_KERNEL.reshape(-1, NUM_COMPONENTS).T)
"""Components around grey -> coordinates in that basis: float64 ``[6, 6]``."""


def components(pictures: Any) -> Any:
    """Pictures 0..255 ``[n, h, w, 3]`` -> components 0..255 ``[n, h / 2, w / 2, 6]``, rounded."""
    raw = ops.conv(pictures, COMPONENT_KERNEL, strides=SQUARE) + COMPONENT_BIAS
    return ops.clip(ops.round(raw), 0.0, 255.0)


def to_patches(grid: Any, side: int) -> Any:
    """``[n, h, w, c]`` -> ``[n, h / side, w / side, side * side * c]``."""
    _, height, width, channels = grid.shape
    rows, columns = height // side, width // side
    grid = ops.reshape(grid, (-1, rows, side, columns, side, channels))
    grid = ops.transpose(grid, (0, 1, 3, 2, 4, 5))
    return ops.reshape(grid, (-1, rows, columns, side * side * channels))


@keras.saving.register_keras_serializable("pnc")
class PatchProjection(layers.Layer):
    """Unit-norm projections of patches, with the device's int8 weights.

    Each row is normalised and rounded to 127 steps of its largest weight. ``steps`` are the grey
    levels of one symbol, float32 ``[channels]``.

    Args:
        patch: side of a patch, pixels; even.
        channels: projections.
        step: the steps to begin with.
    """

    def __init__(self, patch: int, channels: int, step: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.patch, self.channels, self.step = patch, channels, step

    @property
    def squares(self) -> int:
        """Squares along the side of a patch."""
        return self.patch // SQUARE

    def build(self, shape: Any) -> None:
        """Create the directions."""
        self.directions = self.add_weight(
            shape=(self.squares**2 * NUM_COMPONENTS, self.channels),
            initializer="random_normal",
            name="directions",
        )
        self.steps = self.add_weight(
            shape=(self.channels,),
            initializer=keras.initializers.Constant(self.step),
            trainable=False,
            name="steps",
        )

    def rounded_weights(self) -> Any:
        """The projection, rounded as the TFLite file rounds.

        Returns:
            ``[(p / 2)**2 * 6, channels]``, in symbols a component's step.
        """
        unit = self.directions / ops.sqrt(
            ops.sum(ops.square(self.directions), axis=0, keepdims=True)
        )
        cells = ops.reshape(unit / self.steps, (-1, NUM_COMPONENTS, self.channels))
        weights = ops.einsum("oc,sok->sck", TO_ORTHONORMAL.astype(np.float32), cells)
        weights = ops.reshape(weights, unit.shape)
        scale = ops.max(ops.abs(weights), axis=0, keepdims=True) / 127.0
        return ops.round(weights / scale) * scale

    def call(self, x: Any) -> Any:
        """Pictures 0..255 -> values ``[n, h / p, w / p, channels]``."""
        patches = to_patches(components(x) - COMPONENT_GREY, self.squares)
        return ops.matmul(patches, self.rounded_weights())

    def synthesis(self) -> NDArray[np.float32]:
        """The inverse where directions are orthonormal.

        Returns:
            float32 ``[channels, p * p * 3]``, in grey levels a symbol.
        """
        directions = np.asarray(self.directions, np.float64)
        directions = directions / np.linalg.norm(directions, axis=0) * np.asarray(self.steps)
        s = self.squares
        cells = directions.T.reshape(-1, s, s, NUM_COMPONENTS) @ ORTHONORMAL
        pixels = cells.reshape(-1, s, s, SQUARE, SQUARE, 3).transpose(0, 1, 3, 2, 4, 5)
        return pixels.reshape(self.channels, -1).astype(np.float32)


def directions_of(
    weights: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Directions and steps from the weights of a projection.

    Args:
        weights: ``[(p / 2)**2 * 6, channels]``, in symbols a component's step.

    Returns:
        Unit-norm float32 as the weights, and float32 ``[channels]``, grey levels of one symbol.
    """
    cells = weights.reshape(-1, NUM_COMPONENTS, weights.shape[-1])
    directions = np.einsum("co,sck->sok", np.linalg.inv(TO_ORTHONORMAL), cells)
    directions = directions.reshape(weights.shape)
    norms = np.linalg.norm(directions, axis=0)
    return (directions / norms).astype(np.float32), (1 / norms).astype(np.float32)


def principal_directions(vectors: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """The Karhunen-Loeve transform of some vectors around zero.

    Args:
        vectors: float32 ``[..., size]``.
        channels: directions to keep.

    Returns:
        float32 ``[size, channels]``, largest variance first, unit norm.
    """
    flat = vectors.reshape(-1, vectors.shape[-1])
    covariance = flat.T @ flat
    _, directions = np.linalg.eigh(covariance.astype(np.float64))
    return directions[:, ::-1][:, :channels].astype(np.float32)
