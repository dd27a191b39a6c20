"""Symbols, any subset -> picture: the TFLite decoder, told what arrived."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pnc.codec.checkpoint import Checkpoint
from pnc.codec.interpreter import Model
from pnc.codec.layers import UNKNOWN_SHIFT, Knowledge
from pnc.errors import CheckpointError


class Decoder:
    """The synthesis transform of a checkpoint.

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
        if any(tuple(details["shape"]) != grid for details in self._model.inputs):
            raise CheckpointError(f"{name}: its inputs are not {grid}")
        self._input_names = [
            "received" if "received" in d["name"] else "values" for d in self._model.inputs
        ]

    def decode(self, knowledge: Knowledge) -> NDArray[np.uint8]:
        """What is known of a picture -> uint8 RGB ``[224, 224, 3]``; knowing nothing gives an average picture."""
        values, received = restore(knowledge, self._points)
        given = {"values": values, "received": received}
        pixels = self._model.run(*(given[name] for name in self._input_names))
        return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def restore(
    knowledge: Knowledge, points: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Values back on the scale of full precision, and the share of bits that arrived.

    Args:
        points: float32 ``[channels, 9]``: where in its interval a non-zero magnitude lies at each shift.

    Returns:
        Two float32 ``[height, width, channels]``.
    """
    values, shifts = knowledge.grid()
    offset = points[np.arange(shifts.shape[-1]), shifts]
    magnitude = (np.abs(values) + offset) * (values != 0)
    restored = np.sign(values) * magnitude * np.exp2(shifts, dtype=np.float32)
    received = (UNKNOWN_SHIFT - shifts.astype(np.float32)) / UNKNOWN_SHIFT
    return restored.astype(np.float32), received
