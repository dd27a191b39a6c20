"""Symbols, any subset -> picture: the TFLite decoder, told what arrived."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pnc.codec.checkpoint import Checkpoint
from pnc.codec.image import SIZE
from pnc.codec.interpreter import Model
from pnc.errors import CheckpointError

VALUE_BITS = 8
"""Bits of a symbol."""


class Decoder:
    """The synthesis transform of a checkpoint.

    Args:
        checkpoint: whose decoder it is.
        num_threads: threads of one inference.
        runtime: see :func:`pnc.codec.interpreter.find_runtime`.

    Raises:
        CheckpointError: the file does not fit the manifest.
    """

    def __init__(
        self, checkpoint: Checkpoint, *, num_threads: int = 1, runtime: str | None = None
    ) -> None:
        name = str(checkpoint.folder / "decoder.tflite")
        self._lapping = checkpoint.lapping
        self._model = Model(
            checkpoint.read("decoder.tflite"), name=name, num_threads=num_threads, runtime=runtime
        )
        grid = (1, *checkpoint.plan.grid.shape)
        picture = (1, SIZE, SIZE, 3)
        shapes = [tuple(side["shape"]) for side in (*self._model.inputs, *self._model.outputs)]
        self._input_names = [
            "received" if "received" in d["name"] else "values" for d in self._model.inputs
        ]
        if shapes != [grid, grid, picture] or len(set(self._input_names)) != 2:
            raise CheckpointError(
                f"{name}: not a model from values and received {grid} to {picture}"
            )

    def decode(self, values: NDArray[np.float32], spread: NDArray[np.float32]) -> NDArray[np.uint8]:
        """What is known of a picture as a picture; knowing nothing gives an average one.

        Args:
            values: float32 ``[height, width, channels]``.
            spread: how uncertain each is, same shape.

        Returns:
            uint8 RGB ``[224, 224, 3]``.
        """
        given = {"values": values, "received": received(spread)}
        pixels = self._model.run(*(given[name] for name in self._input_names))
        if self._lapping:
            pixels = self._lapping.inverse(pixels)
        picture: NDArray[np.uint8] = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
        return picture


def received(spread: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much of each value arrived, 0 nothing to 1 all its bits, as the network is told it.

    Args:
        spread: how uncertain each value is, float32: 1 where every bit is known.
    """
    return (1 - np.log2(spread) / VALUE_BITS).astype(np.float32)
