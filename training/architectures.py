"""Autoencoders in ``keras.ops``: they train on any Keras backend.

==========  ===========================  =========================================  ================
name        encoder (g_a)                decoder (g_s)                              source
==========  ===========================  =========================================  ================
``lapped``  14x14 patches that lap, half 6 blocks at 16x16 over a linear            decisions 0012,
            the colour, 116 channels,    synthesis, depth-to-space, 344 MMAC        0024, 0027
            10 MMAC
``rtss23``  conv 9x9/7, conv 3x3, ReLU,  transposed conv 9x9/7, three conv 5x5 at   arXiv 2310.05306
            5.5 MMAC                     224x224, 15.6 GMAC
==========  ===========================  =========================================  ================

Data flow: ``x -> [lap] -> g_a -> values -> PlaneDrop -> (y_hat, received) -> g_s -> [unlap] ->
x_hat``. ``values`` are in symbol units around the zero point; pictures are float RGB 0..255 ``[n,
224, 224, 3]``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from pnc.codec.lapping import LAPPINGS, SPREAD, Lapping
from pnc.replay.rtss23_network import SYMBOL_SCALE
from training.pictures import Pictures
from training.projection import (
    COMPONENT_GREY,
    GREY,
    TO_ORTHONORMAL,
    PatchProjection,
    components,
    principal_directions,
    to_patches,
)

PICTURE_SIZE = 224
"""Side of every picture, pixels."""

LAPPED_PATCH = LAPPINGS["lapped"].patch
"""Side of a ``lapped`` patch, pixels: 16 x 16 positions."""
LAPPED_CHANNELS = 116
"""116 x 294 weights on 256 positions are 8.7 MMAC, halving the colour .9, lapping .3; the limit is
10."""
LAPPED_WIDTH = 176
"""Channels of the decoder's blocks."""
LAPPED_BLOCKS = 6
"""Blocks of the decoder."""
LAPPED_STEP = 12.2
"""Largest quantisation step of a unit-norm projection, in what the encoder gets, grey levels: the
largest value of a constant patch, 1,545 for white, just fits in 8 bits."""
LAPPED_REACH = 2.5
"""Channels that never have such values get smaller steps: eight bits hold so many times what one
value of 10,000 exceeds (experiment 0028)."""
LAPPED_FINEST = 8
"""Parts of the largest step that the smallest has."""

RTSS23_CHANNELS = 10
"""Features of the published model."""
RTSS23_PATCH = 7
"""Pixels from one position to the next."""
RTSS23_WIDTH = 64
"""Channels of its decoder."""


@keras.saving.register_keras_serializable("pnc")
class Depatchify(layers.Layer):
    """Depth to space: ``[n, h, w, p * p * 3]`` -> ``[n, h * p, w * p, 3]``."""

    def __init__(self, patch: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.patch = patch

    def call(self, x: Any) -> Any:
        """See the class."""
        _, height, width, _ = x.shape
        p = self.patch
        x = ops.reshape(x, (-1, height, width, p, p, 3))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (-1, height * p, width * p, 3))

    def get_config(self) -> dict[str, Any]:
        """Arguments of the layer."""
        return {**super().get_config(), "patch": self.patch}


@keras.saving.register_keras_serializable("pnc")
class ChannelScale(layers.Layer):
    """One learned factor a channel."""

    def build(self, shape: Any) -> None:
        """Create the factors."""
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")

    def call(self, x: Any) -> Any:
        """See the class."""
        return x * self.scale


@dataclass(frozen=True)
class Architecture:
    """An autoencoder before training.

    Attributes:
        name: in the table above.
        grid: height, width and channels of the symbols.
        zero_point: the symbol of value 0.
        tells_received: whether the decoder is told what arrived.
        build: makes encoder (pictures -> values) and decoder (reconstructed values[, received] ->
            picture); of lapped pictures where there is lapping.
        lapping: of the pictures.
    """

    name: str
    grid: tuple[int, int, int]
    zero_point: int
    tells_received: bool
    build: Callable[[], tuple[keras.Model, keras.Model]]
    lapping: Lapping | None = None


def _block(x: Any, width: int, kernel: int) -> Any:
    y = layers.DepthwiseConv2D(kernel, padding="same")(x)
    y = layers.LayerNormalization(epsilon=1e-5)(y)
    y = layers.Dense(3 * width, activation="relu")(y)
    y = layers.Dense(width)(y)
    return layers.Add()([x, y])


def build_lapped() -> tuple[keras.Model, keras.Model]:
    """See the module; the decoder starts as the linear synthesis alone."""
    picture = keras.Input((PICTURE_SIZE, PICTURE_SIZE, 3))
    projection = PatchProjection(LAPPED_PATCH, LAPPED_CHANNELS, LAPPED_STEP, name="projection")
    encoder = keras.Model(picture, projection(picture), name="g_a")
    side = PICTURE_SIZE // LAPPED_PATCH
    values = keras.Input((side, side, LAPPED_CHANNELS), name="values")
    received = keras.Input((side, side, LAPPED_CHANNELS), name="received")
    normalised = ChannelScale(name="normalise")(values)
    x = layers.Dense(LAPPED_WIDTH)(layers.Concatenate()([normalised, received]))
    for index in range(LAPPED_BLOCKS):
        x = _block(x, LAPPED_WIDTH, 5 if index % 3 == 0 else 3)
    x = layers.LayerNormalization(epsilon=1e-5)(x)
    pixels = LAPPED_PATCH * LAPPED_PATCH * 3
    detail = layers.Dense(pixels, kernel_initializer="zeros", name="detail")(x)
    linear = layers.Dense(
        pixels, name="synthesis", bias_initializer=keras.initializers.Constant(GREY)
    )(values)
    x_hat = Depatchify(LAPPED_PATCH, name="depatchify")(layers.Add()([linear, detail]))
    return encoder, keras.Model([values, received], x_hat, name="g_s")


