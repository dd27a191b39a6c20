from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from pnc.codec.plan import plan_to_bytes
from training.architectures import ARCHITECTURES
from training.autoencoder import (
    Autoencoder,
    AutoencoderConfig,
    AutoencoderTrainer,
    batches,
    train_autoencoder,
)


def test_batches_are_pure_functions_of_the_step(
    lapped: Autoencoder, pictures: NDArray[np.uint8]
) -> None:
    config = AutoencoderConfig(Path("unused"), 10, batch_size=3)
    make = batches(pictures, lapped.cuts, config)
    again = batches(pictures, lapped.cuts, config)
    (x, cuts), _ = make(4)
    assert x.shape == (3, 224, 224, 3)
    assert cuts.shape == (3,)
    assert np.array_equal(again(4)[0][0], x)
    assert np.array_equal(again(4)[0][1], cuts)
    assert not np.array_equal(make(5)[0][1], cuts)


def test_rtss23_trains_on_windows(pictures: NDArray[np.uint8], tmp_path: Path) -> None:
    autoencoder = Autoencoder.fresh("rtss23", pictures[:2])
    config = AutoencoderConfig(Path("unused"), 4, batch_size=2, window=28)
    make = batches(pictures, autoencoder.cuts, config)
    (x, cuts), y = make(0)
    assert x.shape == (2, 28, 28, 3)
    trainer = AutoencoderTrainer(autoencoder, "mse", None)
    trainer.compile(keras.optimizers.SGD(1e-3), jit_compile=False)
    before = np.asarray(autoencoder.decoder.layers[-2].kernel)
    trainer.train_on_batch((x, cuts), y)
    assert not np.array_equal(np.asarray(autoencoder.decoder.layers[-2].kernel), before)


@pytest.mark.parametrize(("architecture", "window"), [("lapped", 224), ("rtss23", 28)])
def test_training_leaves_the_encoder_its_transform(
    pictures: NDArray[np.uint8], tmp_path: Path, architecture: str, window: int
) -> None:
    autoencoder = Autoencoder.fresh(architecture, pictures[:2])
    before = [
        [np.array(variable.numpy()) for variable in model.variables]
        for model in (autoencoder.encoder, autoencoder.decoder)
    ]
    train_autoencoder(autoencoder, pictures, AutoencoderConfig(tmp_path, 2, 2, window=window))
    for model, values, moved in zip(
        (autoencoder.encoder, autoencoder.decoder), before, (False, True), strict=True
    ):
        same = [
            np.array_equal(v.numpy(), old) for v, old in zip(model.variables, values, strict=True)
        ]
        assert any(not s for s in same) is moved


def test_saving_keeps_everything(
    lapped: Autoencoder, pictures: NDArray[np.uint8], tmp_path: Path
) -> None:
    lapped.save(tmp_path)
    again = Autoencoder.load(tmp_path)
    assert plan_to_bytes(again.fitted.plan) == plan_to_bytes(lapped.fitted.plan)
    assert np.array_equal(again.fitted.segment_bytes, lapped.fitted.segment_bytes)
    assert np.array_equal(again.symbols(pictures[:2]), lapped.symbols(pictures[:2]))
    x, cuts = pictures[:1].astype(np.float32), lapped.cuts.at(900, 1)
    assert np.array_equal(
        np.asarray(again.reconstruct(x, cuts)), np.asarray(lapped.reconstruct(x, cuts))
    )
    assert not list(tmp_path.glob("part-*"))


def test_more_bytes_are_less_error(lapped: Autoencoder, pictures: NDArray[np.uint8]) -> None:
    x = pictures[:2].astype(np.float32)
    errors = []
    for num_bytes in (0, 300, 1000, 4000):
        cuts = lapped.cuts.at(num_bytes, 2)
        errors.append(float(np.mean(np.square(np.asarray(lapped.reconstruct(x, cuts)) - x))))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 5


def test_a_plan_comes_first() -> None:
    autoencoder = Autoencoder(ARCHITECTURES["lapped"])
    for use in (lambda: autoencoder.fitted, lambda: autoencoder.cuts):
        with pytest.raises(RuntimeError, match="fit_plan"):
            use()
