from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pnc.codec.checkpoint import Checkpoint
from pnc.errors import CheckpointError, ConfigError
from training.autoencoder import Autoencoder
from training.files import load_keras
from training.start import DEFAULT_START, open_start
from training.verify import verify_export


def test_a_checkpoint_is_a_start(
    tiny_run: Any, pictures: NDArray[np.uint8], tmp_path: Path
) -> None:
    with tiny_run.with_its_models():
        start = open_start(str(tiny_run.checkpoint), tmp_path, pictures, "lapped")
        assert start.lines == (
            "start: classifier from checkpoint tiny",
            "start: autoencoder from checkpoint tiny",
        )
        assert start.classifier
        assert start.autoencoder
        verification = verify_export(
            Checkpoint.load(tiny_run.checkpoint),
            Autoencoder.load(start.autoencoder),
            load_keras(start.classifier),
            pictures,
        )
        assert verification.passed, verification
        assert verification.symbols_equal > 0.99
        before = start.classifier.stat().st_mtime_ns
        assert open_start(str(tiny_run.checkpoint), tmp_path, pictures, "lapped") == start
        assert start.classifier.stat().st_mtime_ns == before


def test_what_does_not_fit_falls_back_to_fresh_weights(
    tiny_run: Any, pictures: NDArray[np.uint8], tmp_path: Path
) -> None:
    with tiny_run.with_its_models():
        other = open_start(str(tiny_run.checkpoint), tmp_path / "a", pictures, "rtss23")
    assert other.classifier
    assert other.autoencoder is None
    assert "fresh autoencoder, since tiny gave none (its architecture is lapped" in other.lines[1]


def test_a_missing_checkpoint_is_no_start(
    pictures: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CheckpointError, match="unicorn") as caught:
        open_start("unicorn", tmp_path / "a", pictures, "lapped")
    assert "\n" not in str(caught.value)
    monkeypatch.setattr("pnc.codec.checkpoint.search_folders", list)
    monkeypatch.chdir(tmp_path)
    shipped = open_start(DEFAULT_START, tmp_path / "b", pictures, "lapped")
    assert (shipped.classifier, shipped.autoencoder) == (None, None)
    assert len(shipped.lines) == 1
    assert "fresh weights, since checkpoint 'photo'" in shipped.lines[0]
    assert "\n" not in shipped.lines[0]


def test_an_interpreter_that_lists_nothing_costs_the_start(
    tiny_run: Any, pictures: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_content: bytes) -> None:
        raise AttributeError("no attribute '_get_ops_details'")

    monkeypatch.setattr("training.start.read_operations", fail)
    with tiny_run.with_its_models():
        start = open_start(str(tiny_run.checkpoint), tmp_path, pictures, "lapped")
    assert (start.classifier, start.autoencoder) == (None, None)
    assert "_get_ops_details" in start.lines[0]


def test_models_that_differ_do_not_pass(tiny_run: Any, pictures: NDArray[np.uint8]) -> None:
    with tiny_run.with_its_models():
        run = tiny_run.open()
        autoencoder, classifier = run.distill(), run.finetune()
    projection = autoencoder.encoder.get_layer("projection")
    projection.directions.assign(-np.asarray(projection.directions))
    checkpoint = Checkpoint.load(tiny_run.checkpoint)
    assert not verify_export(checkpoint, autoencoder, classifier, pictures).passed


def test_none_and_a_keras_file(tmp_path: Path, small_classifier: Any) -> None:
    images = np.zeros((1, 224, 224, 3), np.uint8)
    assert open_start("none", tmp_path / "a", images, "lapped").lines == ("start: fresh weights",)
    small_classifier.save(tmp_path / "mine.keras")
    start = open_start(str(tmp_path / "mine.keras"), tmp_path / "b", images, "lapped")
    assert start.classifier == tmp_path / "mine.keras"
    with pytest.raises(ConfigError, match="no such file"):
        open_start("missing.keras", tmp_path / "c", images, "lapped")
    (tmp_path / "bad.keras").write_bytes(b"no model")
    with pytest.raises(ConfigError, match="not a Keras model file"):
        open_start(str(tmp_path / "bad.keras"), tmp_path / "d", images, "lapped")


def test_an_altered_checkpoint_is_no_start(
    tiny_run: Any, pictures: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_checkpoint: Checkpoint, file: str) -> bytes:
        raise CheckpointError(f"{file}: altered")

    monkeypatch.setattr(Checkpoint, "read", refuse)
    start = open_start(str(tiny_run.checkpoint), tmp_path, pictures, "lapped")
    assert start.classifier is None
    assert "classifier.tflite: altered" in start.lines[0]
