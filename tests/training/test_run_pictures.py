from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pnc.errors import ConfigError
from training.data import Data
from training.recipe import Recipe
from training.run_pictures import RunPictures, open_pictures


@pytest.fixture
def recipe(photos: Path) -> Recipe:
    return Recipe("tiny", str(photos))


@pytest.fixture
def data(recipe: Recipe, tmp_path: Path) -> Data:
    return open_pictures(recipe, tmp_path / "cache")


def test_a_run_keeps_its_classes(recipe: Recipe, data: Data, tmp_path: Path) -> None:
    assert RunPictures(recipe, tmp_path, data).data is data
    other = replace(data, classes=(*data.classes[:-1], "unicorn"))
    with pytest.raises(ConfigError, match=r"other classes \(.*unicorn.*came or went") as caught:
        _ = RunPictures(recipe, tmp_path, other).data
    assert "\n" not in str(caught.value)
    fewer = replace(data, train=data.train[1:])
    assert RunPictures(recipe, tmp_path, fewer).data is fewer


def test_orders_are_mixed_by_the_seed_and_lose_no_picture(
    recipe: Recipe, data: Data, tmp_path: Path
) -> None:
    pictures = RunPictures(recipe, tmp_path, data)
    again = RunPictures(replace(recipe, seed=1), tmp_path, data)
    assert pictures.train.tolist() != data.train.tolist()
    assert pictures.train.tolist() != again.train.tolist()
    assert sorted(pictures.train) == sorted(again.train) == sorted(data.train)
    assert sorted(pictures.reported) == sorted(data.val)
    assert len(pictures.all_train) == len(data.train) + len(data.extra)
    assert len(pictures.tune) == len(data.tune)
    first = pictures.train[:2]
    assert pictures.labels(first).tolist() == [data.labels[index] for index in first]
    assert (pictures.subset(first)[:] == data.load_batch(first)).all()


def test_classes_are_called_as_the_recipe_says(recipe: Recipe, data: Data, tmp_path: Path) -> None:
    renamed = replace(recipe, rename=(f"{data.classes[0]}=unicorn",))
    names = RunPictures(renamed, tmp_path, data).class_names
    assert names == ("unicorn", *data.classes[1:])
