"""Multiply-accumulates of a TFLite file, counted from the shapes of its tensors."""

from __future__ import annotations

from math import prod
from typing import Any

from pnc.codec.interpreter import find_runtime


def count_macs(content: bytes, *, runtime: str | None = None) -> int:
    """Return the multiply-accumulates of one inference.

    Counts convolutions, transposed and depthwise ones, and matrix products, as papers do: no
    activations, no sums.

    Args:
        content: A TFLite file, fixed batch.
        runtime: See `pnc.codec.interpreter.find_runtime`.

    Raises:
        ConfigError: No interpreter is installed.
    """
    interpreter_class, _ = find_runtime(runtime)
    # Without the default delegates the list of operations is the file's own.
    interpreter = interpreter_class(
        model_content=content,
        num_threads=1,
        experimental_op_resolver_type=_plain_resolver(interpreter_class),
    )
    interpreter.allocate_tensors()
    shapes = {
        details["index"]: tuple(int(side) for side in details["shape"])
        for details in interpreter.get_tensor_details()
    }
    # The interpreter's only list of operations; private in every runtime, in all releases so far.
    operations: list[dict[str, Any]] = interpreter._get_ops_details()
    return sum(_count(operation, shapes) for operation in operations)


def _plain_resolver(interpreter_class: Any) -> Any:
    module = __import__(interpreter_class.__module__, fromlist=["OpResolverType"])
    return module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES


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
