"""Pillow's codecs and our own behind one interface: picture, byte limit, picture.

    family       variants, of which a benchmark takes the best at each budget
    our streams  one: the stream cut at the budget
    rivals       picture shrunk by 1, 2 or 4 first; for JPEG: whole, or one of three qualities cut
                 at the budget; for JPEG XL: one of two efforts

Every rival gets bare pixels (no ICC profile, no EXIF: both would add up to 3 KB) and its highest
quality whose whole file fits, found by bisection. Every byte counts that a receiver cannot know
beforehand; AVIF also comes without its container, which is the same for all pictures of one size.

    base           the interface, bare files, the search for the highest quality that fits
    own            our streams
    jpeg, avif     rivals that take more than whole files
    whole_files    the others
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pnc.errors import ConfigError
from pnc.replay.baselines.avif import open_avif, open_stripped_avif
from pnc.replay.baselines.base import Contender
from pnc.replay.baselines.jpeg import open_jpeg
from pnc.replay.baselines.whole_files import open_jpeg2000, open_jpeg_xl, open_webp

__all__ = ["RIVALS", "TITLES", "Contender", "find_missing", "open_family"]

RIVALS: dict[str, Callable[[], list[Contender]]] = {
    "jpeg": open_jpeg,
    "webp": open_webp,
    "avif": open_avif,
    "avif-stripped": open_stripped_avif,
    "jpegxl": open_jpeg_xl,
    "jpeg2000": open_jpeg2000,
}
"""Rivals by name; each gives its variants."""

TITLES = {
    "jpeg": "progressive JPEG",
    "webp": "WebP, method 6",
    "avif": "AVIF",
    "avif-stripped": "AVIF, container stripped",
    "jpegxl": "JPEG XL",
    "jpeg2000": "JPEG 2000",
    "rtss23-huffman": "published, whole features",
    "klt-8": "KLT of 8x8 patches",
    "klt-14": "KLT of 14x14 patches",
}
"""What tables and plots call them."""


def open_family(name: str) -> list[Contender]:
    """Return all variants of a rival.

    Args:
        name: One of `RIVALS`.

    Raises:
        ConfigError: No such rival, or it is not installed.
    """
    if name not in RIVALS:
        raise ConfigError(f"rival {name!r} is unknown; known are: {', '.join(RIVALS)}")
    return RIVALS[name]()


def find_missing(names: Iterable[str]) -> dict[str, str]:
    """Return which of some rivals cannot run here, each with the line that says what to install."""
    missing = {}
    for name in names:
        try:
            open_family(name)
        except ConfigError as error:
            missing[name] = f"{name} is left out: {error}"
    return missing
