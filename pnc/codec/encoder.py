"""Picture -> symbols: the uint8 TFLite encoder, one file for a Pi, a server and a browser."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pnc.codec.checkpoint import Checkpoint
from pnc.codec.image import SIZE
from pnc.codec.interpreter import Model
from pnc.errors import CheckpointError


class Encoder:
    """The analysis transform of a checkpoint.

    Args:
        checkpoint: whose encoder it is.
        num_threads: threads of one inference.
        runtime: see :func:`pnc.codec.interpreter.find_runtime`.

    Raises:
        CheckpointError: the file does not fit the manifest.
    """

    def __init__(
        self, checkpoint: Checkpoint, *, num_threads: int = 1, runtime: str | None = None
    ) -> None:
        name = str(checkpoint.folder / "encoder.tflite")
        self._lapping = checkpoint.lapping
        self._model = Model(
            checkpoint.read("encoder.tflite"), name=name, num_threads=num_threads, runtime=runtime
        )
        wanted = [(1, SIZE, SIZE, 3), (1, *checkpoint.plan.grid.shape)]
        sides = [self._model.inputs[0], self._model.outputs[0]]
        if [tuple(side["shape"]) for side in sides] != wanted or any(
            s["dtype"] != np.uint8 for s in sides
        ):
            raise CheckpointError(f"{name}: not a uint8 model from {wanted[0]} to {wanted[1]}")

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """uint8 RGB ``[224, 224, 3]`` -> symbols uint8 ``[height, width, channels]``."""
        return self._model.run(self._lapping.forward(pixels) if self._lapping else pixels)
