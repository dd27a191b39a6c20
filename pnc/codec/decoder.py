"""Symbols, any subset -> picture: the TFLite decoder, told what arrived."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pnc.codec.checkpoint import Checkpoint
from pnc.codec.image import SIZE
from pnc.codec.interpreter import Model
from pnc.codec.layers import UNKNOWN_SHIFT, Knowledge
from pnc.errors import CheckpointError


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
        self._model = Model(
            checkpoint.read("decoder.tflite"), name=name, num_threads=num_threads, runtime=runtime
        )
        self._points = np.concatenate(
            [checkpoint.reconstruction, np.zeros((checkpoint.plan.num_channels, 1), np.float32)],
            axis=1,
        )
        plan = checkpoint.plan
        grid = (1, plan.height, plan.width, plan.num_channels)
        picture = (1, SIZE, SIZE, 3)
        shapes = [tuple(side["shape"]) for side in (*self._model.inputs, *self._model.outputs)]
        self._input_names = [
            "received" if "received" in d["name"] else "values" for d in self._model.inputs
        ]
        if shapes != [grid, grid, picture] or len(set(self._input_names)) != 2:
            raise CheckpointError(
                f"{name}: not a model from values and received {grid} to {picture}"
            )

    def decode(self, knowledge: Knowledge) -> NDArray[np.uint8]:
        """What is known of a picture as a picture; knowing nothing gives an average one.

        Returns:
            uint8 RGB ``[224, 224, 3]``.
        """
        values, received = restore(knowledge, self._points)
        given = {"values": values, "received": received}
        pixels = self._model.run(*(given[name] for name in self._input_names))
        picture: NDArray[np.uint8] = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
        return picture


def restore(
    knowledge: Knowledge, points: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Values back on the scale of full precision, and the share of bits that arrived.

    Args:
        knowledge: what arrived.
        points: float32 ``[channels, 9]``: where a non-zero magnitude lies in its interval.

    Returns:
        Two float32 ``[height, width, channels]``.
    """
    values, shifts = knowledge.grid()
    offset = points[np.arange(shifts.shape[-1]), shifts]
    magnitude = (np.abs(values) + offset) * (values != 0)
    restored = np.sign(values) * magnitude * np.exp2(shifts, dtype=np.float32)
    received = (UNKNOWN_SHIFT - shifts.astype(np.float32)) / np.float32(UNKNOWN_SHIFT)
    return restored.astype(np.float32), received
