"""One tiny data set, one tiny run and one untrained ``lapped`` for all tests of training."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pnc import belt

if TYPE_CHECKING:
    from training.autoencoder import Autoencoder
    from training.recipe import Recipe
    from training.run import Run

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

NUM_CLASSES = 3

SMALL_CHANNELS = 24
"""Of :func:`small_models`: fitting a plan to all of ``lapped``'s takes ten seconds."""

THIRD_PARTY_WARNINGS = (
    # Keras on TensorFlow calls np.array on variables, whose __array__ is of before numpy 2.
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning",
)


def pytest_configure(config: pytest.Config) -> None:
    for line in THIRD_PARTY_WARNINGS:
        config.addinivalue_line("filterwarnings", line)


@dataclass(frozen=True)
class TinyRun:
    """A finished run: its recipe, its folders, and the checkpoint it made."""

    recipe: Recipe
    folder: Path
    cache: Path
    checkpoint: Path

    def open(self) -> Run:
        from training.run import Run

        return Run(self.recipe, self.folder, cache=self.cache)

    def with_its_models(self) -> contextlib.AbstractContextManager[None]:
        """Where its autoencoder can be loaded again."""
        return small_models()


@pytest.fixture(scope="session")
def pictures() -> NDArray[np.uint8]:
    return np.stack([belt.render(index)[0] for index in range(8)])


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty pictures in three class folders."""
    root = tmp_path_factory.mktemp("data") / "photos"
    for index in range(120):
        picture, label = belt.render(index, seed=9)
        if label < NUM_CLASSES:
            folder = root / belt.CLASSES[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(folder / f"{index}.png", compress_level=1)
    return root


def build_small_classifier(num_classes: int) -> Any:
    """Stands for EfficientNetB0, whose graph alone costs a minute: same face, same layer names."""
    from keras import Input, Model, layers

    picture = Input((None, None, 3))
    x = layers.Rescaling(1 / 255)(picture)
    for width in (8, 8, 16):
        x = layers.Conv2D(width, 3, strides=4, padding="same", activation="relu")(x)
    pooled = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = layers.Dropout(0.2, name="top_dropout")(pooled)
    return Model(picture, layers.Dense(num_classes, "softmax", name="predictions")(x))


@pytest.fixture
def small_classifier() -> Any:
    return build_small_classifier(NUM_CLASSES)


@contextlib.contextmanager
def small_models() -> Iterator[None]:
    """Few channels, a decoder of one block, three layers in place of EfficientNetB0."""
    from training import architectures, classifier

    known = architectures.ARCHITECTURES
    small = replace(known["lapped"], grid=(16, 16, SMALL_CHANNELS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(architectures, "LAPPED_CHANNELS", SMALL_CHANNELS)
        patch.setattr(architectures, "LAPPED_BLOCKS", 1)
        patch.setitem(known, "lapped", small)
        patch.setattr(classifier, "build_classifier", build_small_classifier)
        yield


def tiny_recipe(photos: Path, **settings: Any) -> Recipe:
    from training.classifier import Phase
    from training.recipe import Recipe

    facts: dict[str, Any] = {
        "phases": (Phase(32, 1, batch_size=8),),
        "pretrain_steps": 2,
        "distill_steps": 2,
        "finetune_phases": (Phase(32, 1, batch_size=8),),
        "finetune_pictures": 6,
        "report_pictures": 2,
        "notes": ("made by a test",),
    }
    return Recipe("tiny", str(photos), **{**facts, **settings})


@pytest.fixture(scope="session")
def tiny_run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    """All stages with the smallest models."""
    from training.run import STAGES, run_stages

    place = tmp_path_factory.mktemp("run")
    run = TinyRun(tiny_recipe(photos), place / "run", place / "cache", place / "tiny")
    with small_models():
        run_stages(run.open(), STAGES, run.checkpoint)
    return run


@pytest.fixture(scope="session")
def lapped(pictures: NDArray[np.uint8]) -> Autoencoder:
    """``lapped`` in full size as it starts, before any training."""
    from training.autoencoder import Autoencoder

    return Autoencoder.fresh("lapped", pictures)
