from __future__ import annotations

import functools
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pnc import belt
from pnc.errors import ConfigError, ImageError
from pnc.splits import BELT_SEEDS, Split, is_odd, split_by_name
from training import cache
from training.belt import fingerprint, load_split
from training.cache import fill_cache
from training.data import open_data


def write_pictures(folder: Path, count: int, colour: int = 0) -> None:
    folder.mkdir(parents=True)
    for index in range(count):
        picture = Image.new("RGB", (20, 16), (colour, index, 0))
        picture.save(folder / f"{folder.name}_{index}.png")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for place, name in enumerate(("ant", "bee", "cat")):
        write_pictures(root / name, 40, 80 * place)
    return root


def numbered(index: int, size: int) -> NDArray[np.uint8]:
    if index == 5:
        raise ImageError("number five is damaged")
    return np.full((size, size, 3), index % 251, np.uint8)


# --- the cache ---------------------------------------------------------------------------------


def test_a_cache_is_filled_once_and_remembers_failures(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    first = fill_cache(
        "n",
        70,
        8,
        functools.partial(numbered, size=8),
        folder=tmp_path,
        on_progress=lambda done, count: seen.append((done, count)),
    )
    assert first.failed == {5: "number five is damaged"}
    assert first.pixels[69, 0, 0, 0] == 69
    assert not first.pixels[5].any()
    assert seen == [(32, 70), (64, 70), (70, 70)]

    def never(index: int) -> NDArray[np.uint8]:
        raise AssertionError(index)

    again = fill_cache("n", 70, 8, never, folder=tmp_path)
    assert again.failed == first.failed
    assert np.array_equal(again.pixels, first.pixels)
    with pytest.raises(ConfigError, match="another shape"):
        fill_cache("n", 71, 8, never, folder=tmp_path)


def test_a_killed_fill_goes_on_where_it_stopped(tmp_path: Path) -> None:
    made: list[int] = []

    def counted(index: int) -> NDArray[np.uint8]:
        if index == 40 and len(made) == 40:
            raise KeyboardInterrupt
        made.append(index)
        return numbered(index, 8) if index != 5 else numbered(0, 8)

    with pytest.raises(KeyboardInterrupt):
        fill_cache("n", 70, 8, counted, folder=tmp_path)
    assert not (tmp_path / "n.npy").exists()
    filled = fill_cache("n", 70, 8, counted, folder=tmp_path)
    assert made == [*range(40), *range(32, 70)]
    assert filled.pixels[33, 0, 0, 0] == 33
    assert {path.suffix for path in tmp_path.iterdir()} == {".npy", ".json", ".lock"}


@pytest.mark.e2e
def test_processes_make_the_same_cache(tmp_path: Path) -> None:
    produce = functools.partial(numbered, size=8)
    count = cache.PARALLEL_FROM + 40
    alone = fill_cache("a", count, 8, produce, folder=tmp_path, processes=1)
    shared = fill_cache("b", count, 8, produce, folder=tmp_path, processes=2)
    assert np.array_equal(alone.pixels, shared.pixels)
    assert alone.failed == shared.failed
    assert not multiprocessing.active_children()


def test_an_unusable_cache_folder_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    produce = functools.partial(numbered, size=8)
    with pytest.raises(ConfigError, match="cannot be used"):
        fill_cache("n", 3, 8, produce, folder=tmp_path / "file")

    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(ConfigError, match=r"no room .* \(No space left on device\)"):
        fill_cache("n", 3, 8, produce, folder=tmp_path)


# --- the belt ----------------------------------------------------------------------------------


def test_the_belt_as_data(tmp_path: Path) -> None:
    counts: dict[Split, int] = {"train": 24, "tune": 12, "val": 12}
    data = open_data("belt", size=32, belt_counts=counts, folder=tmp_path)
    assert data.classes == belt.CLASSES
    assert (len(data.train), len(data.tune), len(data.val), len(data)) == (24, 12, 12, 48)
    for split, seed in BELT_SEEDS.items():
        indices = getattr(data, split)
        picture, label = belt.render(3, seed=seed, size=32)
        assert np.array_equal(data.load(int(indices[3])), picture)
        assert data.labels[indices[3]] == label
    assert any(fingerprint() in path.name for path in tmp_path.iterdir())
    with pytest.raises(ConfigError, match="at least one"):
        load_split("val", 0, folder=tmp_path)


# --- folders -----------------------------------------------------------------------------------


def test_class_folders_are_split_by_file_name(photos: Path, tmp_path: Path) -> None:
    data = open_data(photos, size=16, folder=tmp_path / "c")
    assert data.classes == ("ant", "bee", "cat")
    assert sorted([*data.train, *data.tune, *data.val]) == list(range(120))
    for split in ("train", "tune", "val"):
        assert all(split_by_name(data.names[index]) == split for index in getattr(data, split))
    assert 5 <= len(data.val) <= 35
    before = {data.names[index] for index in data.val}
    index = int(data.train[0])
    red, green, _ = data.load(index)[8, 8]
    label, name = data.names[index].split("/")
    assert data.classes[data.labels[index]] == label
    assert red == 80 * data.labels[index]
    assert f"{label}_{green}.png" == name

    Image.new("RGB", (9, 9)).save(photos / "ant" / "new.png")
    after = open_data(photos, size=16, folder=tmp_path / "c")
    assert before <= {after.names[index] for index in after.val}


def test_small_classes_are_in_every_split(tmp_path: Path) -> None:
    for name in ("ant", "bee"):
        write_pictures(tmp_path / "few" / name, 3)
    data = open_data(tmp_path / "few", size=16, folder=tmp_path / "c")
    for split in (data.train, data.tune, data.val):
        assert data.labels[split].tolist() == [0, 1]


def test_train_and_val_folders_stay_apart(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for name in ("ant", "bee"):
            write_pictures(tmp_path / "set" / split / name, 30 if split == "train" else 5)
    data = open_data(tmp_path / "set", size=16, folder=tmp_path / "c")
    assert len(data.val) == 10
    assert all(data.names[index].startswith("val/") for index in data.val)
    assert len(data.train) + len(data.tune) == 60
    assert len(data.tune) >= 2
    write_pictures(tmp_path / "set" / "val" / "cow", 2)
    with pytest.raises(ConfigError, match="cow is not in both"):
        open_data(tmp_path / "set", size=16, folder=tmp_path / "c")


def test_extras_parity_and_exclusion(photos: Path, tmp_path: Path) -> None:
    even = open_data(photos, size=16, folder=tmp_path / "c", extra=[f"{photos}#even"])
    odd = open_data(photos, size=16, folder=tmp_path / "c", extra=[f"{photos}#odd"])
    assert len(even.extra) + len(odd.extra) == 120
    assert not any(is_odd(even.names[index]) for index in even.extra)
    assert (even.labels[even.extra] == -1).all()
    left = open_data(photos, size=16, folder=tmp_path / "c", exclude=["ant_7.png", "bee/*_1?.png"])
    assert len(left) == 120 - 1 - 10
    assert not any(name.endswith("ant_7.png") for name in left.names)


def test_damaged_files_are_counted_and_skipped(photos: Path, tmp_path: Path) -> None:
    (photos / "ant" / "ant_3.png").write_bytes(b"no picture")
    (photos / "bee" / "bee_4.png").write_bytes(b"")
    data = open_data(photos, size=16, folder=tmp_path / "c")
    assert len(data.skipped) == 2
    assert len(data.train) + len(data.tune) + len(data.val) == 118
    again = open_data(photos, size=16, folder=tmp_path / "c")
    assert again.skipped == data.skipped
    for path in (photos / "cat").iterdir():
        path.write_bytes(b"no picture at all")
    with pytest.raises(ConfigError, match="class cat has no readable picture"):
        open_data(photos, size=16, folder=tmp_path / "c")


def test_bad_folders_give_one_line(photos: Path, tmp_path: Path) -> None:
    def refused(root: Path | str, match: str, extra: tuple[str, ...] = ()) -> None:
        with pytest.raises(ConfigError, match=match) as caught:
            open_data(root, size=16, folder=tmp_path / "c", extra=extra)
        assert "\n" not in str(caught.value)

    refused(tmp_path / "missing", "no such folder")
    refused(photos, "only even, odd", (f"{photos}#third",))
    (tmp_path / "nothing").mkdir()
    refused(photos, "no pictures found", (str(tmp_path / "nothing"),))
    write_pictures(tmp_path / "one" / "ant", 5)
    refused(tmp_path / "one", "1 class folders found, at least 2")
    (tmp_path / "one" / "bee").mkdir()
    refused(tmp_path / "one", "bee: the class has no picture")
    write_pictures(tmp_path / "tiny" / "ant", 5)
    write_pictures(tmp_path / "tiny" / "bee", 2)
    refused(tmp_path / "tiny", "2 pictures, at least 3")


def test_batches_of_pictures(photos: Path, tmp_path: Path) -> None:
    data = open_data(photos, size=16, folder=tmp_path / "c")
    batch = data.load_batch(data.train[:3])
    assert batch.shape == (3, 16, 16, 3)
    assert np.array_equal(batch[1], data.load(int(data.train[1])))
    with pytest.raises(IndexError):
        data.load(len(data))
