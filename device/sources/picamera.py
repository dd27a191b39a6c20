"""Pictures from a Raspberry Pi's own camera, through the system's package ``picamera2``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

from device.sources.base import LiveSource, Picture, SourceLostError, read_options
from pnc.errors import ConfigError

__all__ = ["PicameraSource"]

WIDTH, HEIGHT = 640, 480
"""What is asked for unless told otherwise, pixels; the camera's processor reduces, not ours."""

INSTALL = (
    "picamera2 is a part of Raspberry Pi OS and not of a virtual environment; install it with: "
    "sudo apt install python3-picamera2, and make the environment with: "
    "python3 -m venv --system-site-packages DIR"
)


class PicameraSource(LiveSource):
    """Takes the frame that the camera finishes next.

    Args:
        where: ``picamera2://``, with options ``?width=640&height=480&camera=0``.
        import_library: Gives the module ``picamera2``; for tests.

    Raises:
        ConfigError: An option is wrong, or picamera2 is not installed.
    """

    def __init__(self, where: str, *, import_library: Callable[[], Any] | None = None) -> None:
        _, options = read_options(where, width=WIDTH, height=HEIGHT, camera=0)
        self._index = int(options["camera"])
        self._size = int(options["width"]), int(options["height"])
        super().__init__(f"picamera2:{self._index}")
        self._library = (import_library or _import_picamera2)()
        self._camera: Any = None
        self._in_use = threading.Lock()

    def take(self) -> Picture | None:
        """Wait for a frame; None once the source is closed.

        Raises:
            SourceLostError: The camera is missing, busy, or stopped.
        """
        with self._in_use:
            if self._closed.is_set():
                return None
            try:
                if self._camera is None:
                    self._camera = self._start()
                pixels = self._camera.capture_array()
            except (RuntimeError, IndexError, OSError) as error:
                self._stop()
                reason = " ".join(str(error).split()) or type(error).__name__
                raise SourceLostError(
                    f"{self.name}: the camera cannot be used ({reason}); another program must not "
                    "use it, and `rpicam-hello --list-cameras` names those that are connected"
                ) from error
        return self._picture(pixels[..., :3])

    def close(self) -> None:
        """Stop the camera once the frame that is being waited for is here."""
        super().close()
        with self._in_use:
            self._stop()

    def _start(self) -> Any:
        camera = self._library.Picamera2(self._index)
        try:
            # libcamera names formats by their order in a little-endian word: BGR888 is R, G, B in
            # memory (Picamera2 manual, 4.2.2.2).
            main = {"size": self._size, "format": "BGR888"}
            camera.configure(camera.create_video_configuration(main=main, buffer_count=3))
            camera.start()
        except BaseException:
            camera.close()
            raise
        return camera

    def _stop(self) -> None:
        camera, self._camera = self._camera, None
        if camera is not None:
            with suppress(RuntimeError, OSError):
                camera.close()


def _import_picamera2() -> Any:
    try:
        return import_module("picamera2")
    except ImportError as error:
        raise ConfigError(INSTALL, module="picamera2") from error
