"""Multiply-accumulates of a TFLite file, counted from the shapes of its tensors."""

from __future__ import annotations

from math import prod
from typing import Any

from pnc.codec.interpreter import open_plain


def count_macs(content: bytes) -> int:
    """Return the multiply-accumulates of one inference.

    Counts convolutions, transposed and depthwise ones, and matrix products, as papers do: no
    activations, no sums.

    Args:
        content: A TFLite file, fixed batch.

    Raises:
        ConfigError: No interpreter is installed.
    """
    interpreter, operations = open_plain(content)
    shapes = {
        details["index"]: tuple(int(side) for side in details["shape"])
        for details in interpreter.get_tensor_details()
    }
    return sum(_count(operation, shapes) for operation in operations)


def _count(operation: dict[str, Any], shapes: dict[int, tuple[int, ...]]) -> int:
    """Weights are the second input: [out, h, w, in], depthwise [1, h, w, out], dense [out, in]."""
    inputs = [shapes.get(int(index), ()) for index in operation["inputs"]]
    outputs = prod(shapes[int(operation["outputs"][0])])
    match operation["op_name"]:
        case "CONV_2D":
            return outputs * prod(inputs[1][1:])
        case "DEPTHWISE_CONV_2D":
            return outputs * prod(inputs[1][1:3])
        case "TRANSPOSE_CONV":
            return prod(inputs[2]) * inputs[1][0] * prod(inputs[1][1:3])
        case "FULLY_CONNECTED":
            return outputs * inputs[1][-1]
        case "BATCH_MATMUL":
            return outputs * inputs[0][-1]
        case _:
            return 0
