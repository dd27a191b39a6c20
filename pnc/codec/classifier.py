"""Picture -> what is on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pnc.codec.checkpoint import Checkpoint
from pnc.codec.image import SIZE
from pnc.codec.interpreter import Model
from pnc.errors import CheckpointError


@dataclass(frozen=True)
class Prediction:
    """One class and how sure the classifier is of it."""

    label: str
    """Name of the class."""
    index: int
    """Its place among the checkpoint's classes."""
    probability: float
    """0..1."""


class Classifier:
    """The classifier of a checkpoint.

    Args:
        checkpoint: whose classifier it is.
        num_threads: threads of one inference.
        runtime: see :func:`pnc.codec.interpreter.find_runtime`.

    Raises:
        CheckpointError: it is not from pictures to the manifest's classes.
    """

    def __init__(
        self, checkpoint: Checkpoint, *, num_threads: int = 1, runtime: str | None = None
    ) -> None:
        name = str(checkpoint.folder / "classifier.tflite")
        self._model = Model(
            checkpoint.read("classifier.tflite"),
            name=name,
            num_threads=num_threads,
            runtime=runtime,
        )
        self._classes = checkpoint.classes
        wanted = (1, SIZE, SIZE, 3)
        if (shape := tuple(self._model.inputs[0]["shape"])) != wanted:
            raise CheckpointError(f"{name}: its input is {shape}, not {wanted}")
        num_outputs = int(self._model.outputs[0]["shape"][-1])
        if num_outputs != len(self._classes):
            raise CheckpointError(
                f"{name}: {num_outputs} classes, the manifest names {len(self._classes)}; "
                "export it again"
            )

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 RGB ``[224, 224, 3]`` -> float32 ``[classes]``."""
        return self._model.run(pixels)

    def classify(self, pixels: NDArray[np.uint8], top: int) -> list[Prediction]:
        """The ``top`` likeliest classes, likeliest first."""
        probabilities = self.probabilities(pixels)
        order = np.argsort(-probabilities, kind="stable")[: max(0, top)]
        return [Prediction(self._classes[i], int(i), float(probabilities[i])) for i in order]
