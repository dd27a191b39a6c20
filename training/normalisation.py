"""Batch normalisation with fewer passes over memory, which on a CPU are what it costs.

Keras computes moments, scale and shift one after the other, a quarter of a training step of
EfficientNetB0. TensorFlow has one operation for all of it; and in a frozen model nothing needs to
be left, since each normalisation can go into the convolution before it.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray


@keras.saving.register_keras_serializable("pnc")
class FusedBatchNormalization(layers.BatchNormalization):
    """Keras' batch normalisation, same variables and results; faster in training on TensorFlow."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """See Keras; fused for float32 ``[n, h, w, channels]`` without a mask."""
        if (
            not (training and self.trainable)
            or keras.backend.backend() != "tensorflow"
            or keras.backend.standardize_dtype(inputs.dtype) != "float32"
            or len(inputs.shape) != 4
            or mask is not None
        ):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, self.gamma, self.beta, epsilon=self.epsilon, is_training=True
        )
        # The operation gives the unbiased variance, Keras keeps that of the batch itself.
        num_values = ops.cast(math.prod(ops.shape(inputs)[:3]), "float32")
        variance *= (num_values - 1.0) / num_values
        for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + now * (1.0 - self.momentum))
        return outputs


class _Folded(layers.Layer):
    """Stands where a normalisation was; called as that was."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        return inputs


def fold_normalisation(model: keras.Model) -> keras.Model:
    """The same model for inference: batch normalisations are in the convolutions before them.

    In their place stand layers that do nothing, so that every layer keeps its name and its output.
    Those that do not follow a convolution stay.
    """
    folded: dict[str, layers.BatchNormalization] = {}
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            before = layer.input._keras_history.operation
            if _can_take(before, layer):
                folded[before.name] = layer
    gone = {layer.name for layer in folded.values()}

    def replace(layer: keras.layers.Layer) -> keras.layers.Layer:
        if layer.name in gone:
            return _Folded(name=layer.name)
        config = layer.get_config()
        if layer.name in folded:
            config["use_bias"] = True
        return type(layer).from_config(config)

    clone = keras.models.clone_model(model, clone_function=replace)
    for layer in clone.layers:
        if layer.weights:
            source = model.get_layer(layer.name)
            layer.set_weights(
                _folded_weights(source, folded[layer.name])
                if layer.name in folded
                else source.get_weights()
            )
    refresh_input_scaling(clone)
    return clone


def _can_take(before: keras.layers.Layer, normalisation: layers.BatchNormalization) -> bool:
    return (
        isinstance(before, layers.Conv2D | layers.DepthwiseConv2D)
        and before.activation is keras.activations.linear
        and len(before._outbound_nodes) == len(normalisation._inbound_nodes) == 1
        and getattr(before, "depth_multiplier", 1) == 1
        and normalisation.scale
        and normalisation.center
    )


def _folded_weights(
    convolution: keras.layers.Layer, normalisation: layers.BatchNormalization
) -> list[NDArray[np.float32]]:
    """Kernel and bias of a convolution that does what a normalisation did after it."""
    kernel, *biases = convolution.get_weights()
    gamma, beta, mean, variance = normalisation.get_weights()
    factor = gamma / np.sqrt(variance + normalisation.epsilon)
    bias = beta - mean * factor + sum(biases) * factor
    is_depthwise = isinstance(convolution, layers.DepthwiseConv2D)
    return [kernel * (factor[:, None] if is_depthwise else factor), bias]


def with_fused_normalisation(model: keras.Model) -> keras.Model:
    """The same model, weights and all, with :class:`FusedBatchNormalization`."""
    return _with_kind(model, layers.BatchNormalization, FusedBatchNormalization)


def with_plain_normalisation(model: keras.Model) -> keras.Model:
    """The same model, weights and all, of Keras' own layers, so that any program can load it."""
    return _with_kind(model, FusedBatchNormalization, layers.BatchNormalization)


def _with_kind(
    model: keras.Model, old: type[keras.layers.Layer], new: type[keras.layers.Layer]
) -> keras.Model:
    def replace(layer: keras.layers.Layer) -> keras.layers.Layer:
        kind = new if type(layer) is old else type(layer)
        return kind.from_config(layer.get_config())

    clone = keras.models.clone_model(model, clone_function=replace)
    clone.set_weights(model.get_weights())
    refresh_input_scaling(clone)
    return clone


def refresh_input_scaling(model: keras.Model) -> None:
    """Let Keras' ``Normalization`` layers use the weights they were given: they keep a copy."""
    for layer in model.layers:
        if isinstance(layer, layers.Normalization):
            layer.finalize_state()
