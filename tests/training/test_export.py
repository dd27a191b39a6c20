from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pnc.codec.codec import Codec
from pnc.codec.interpreter import Model
from pnc.errors import CheckpointError
from training.autoencoder import Autoencoder
from training.card import seal_card
from training.export import (
    convert_dynamic,
    convert_encoder,
    encoder_parity,
    export_checkpoint,
    fixed_decoder,
    run_encoder,
)


def test_the_uint8_encoder_is_the_trained_one(
    lapped: Autoencoder, pictures: NDArray[np.uint8], capsys: pytest.CaptureFixture[str]
) -> None:
    content = convert_encoder(lapped, pictures)
    assert capsys.readouterr().out == ""
    assert len(content) < 64 * 1024
    extremes = np.stack([np.zeros((224, 224, 3)), np.full((224, 224, 3), 255)]).astype(np.uint8)
    parity = encoder_parity(lapped, content, np.concatenate([pictures, extremes]))
    assert parity.equal >= 0.999
    assert parity.within_one == 1.0
    assert parity.largest <= 1
    model = Model(content, name="encoder.tflite")
    assert model.inputs[0]["dtype"] == model.outputs[0]["dtype"] == np.uint8
    assert run_encoder(content, pictures[:1], lapped.architecture.lapping).shape == (
        1,
        *lapped.architecture.grid,
    )


def test_the_decoder_file_is_the_keras_decoder(
    lapped: Autoencoder, pictures: NDArray[np.uint8]
) -> None:
    model = Model(convert_dynamic(fixed_decoder(lapped)), name="decoder.tflite")
    x = pictures[:1].astype(np.float32)
    for num_bytes in (0.0, 700.0, 5000.0):
        cuts = lapped.cuts.at(num_bytes, 1)
        given = [np.asarray(t)[0] for t in lapped.cuts.drop(lapped.analyse(x), cuts)]
        order = ["received" in side["name"] for side in model.inputs]
        found = model.run(*(given[int(received)] for received in order))
        expected = np.asarray(lapped.decoder([part[None] for part in given]))[0]
        assert np.abs(found - expected).mean() < 1.0
        assert np.abs(found - expected).max() < 8.0


def test_an_exported_folder_is_a_checkpoint(
    lapped: Autoencoder, small_classifier: Any, pictures: NDArray[np.uint8], tmp_path: Path
) -> None:
    folder = tmp_path / "made"
    export_checkpoint(
        folder,
        name="made",
        autoencoder=lapped,
        classifier=small_classifier,
        classes=("a", "b", "c"),
        images=pictures,
        fit="pad",
    )
    seal_card(folder, {"data": {"name": "eight pictures"}, "notes": ["none of it trained"]})
    codec = Codec.load(folder)
    assert codec.checkpoint.name == "made"
    assert codec.checkpoint.classes == ("a", "b", "c")
    assert codec.checkpoint.fit == "pad"
    stream = codec.encode(pictures[0])
    error = codec.decode(stream).astype(float) - pictures[0]
    assert np.sqrt(np.mean(np.square(error))) < 25
    assert sum(p.probability for p in codec.classify(pictures[0], top=3)) == pytest.approx(1)
    cut = codec.decode(stream[:500])
    x = pictures[:1].astype(np.float32)
    trained = np.asarray(lapped.reconstruct(x, lapped.cuts.at(500, 1)))[0]
    assert np.abs(cut - np.clip(trained, 0, 255)).mean() < 20
    assert not list(folder.glob("part-*"))
    (folder / "decoder.tflite").write_bytes(b"other")
    with pytest.raises(CheckpointError):
        Codec.load(folder).decode(stream)
