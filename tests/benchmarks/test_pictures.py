from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.pictures import open_set
from pnc import belt
from pnc.errors import ConfigError
from pnc.splits import is_odd, split_by_name


def test_class_folders_give_the_labels(photographs: Path) -> None:
    pictures = open_set(f"mine={photographs}")
    assert pictures.name == "mine"
    assert sorted((p.name, p.label) for p in pictures.pictures) == [
        ("n1/a.png", "n1"),
        ("n1/b.png", "n1"),
        ("n2/c.png", "n2"),
    ]


def test_flat_folder_gives_the_beginning_of_the_file_name(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "n01440764_tench_big.PNG")
    (picture,) = open_set(f"flat={tmp_path}").pictures
    assert picture.label == "n01440764"


def test_halves_are_disjoint_and_whole(tmp_path: Path) -> None:
    for number in range(40):
        Image.new("RGB", (2, 2)).save(tmp_path / f"x_{number}.png")
    names = {
        part: {p.name for p in open_set(f"s={tmp_path}{part}").pictures}
        for part in ("", "#odd", "#even", "#tune")
    }
    assert names["#odd"] | names["#even"] == names[""]
    assert not names["#odd"] & names["#even"]
    assert all(map(is_odd, names["#odd"]))
    assert names["#tune"] == {name for name in names[""] if split_by_name(name) == "tune"}
    assert names["#tune"]


def test_smaller_limit_is_the_beginning_of_a_larger(photographs: Path) -> None:
    two = open_set(f"mine={photographs}", limit=2, seed=5).pictures
    assert open_set(f"mine={photographs}", limit=3, seed=5).pictures[:2] == two
    orders = {
        tuple(p.name for p in open_set(f"m={photographs}", seed=s).pictures) for s in range(9)
    }
    assert len(orders) > 1


def test_key_is_that_of_the_content_and_the_fit(photographs: Path) -> None:
    keys = {p.name: p.key for p in open_set(f"m={photographs}").pictures}
    assert len(set(keys.values())) == 3
    moved = photographs / "n2" / "moved.png"
    moved.write_bytes((photographs / "n1" / "a.png").read_bytes())
    again = {p.name: p.key for p in open_set(f"m={photographs}").pictures}
    assert again["n2/moved.png"] == keys["n1/a.png"]
    padded = {p.name: p.key for p in open_set(f"m={photographs}", fit="pad").pictures}
    assert padded["n1/a.png"] != keys["n1/a.png"]


def test_belt_is_rendered_with_its_split(photographs: Path) -> None:
    report, tune = open_set("belt", limit=2), open_set("belt#tune", limit=2)
    pixels, label = belt.render(1, seed=3)
    assert report.pictures[1].label == belt.CLASSES[label]
    assert np.array_equal(report.pictures[1].load("crop"), pixels)
    assert {p.key for p in report.pictures}.isdisjoint(p.key for p in tune.pictures)
    pixels, _ = belt.render(1, seed=79)
    assert np.array_equal(open_set("belt#79", limit=2).pictures[1].load("crop"), pixels)
    (file, *_) = open_set(f"mine={photographs}", limit=1).pictures
    assert file.load("crop").shape == (224, 224, 3)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("somewhere", "NAME=FOLDER"),
        ("x=/no/such/folder", "no folder"),
        ("x=.#third", "unknown"),
        ("belt#odd", "never saw"),
        ("belt#1", "never saw"),
    ],
)
def test_unusable_set_is_one_line(spec: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        open_set(spec)


def test_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no pictures"):
        open_set(f"x={tmp_path}")
