"""The pictures of a run, each kind in the mixed order in which its stages take them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pnc.errors import ConfigError
from training.cache import CACHE_FOLDER
from training.data import Data, open_data
from training.files import read_json, write_json
from training.pictures import Pictures, Subset
from training.progress import CountProgress
from training.recipe import Recipe, rename_classes

NUM_TUNE_PICTURES = 128
"""Pictures that the autoencoder's stages are scored on."""

COMPARED_PICTURES = 512
"""Pictures that decide whether a classifier is better for ``finetune``, decoded."""


def open_pictures(recipe: Recipe, cache: Path = CACHE_FOLDER) -> Data:
    """The pictures of a recipe.

    Args:
        recipe: says which.
        cache: folder of the picture cache.

    Raises:
        ConfigError: they cannot be used, see :func:`training.data.open_data`.
    """
    return open_data(
        recipe.data,
        fit=recipe.fit,
        extra=recipe.extra,
        exclude=recipe.exclude,
        folder=cache,
        on_progress=CountProgress(f"{recipe.name}: pictures"),
    )


def mixed_training_pictures(data: Data, seed: int) -> Pictures:
    """Training pictures with and without labels, in a mixed order."""
    indices = np.concatenate([data.train, data.extra])
    return Subset(data, np.random.default_rng(seed).permutation(indices))


class RunPictures:
    """The pictures of a recipe; opened when they are needed.

    Args:
        recipe: says which.
        folder: the run's; remembers the classes.
        data: them, some left out perhaps; opened as the recipe says if absent.
        cache: folder of the picture cache.
    """

    def __init__(
        self, recipe: Recipe, folder: Path, data: Data | None = None, cache: Path = CACHE_FOLDER
    ) -> None:
        self._recipe = recipe
        self._folder = folder
        self._data = data
        self._cache = cache

    @cached_property
    def data(self) -> Data:
        """All of them.

        Raises:
            ConfigError: they cannot be used, or they have other classes than when the run began.
        """
        data = open_pictures(self._recipe, self._cache) if self._data is None else self._data
        path = self._folder / "classes.json"
        if not path.exists():
            write_json(path, {"classes": data.classes})
        begun = read_json(path, "delete it").get("classes", ())
        changed = sorted(set(begun) ^ set(data.classes))
        if changed:
            raise ConfigError(
                f"{self._folder}: the run began with other classes ({', '.join(changed[:5])} came "
                "or went); give another --run folder or delete it"
            )
        return data

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, renamed as the recipe says.

        Raises:
            ConfigError: a renaming names no class.
        """
        return rename_classes(self._recipe, self.data.classes)

    def subset(self, indices: NDArray[np.int64]) -> Pictures:
        """Some pictures."""
        return Subset(self.data, indices)

    def labels(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Classes of some pictures."""
        return self.data.labels[indices].astype(np.int64)

    @cached_property
    def train(self) -> NDArray[np.int64]:
        """Labeled training pictures in a mixed order, so that any beginning is a sample of all."""
        return self._mix(self.data.train)

    @cached_property
    def reported(self) -> NDArray[np.int64]:
        """Pictures of the reported split, in a mixed order."""
        return self._mix(self.data.val)

    @cached_property
    def all_train(self) -> Pictures:
        """Training pictures with and without labels."""
        return mixed_training_pictures(self.data, self._recipe.seed)

    @cached_property
    def tune(self) -> NDArray[np.int64]:
        """Pictures that settings are chosen by, in a mixed order."""
        return self._mix(self.data.tune)

    def _mix(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.random.default_rng(self._recipe.seed).permutation(indices)
