"""Autoencoders in ``keras.ops``: they train on any Keras backend.

==========  ===========================  =========================================  ================
name        encoder (g_a)                decoder (g_s)                              source
==========  ===========================  =========================================  ================
``lite``    14x14 patches, 64 channels,  6 blocks at 16x16 over a linear            decision 0012
            9.6 MMAC                     synthesis, depth-to-space, 0.37 GMAC
``rtss23``  conv 9x9/7, conv 3x3, ReLU,  transposed conv 9x9/7, three conv 5x5 at   arXiv 2310.05306
            5.5 MMAC                     224x224, 15.6 GMAC
==========  ===========================  =========================================  ================

Data flow: ``x -> g_a -> values -> TailDrop -> (y_hat, received) -> g_s -> x_hat``. ``values`` are
in symbol units around the zero point; pictures are float RGB 0..255 ``[n, 224, 224, 3]``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from training.pictures import Pictures

PICTURE_SIZE = 224
"""Side of every picture, pixels."""

LITE_PATCH = 14
"""Side of a ``lite`` patch, pixels: 16 x 16 positions."""
LITE_CHANNELS = 64
"""64 x 588 weights on 256 positions are 9.63 MMAC; the device's limit is 10."""
LITE_WIDTH = 176
"""Channels of the decoder's blocks."""
LITE_BLOCKS = 6
"""Blocks of the decoder."""
LITE_STEP = 24.4
"""Quantisation step of a unit-norm projection, grey levels: the largest value of a constant patch,
3,091 for white, just fits in 8 bits."""

RTSS23_CHANNELS = 10
"""Features of the published model."""
RTSS23_PATCH = 7
"""Pixels from one position to the next."""
RTSS23_WIDTH = 64
"""Channels of its decoder."""
RTSS23_SCALE = 5.42 / 255
"""Value of one symbol of the published encoder, from its TFLite file (0.02125)."""


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


