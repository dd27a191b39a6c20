from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pnc.codec.checkpoint import Checkpoint
from pnc.codec.codec import Codec
from pnc.codec.interpreter import Model
from pnc.errors import CheckpointError
from training.autoencoder import Autoencoder
from training.export import (
    CARD_FILES,
    MODEL_FILES,
    convert_dynamic,
    convert_encoder,
    encoder_parity,
    export_checkpoint,
    fixed_decoder,
    render_card,
    run_encoder,
    seal_card,
)
from training.provenance import hash_pictures


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


def test_a_finished_run_tells_of_itself(tiny_run: Any) -> None:
    folder = tiny_run.checkpoint
    names = {path.name for path in folder.iterdir()}
    assert names == {*MODEL_FILES, *CARD_FILES, "manifest.json"}
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert set(manifest["files"]) == names - {"manifest.json"}
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    assert card["encoder_parity"]["equal"] >= 0.999
    assert card["encoder_parity"]["largest"] <= 1
    data = tiny_run.open().pictures.data
    assert card["data"] == {
        "name": "photos",
        "training_pictures": len(data.train),
        "unlabeled_pictures": 0,
        "skipped_pictures": 0,
        "sha256": hash_pictures(data),
    }
    assert card["software"]["backend"] == "tensorflow"
    assert card["recipe"]["data"] == "photos"
    assert card["accuracy"]["n"] == 2
    assert card["accuracy_without_finetune"].keys() == card["accuracy"].keys()
    assert set(card["seconds"]) == {"classifier", "pretrain", "distill", "finetune"}
    assert card["sizes"]["encoder.tflite"] == (folder / "encoder.tflite").stat().st_size
    assert Checkpoint.load(folder).card == card
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert text.startswith("# Checkpoint `tiny`")
    assert "- made by a test" in text
    assert str(tiny_run.folder.parent) not in text + json.dumps(card) + json.dumps(manifest)


def test_a_card_shows_every_kind_of_entry() -> None:
    card = {
        "some_numbers": {"third": 1 / 3, "inner": {"a": 0.5}},
        "notes": [],
        "plain": "words",
    }
    text = render_card("x", "what it is", card)
    assert text.startswith("# Checkpoint `x`\n\nwhat it is\n")
    assert "## Some numbers" in text
    assert "| third | 0.33333" in text
    assert "| inner | a: 0.5 |" in text
    assert "none" in text
    assert "words" in text