def build_rtss23() -> tuple[keras.Model, keras.Model]:
    """The published layers exactly: 5,354 and 361,027 parameters (arXiv 2310.05306).

    Being convolutional they take pictures of any size that 7 divides, so that training may use
    small windows.
    """
    picture = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 255)(picture)
    x = layers.Conv2D(16, 9, strides=7, padding="same", activation="relu", name="conv_1")(x)
    x = layers.Conv2D(RTSS23_CHANNELS, 3, padding="same", activation="relu", name="conv_2")(x)
    encoder = keras.Model(picture, layers.Rescaling(1 / SYMBOL_SCALE)(x), name="g_a")
    values = keras.Input((None, None, RTSS23_CHANNELS), name="values")
    y = layers.Rescaling(SYMBOL_SCALE)(values)
    width = RTSS23_WIDTH
    y = layers.Conv2DTranspose(width, 9, strides=7, padding="same", activation="relu")(y)
    for _ in range(3):
        y = layers.Conv2D(width, 5, padding="same", activation="relu")(y)
    y = layers.Conv2D(3, 3, padding="same", activation="sigmoid")(y)
    return encoder, keras.Model(values, layers.Rescaling(255.0)(y), name="g_s")


ARCHITECTURES: dict[str, Architecture] = {
    "lapped": Architecture(
        "lapped", (16, 16, LAPPED_CHANNELS), 128, True, build_lapped, LAPPINGS["lapped"]
    ),
    "rtss23": Architecture("rtss23", (32, 32, RTSS23_CHANNELS), 0, False, build_rtss23),
}


def start_from_transform(
    encoder: keras.Model, decoder: keras.Model, images: NDArray[np.uint8]
) -> None:
    """Let ``lapped`` start as the Karhunen-Loeve transform of training pictures and its inverse.

    Args:
        encoder, decoder: the models.
        images: uint8 ``[n, 224, 224, 3]``, lapped.
    """
    projection = encoder.get_layer("projection")
    parts = [
        to_patches(
            ops.matmul(
                components(np.asarray(images[start : start + 32], np.float32)) - COMPONENT_GREY,
                TO_ORTHONORMAL.T.astype(np.float32),
            ),
            projection.squares,
        )
        for start in range(0, len(images), 32)
    ]
    directions = principal_directions(np.concatenate(parts), projection.channels)
    projection.directions.assign(directions * np.sqrt(len(directions)))
    values = np.asarray(encoder.predict(images[:256].astype(np.float32), batch_size=32, verbose=0))
    finer = finer_steps(values)
    projection.steps.assign(projection.step / finer)
    spread = values.std((0, 1, 2)) * finer
    decoder.get_layer("normalise").scale.assign(1.0 / np.maximum(spread, 1.0))
    decoder.get_layer("synthesis").kernel.assign(SPREAD * projection.synthesis())


def finer_steps(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """How many times finer each channel's step may be than the one that made these values.

    Args:
        values: float32 ``[..., channels]``.

    Returns:
        float32 ``[channels]``, 1 to :data:`LAPPED_FINEST`.
    """
    usual = np.quantile(np.abs(values).reshape(-1, values.shape[-1]), 0.9999, axis=0)
    room = 127 / (LAPPED_REACH * np.maximum(usual, 1.0))
    return np.clip(room, 1.0, LAPPED_FINEST).astype(np.float32)


def start_published_from_transform(encoder: keras.Model, images: Pictures) -> None:
    """Let ``rtss23``'s encoder start as the Karhunen-Loeve transform of training pictures.

    All features begin positive, by three standard deviations where the range allows, and share
    one step, with which the brightest patch just fits.
    """
    channels = range(RTSS23_CHANNELS)
    pixels = np.asarray(images[:], np.float32) - GREY
    patches = np.asarray(to_patches(pixels, RTSS23_PATCH))
    directions = principal_directions(patches, RTSS23_CHANNELS)
    first, second = (encoder.get_layer(name) for name in ("conv_1", "conv_2"))
    kernel, bias = (np.array(w.numpy()) for w in (first.kernel, first.bias))
    kernel[..., channels] = 0.0
    kernel[1:-1, 1:-1, :, channels] = directions.reshape(RTSS23_PATCH, RTSS23_PATCH, 3, -1)
    largest = np.abs(directions).sum(0) / 2.0
    bias[channels] = largest - directions.sum(0) / 2.0
    first.kernel.assign(kernel)
    first.bias.assign(bias)
    gain = 255 * SYMBOL_SCALE / (2 * largest.max())
    kernel = np.zeros(second.kernel.shape, np.float32)
    kernel[1, 1, channels, channels] = gain
    second.kernel.assign(kernel)
    values = np.asarray(encoder.predict(images[:256].astype(np.float32), batch_size=32, verbose=0))
    spread = values.std((0, 1, 2)) * SYMBOL_SCALE
    second.bias.assign(np.minimum(3 * spread - gain * largest, 0.0))
