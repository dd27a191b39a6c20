"""Pictures from files: all of a folder, one, or those that appear while we watch."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from device.sources.base import LiveSource, Picture, SourceLostError
from pnc.codec.image import SUFFIXES
from pnc.errors import ImageError

__all__ = ["FileSource", "WatchSource"]

SCAN_S = 0.1
"""How often a watched folder is looked at, seconds: a stat a file costs microseconds."""

SETTLE_S = 0.25
"""A file whose size and time have rested for this long is taken for whole, seconds: programs write
a picture in one go, and a stalled copy is found out by the codec."""


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

    live = False

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
                    return _describe(path, self._root)
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

    def close(self) -> None:
        """Do nothing: files are open only while they are read."""

    def _begin_round(self) -> list[Path]:
        files = self._list_pictures()
        if self._random is not None:
            self._random.shuffle(files)
        return files[::-1]


@dataclass
class _Seen:
    """A file of a watched folder."""

    mark: tuple[int, int]
    """Modification time, nanoseconds, and size, bytes."""
    since: float
    """When the mark was first seen."""
    given: bool


class WatchSource(LiveSource):
    """Gives pictures that appear in a folder, or change in it, from now on.

    A file counts once its size and time have rested for :data:`SETTLE_S`; a file that is written
    again is new again. What lay there at the start is not given.

    Args:
        folder: Searched recursively; the last folder is the label. It may come and go.
        every: Give every picture, oldest first; else the newest, and older ones never.
        clock: Seconds.
    """

    def __init__(
        self, folder: Path, *, every: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(str(folder))
        self._folder = folder
        self._every = every
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        try:
            marks = self._marks()
        except SourceLostError:
            return
        self._seen = {path: _Seen(mark, 0.0, given=True) for path, mark in marks.items()}

    def take(self) -> Picture | None:
        """Wait for a picture; None once the source is closed.

        Raises:
            SourceLostError: The folder cannot be read now.
        """
        while not self._closed.is_set():
            if (picture := self.scan()) is not None:
                return picture
            self._closed.wait(SCAN_S)
        return None

    def scan(self) -> Picture | None:
        """Look once, and return a picture that is due.

        Raises:
            SourceLostError: The folder cannot be read now.
        """
        now = self._clock()
        seen = {}
        for path, mark in self._marks().items():
            known = self._seen.get(path)
            if known is None or known.mark != mark:
                known = _Seen(mark, now, given=False)
            seen[path] = known
        self._seen = seen
        ready = [
            path
            for path, file in seen.items()
            if not file.given and file.mark[1] and now >= file.since + SETTLE_S
        ]
        if not ready:
            return None
        ready.sort(key=lambda path: (seen[path].mark[0], path))
        for path in ready[:1] if self._every else ready:
            seen[path].given = True
        return _describe(Path(ready[0 if self._every else -1]), self._folder)

    def _marks(self) -> dict[str, tuple[int, int]]:
        try:
            return dict(_walk(str(self._folder)))
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            raise SourceLostError(
                f"{self._folder}: the folder cannot be read ({reason}); make it appear again"
            ) from error


def _walk(folder: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """Give the picture files below a folder with their marks; hidden ones not."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    yield from _walk(entry.path)
                elif Path(entry.name).suffix.lower() in SUFFIXES and entry.is_file():
                    status = entry.stat()
                    yield entry.path, (status.st_mtime_ns, status.st_size)
            except FileNotFoundError:
                continue


def _describe(path: Path, root: Path) -> Picture:
    relative = path.relative_to(root)
    label = relative.parts[-2] if len(relative.parts) > 1 else None
    return Picture(path, relative.as_posix(), label)
