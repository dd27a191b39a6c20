"""Where a device's pictures come from: files, cameras, a pipe, or the belt renderer.

Cameras, pipes and watched folders give the newest picture whenever one is asked for; whatever came
between is passed over. One that fails is told of once and is tried again.
"""

from __future__ import annotations

from pathlib import Path

from device.sources.base import LiveSource, Picture, Source, SourceLostError
from device.sources.folder import FileSource, WatchSource
from device.sources.rendered import BeltSource
from pnc.codec.image import SUFFIXES
from pnc.commands.files import STDIO, list_files
from pnc.errors import ConfigError

__all__ = [
    "BeltSource",
    "FileSource",
    "LiveSource",
    "Picture",
    "Source",
    "SourceLostError",
    "WatchSource",
    "open_source",
]

_KINDS = (
    "a folder, a file, http://HOST/snapshot.jpg, /dev/video0, picamera2://, '-' for standard "
    "input, or 'belt'"
)


def open_source(
    where: str,
    *,
    seed: int | None = None,
    loop: bool = False,
    watch: bool = False,
    every: bool = False,
) -> Source:
    """Open a source of pictures.

    Args:
        where: A folder (searched recursively; the last folder is the label), a picture, a video
            file, ``http(s)://HOST/snapshot.jpg``, ``/dev/video0``, ``picamera2://``, ``-`` for
            standard input, or ``belt``.
        seed: Which belt is rendered, or how a folder is shuffled (None: not at all).
        loop: Whether files are gone through again and again.
        watch: Give the pictures that appear in a folder from now on.
        every: Give every picture of a watched folder, a pipe or a video, and pass over none.

    Raises:
        ConfigError: There is no such file or folder, no picture in it, or a package is missing.
    """
    path = Path(where)
    if watch:
        if where.partition(":")[0] in _SCHEMES or where in ("belt", STDIO) or path.is_file():
            raise ConfigError(f"{where}: --watch is for a folder")
        if not path.is_dir():
            raise ConfigError(f"{where}: no such folder to watch; make it first")
        return WatchSource(path, every=every)
    if where == "belt":
        return BeltSource(seed or 0)
    if where == STDIO:
        from device.sources.pipe import PipeSource

        return PipeSource(every=every)
    if where.startswith(("http://", "https://")):
        from device.sources.snapshot import SnapshotSource

        return SnapshotSource(where)
    if where.startswith("picamera2:"):
        from device.sources.picamera import PicameraSource

        return PicameraSource(where)
    if where.startswith(("/dev/", "v4l2:")):
        from device.sources.v4l2 import V4l2Source

        return V4l2Source(where)
    if path.is_dir():
        return FileSource(
            where, lambda: list_files(path, SUFFIXES), root=path, loop=loop, seed=seed
        )
    if path.is_file():
        from device.sources.video import VIDEO_SUFFIXES, VideoSource

        if path.suffix.lower() in VIDEO_SUFFIXES:
            return VideoSource(path, every=every, loop=loop)
        return FileSource(where, lambda: [path], root=path.parent, loop=loop)
    raise ConfigError(f"{where}: no such file or folder; --source takes {_KINDS}")


_SCHEMES = ("http", "https", "picamera2", "v4l2")
