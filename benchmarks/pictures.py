"""The pictures of a benchmark: named sets, split by `pnc.splits`, thinned by a seed.

    NAME=FOLDER          pictures, or class folders with pictures; searched one level deep
    NAME=FOLDER#odd      those whose sha256 of the file name is odd; #even likewise
    NAME=FOLDER#tune     what training keeps to choose by
    belt, belt#tune      rendered: the seeds of training's `val` and `tune`
    belt#79              rendered: another seed, for fresh evidence

A picture's label is the name of its class folder; in a flat folder it is what its file name begins
with, up to the first underscore, as WordNet ids do.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pnc import belt
from pnc.codec.image import SUFFIXES, Fit, load_picture
from pnc.errors import ConfigError
from pnc.splits import BELT_SEEDS, Split, is_odd, split_by_name

BELT_PARTS: dict[str, Split] = {"": "val", "tune": "tune"}
"""Splits of the belt by the name of the part; any other part is a seed."""

BELT_COUNT = 1200
"""Pictures of the belt where no limit is given."""

PARTS = ("", "odd", "even", "tune")
"""Of folders."""


@dataclass(frozen=True)
class PictureRef:
    """Where a picture comes from; what travels to the processes instead of pixels."""

    name: str
    """Within its set, for messages and for thinning."""
    label: str
    """Its right class: a folder's name, a WordNet id or a kind of part."""
    key: str
    """Identity of its pixels, for caches."""
    path: Path | None = None
    """The file; None if it is rendered."""
    belt_seed: int = 0
    """Seed of a rendered picture."""
    belt_index: int = 0
    """Its index."""

    def load(self, fit: Fit) -> NDArray[np.uint8]:
        """Return the picture as uint8 RGB [224, 224, 3].

        Raises:
            ImageError: It cannot be read.
        """
        if self.path is None:
            return belt.render(self.belt_index, seed=self.belt_seed)[0]
        return load_picture(self.path, fit=fit)


@dataclass(frozen=True)
class PictureSet:
    """A named set of pictures."""

    name: str
    """As tables call it."""
    part: str
    """Which part of its folder: "odd", "even", "tune", a seed of the belt, or "" for all."""
    pictures: tuple[PictureRef, ...]
    """In the order of the thinning, so that a larger limit only adds."""

    def describe(self) -> dict[str, Any]:
        """Return what results say of it: name, part, n, and a hash of its pictures."""
        keys = " ".join(picture.key for picture in self.pictures)
        return {
            "name": self.name,
            "part": self.part,
            "n": len(self.pictures),
            "sha256": hashlib.sha256(keys.encode()).hexdigest()[:32],
        }


def open_set(
    spec: str, *, fit: Fit = "crop", limit: int | None = None, seed: int = 0
) -> PictureSet:
    """Open a set of pictures.

    Args:
        spec: See the module.
        fit: How the pictures will be made square; part of their keys.
        limit: Take so many, chosen by `seed`; all if None.
        seed: Of the choice. The choice for a smaller limit is the beginning of that for a larger.

    Raises:
        ConfigError: Not such a text, no such folder or part, or no pictures.
    """
    text, _, part = spec.partition("#")
    if text == "belt":
        return _open_belt(part, limit)
    if part not in PARTS:
        raise ConfigError(f"{spec}: part {part!r} is unknown; use #odd, #even or #tune")
    name, equals, folder = text.partition("=")
    if not equals:
        raise ConfigError(f"{spec}: is no set; write NAME=FOLDER, or belt")
    root = Path(folder)
    if not root.is_dir():
        raise ConfigError(f"{spec}: no folder {folder}; check the path")
    paths = [path for path in _find_files(root) if _is_in_part(path, part)]
    if not paths:
        raise ConfigError(f"{spec}: no pictures there; wanted are {', '.join(sorted(SUFFIXES))}")
    names = {path: path.relative_to(root).as_posix() for path in paths}
    chosen = sorted(paths, key=lambda path: _order(seed, names[path]))[:limit]
    pictures = [
        PictureRef(names[path], _label(path, root), _file_key(path, fit), path) for path in chosen
    ]
    return PictureSet(name, part, tuple(pictures))


def _open_belt(part: str, limit: int | None) -> PictureSet:
    if part in BELT_PARTS:
        seed = BELT_SEEDS[BELT_PARTS[part]]
    elif part.isdecimal() and int(part) != BELT_SEEDS["train"]:
        seed = int(part)
    else:
        raise ConfigError(f"belt#{part}: use belt, belt#tune or a seed that training never saw")
    pictures = []
    for index in range(limit or BELT_COUNT):
        name = f"belt/{seed}/{index}"
        label = belt.CLASSES[belt.label_of(index, seed=seed)]
        key = f"{name}/{belt.RENDERER_VERSION}"
        pictures.append(PictureRef(name, label, key, None, seed, index))
    return PictureSet("belt", part, tuple(pictures))


def _is_in_part(path: Path, part: str) -> bool:
    if part == "tune":
        return split_by_name(path) == "tune"
    return not part or is_odd(path) == (part == "odd")


def _find_files(root: Path) -> list[Path]:
    found = [*root.glob("*"), *root.glob("*/*")]
    return [path for path in found if path.suffix.lower() in SUFFIXES and path.is_file()]


def _label(path: Path, root: Path) -> str:
    return path.stem.partition("_")[0] if path.parent == root else path.parent.name


def _order(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()


def _file_key(path: Path, fit: Fit) -> str:
    return f"{hashlib.sha256(path.read_bytes()).hexdigest()[:32]}/{fit}"
