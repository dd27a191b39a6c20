"""The decoder: values back on their scale, masks, and a picture from whatever is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pnc.codec.bitstream import decode_stream
from pnc.codec.codec import Codec
from pnc.codec.decoder import Decoder, restore
from pnc.codec.layers import UNKNOWN_SHIFT, Knowledge, LayerPlan
from pnc.errors import CheckpointError
from tests.codec.altered import altered
from tests.codec.cases import Symbols, laplacian

PLAN = LayerPlan(2, 3, 2, 128, ((0, 5), (1, 6), (0, 4)))


def points() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    table = np.zeros((2, UNKNOWN_SHIFT + 1), np.float32)
    table[0] = np.arange(9) / 16
    table[1] = 0.25
    return table


def test_values_return_to_their_scale_with_what_arrived() -> None:
    knowledge = Knowledge(PLAN)
    first, second, third = PLAN.layers
    knowledge.learn(first, np.arange(6), np.array([1, 0, -2, 0, 3, 0], np.int16))
    knowledge.learn(second, np.arange(2), np.array([-1, 1], np.int16))
    knowledge.learn(third, np.array([2]), np.array([-5], np.int16))
    values, received = restore(knowledge, points())
    assert values.shape == received.shape == (2, 3, 2)
    assert values.dtype == received.dtype == np.float32
    scanned = values.reshape(6, 2)[PLAN.scan]
    assert scanned[:, 0].tolist() == [42.0, 0.0, -84.0, 0.0, 106.0, 0.0]
    assert scanned[:, 1].tolist() == [-80.0, 80.0, 0.0, 0.0, 0.0, 0.0]
    scanned = received.reshape(6, 2)[PLAN.scan]
    assert scanned[:, 0].tolist() == [0.375, 0.375, 0.5, 0.375, 0.375, 0.375]
    assert scanned[:, 1].tolist() == [0.25, 0.25, 0.0, 0.0, 0.0, 0.0]


def test_values_of_full_precision_are_the_encoders() -> None:
    symbols = laplacian(PLAN, [40.0, 20.0], seed=1)[0]
    table = points()
    table[:, 0] = 0
    values, received = restore(Knowledge.complete(PLAN, symbols), table)
    assert (values == symbols.astype(int) - 128).all()
    assert (received == 1).all()


def test_nothing_known_gives_a_picture(codec: Codec) -> None:
    picture = codec.decoder.decode(Knowledge(codec.checkpoint.plan))
    assert picture.shape == (224, 224, 3)
    assert picture.dtype == np.uint8


def test_more_bytes_come_nearer_to_the_picture(
    codec: Codec, picture: Symbols, stream: bytes
) -> None:
    checkpoint = codec.checkpoint
    errors = []
    for num_bytes in (0, len(stream) // 8, len(stream)):
        knowledge, _ = decode_stream(
            checkpoint.plan, checkpoint.priors, checkpoint.id, stream[:num_bytes]
        )
        decoded = codec.decoder.decode(knowledge)
        errors.append(float(np.square(decoded.astype(float) - picture).mean()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0]


@pytest.mark.parametrize("file", ["encoder.tflite", "classifier.tflite"])
def test_a_file_that_is_no_decoder_is_refused(codec: Codec, tmp_path: Path, file: str) -> None:
    checkpoint = altered(codec.checkpoint, tmp_path, files={"decoder.tflite": file})
    with pytest.raises(CheckpointError, match=r"decoder\.tflite: not a model from values"):
        Decoder(checkpoint)


def test_a_file_of_another_grid_is_refused(codec: Codec, tmp_path: Path) -> None:
    tables = json.loads(codec.checkpoint.read("priors.json"))
    tables["reconstruction"] = tables["reconstruction"][:1]
    checkpoint = altered(codec.checkpoint, tmp_path, num_channels=1)
    checkpoint.__dict__["_priors_json"] = tables
    with pytest.raises(CheckpointError, match=r"decoder\.tflite: not a model from values"):
        Decoder(checkpoint)
