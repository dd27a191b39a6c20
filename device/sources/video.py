"""Pictures from a video file, through the package ``av`` (FFmpeg's libraries in wheels)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from device.sources.base import LiveSource, Picture
from pnc.errors import ConfigError

__all__ = ["VIDEO_SUFFIXES", "VideoSource"]

VIDEO_SUFFIXES = frozenset(
    f".{name}" for name in ("avi", "h264", "m4v", "mjpeg", "mjpg", "mkv", "mov", "mp4", "webm")
)
"""What is taken for a video file."""


class VideoSource(LiveSource):
    """Plays a video file at its own pace: each time the frame that a camera would see now.

    Args:
        path: The file.
        every: Give every frame instead, as fast as they are asked for.
        loop: Whether to begin again at the end.
        clock: Seconds.

    Raises:
        ConfigError: The file is no video, or av is not installed.
    """

    live = False

    def __init__(
        self,
        path: Path,
        *,
        every: bool = False,
        loop: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(path.name)
        self._path = path
        self._every = every
        self._loop = loop
        self._clock = clock
        self._av = _import_av()
        self._container = self._open()
        self._frames = self._decode()
        self._begin: float | None = None

    def take(self) -> Picture | None:
        """Return the frame of now, or None after the last.

        Raises:
            ConfigError: The video is damaged from its first frame on.
        """
        frame = None if self._closed.is_set() else self._next()
        if frame is None and self._loop and self._num_taken and not self._closed.is_set():
            self._container.close()
            self._container = self._open()
            self._frames, self._begin = self._decode(), None
            frame = self._next()
        if frame is None:
            self._container.close()
            if not self._num_taken:
                raise ConfigError(f"{self._path}: no frame can be decoded; give another video")
            return None
        return self._picture(frame.to_image())

    def _next(self) -> Any | None:
        newest = None
        for frame in self._frames:
            newest = frame
            if self._every or frame.time is None:
                break
            if self._begin is None:
                self._begin = self._clock() - frame.time
            if frame.time >= self._clock() - self._begin:
                break
        return newest

    def _open(self) -> Any:
        try:
            container = self._av.open(str(self._path))
        except (self._av.FFmpegError, OSError) as error:
            raise ConfigError(f"{self._path}: not a video ({error}); give another file") from error
        if not container.streams.video:
            container.close()
            raise ConfigError(f"{self._path}: holds no pictures; give a video")
        return container

    def _decode(self) -> Iterator[Any]:
        stream = self._container.streams.video[0]
        try:
            yield from self._container.decode(stream)
        except (self._av.FFmpegError, OSError):
            return


def _import_av() -> Any:
    try:
        return import_module("av")
    except ImportError as error:
        raise ConfigError(
            "video files need the package av; install it with: pip install 'pnc[video]'",
            module="av",
            extra="video",
        ) from error
