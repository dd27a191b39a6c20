"""What every source of pictures has in common."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qsl, urlsplit

from pnc.errors import ConfigError, PncError

if TYPE_CHECKING:
    from pnc.codec.image import PictureLike

__all__ = ["LiveSource", "Picture", "Source", "SourceLostError", "read_options"]

MAX_SIDE_PIXELS = 8192
"""Widest and highest picture asked of a camera, pixels; above any sensor that a Pi drives."""


@dataclass(frozen=True)
class Picture:
    """A picture that was taken."""

    content: PictureLike
    """A path or pixels, as the codec takes them."""
    name: str
    """Path below the source's folder, ``belt:SEED:INDEX``, or the source and a number."""
    label: str | None
    """What it shows, where the source knows: the name of its class folder, or the part's kind."""


class SourceLostError(PncError):
    """A source gives no picture now. Transient: asking again later makes sense."""


class Source(Protocol):
    """Gives a picture whenever it is asked."""

    @property
    def live(self) -> bool:
        """Whether it gives what is there now: after a failure, asking at once is of no use."""
        ...

    def take(self) -> Picture | None:
        """Return the newest picture, or None when there will be no more.

        Raises:
            SourceLostError: There is no picture now.
            PncError: The source is of no use any more.
        """
        ...

    def reject(self, picture: Picture) -> None:
        """Note that a picture cannot be read; it is not given again."""
        ...

    def close(self) -> None:
        """Give back what the source holds, and let a ``take`` that waits return None."""
        ...


class LiveSource:
    """What the sources that never end share: counted names, and an end from another thread.

    Args:
        name: What to call the source in errors and names.
    """

    live = True

    def __init__(self, name: str) -> None:
        self.name = name
        self._num_taken = 0
        self._closed = threading.Event()

    def reject(self, picture: Picture) -> None:
        """Do nothing: the next picture is another one."""

    def close(self) -> None:
        """Let no further picture be taken."""
        self._closed.set()

    def _picture(self, content: PictureLike) -> Picture:
        self._num_taken += 1
        return Picture(content, f"{self.name}:{self._num_taken}", None)


def read_options(where: str, **known: int | str) -> tuple[str, dict[str, int | str]]:
    """Take the options behind the ``?`` of a source apart.

    Args:
        where: ``/dev/video0?width=1280`` or ``picamera2://?camera=1``.
        **known: The options with their defaults, whose types the values get; sizes are bounded.

    Returns:
        The address without scheme and options, and all options.

    Raises:
        ConfigError: An option is unknown or of no use; the message lists those that exist.
    """
    parts = urlsplit(where)
    options = dict(known)
    for name, text in parse_qsl(parts.query, keep_blank_values=True):
        if name not in known:
            raise ConfigError(f"{where}: no option {name!r}; there are {', '.join(known)}")
        if isinstance(known[name], str):
            options[name] = text
            continue
        if not text.isascii() or not text.isdigit() or int(text) > MAX_SIDE_PIXELS:
            raise ConfigError(
                f"{where}: {name} must be a whole number up to {MAX_SIDE_PIXELS}, not {text!r}"
            )
        options[name] = int(text)
    return parts.netloc + parts.path, options
