"""Progressive JPEG: whole files, and one of a few qualities cut at the budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import features

from pnc.replay.baselines.base import (
    ENLARGE,
    SCALES,
    SHRINK,
    Contender,
    Rival,
    freeze,
    name_scale,
    open_file,
    save,
    shrink,
)

JPEG_CUT_QUALITIES = (10, 30, 50)
"""Qualities whose progressive files are cut at the budget; 30 and 50 are the published ones."""

_JPEG_END = b"\xff\xd9"
_JPEG_SCAN = b"\xff\xda"


@dataclass(frozen=True)
class CutJpeg:
    """A progressive JPEG of one quality at one scale, cut at the budget.

    Attributes:
        quality: Pillow's quality.
        scale: Each side is divided by this before encoding.
    """

    quality: int
    scale: int
    family: str = field(default="jpeg", init=False)

    @property
    def setting(self) -> str:
        """Quality and scale, in words."""
        return f"quality {self.quality}, cut, {name_scale(self.scale)}"

    @property
    def fingerprint(self) -> str:
        """Family, setting and the library's version."""
        return f"jpeg {self.setting} {_jpeg_version()} {SHRINK} {ENLARGE}"

    def encode_within(
        self, picture: NDArray[np.uint8], budgets: Sequence[int]
    ) -> dict[int, bytes | None]:
        """Return for each budget the beginning of the file, None where no scan begins in it."""
        pixels, side = shrink(picture, self.scale), picture.shape[0] // self.scale
        file = save(pixels, side, "JPEG", freeze(_jpeg_options(self.quality)))
        first_scan = file.index(_JPEG_SCAN) + 2 * len(_JPEG_SCAN)
        return {budget: file[:budget] if budget > first_scan else None for budget in budgets}

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        """Return the picture as far as it came, enlarged to 224 x 224."""
        return open_file(_end_jpeg(stream))


def open_jpeg() -> list[Contender]:
    """Return the variants of progressive JPEG: whole files first."""
    ladder = tuple(_jpeg_options(quality) for quality in range(1, 96))
    whole = [Rival("jpeg", "JPEG", ladder, scale, _jpeg_version()) for scale in SCALES]
    cut = [CutJpeg(quality, scale) for scale in SCALES for quality in JPEG_CUT_QUALITIES]
    return [*whole, *cut]


def _jpeg_version() -> str:
    return f"libjpeg-turbo {features.version('libjpeg_turbo')}"


def _jpeg_options(quality: int) -> dict[str, Any]:
    return {"quality": quality, "progressive": True, "optimize": True}


def _end_jpeg(stream: bytes) -> bytes:
    """Return the beginning of a JPEG file as a whole one (ITU-T T.81, annex B).

    A segment between scans that did not come whole is left out: libjpeg gives up on half of one.
    """
    start = 2
    while start + 4 <= len(stream):
        marker, length = stream[start : start + 2], int.from_bytes(stream[start + 2 : start + 4])
        end = start + 2 + length
        if marker == _JPEG_END or end > len(stream):
            break
        start = _find_marker(stream, end) if marker == _JPEG_SCAN else end
    return stream[:start] + _JPEG_END


def _find_marker(stream: bytes, start: int) -> int:
    """Return where coded data ends: at a marker that is neither a stuffed zero nor a restart."""
    while (start := stream.find(b"\xff", start)) >= 0 and start + 1 < len(stream):
        if stream[start + 1] and not 0xD0 <= stream[start + 1] <= 0xD7:
            return start
        start += 2
    return len(stream)
