"""A trained model as a checkpoint folder: TFLite files, coding plan, manifest.

The encoder becomes a full-integer file whose output *is* the symbol: its last convolution is scaled
so that one output step is one symbol, and a fused ReLU6 spans the eight bits exactly. How often
file and training differ is measured. ``rtss23`` becomes something else, see `training.published`.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from pnc.codec.checkpoint import PLAN, write_manifest
from pnc.codec.image import Fit
from pnc.codec.interpreter import Model
from pnc.codec.lapping import Lapping
from pnc.codec.plan import plan_to_bytes
from training.architectures import PICTURE_SIZE
from training.autoencoder import Autoencoder
from training.files import replacing
from training.lapping import lapped
from training.pictures import Pictures
from training.plan import fit_plan
from training.projection import (
    COMPONENT_BIAS,
    COMPONENT_GREY,
    COMPONENT_KERNEL,
    NUM_COMPONENTS,
    SQUARE,
)

CALIBRATION_PICTURES = 64
"""Pictures that fix the ranges of the integer encoder's middle layers."""

PLAN_PICTURES = 400
"""Training pictures that the coding plan is fitted to: 100,000 symbols a channel."""

PARITY_PICTURES = 64
"""Pictures on which the exported encoder is compared with the trained one."""

MODEL_FILES = ("encoder.tflite", "decoder.tflite", "classifier.tflite", PLAN)
"""What every checkpoint holds besides its manifest."""


@dataclass(frozen=True)
class Parity:
    """How far the exported encoder is from the trained one, over all symbols of some pictures."""

    equal: float
    """Share of symbols that are the same."""
    within_one: float
    """Share that differ by one step at most."""
    largest: int
    """Largest difference, steps."""


UNIT = 6.0 / 255.0
"""What the file's last convolution makes of one symbol, so that ReLU6 spans eight bits."""


class Saturating(layers.Layer):
    """Pins a range to 0..``largest`` in eight bits, whatever the calibration pictures reach."""

    def __init__(self, largest: float) -> None:
        super().__init__()
        self._largest = largest

    def call(self, x: Any) -> Any:
        """See the class."""
        import tensorflow as tf

        return tf.quantization.fake_quant_with_min_max_args(x, min=0.0, max=self._largest)


def integer_encoder(autoencoder: Autoencoder) -> keras.Model:
    """The trained encoder as plain convolutions: one raw picture -> ``symbol * 6 / 255``."""
    picture = keras.Input((PICTURE_SIZE, PICTURE_SIZE, 3), batch_size=1)
    projection = autoencoder.encoder.get_layer("projection")
    side = projection.squares
    rows = np.asarray(projection.rounded_weights()).reshape(side, side, NUM_COMPONENTS, -1)
    bias = autoencoder.architecture.zero_point - COMPONENT_GREY @ rows.sum((0, 1))
    start = layers.Conv2D(NUM_COMPONENTS, SQUARE, strides=SQUARE)
    last = layers.Conv2D(rows.shape[-1], side, strides=side, activation="relu6")
    output = last(Saturating(255.0)(start(picture)))
    start.set_weights([COMPONENT_KERNEL, COMPONENT_BIAS])
    last.set_weights([rows * UNIT, bias * UNIT])
    return keras.Model(picture, output)


def convert_encoder(autoencoder: Autoencoder, images: Pictures) -> bytes:
    """Full-integer TFLite, uint8 in and out; ``images`` calibrate what the fixed ranges leave."""
    import tensorflow as tf

    model = integer_encoder(autoencoder)
    pinned = keras.Model(model.input, Saturating(6.0)(model.output))
    converter = tf.lite.TFLiteConverter.from_keras_model(pinned)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    white, black = (
        np.full((1, PICTURE_SIZE, PICTURE_SIZE, 3), v, np.float32) for v in (255.0, 0.0)
    )

    def representative() -> Any:
        yield [white]
        yield [black]
        for image in lapped(images[:CALIBRATION_PICTURES], autoencoder.architecture.lapping):
            yield [image[None].astype(np.float32)]

    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    return _convert(converter)


