from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from pnc import belt
from pnc.errors import ConfigError
from training.check import (
    DataCheck,
    check_data,
    leave_out,
    show_check,
)
from training.data import Data, open_data

WRONG = ("train/a/wrong.png", "train/b/1.png")


def save(picture: NDArray[np.uint8], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes in given splits: a copied file, a re-encoded one, a twin in another class."""
    root = tmp_path_factory.mktemp("check") / "photos"
    for index in range(72):
        picture, label = belt.render(index, seed=5)
        if label < 2:
            split = ("train", "train", "train", "train", "tune", "val")[index // 12]
            save(picture, root / split / "ab"[label] / f"{index // 12}.png")
    leaked = root / "val" / "a" / "5.png"
    shutil.copy(leaked, root / "train" / "a" / "copy.png")
    with Image.open(leaked) as image:
        image.resize((300, 300)).save(root / "train" / "a" / "small.jpg", quality=60)
    shutil.copy(root / "train" / "b" / "1.png", root / "train" / "a" / "wrong.png")
    (root / "train" / "b" / "broken.png").write_bytes(b"no picture")
    return root


@pytest.fixture(scope="module")
def data(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Data:
    return open_data(folder, folder=tmp_path_factory.mktemp("cache"), processes=1)


@pytest.fixture(scope="module")
def check(data: Data) -> DataCheck:
    return check_data(data)


def test_counts_and_unreadable_files(check: DataCheck) -> None:
    assert check.counts == {"train": [7, 4], "tune": [1, 1], "val": [1, 1]}
    assert len(check.unreadable) == 1
    assert "broken.png" in check.unreadable[0]


def test_leaks_are_found_whether_copied_or_encoded_again(check: DataCheck) -> None:
    found = {leak.picture: (leak.twin, leak.exact) for leak in check.leaks}
    assert found == {
        "train/a/copy.png": ("val/a/5.png", True),
        "train/a/small.jpg": ("val/a/5.png", False),
    }
    assert check.left_out == set(found)


def test_a_picture_in_two_classes_is_told(check: DataCheck) -> None:
    assert check.two_classes == (WRONG,)
    assert WRONG in check.exact
    assert check.near == (("train/a/copy.png", "train/a/small.jpg", "val/a/5.png"),)


def test_leaks_leave_training_and_nothing_else(data: Data, check: DataCheck) -> None:
    kept = leave_out(data, check.left_out)
    gone = {data.names[i] for i in set(data.train) - set(kept.train)}
    assert gone == check.left_out
    assert kept.val.tolist() == data.val.tolist()
    assert leave_out(data, ()) is data


def test_a_class_that_only_leaks_is_one_line(data: Data) -> None:
    names = {data.names[i] for i in data.train if data.labels[i] == 1}
    with pytest.raises(ConfigError, match="class b has no training picture left") as caught:
        leave_out(data, names)
    assert "\n" not in str(caught.value)


def test_a_file_that_went_away_is_no_copy(data: Data, folder: Path, tmp_path: Path) -> None:
    moved = folder / "train" / "a" / "1.png"
    moved.rename(tmp_path / "1.png")
    try:
        assert set(check_data(data).exact) == {("train/a/copy.png", "val/a/5.png"), WRONG}
    finally:
        (tmp_path / "1.png").rename(moved)


@pytest.mark.parametrize("terminal", [True, False])
def test_the_summary_says_what_to_look_at(
    check: DataCheck, terminal: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    show_check(check, Console(force_terminal=terminal, width=200, color_system=None))
    text = capsys.readouterr().out
    assert "2 pictures left out of training" in text
    assert "1 file skipped" in text
    assert "class b: 4 to train on are few" in text
    assert ("train: 11 (a 7, b 4)" in text) is not terminal


def test_the_record_holds_everything(check: DataCheck, tmp_path: Path) -> None:
    check.save(tmp_path / "data_check.json")
    record = json.loads((tmp_path / "data_check.json").read_text(encoding="utf-8"))
    assert record["leaks"][0]["picture"] == "train/a/copy.png"
    assert [path.name for path in tmp_path.iterdir()] == ["data_check.json"]
