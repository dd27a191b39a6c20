"""One face for all training data: the belt, class folders, train/val folders, unlabeled extras.

    open_data("belt")                             12 kinds, rendered
    open_data("photos")                           photos/CLASS/PICTURE, split by file name
    open_data("imagenette")                       imagenette/{train,val}/CLASS/PICTURE
    open_data("imagenette", extra=["more#even"])  and unlabeled pictures for the autoencoder

Every picture is read by `pnc.codec.image` once, into a uint8 cache (`training.cache`).

Splits are those of `pnc.splits`: by file name in class folders. With train/ and val/ folders, only
`tune` is taken out of train/ that way, and nothing where there is a tune/ folder. A class too small
to have a picture in `val` or `tune` gives the one of lowest hash.
"""

from __future__ import annotations

import fnmatch
import functools
import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from pnc import belt
from pnc.codec.image import SIZE, SUFFIXES, Fit, load_picture
from pnc.errors import ConfigError
from pnc.splits import Split, is_odd, name_hash, split_by_name
from training.belt import load_split
from training.cache import CACHE_FOLDER, OnProgress, PictureCache, fill_cache

BELT_COUNTS: dict[Split, int] = {"train": 12_000, "tune": 600, "val": 1_200}
"""Pictures of the belt unless the caller says otherwise."""

CACHE_VERSION = 1
"""Counts up when `pnc.codec.image` gives other pixels for the same file."""

Parity = Literal["all", "even", "odd"]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Data:
    """Pictures with labels and splits; a picture is named by its index everywhere."""

    name: str
    """What was opened, for logs and model cards."""
    classes: tuple[str, ...]
    """Class names in label order."""
    train: Indices
    """Indices of the labeled pictures to train on."""
    tune: Indices
    """Indices of the pictures that choose between models and stop training."""
    val: Indices
    """Indices of the pictures that are reported on."""
    extra: Indices
    """Indices of the unlabeled pictures."""
    labels: NDArray[np.int32]
    """Label of every picture, -1 where there is none."""
    names: tuple[str, ...]
    """Where each picture came from."""
    skipped: tuple[str, ...]
    """One line for each picture that could not be read; they are in no split."""
    _stores: tuple[NDArray[np.uint8], ...]

    def __len__(self) -> int:
        return len(self.names)

    def load(self, index: int) -> NDArray[np.uint8]:
        """Return a picture, uint8 [size, size, 3]."""
        for store in self._stores:
            if index < len(store):
                return np.array(store[index])
            index -= len(store)
        raise IndexError(f"{self.name} has no picture of this index")

    def load_batch(self, indices: Sequence[int] | Indices) -> NDArray[np.uint8]:
        """Return pictures, uint8 [len(indices), size, size, 3]."""
        return np.stack([self.load(int(index)) for index in indices])


