"""Where a device's pictures come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from device.sources import BeltSource, FileSource, open_source
from pnc import belt
from pnc.errors import ConfigError, ImageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("cat/1.jpg", "cat/2.png", "dog/3.JPEG", "4.webp", "notes.txt", ".hidden/5.jpg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"bytes")
    return tmp_path


def names(source: FileSource, count: int) -> list[str | None]:
    taken = [source.take() for _ in range(count)]
    return [None if picture is None else picture.name for picture in taken]


def files(where: Path, **options: object) -> FileSource:
    source = open_source(str(where), **options)  # type: ignore[arg-type]
    assert isinstance(source, FileSource)
    return source


def test_a_folder_gives_its_pictures_in_order_once(folder: Path) -> None:
    assert names(files(folder), 5) == ["4.webp", "cat/1.jpg", "cat/2.png", "dog/3.JPEG", None]


def test_the_label_is_the_class_folder(folder: Path) -> None:
    source = files(folder)
    labels = [picture.label for picture in iter(source.take, None)]
    assert labels == [None, "cat", "cat", "dog"]


def test_a_seed_shuffles_reproducibly(folder: Path) -> None:
    orders = [names(files(folder, seed=seed), 4) for seed in (1, 1, 2, 3, 4)]
    assert orders[0] == orders[1]
    assert len({tuple(order) for order in orders}) > 1
    assert {frozenset(order) for order in orders} == {frozenset(orders[0])}


def test_a_loop_sees_pictures_that_came_meanwhile(folder: Path) -> None:
    source = files(folder, loop=True)
    assert names(source, 4)[-1] == "dog/3.JPEG"
    (folder / "0.png").write_bytes(b"new")
    assert names(source, 2) == ["0.png", "4.webp"]


def test_a_rejected_picture_is_not_given_again(folder: Path) -> None:
    source = files(folder / "cat", loop=True)
    first = source.take()
    assert first is not None
    source.reject(first)
    assert names(source, 3) == ["2.png"] * 3


@pytest.mark.parametrize("loop", [True, False])
def test_a_source_without_a_readable_picture_says_so(folder: Path, loop: bool) -> None:
    source = files(folder / "cat", loop=loop)
    for _ in range(2):
        picture = source.take()
        assert picture is not None
        source.reject(picture)
    with pytest.raises(ImageError, match="none of its 2 pictures can be read"):
        source.take()


def test_a_folder_that_vanishes_is_an_error_at_the_next_round(folder: Path) -> None:
    source = files(folder / "dog", loop=True)
    source.take()
    (folder / "dog" / "3.JPEG").unlink()
    with pytest.raises(ConfigError, match="no picture in this folder"):
        source.take()


def test_a_file_is_a_source_of_one(folder: Path) -> None:
    assert names(files(folder / "cat" / "1.jpg"), 2) == ["1.jpg", None]
    assert names(files(folder / "cat" / "1.jpg", loop=True), 2) == ["1.jpg", "1.jpg"]


@pytest.mark.parametrize("where", ["missing", "missing/picture.jpg"])
def test_what_is_not_there_is_refused(where: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file or folder"):
        open_source(str(tmp_path / where))


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no picture in this folder"):
        open_source(str(tmp_path))


def test_the_belt_is_reproducible_and_labelled() -> None:
    source = open_source("belt", seed=7)
    assert isinstance(source, BeltSource)
    first, second = source.take(), source.take()
    pixels, label = belt.render(1, seed=7)
    assert (first.name, second.name) == ("belt:7:0", "belt:7:1")
    assert second.label == belt.CLASSES[label]
    assert isinstance(second.content, np.ndarray)
    assert np.array_equal(second.content, pixels)
