from __future__ import annotations

from pathlib import Path

import pytest

from pnc.errors import ConfigError
from training.recipe import BELT, Recipe, rename_classes, without_folders

CLASSES = ("n01", "n02", "n03")


def test_classes_may_be_renamed() -> None:
    recipe = Recipe("mine", "photos", rename=("n02=tench",))
    assert rename_classes(recipe, CLASSES) == ("n01", "tench", "n03")
    assert rename_classes(BELT, CLASSES) == CLASSES


@pytest.mark.parametrize(
    ("rename", "text"),
    [
        ("unicorn=x", "unicorn: no class of photos"),
        ("n01", "n01: says no new name"),
        ("n01=", "n01: says no new name"),
        ("n01=n03", "two classes would be called n03"),
    ],
)
def test_a_renaming_that_makes_no_sense_is_one_line(rename: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text) as caught:
        rename_classes(Recipe("mine", "photos", rename=(rename,)), CLASSES)
    assert "\n" not in str(caught.value)


def test_what_is_published_names_no_folder(tmp_path: Path) -> None:
    secret = str(tmp_path)
    recipe = Recipe(
        "mine",
        f"{secret}/photos",
        extra=(f"{secret}/more#even",),
        initial=f"{secret}/a.keras",
        teacher=f"{secret}/t.keras",
        initial_autoencoder=f"{secret}/weights",
    )
    record = without_folders(recipe)
    assert secret not in str(record)
    assert record["data"] == "photos"
    assert record["extra"] == ["more#even"]
    assert record["teacher"] == "t.keras"