def _convert(converter: Any) -> bytes:
    """Run a converter; what it says goes nowhere, since standard output is for results."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        # The converter warns that it was given no input statistics, which only old formats need.
        warnings.filterwarnings("ignore", "Statistics for quantized inputs", UserWarning)
        content: bytes = converter.convert()
    return content


def convert_float16(model: keras.Model) -> bytes:
    """TFLite with half-precision weights and single-precision arithmetic, float32 in and out."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return _convert(converter)


def convert_dynamic(model: keras.Model) -> bytes:
    """TFLite with int8 weights, what they multiply is rounded as it comes; float32 in and out."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return _convert(converter)


def fixed_decoder(autoencoder: Autoencoder) -> keras.Model:
    """The decoder with a batch of one and inputs named ``values`` and ``received``."""
    shape = autoencoder.architecture.grid
    inputs = [keras.Input(shape, batch_size=1, name=name) for name in ("values", "received")]
    return keras.Model(inputs, autoencoder.decoder(inputs))


def convert_classifier(classifier: keras.Model) -> bytes:
    """The classifier for one picture of full size, as :func:`convert_float16`."""
    picture = keras.Input((PICTURE_SIZE, PICTURE_SIZE, 3), batch_size=1)
    return convert_float16(keras.Model(picture, classifier(picture)))


def run_encoder(content: bytes, images: Pictures, lapping: Lapping | None) -> NDArray[np.uint8]:
    """Symbols of the TFLite file: uint8 ``[n, height, width, channels]``."""
    model = Model(content, name="encoder.tflite")
    pictures = (images[index] for index in range(len(images)))
    return np.stack([model.run(lapping.forward(one) if lapping else one) for one in pictures])


def encoder_parity(autoencoder: Autoencoder, content: bytes, images: Pictures) -> Parity:
    """Compare the exported encoder with the trained one on some pictures."""
    exported = run_encoder(content, images, autoencoder.architecture.lapping)
    return compare_symbols(autoencoder.symbols(images), exported)


def compare_symbols(trained: NDArray[np.uint8], exported: NDArray[np.uint8]) -> Parity:
    """How far exported symbols are from trained ones, both of any one shape."""
    difference = np.abs(trained.astype(np.int64) - exported)
    return Parity(
        float((difference == 0).mean()), float((difference <= 1).mean()), int(difference.max())
    )


def export_checkpoint(
    folder: Path,
    *,
    name: str,
    autoencoder: Autoencoder,
    classifier: keras.Model,
    classes: Sequence[str],
    images: Pictures,
    fit: Fit,
) -> Parity:
    """Write a checkpoint folder.

    Args:
        folder: made if missing.
        name: of the checkpoint.
        autoencoder, classifier: the models.
        classes: names in label order.
        images: training pictures for calibration, plan and parity.
        fit: how pictures become square.

    Returns:
        How the exported encoder compares with the trained one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    encoder = convert_encoder(autoencoder, images)
    parity = encoder_parity(autoencoder, encoder, images[:PARITY_PICTURES])
    symbols = run_encoder(encoder, images[:PLAN_PICTURES], autoencoder.architecture.lapping)
    scale = autoencoder.fitted.plan.grid.scale
    plan = fit_plan(symbols, autoencoder.architecture.zero_point, scale).plan
    _replace(folder / "encoder.tflite", encoder)
    _replace(folder / "decoder.tflite", convert_dynamic(fixed_decoder(autoencoder)))
    _replace(folder / "classifier.tflite", convert_classifier(classifier))
    _replace(folder / PLAN, plan_to_bytes(plan))
    write_manifest(
        folder,
        name=name,
        architecture=autoencoder.architecture.name,
        fit=fit,
        classes=classes,
        files=MODEL_FILES,
    )
    return parity


def _replace(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)
