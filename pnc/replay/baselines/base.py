"""What all codecs of the benchmarks share: the face, bare files, the search for what fits.

picture  ->  shrink()  ->  save()  ->  file  ->  open_file()  ->  picture

quality -> file size rises     what the search relies on; where a codec wavers, a quality that
                               fits is found, not always the last
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError, features

from pnc.codec.image import SIZE
from pnc.errors import ConfigError

SCALES = (1, 2, 4)
"""By how much a rival may shrink the picture before it encodes it."""

SHRINK = Image.Resampling.LANCZOS
ENLARGE = Image.Resampling.BICUBIC
"""Filters of the way there and back, the usual best of Pillow's for each."""

Options = tuple[tuple[str, Any], ...]
"""Options of Pillow's ``save`` that caches can be keyed by, see `freeze`."""


class Contender(Protocol):
    """One codec at one setting, as the benchmarks see it."""

    @property
    def family(self) -> str:
        """The codec it is a setting of."""

    @property
    def setting(self) -> str:
        """The setting, in words."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever its bytes or its pictures may change: the key of caches."""

    def encode_within(
        self, picture: NDArray[np.uint8], budgets: Sequence[int]
    ) -> dict[int, bytes | None]:
        """Return for each budget the best stream of at most so many bytes, None if there is none.

        Args:
            picture: uint8 RGB [224, 224, 3].
            budgets: Bytes.
        """

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        """Return what a receiver sees, uint8 RGB [224, 224, 3]."""


@dataclass(frozen=True)
class Rival:
    """A codec of Pillow's at one scale, whole files.

    Attributes:
        family: Name of the codec.
        format: Pillow's name of the file format.
        ladder: Its quality settings, smallest file first, each as options of Pillow's ``save``.
        scale: Each side is divided by this before encoding.
        version: Of the library that encodes.
    """

    family: str
    format: str
    ladder: tuple[Mapping[str, Any], ...]
    scale: int
    version: str

    @property
    def setting(self) -> str:
        """The scale, in words."""
        return name_scale(self.scale)

    @property
    def fingerprint(self) -> str:
        """Family, scale, the ends of the ladder, and the library's version."""
        ends = (self.ladder[0], self.ladder[-1], len(self.ladder))
        return f"{self.family} {self.setting} {ends} {self.version} {SHRINK} {ENLARGE}"

    def encode_within(
        self, picture: NDArray[np.uint8], budgets: Sequence[int]
    ) -> dict[int, bytes | None]:
        """Return for each budget the file of the highest quality that fits."""
        pixels, side = shrink(picture, self.scale), picture.shape[0] // self.scale
        return search_ladder(
            lambda step: self.pack(save(pixels, side, self.format, freeze(self.ladder[step]))),
            len(self.ladder),
            budgets,
        )

    def pack(self, file: bytes) -> bytes:
        """Return what of a file is sent: all of it."""
        return file

    def unpack(self, stream: bytes) -> bytes:
        """Return the file that `pack` was given."""
        return stream

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        """Return the picture in a file, enlarged to 224 x 224."""
        return open_file(self.unpack(stream))


def search_ladder(
    encode: Callable[[int], bytes], num_steps: int, budgets: Sequence[int]
) -> dict[int, bytes | None]:
    """Return for each budget what the highest step that fits gives, None if the lowest does not.

    Guesses from the sizes known, whose logarithms are nearly linear in the step; guesses that miss
    on the same side again are pushed on in doubling strides. About three encodings a budget.

    Args:
        encode: From a step, 0 to `num_steps` - 1, to a file; larger files for higher steps.
        num_steps: Length of the ladder.
        budgets: Bytes.
    """
    made: dict[int, bytes] = {}

    def size(step: int) -> int:
        if step not in made:
            made[step] = encode(step)
        return len(made[step])

    best: dict[int, bytes | None] = {}
    for budget in sorted(set(budgets)):
        if size(0) > budget:
            best[budget] = None
            continue
        low = max(step for step, file in made.items() if len(file) <= budget)
        too_large = [step for step, file in made.items() if step > low and len(file) > budget]
        high = min(too_large, default=num_steps)
        push, fitted = 0, None
        while high - low > 1:
            step = (low + high) // 2
            if high in made:
                share = math.log(budget / size(low)) / math.log(size(high) / size(low))
                step = low + round(share * (high - low)) + (push if fitted else -push)
                step = min(max(step, low + 1), high - 1)
            fits = size(step) <= budget
            low, high = (step, high) if fits else (low, step)
            push, fitted = (2 * push + 1 if fits == fitted else 0), fits
        best[budget] = made[low]
    return best


def name_scale(scale: int) -> str:
    """Return a scale in words."""
    return "full size" if scale == 1 else f"scale 1/{scale}"


def name_version(feature: str) -> str:
    """Return one of Pillow's features with its version.

    Raises:
        ConfigError: This Pillow lacks it.
    """
    if not features.check(feature):
        raise ConfigError(f"this Pillow was built without {feature}; install Pillow 11.3 or newer")
    return f"{feature} {features.version(feature)}"


def freeze(options: Mapping[str, Any]) -> Options:
    """Return options in an order of their own."""
    return tuple(sorted(options.items()))


def shrink(picture: NDArray[np.uint8], scale: int) -> bytes:
    """Return uint8 RGB [side, side, 3] shrunk, as raw bytes: what caches can be keyed by."""
    raw = np.ascontiguousarray(picture).tobytes()
    return raw if scale == 1 else _shrink_bytes(raw, picture.shape[0], scale)


@lru_cache(maxsize=16)
def _shrink_bytes(pixels: bytes, side: int, scale: int) -> bytes:
    image = Image.frombytes("RGB", (side, side), pixels)
    return image.resize((side // scale, side // scale), SHRINK).tobytes()


@lru_cache(maxsize=256)
def save(pixels: bytes, side: int, file_format: str, options: Options) -> bytes:
    """Return a file of bare pixels; remembered, since variants ask for the same ones."""
    buffer = io.BytesIO()
    Image.frombytes("RGB", (side, side), pixels).save(buffer, file_format, **dict(options))
    return buffer.getvalue()


def open_file(file: bytes) -> NDArray[np.uint8]:
    """Return the picture in a file at 224 x 224; mid-grey if none can be made out."""
    try:
        with Image.open(io.BytesIO(file)) as image:
            pixels = image.convert("RGB")
    except (OSError, UnidentifiedImageError):
        return np.full((SIZE, SIZE, 3), 128, np.uint8)
    if pixels.size != (SIZE, SIZE):
        pixels = pixels.resize((SIZE, SIZE), ENLARGE)
    return np.array(pixels, np.uint8)
