from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from training.architectures import ARCHITECTURES
from training.autoencoder import (
    MAX_BUDGET_BYTES,
    MIN_BUDGET_BYTES,
    Autoencoder,
    AutoencoderConfig,
    AutoencoderTrainer,
    batches,
    cuts_at,
    random_cuts,
)


def test_random_cuts_are_byte_budgets(lite: Autoencoder) -> None:
    layering = lite.plan_layering
    cuts = random_cuts(layering, 2000, np.random.default_rng(0))
    ends = np.concatenate([[0], np.cumsum(layering.layer_bytes)])
    num_bytes = np.interp(cuts, np.arange(len(ends)), ends)
    assert num_bytes.min() >= MIN_BUDGET_BYTES - 1
    assert num_bytes.max() <= MAX_BUDGET_BYTES + 1
    middle = np.sqrt(MIN_BUDGET_BYTES * MAX_BUDGET_BYTES)
    assert 0.45 < (num_bytes < middle).mean() < 0.55
    assert (cuts != np.round(cuts)).any()
    whole = random_cuts(layering, 200, np.random.default_rng(0), whole_layers=True)
    assert np.array_equal(whole, np.round(whole))
    assert whole.min() >= 1


def test_cuts_follow_the_layers(lite: Autoencoder) -> None:
    layering = lite.plan_layering
    ends = np.cumsum(layering.layer_bytes)
    assert np.allclose(
        cuts_at(layering, np.array([0.0, ends[0], ends[-1], 1e9])), [0, 1, len(ends), len(ends)]
    )


def test_batches_are_pure_functions_of_the_step(
    lite: Autoencoder, pictures: NDArray[np.uint8]
) -> None:
    config = AutoencoderConfig(Path("unused"), 10, batch_size=3)
    make = batches(pictures, lite.plan_layering, config, whole_layers=False)
    again = batches(pictures, lite.plan_layering, config, whole_layers=False)
    (x, cuts), _ = make(4)
    assert x.shape == (3, 224, 224, 3)
    assert cuts.shape == (3,)
    assert np.array_equal(again(4)[0][0], x)
    assert np.array_equal(again(4)[0][1], cuts)
    assert not np.array_equal(make(5)[0][1], cuts)


def test_rtss23_trains_on_windows(pictures: NDArray[np.uint8], tmp_path: Path) -> None:
    autoencoder = Autoencoder.fresh("rtss23", pictures[:2])
    assert autoencoder.plan_layering.plan.steps == tuple((channel, 2) for channel in range(10))
    config = AutoencoderConfig(Path("unused"), 4, batch_size=2, window=28)
    make = batches(pictures, autoencoder.plan_layering, config, whole_layers=True)
    (x, cuts), y = make(0)
    assert x.shape == (2, 28, 28, 3)
    trainer = AutoencoderTrainer(autoencoder, "mse", None)
    trainer.compile(keras.optimizers.SGD(1e-3), jit_compile=False)
    before = np.asarray(autoencoder.encoder.get_layer("conv_1").kernel)
    trainer.train_on_batch((x, cuts), y)
    assert not np.array_equal(np.asarray(autoencoder.encoder.get_layer("conv_1").kernel), before)


def test_saving_keeps_everything(
    lite: Autoencoder, pictures: NDArray[np.uint8], tmp_path: Path
) -> None:
    lite.save(tmp_path)
    again = Autoencoder.load(tmp_path)
    assert again.plan_layering.plan == lite.plan_layering.plan
    assert np.array_equal(again.plan_layering.layer_bytes, lite.plan_layering.layer_bytes)
    assert np.array_equal(again.symbols(pictures[:2]), lite.symbols(pictures[:2]))
    x, cuts = pictures[:1].astype(np.float32), np.array([9.3], np.float32)
    assert np.array_equal(
        np.asarray(again.reconstruct(x, cuts)), np.asarray(lite.reconstruct(x, cuts))
    )
    assert not list(tmp_path.glob("part-*"))


def test_more_bytes_are_less_error(lite: Autoencoder, pictures: NDArray[np.uint8]) -> None:
    x = pictures[:2].astype(np.float32)
    errors = []
    for num_bytes in (0, 300, 1000, 4000):
        cuts = np.repeat(cuts_at(lite.plan_layering, np.array([float(num_bytes)])), 2)
        errors.append(float(np.mean(np.square(np.asarray(lite.reconstruct(x, cuts)) - x))))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 5


def test_an_order_comes_first() -> None:
    with pytest.raises(RuntimeError, match="order_layers"):
        _ = Autoencoder(ARCHITECTURES["lite"]).plan_layering