def open_data(
    spec: str | os.PathLike[str],
    *,
    size: int = SIZE,
    fit: Fit = "crop",
    extra: Iterable[str | os.PathLike[str]] = (),
    exclude: Iterable[str] = (),
    belt_counts: dict[Split, int] | None = None,
    folder: Path = CACHE_FOLDER,
    processes: int | None = None,
    on_progress: OnProgress | None = None,
) -> Data:
    """Open training data by one name; decodes or renders what is not in the cache yet.

    Args:
        spec: "belt", a folder of class folders, or a folder with train/ and val/ (and tune/).
        size: Side of the stored pictures, pixels.
        fit: How a picture becomes square; the checkpoint states the same.
        extra: Folders of unlabeled pictures, searched to any depth. A name that ends in "#even" or
            "#odd" takes only the files whose sha256 of the file name, as a number, is so.
        exclude: File names, or patterns such as "n0144*/*_96.JPEG" against the end of the path,
            that are left out everywhere.
        belt_counts: Pictures in each split of the belt.
        folder: Where the cache lies.
        processes: Processes that fill the cache; one per core when None.
        on_progress: Called with (pictures done, all) for each cache that is filled.

    Raises:
        ConfigError: No such folder, fewer than two classes, an empty class, a class that only one
            split knows, or no readable picture left in a class.
    """
    patterns = tuple(exclude)
    make_cache = functools.partial(
        _cached_files,
        size=size,
        fit=fit,
        folder=folder,
        processes=processes,
        on_progress=on_progress,
    )
    builder = _Builder()
    if os.fspath(spec) == "belt":
        counts = {**BELT_COUNTS, **(belt_counts or {})}
        for split in get_args(Split):
            pixels, labels = load_split(
                split,
                counts[split],
                size=size,
                folder=folder,
                processes=processes,
                on_progress=on_progress,
            )
            names = [f"belt/{split}/{index}" for index in range(len(labels))]
            builder.add(PictureCache(pixels, {}), names, labels.tolist(), [split] * len(names))
        classes = belt.CLASSES
    else:
        root = Path(spec)
        classes, items = _labeled(root, patterns)
        cache = make_cache([item.path for item in items])
        names = [item.path.relative_to(root).as_posix() for item in items]
        labels_list = [classes.index(item.label) for item in items]
        builder.add(cache, names, labels_list, [item.split for item in items])
    for entry in extra:
        paths = _unlabeled(os.fspath(entry), patterns)
        cache = make_cache(paths)
        count = len(paths)
        builder.add(cache, [path.as_posix() for path in paths], [-1] * count, ["extra"] * count)
    data = builder.build(os.fspath(spec), classes)
    _check_classes(data)
    return data


class _Builder:
    """Collects stores and what is known of each picture in them."""

    def __init__(self) -> None:
        self._stores: list[NDArray[np.uint8]] = []
        self._names: list[str] = []
        self._labels: list[int] = []
        self._splits: list[str] = []
        self._skipped: list[str] = []

    def add(
        self, cache: PictureCache, names: list[str], labels: list[int], splits: Sequence[str]
    ) -> None:
        self._stores.append(cache.pixels)
        self._names += names
        self._labels += labels
        self._splits += ["" if i in cache.failed else split for i, split in enumerate(splits)]
        self._skipped += cache.failed.values()

    def build(self, name: str, classes: tuple[str, ...]) -> Data:
        splits = np.array(self._splits)
        train, tune, val, extra = (
            np.flatnonzero(splits == split) for split in ("train", "tune", "val", "extra")
        )
        return Data(
            name=name,
            classes=classes,
            train=train,
            tune=tune,
            val=val,
            extra=extra,
            labels=np.array(self._labels, np.int32),
            names=tuple(self._names),
            skipped=tuple(self._skipped),
            _stores=tuple(self._stores),
        )


# --- finding pictures --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Item:
    path: Path
    label: str
    split: str


def _is_picture(path: Path, patterns: tuple[str, ...]) -> bool:
    if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
        return False
    full = path.as_posix()
    return not any(fnmatch.fnmatchcase(full, f"*/{pattern}") for pattern in patterns)


def _subfolders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def _class_pictures(root: Path, patterns: tuple[str, ...]) -> dict[str, list[Path]]:
    """Return the pictures of each class folder, lowest hash first."""
    found: dict[str, list[Path]] = {}
    for folder in _subfolders(root):
        pictures = [p for p in folder.iterdir() if _is_picture(p, patterns) and p.is_file()]
        if not pictures:
            raise ConfigError(
                f"{folder}: the class has no picture; add some or remove the folder", path=folder
            )
        found[folder.name] = sorted(pictures, key=lambda p: (name_hash(p), p.name))
    if len(found) < 2:
        raise ConfigError(
            f"{root}: {len(found)} class folders found, at least 2 are needed: "
            "put the pictures into one folder per class",
            path=root,
        )
    return found


