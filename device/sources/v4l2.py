"""Pictures from a camera of Linux (V4L2), through the package ``linuxpy``."""

from __future__ import annotations

import errno
import grp
import os
import select
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from device.sources.base import LiveSource, Picture, SourceLostError, read_options
from device.sources.frames import FRAME_FORMATS, picture_from_frame
from pnc.errors import ConfigError, ImageError

__all__ = ["Capture", "V4l2Source"]

WIDTH, HEIGHT = 640, 480
"""What is asked for unless told otherwise, pixels: every camera has it, and it is twice 224."""

FRAME_TIMEOUT_S = 3.0
"""Longest wait for a frame, seconds: a camera that exposes for a second still makes it."""

NUM_BUFFERS = 2
"""The fewest that drivers take; whatever waits in them is older than asked for."""

_FLAG_ERROR = 0x40
"""V4L2_BUF_FLAG_ERROR: the frame is damaged."""


class Capture(Protocol):
    """A camera that is running."""

    def grab(self, timeout_s: float) -> Any | None:
        """Return the next frame (as linuxpy has it), or None if none came in time."""
        ...

    def close(self) -> None:
        """Stop it."""
        ...


class V4l2Source(LiveSource):
    """Takes a fresh frame each time; between two, the driver's few buffers fill up and rest.

    Args:
        where: ``/dev/video0``, with options ``?width=640&height=480&format=MJPG|YUYV``.
        open_capture: Opens the device; for tests.

    Raises:
        ConfigError: An option is wrong, or linuxpy is not installed.
    """

    def __init__(
        self, where: str, *, open_capture: Callable[[str, int, int, str], Capture] | None = None
    ) -> None:
        path, options = read_options(where, width=WIDTH, height=HEIGHT, format="")
        super().__init__(path)
        self._size = int(options["width"]), int(options["height"])
        self._format = str(options["format"]).upper()
        if self._format not in ("", *FRAME_FORMATS):
            raise ConfigError(f"{where}: format must be one of {', '.join(FRAME_FORMATS)}")
        if open_capture is None:
            _import_linuxpy()
        self._open_capture = open_capture or _LinuxpyCapture
        self._capture: Capture | None = None
        self._in_use = threading.Lock()

    def take(self) -> Picture | None:
        """Wait for a frame that was not there before; None once the source is closed.

        Raises:
            SourceLostError: The camera is missing, busy, not permitted, or gives no frame.
        """
        with self._in_use:
            if self._closed.is_set():
                return None
            frame = self._grab()
        try:
            content = picture_from_frame(
                bytes(frame.data),
                frame.pixel_format.name.replace("MJPEG", "MJPG"),
                frame.width,
                frame.height,
                frame.format.bytes_per_line,
            )
        except ImageError as error:
            raise SourceLostError(f"{self.name}: {error}") from error
        return self._picture(content)

    def close(self) -> None:
        """Stop the camera once the frame that is being waited for is here."""
        super().close()
        with self._in_use:
            self._stop()

    def _grab(self) -> Any:
        try:
            if self._capture is None:
                self._capture = self._open_capture(self.name, *self._size, self._format)
            return self._fresh(self._capture)
        except SourceLostError:
            self._stop()
            raise
        except OSError as error:
            self._stop()
            raise SourceLostError(_explain(self.name, error), errno=error.errno) from error

    def _fresh(self, capture: Capture) -> Any:
        """Throw away what waits in the buffers, and return the next good frame."""
        for _ in range(NUM_BUFFERS):
            if capture.grab(0.0) is None:
                break
        for _ in range(NUM_BUFFERS + 1):
            frame = capture.grab(FRAME_TIMEOUT_S)
            if frame is None:
                raise SourceLostError(
                    f"{self.name}: no frame within {FRAME_TIMEOUT_S:g} s; take the camera's cable "
                    "out and in again"
                )
            if not int(frame.flags) & _FLAG_ERROR:
                return frame
        raise SourceLostError(f"{self.name}: only damaged frames; try another cable or port")

    def _stop(self) -> None:
        capture, self._capture = self._capture, None
        if capture is not None:
            with suppress(OSError):
                capture.close()


class _LinuxpyCapture:
    """A device of linuxpy, opened without blocking so that waiting for it has an end."""

    def __init__(self, path: str, width: int, height: int, pixel_format: str) -> None:
        video = _import_linuxpy()
        self._device: Any = video.Device(path, blocking=False)
        self._device.open()
        try:
            self._capture: Any = video.VideoCapture(self._device, size=NUM_BUFFERS)
            self._set_format(path, width, height, pixel_format)
            self._capture.open()
        except video.V4L2Error as error:
            self._device.close()
            raise SourceLostError(
                f"{path}: is no camera ({error}); `v4l2-ctl --list-devices` names the cameras"
            ) from error
        except BaseException:
            self._device.close()
            raise

    def grab(self, timeout_s: float) -> Any | None:
        ready, _, broken = select.select([self._device], [], [self._device], timeout_s)
        if not (ready or broken):
            return None
        return self._capture.buffer.raw_read()

    def close(self) -> None:
        try:
            self._capture.close()
        finally:
            self._device.close()

    def _set_format(self, path: str, width: int, height: int, pixel_format: str) -> None:
        for name in (pixel_format,) if pixel_format else FRAME_FORMATS:
            with suppress(OSError):
                self._capture.set_format(width, height, name)
            have = self._capture.get_format().pixel_format.name.replace("MJPEG", "MJPG")
            if have == name:
                return
        wanted = pixel_format or " nor ".join(FRAME_FORMATS)
        raise SourceLostError(
            f"{path}: gives {have}, not {wanted}; on a Raspberry Pi's own camera use picamera2://"
        )


def _import_linuxpy() -> Any:
    try:
        return import_module("linuxpy.video.device")
    except ImportError as error:
        raise ConfigError(
            "cameras of V4L2 need the package linuxpy; install it with: pip install 'pnc[camera]'",
            module="linuxpy",
            extra="camera",
        ) from error


def _explain(path: str, error: OSError) -> str:
    if error.errno == errno.ENOENT:
        there = sorted(str(other) for other in Path("/dev").glob("video*"))
        known = f"there are {', '.join(there)}" if there else "no camera is there; plug one in"
        return f"{path}: no such device; {known}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{path}: not permitted; do: sudo usermod -a -G {_group(path)} $USER, log in again"
    if error.errno == errno.EBUSY:
        return f"{path}: another program uses the camera; end it"
    if error.errno in (errno.ENODEV, errno.EIO, errno.EPROTO):
        return f"{path}: the camera went away; plug it in again"
    return f"{path}: cannot be used as a camera ({(error.strerror or str(error)).lower()})"


def _group(path: str) -> str:
    try:
        return grp.getgrgid(os.stat(path).st_gid).gr_name  # noqa: PTH116 - as for any file
    except (KeyError, OSError):
        return "video"
