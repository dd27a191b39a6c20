from __future__ import annotations

import json
from typing import Any

from pnc.codec.checkpoint import Checkpoint
from training.card import CARD_FILES, render_card
from training.export import MODEL_FILES
from training.provenance import hash_pictures


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