def _labeled(root: Path, patterns: tuple[str, ...]) -> tuple[tuple[str, ...], list[_Item]]:
    _check_folder(root)
    given = [split for split in get_args(Split) if (root / split).is_dir()]
    if "train" in given and "val" in given:
        pictures = {split: _class_pictures(root / split, patterns) for split in given}
        classes = tuple(sorted(pictures["train"]))
        for split in given:
            strangers = set(pictures[split]) ^ set(classes)
            if strangers:
                raise ConfigError(
                    f"{root}: class {min(strangers)} is not in both train and {split}", path=root
                )
    else:
        given = ["train"]
        pictures = {"train": _class_pictures(root, patterns)}
        classes = tuple(sorted(pictures["train"]))
    wanted = [split for split in ("val", "tune") if split not in given]
    items: list[_Item] = []
    for split, by_class in pictures.items():
        for label, paths in by_class.items():
            splits = _assigned(paths, wanted) if split == "train" else [split] * len(paths)
            items += map(_Item, paths, [label] * len(paths), splits)
    return classes, items


def _assigned(paths: list[Path], wanted: list[str]) -> list[str]:
    """Return the split of each picture of a class, of which `wanted` are taken out of train."""
    if len(paths) <= len(wanted):
        raise ConfigError(
            f"{paths[0].parent}: {len(paths)} pictures, at least {len(wanted) + 1} are needed",
            path=paths[0].parent,
        )
    by_name = [split_by_name(path) for path in paths]
    splits: list[str] = [split if split in wanted else "train" for split in by_name]
    for split in (*wanted, "train"):
        if split not in splits:
            most = max(splits, key=splits.count)
            splits[splits.index(most)] = split
    return splits


def _unlabeled(entry: str, patterns: tuple[str, ...]) -> list[Path]:
    name, mark, parity = entry.rpartition("#")
    root = Path(name if mark else entry)
    parity = parity if mark else "all"
    if parity not in get_args(Parity):
        raise ConfigError(f"{entry}: after # only even, odd or all may follow", spec=entry)
    _check_folder(root)
    paths = sorted(p for p in root.rglob("*") if _is_picture(p, patterns) and p.is_file())
    if parity != "all":
        paths = [p for p in paths if is_odd(p) == (parity == "odd")]
    if not paths:
        raise ConfigError(f"{entry}: no pictures found", path=root)
    return paths


def _check_folder(root: Path) -> None:
    if not root.is_dir():
        raise ConfigError(
            f"{root}: no such folder; name a folder of class folders, or belt", path=root
        )


def _check_classes(data: Data) -> None:
    for split in ("train", "tune", "val"):
        counts = np.bincount(data.labels[getattr(data, split)], minlength=len(data.classes))
        if split == "train" and counts.min() == 0:
            empty = data.classes[int(counts.argmin())]
            raise ConfigError(
                f"{data.name}: class {empty} has no readable picture to train on "
                f"({len(data.skipped)} pictures could not be read)",
                label=empty,
            )
        if counts.sum() == 0:
            raise ConfigError(f"{data.name}: no readable picture in {split}", split=split)


def _cached_files(
    paths: list[Path],
    *,
    size: int,
    fit: Fit,
    folder: Path,
    processes: int | None,
    on_progress: OnProgress | None,
) -> PictureCache:
    """Read files into a cache whose name changes with the list, the files' sizes and the fit."""
    digest = hashlib.sha256(f"{CACHE_VERSION} {size} {fit}\n".encode())
    for path in paths:
        facts = path.stat()
        digest.update(f"{path.resolve()}\0{facts.st_size} {facts.st_mtime_ns}\n".encode())
    produce = functools.partial(_read, paths=tuple(map(str, paths)), size=size, fit=fit)
    name = f"files-{digest.hexdigest()[:16]}-{size}"
    return fill_cache(
        name,
        len(paths),
        size,
        produce,
        folder=folder,
        processes=processes,
        on_progress=on_progress,
    )


def _read(index: int, *, paths: tuple[str, ...], size: int, fit: Fit) -> NDArray[np.uint8]:
    return load_picture(paths[index], fit=fit, size=size)
