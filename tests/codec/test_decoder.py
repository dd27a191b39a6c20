"""The decoder file: what it is told arrived, and a picture from whatever is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pnc.codec.bitstream import decode_stream
from pnc.codec.codec import Codec
from pnc.codec.decoder import Decoder, received
from pnc.codec.plane_coder import Knowledge
from pnc.errors import CheckpointError
from tests.codec.altered import altered
from tests.codec.cases import CASES, plan_of


def test_what_arrived_is_counted_in_bits_of_a_symbol() -> None:
    spread = np.array([256, 128, 16, 1, 0.5], np.float32)
    found = received(spread)
    assert found.dtype == np.float32
    assert found.tolist() == [0, 0.125, 0.5, 1, 1.125]


def test_nothing_known_gives_a_picture(codec: Codec) -> None:
    plan = codec.checkpoint.plan
    picture = codec.decoder.decode(*Knowledge(plan.planes).restore(plan.points))
    assert picture.shape == (224, 224, 3)
    assert picture.dtype == np.uint8


def test_more_bytes_come_nearer_to_the_picture(
    codec: Codec, picture: NDArray[np.uint8], stream: bytes
) -> None:
    plan = codec.checkpoint.plan
    errors = []
    for num_bytes in (0, len(stream) // 8, len(stream)):
        knowledge = decode_stream(plan.planes, codec.checkpoint.id, stream[:num_bytes])
        decoded = codec.decoder.decode(*knowledge.restore(plan.points))
        errors.append(float(np.square(decoded.astype(float) - picture).mean()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0]


@pytest.mark.parametrize("file", ["encoder.tflite", "classifier.tflite"])
def test_a_file_that_is_no_decoder_is_refused(codec: Codec, tmp_path: Path, file: str) -> None:
    checkpoint = altered(codec.checkpoint, tmp_path, files={"decoder.tflite": file})
    with pytest.raises(CheckpointError, match=r"decoder\.tflite: not a model from values"):
        Decoder(checkpoint)


def test_a_file_of_another_grid_is_refused(codec: Codec, tmp_path: Path) -> None:
    checkpoint = altered(codec.checkpoint, tmp_path, plan=plan_of(CASES["single"]()))
    with pytest.raises(CheckpointError, match=r"decoder\.tflite: not a model from values"):
        Decoder(checkpoint)
