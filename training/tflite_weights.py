"""The weights of a TFLite file, read back into a Keras model of the same architecture.

A file holds every weight, but folded: batch normalisation has become part of the convolutions
before it, half-precision and integer weights carry scales. Layers are matched in the order in which
they run, by kind and shape; folded normalisation is laid open again with the mean and variance that
the user's own pictures have there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from pnc.codec.interpreter import open_plain

_KERNEL_OPERATIONS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


@dataclass(frozen=True)
class Operation:
    """One operation with weights of a TFLite file."""

    kind: str
    constants: tuple[NDArray[np.float32], ...]


def read_operations(content: bytes) -> list[Operation]:
    """The operations of a TFLite file that have constants, in the order in which they run.

    Returns:
        Constants as float32, without scales and in the file's own layout.

    Raises:
        ConfigError: no interpreter is installed.
    """
    interpreter, operations = open_plain(content)
    tensors = {details["index"]: details for details in interpreter.get_tensor_details()}
    made = {int(index): op for op in operations for index in op["outputs"]}
    given = {int(details["index"]) for details in interpreter.get_input_details()}

    def constant(index: int) -> NDArray[np.float32] | None:
        maker = made.get(index)
        if maker is not None and maker["op_name"] == "DEQUANTIZE":
            return constant(int(maker["inputs"][0]))
        if index < 0 or maker is not None or index in given:
            return None
        return _dequantised(interpreter.get_tensor(index), tensors[index])

    found = []
    for operation in operations:
        if operation["op_name"] == "DEQUANTIZE":
            continue
        constants = [constant(int(index)) for index in operation["inputs"]]
        numbers = tuple(value for value in constants if value is not None)
        if numbers:
            found.append(Operation(operation["op_name"], numbers))
    return found


def _dequantised(values: NDArray[Any], details: dict[str, Any]) -> NDArray[np.float32]:
    quantization = details["quantization_parameters"]
    scales = np.asarray(quantization["scales"], np.float32)
    if values.dtype.kind == "f" or not len(scales):
        return values.astype(np.float32)
    shape = [1] * values.ndim
    if len(scales) > 1:
        shape[quantization["quantized_dimension"]] = len(scales)
    zero = np.asarray(quantization["zero_points"], np.float32).reshape(shape)
    return (values.astype(np.float32) - zero) * scales.reshape(shape)


def _own_layers(model: keras.Model) -> Iterator[Any]:
    """The layers with weights, in the order in which they run."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _own_layers(layer)
        elif layer.weights:
            yield layer


def fill_model(model: keras.Model, operations: list[Operation]) -> dict[str, Any]:
    """Put the constants of a file into the layers of a model of the same architecture.

    Batch normalisation becomes the identity plus the bias that its convolution has in the file.

    Returns:
        The convolution before each batch normalisation, by the latter's name.

    Raises:
        ValueError: a layer has no operation of its kind and shape.
    """
    left = list(operations)

    def take(kinds: tuple[str, ...], shape: tuple[int, ...], layer: Any) -> Operation:
        for place, operation in enumerate(left):
            first = operation.constants[0]
            size = first.shape if operation.kind in _KERNEL_OPERATIONS else (first.size,)
            if operation.kind in kinds and size == shape:
                return left.pop(place)
        raise ValueError(f"nothing in the file fits layer {layer.name}")

    biases: dict[str, NDArray[np.float32]] = {}
    for layer in _own_layers(model):
        match layer:
            case layers.DepthwiseConv2D():
                height, width, channels, _ = layer.kernel.shape
                found = take(("DEPTHWISE_CONV_2D",), (1, height, width, channels), layer)
                layer.kernel.assign(found.constants[0].transpose(1, 2, 3, 0))
            case layers.Conv2D():
                height, width, before, after = layer.kernel.shape
                found = take(("CONV_2D",), (after, height, width, before), layer)
                layer.kernel.assign(found.constants[0].transpose(1, 2, 3, 0))
            case layers.Dense():
                found = take(("FULLY_CONNECTED",), tuple(layer.kernel.shape[::-1]), layer)
                layer.kernel.assign(found.constants[0].T)
            case layers.LayerNormalization():
                size = (int(layer.gamma.shape[0]),)
                layer.gamma.assign(take(("MUL",), size, layer).constants[0].ravel())
                layer.beta.assign(take(("ADD", "SUB"), size, layer).constants[0].ravel())
                continue
            case layers.BatchNormalization():
                name = layer.input._keras_history.operation.name
                layer.gamma.assign(np.ones(layer.gamma.shape))
                layer.moving_mean.assign(np.zeros(layer.gamma.shape))
                layer.moving_variance.assign(np.full(layer.gamma.shape, 1.0 - layer.epsilon))
                layer.beta.assign(biases[name])
                continue
            case layers.Normalization():
                continue
            case _ if len(layer.weights) == 1 and len(layer.weights[0].shape) == 1:
                size = (int(layer.weights[0].shape[0]),)
                layer.weights[0].assign(take(("MUL",), size, layer).constants[0].ravel())
                continue
            case _:
                raise ValueError(f"layer {layer.name} is of a kind that cannot be read back")
        bias = found.constants[1] if len(found.constants) > 1 else None
        if layer.use_bias:
            layer.bias.assign(np.zeros(layer.bias.shape) if bias is None else bias)
        else:
            biases[layer.name] = bias if bias is not None else _no_bias(layer)
    return biases


def _no_bias(layer: Any) -> NDArray[np.float32]:
    return np.zeros(layer.output.shape[-1], np.float32)


def undo_rescaling(model: keras.Model, operations: list[Operation]) -> None:
    """Take the input's scaling out of the first kernel, where the converter folds it if it can.

    Args:
        model: filled by :func:`fill_model`.
        operations: those it was filled with.
    """
    before = itertools.takewhile(lambda operation: operation.kind != "CONV_2D", operations)
    if any(operation.kind == "MUL" for operation in before):
        return
    scale = np.prod([np.float64(x.scale) for x in model.layers if type(x) is layers.Rescaling])
    first = next(layer for layer in model.layers if isinstance(layer, layers.Conv2D))
    first.kernel.assign(np.asarray(first.kernel) / scale)


def open_normalisation(model: keras.Model, images: NDArray[np.uint8]) -> None:
    """Give folded batch normalisation statistics again; what the model computes stays.

    Folded, a normalisation is the identity and a shift. In training it would divide by the spread
    of its batch all the same, so mean and variance of what arrives there become its statistics, and
    its factor and shift undo them.

    Args:
        model: filled by :func:`fill_model`.
        images: uint8 ``[n, h, w, 3]``.
    """
    normalisations = [x for x in model.layers if isinstance(x, layers.BatchNormalization)]
    if not normalisations:
        return
    probe = keras.Model(model.input, [layer.input for layer in normalisations])
    sums = [np.zeros((3, int(layer.gamma.shape[0]))) for layer in normalisations]
    for start in range(0, len(images), 8):
        arrived = probe.predict_on_batch(images[start : start + 8].astype(np.float32))
        for total, value in zip(sums, arrived, strict=True):
            flat = np.asarray(value, np.float64).reshape(-1, value.shape[-1])
            total += [flat.sum(0), np.square(flat).sum(0), np.full(flat.shape[1], len(flat))]
    for layer, (first, second, count) in zip(normalisations, sums, strict=True):
        mean = first / count
        variance = np.maximum(second / count - np.square(mean), 1e-4)
        layer.beta.assign(np.asarray(layer.beta) + mean)
        layer.gamma.assign(np.sqrt(variance + layer.epsilon))
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(variance)
