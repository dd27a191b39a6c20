"""The encoder file: symbols of the plan's grid, or a refusal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pnc.codec.checkpoint import Checkpoint
from pnc.codec.codec import Codec
from pnc.codec.encoder import Encoder
from pnc.errors import CheckpointError
from tests.codec.altered import altered
from tests.codec.cases import CASES, plan_of


def test_symbols_fill_the_grid_and_depend_on_the_picture(
    codec: Codec, picture: NDArray[np.uint8]
) -> None:
    symbols = codec.encoder.encode(picture)
    assert symbols.shape == codec.checkpoint.plan.grid.shape
    assert symbols.dtype == np.uint8
    assert (symbols == codec.encoder.encode(picture.copy())).all()
    assert (symbols != codec.encoder.encode(255 - picture)).mean() > 0.1


def test_a_file_of_another_grid_is_refused(codec: Codec, tmp_path: Path) -> None:
    checkpoint = altered(codec.checkpoint, tmp_path, plan=plan_of(CASES["single"]()))
    with pytest.raises(CheckpointError, match=r"encoder\.tflite: not a uint8 model"):
        Encoder(checkpoint)


def test_a_float_model_is_refused(codec: Codec, tmp_path: Path) -> None:
    files = {"encoder.tflite": "classifier.tflite"}
    checkpoint = altered(codec.checkpoint, tmp_path, files=files)
    with pytest.raises(CheckpointError, match=r"encoder\.tflite: not a uint8 model"):
        Encoder(checkpoint)


def test_an_altered_file_is_refused(codec: Codec, tmp_path: Path) -> None:
    checkpoint = altered(codec.checkpoint, tmp_path)
    (checkpoint.folder / "encoder.tflite").write_bytes(b"altered")
    with pytest.raises(CheckpointError, match="altered"):
        Encoder(Checkpoint.load(checkpoint.folder))