@keras.saving.register_keras_serializable("pnc")
class PatchProjection(layers.Layer):
    """``lite``'s encoder: unit-norm projections of patches, with the device's int8 weights.

    Each row is normalised and rounded to 127 steps of its largest weight, straight through for the
    gradient. Since the norm is fixed, training cannot buy precision with bytes.
    """

    def __init__(self, patch: int, channels: int, step: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.patch, self.channels, self.step = patch, channels, step

    def build(self, shape: Any) -> None:
        """Create the directions, of about unit size each weight so that Adam's steps fit them."""
        self.directions = self.add_weight(
            shape=(self.patch * self.patch * 3, self.channels),
            initializer="random_normal",
            name="directions",
        )

    def weights_int8(self) -> Any:
        """The projection, rounded as the TFLite file rounds.

        Returns:
            ``[p * p * 3, channels]``, in symbols a grey level.
        """
        unit = (
            self.directions
            / ops.sqrt(ops.sum(ops.square(self.directions), axis=0, keepdims=True))
            / self.step
        )
        scale = ops.max(ops.abs(unit), axis=0, keepdims=True) / 127.0
        rounded = ops.round(unit / scale) * scale
        return unit + ops.stop_gradient(rounded - unit)

    def call(self, x: Any) -> Any:
        """Pictures 0..255 -> values ``[n, h / p, w / p, channels]``."""
        side, p = PICTURE_SIZE // self.patch, self.patch
        patches = ops.reshape(x - 127.5, (-1, side, p, side, p, 3))
        patches = ops.reshape(
            ops.transpose(patches, (0, 1, 3, 2, 4, 5)), (-1, side, side, p * p * 3)
        )
        return ops.matmul(patches, self.weights_int8())


@dataclass(frozen=True)
class Architecture:
    """An autoencoder before training.

    Attributes:
        name: in the table above.
        grid: height, width and channels of the symbols.
        zero_point: the symbol of value 0.
        tells_received: whether the decoder is told what arrived.
        build: makes encoder (pictures -> values) and decoder (reconstructed values[, received] ->
            picture).
    """

    name: str
    grid: tuple[int, int, int]
    zero_point: int
    tells_received: bool
    build: Callable[[], tuple[keras.Model, keras.Model]]


def _block(x: Any, width: int, kernel: int) -> Any:
    y = layers.DepthwiseConv2D(kernel, padding="same")(x)
    y = layers.LayerNormalization(epsilon=1e-5)(y)
    y = layers.Dense(3 * width, activation="relu")(y)
    y = layers.Dense(width)(y)
    return layers.Add()([x, y])


def build_lite() -> tuple[keras.Model, keras.Model]:
    """See the module; the decoder starts as the linear synthesis alone."""
    side = PICTURE_SIZE // LITE_PATCH
    picture = keras.Input((PICTURE_SIZE, PICTURE_SIZE, 3))
    encoder = keras.Model(
        picture,
        PatchProjection(LITE_PATCH, LITE_CHANNELS, LITE_STEP, name="projection")(picture),
        name="g_a",
    )
    values = keras.Input((side, side, LITE_CHANNELS), name="values")
    received = keras.Input((side, side, LITE_CHANNELS), name="received")
    normalised = ChannelScale(name="normalise")(values)
    x = layers.Dense(LITE_WIDTH)(layers.Concatenate()([normalised, received]))
    for index in range(LITE_BLOCKS):
        x = _block(x, LITE_WIDTH, 5 if index % 3 == 0 else 3)
    x = layers.LayerNormalization(epsilon=1e-5)(x)
    pixels = LITE_PATCH * LITE_PATCH * 3
    detail = layers.Dense(pixels, kernel_initializer="zeros", name="detail")(x)
    linear = layers.Dense(
        pixels, name="synthesis", bias_initializer=keras.initializers.Constant(127.5)
    )(values)
    x_hat = Depatchify(LITE_PATCH, name="depatchify")(layers.Add()([linear, detail]))
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
    encoder = keras.Model(picture, layers.Rescaling(1 / RTSS23_SCALE)(x), name="g_a")
    values = keras.Input((None, None, RTSS23_CHANNELS), name="values")
    y = layers.Rescaling(RTSS23_SCALE)(values)
    width = RTSS23_WIDTH
    y = layers.Conv2DTranspose(width, 9, strides=7, padding="same", activation="relu")(y)
    for _ in range(3):
        y = layers.Conv2D(width, 5, padding="same", activation="relu")(y)
    y = layers.Conv2D(3, 3, padding="same", activation="sigmoid")(y)
    return encoder, keras.Model(values, layers.Rescaling(255.0)(y), name="g_s")


ARCHITECTURES: dict[str, Architecture] = {
    "lite": Architecture("lite", (16, 16, LITE_CHANNELS), 128, True, build_lite),
    "rtss23": Architecture("rtss23", (32, 32, RTSS23_CHANNELS), 0, False, build_rtss23),
}


def principal_directions(images: Pictures, patch: int, channels: int) -> NDArray[np.float32]:
    """The Karhunen-Loeve transform of patches.

    Args:
        images: uint8 ``[n, 224, 224, 3]``; a thousand are plenty.
        patch: side of a patch, pixels.
        channels: directions to keep.

    Returns:
        ``[p * p * 3, channels]``, largest variance first, unit norm.
    """
    side = PICTURE_SIZE // patch
    size = patch * patch * 3
    covariance = np.zeros((size, size))
    for start in range(0, len(images), 64):
        part = np.asarray(images[start : start + 64], np.float32) - 127.5
        patches = (
            part.reshape(-1, side, patch, side, patch, 3)
            .transpose(0, 1, 3, 2, 4, 5)
            .reshape(-1, size)
        )
        covariance += patches.T.astype(np.float64) @ patches
    _, vectors = np.linalg.eigh(covariance)
    return vectors[:, ::-1][:, :channels].astype(np.float32)


def start_from_transform(encoder: keras.Model, decoder: keras.Model, images: Pictures) -> None:
    """Let ``lite`` start as the Karhunen-Loeve transform of training pictures and its inverse."""
    directions = principal_directions(images, LITE_PATCH, LITE_CHANNELS)
    encoder.get_layer("projection").directions.assign(directions * np.sqrt(len(directions)))
    values = np.asarray(encoder.predict(images[:256].astype(np.float32), batch_size=32, verbose=0))
    decoder.get_layer("normalise").scale.assign(1.0 / np.maximum(values.std((0, 1, 2)), 1.0))
    decoder.get_layer("synthesis").kernel.assign(directions.T * LITE_STEP)


def start_published_from_transform(encoder: keras.Model, images: Pictures) -> None:
    """Let ``rtss23``'s encoder start as the Karhunen-Loeve transform of training pictures.

    All features begin positive, by three standard deviations where the range allows, and share
    one step, with which the brightest patch just fits.
    """
    channels = range(RTSS23_CHANNELS)
    directions = principal_directions(images, RTSS23_PATCH, RTSS23_CHANNELS)
    first, second = (encoder.get_layer(name) for name in ("conv_1", "conv_2"))
    kernel, bias = (np.array(w.numpy()) for w in (first.kernel, first.bias))
    kernel[..., channels] = 0.0
    kernel[1:-1, 1:-1, :, channels] = directions.reshape(RTSS23_PATCH, RTSS23_PATCH, 3, -1)
    largest = np.abs(directions).sum(0) / 2.0
    bias[channels] = largest - directions.sum(0) / 2.0
    first.kernel.assign(kernel)
    first.bias.assign(bias)
    gain = 255 * RTSS23_SCALE / (2 * largest.max())
    kernel = np.zeros(second.kernel.shape, np.float32)
    kernel[1, 1, channels, channels] = gain
    second.kernel.assign(kernel)
    values = np.asarray(encoder.predict(images[:256].astype(np.float32), batch_size=32, verbose=0))
    spread = values.std((0, 1, 2)) * RTSS23_SCALE
    second.bias.assign(np.minimum(3 * spread - gain * largest, 0.0))
