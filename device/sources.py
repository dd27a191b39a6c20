"""Where a device's pictures come from: a folder, a file, or the belt renderer."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pnc.commands.files import PICTURE_SUFFIXES, list_files
from pnc.errors import ConfigError, ImageError

if TYPE_CHECKING:
    from pnc.codec.image import PictureLike

__all__ = ["BeltSource", "FileSource", "Picture", "Source", "open_source"]


@dataclass(frozen=True)
class Picture:
    """A picture that was taken."""

    content: PictureLike
    """A path or pixels, as the codec takes them."""
    name: str
    """Path below the source's folder, or ``belt:SEED:INDEX``."""
    label: str | None
    """What it shows, where the source knows: the name of its class folder, or the part's kind."""


class Source(Protocol):
    """Gives a picture whenever it is asked."""

    def take(self) -> Picture | None:
        """Return the newest picture, or None when there will be no more.

        Raises:
            PncError: The source is of no use any more.
        """

    def reject(self, picture: Picture) -> None:
        """Note that a picture cannot be read; it is not given again."""


class FileSource:
    """Goes through picture files, once or for ever.

    Args:
        name: What to call the source in errors.
        list_pictures: Gives the files; called at the start of every round, so that a folder may
            change meanwhile.
        root: Folder that names and labels are relative to.
        loop: Whether to begin again at the end.
        seed: Shuffles every round, reproducibly; None keeps the order of the names.
    """

    def __init__(
        self,
        name: str,
        list_pictures: Callable[[], list[Path]],
        *,
        root: Path,
        loop: bool = False,
        seed: int | None = None,
    ) -> None:
        self._name = name
        self._list_pictures = list_pictures
        self._root = root
        self._loop = loop
        self._random = None if seed is None else random.Random(seed)
        self._waiting = self._begin_round()
        self._rejected: set[Path] = set()
        self._num_usable = 0

    def take(self) -> Picture | None:
        """Return the next picture, or None after the last.

        Raises:
            ImageError: A whole round held no readable picture.
            ConfigError: The folder vanished or was emptied.
        """
        while True:
            while self._waiting:
                path = self._waiting.pop()
                if path not in self._rejected:
                    self._num_usable += 1
                    return self._describe(path)
            if self._num_usable == 0:
                count = len(self._rejected)
                raise ImageError(
                    f"{self._name}: none of its {count} pictures can be read; give other pictures"
                )
            if not self._loop:
                return None
            self._waiting = self._begin_round()
            self._num_usable = 0

    def reject(self, picture: Picture) -> None:
        """Note that a picture cannot be read; it is not given again."""
        self._rejected.add(Path(str(picture.content)))
        self._num_usable -= 1

    def _begin_round(self) -> list[Path]:
        files = self._list_pictures()
        if self._random is not None:
            self._random.shuffle(files)
        return files[::-1]

    def _describe(self, path: Path) -> Picture:
        relative = path.relative_to(self._root)
        label = relative.parts[-2] if len(relative.parts) > 1 else None
        return Picture(path, relative.as_posix(), label)


class BeltSource:
    """Renders parts on a conveyor belt; never ends.

    Args:
        seed: Which belt; the same seed gives the same pictures.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._index = 0

    def take(self) -> Picture:
        """Render the next picture."""
        from pnc import belt

        index, self._index = self._index, self._index + 1
        pixels, label = belt.render(index, seed=self._seed)
        return Picture(pixels, f"belt:{self._seed}:{index}", belt.CLASSES[label])

    def reject(self, picture: Picture) -> None:
        """Do nothing: rendered pictures are never broken."""


def open_source(where: str, *, seed: int | None = None, loop: bool = False) -> Source:
    """Open a source of pictures.

    Args:
        where: A folder (searched recursively; the last folder is the label), a file, or ``belt``.
        seed: Which belt is rendered, or how a folder is shuffled (None: not at all).
        loop: Whether files are gone through again and again.

    Raises:
        ConfigError: There is no such file or folder, or no picture in it.
    """
    if where == "belt":
        return BeltSource(seed or 0)
    path = Path(where)
    if path.is_dir():
        return FileSource(
            where, lambda: list_files(path, PICTURE_SUFFIXES), root=path, loop=loop, seed=seed
        )
    if path.is_file():
        return FileSource(where, lambda: [path], root=path.parent, loop=loop)
    raise ConfigError(f"{where}: no such file or folder; --source takes a folder, a file or 'belt'")
