from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from numpy.typing import NDArray

from pnc import belt
from pnc.codec.checkpoint import Checkpoint, write_manifest
from training import export
from training.architectures import LITE_PATCH, LITE_STEP, PICTURE_SIZE, build_lite_decoder
from training.autoencoder import Autoencoder
from training.projection import GREY, principal_directions, to_patches
from training.start import open_start

CHANNELS = 20
SIZE = LITE_PATCH * LITE_PATCH * 3


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return np.stack([belt.render(index, seed=3)[0] for index in range(32)])


@pytest.fixture
def old_checkpoint(
    tiny_run: Any, images: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A checkpoint whose encoder projects patches of RGB, and whose decoder inverts that."""
    patches = np.asarray(to_patches(images.astype(np.float32) - GREY, LITE_PATCH))
    rows = principal_directions(patches, CHANNELS) / LITE_STEP
    rows[:, -1] = 0.0  # some pictures leave a channel silent
    picture = keras.Input((PICTURE_SIZE, PICTURE_SIZE, 3), batch_size=1)
    project = layers.Conv2D(CHANNELS, LITE_PATCH, strides=LITE_PATCH, activation="relu6")
    encoder = keras.Model(picture, project(picture))
    unit = 6.0 / 255.0
    bias = 128.0 - GREY * rows.sum(axis=0)
    project.set_weights([unit * rows.reshape(LITE_PATCH, LITE_PATCH, 3, -1), unit * bias])
    decoder = build_lite_decoder(CHANNELS)
    generator = np.random.default_rng(0)  # ones and zeros would not come through the conversion
    decoder.set_weights([x + generator.normal(0, 1e-3, x.shape) for x in decoder.get_weights()])
    decoder.get_layer("normalise").scale.assign(np.linspace(0.1, 0.2, CHANNELS))
    decoder.get_layer("synthesis").kernel.assign(rows.T * LITE_STEP**2)

    folder = tmp_path / "old"
    shutil.copytree(tiny_run.checkpoint, folder)
    with monkeypatch.context() as patch:
        patch.setattr(export, "integer_encoder", lambda _: encoder)
        content = export.convert_encoder(None, images)  # type: ignore[arg-type]
    (folder / "encoder.tflite").write_bytes(content)
    sides = [keras.Input((16, 16, CHANNELS), batch_size=1, name=x) for x in ("values", "received")]
    fixed = keras.Model(sides, decoder(sides))
    (folder / "decoder.tflite").write_bytes(export.convert_float16(fixed))
    now = Checkpoint.load(tiny_run.checkpoint)
    write_manifest(
        folder,
        name="old",
        architecture="lite",
        fit=now.fit,
        classes=now.classes,
        files=list(now.files),
    )
    return folder


def test_the_decoder_of_an_older_encoder_goes_on(
    tiny_run: Any, images: NDArray[np.uint8], old_checkpoint: Path, tmp_path: Path
) -> None:
    with tiny_run.with_its_models():
        start = open_start(str(old_checkpoint), tmp_path / "start", images, "lite")
        assert "start: autoencoder from checkpoint old" in start.lines[1]
        assert start.autoencoder
        autoencoder = Autoencoder.load(start.autoencoder)
        pixels = images.astype(np.float32)
        whole = autoencoder.cuts.at(7000, len(images))
        error = np.asarray(autoencoder.reconstruct(pixels, whole)) - pixels
    kept = np.asarray(to_patches(pixels - GREY, LITE_PATCH)).reshape(-1, SIZE)
    lost = np.square(kept).mean() - np.square(kept @ principal_directions(kept, CHANNELS)).sum() / (
        kept.size
    )
    assert np.square(error).mean() < lost
