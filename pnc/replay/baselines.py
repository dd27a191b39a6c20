"""Pillow's codecs and our own behind one interface: picture, byte limit, picture.

    family       variants, of which a benchmark takes the best at each budget
    our streams  one: the stream cut at the budget
    rivals       picture shrunk by 1, 2 or 4 first; for JPEG: whole, or one of three qualities cut
                 at the budget; for JPEG XL: one of two efforts

Every rival gets bare pixels (no ICC profile, no EXIF: both would add up to 3 KB) and its highest
quality whose whole file fits, found by bisection. Every byte counts that a receiver cannot know
beforehand; AVIF also comes without its container, which is the same for all pictures of one size.

    quality -> file size rises                  what bisection relies on; where a codec wavers,
                                                a quality that fits is found, not always the last
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import io
import math
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError, features

import pnc.codec as codec_package
from pnc.codec.codec import Codec
from pnc.codec.image import SIZE
from pnc.errors import ConfigError

SCALES = (1, 2, 4)
"""By how much a rival may shrink the picture before it encodes it."""

SHRINK = Image.Resampling.LANCZOS
ENLARGE = Image.Resampling.BICUBIC
"""Filters of the way there and back, the usual best of Pillow's for each."""

JPEG_CUT_QUALITIES = (10, 30, 50)
"""Qualities whose progressive files are cut at the budget; 30 and 50 are the published ones."""

_JPEG_END = b"\xff\xd9"
_JPEG_SCAN = b"\xff\xda"


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
class OwnStreams:
    """A checkpoint of ours: the stream cut at the budget, to the byte."""

    codec: Codec

    @property
    def family(self) -> str:
        """Name of the checkpoint."""
        return self.codec.checkpoint.name

    @property
    def setting(self) -> str:
        """How the budget is met."""
        return "cut at the budget"

    @property
    def fingerprint(self) -> str:
        """The checkpoint's id, which covers encoder and tables; its decoder; the codec's code."""
        checkpoint = self.codec.checkpoint
        decoder = hashlib.sha256(checkpoint.read("decoder.tflite")).hexdigest()
        return f"{checkpoint.name} {checkpoint.id} {decoder[:16]} {_code_digest()}"

    def encode_within(
        self, picture: NDArray[np.uint8], budgets: Sequence[int]
    ) -> dict[int, bytes | None]:
        """Return for each budget the stream cut there; always fits."""
        stream = self.codec.encode(picture)
        return {budget: stream[:budget] for budget in budgets}

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        """Return the picture that a prefix holds."""
        return self.codec.decode(stream)


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
        return _scale_words(self.scale)

    @property
    def fingerprint(self) -> str:
        """Family, scale, the ends of the ladder, and the library's version."""
        ends = (self.ladder[0], self.ladder[-1], len(self.ladder))
        return f"{self.family} {self.setting} {ends} {self.version} {SHRINK} {ENLARGE}"

    def encode_within(
        self, picture: NDArray[np.uint8], budgets: Sequence[int]
    ) -> dict[int, bytes | None]:
        """Return for each budget the file of the highest quality that fits."""
        pixels, side = _shrink(picture, self.scale), picture.shape[0] // self.scale
        return search_ladder(
            lambda step: self.pack(_save(pixels, side, self.format, _freeze(self.ladder[step]))),
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
        return _open(self.unpack(stream))


@dataclass(frozen=True)
class StrippedAvif(Rival):
    """AVIF without its container: only the coded picture is sent, the receiver adds the rest.

    What is left out (275 bytes with libavif 1.4: ``ftyp``, ``meta`` and the header of ``mdat``) is
    the same for all pictures of one size but for three lengths, which follow from the size of what
    is sent. A file where that does not hold is sent whole.
    """

    def pack(self, file: bytes) -> bytes:
        """Return the payload of ``mdat``, or the file if it could not be restored from it."""
        payload = _split_avif(file)[1]
        return payload if self.unpack(payload) == file else file

    def unpack(self, stream: bytes) -> bytes:
        """Return the whole file."""
        if stream[4:8] == b"ftyp":
            return stream
        side = SIZE // self.scale
        return _join_avif(_avif_container(side, _freeze(self.ladder[-1])), stream)


@dataclass(frozen=True)
class JpegXl(Rival):
    """JPEG XL as a bare code stream, by Pillow's plug-in; efforts are variants as scales are."""

    @property
    def setting(self) -> str:
        """Effort and scale, in words."""
        return f"effort {self.ladder[0]['effort']}, {_scale_words(self.scale)}"


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
        return f"quality {self.quality}, cut, {_scale_words(self.scale)}"

    @property
    def fingerprint(self) -> str:
        """Family, setting and the library's version."""
        return f"jpeg {self.setting} {_jpeg_version()} {SHRINK} {ENLARGE}"

    def encode_within(
        self, picture: NDArray[np.uint8], budgets: Sequence[int]
    ) -> dict[int, bytes | None]:
        """Return for each budget the beginning of the file, None where no scan begins in it."""
        pixels, side = _shrink(picture, self.scale), picture.shape[0] // self.scale
        file = _save(pixels, side, "JPEG", _freeze(_jpeg_options(self.quality)))
        first_scan = file.index(_JPEG_SCAN) + 2 * len(_JPEG_SCAN)
        return {budget: file[:budget] if budget > first_scan else None for budget in budgets}

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        """Return the picture as far as it came, enlarged to 224 x 224."""
        return _open(_end_jpeg(stream))


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


@lru_cache(maxsize=1)
def _code_digest() -> str:
    """Return a hash of the codec's source: a change there may change streams or pictures."""
    folder = Path(codec_package.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _scale_words(scale: int) -> str:
    return "full size" if scale == 1 else f"scale 1/{scale}"


def _freeze(options: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(options.items()))


@lru_cache(maxsize=16)
def _shrink_bytes(pixels: bytes, side: int, scale: int) -> bytes:
    image = Image.frombytes("RGB", (side, side), pixels)
    return image.resize((side // scale, side // scale), SHRINK).tobytes()


def _shrink(picture: NDArray[np.uint8], scale: int) -> bytes:
    """Return uint8 RGB [side, side, 3] shrunk, as raw bytes: what caches can be keyed by."""
    raw = np.ascontiguousarray(picture).tobytes()
    return raw if scale == 1 else _shrink_bytes(raw, picture.shape[0], scale)


@lru_cache(maxsize=256)
def _save(
    pixels: bytes, side: int, file_format: str, options: tuple[tuple[str, Any], ...]
) -> bytes:
    """Return a file of bare pixels; remembered, since variants ask for the same ones."""
    buffer = io.BytesIO()
    Image.frombytes("RGB", (side, side), pixels).save(buffer, file_format, **dict(options))
    return buffer.getvalue()


def _open(file: bytes) -> NDArray[np.uint8]:
    """Return the picture in a file at 224 x 224; mid-grey if none can be made out."""
    try:
        with Image.open(io.BytesIO(file)) as image:
            pixels = image.convert("RGB")
    except (OSError, UnidentifiedImageError):
        return np.full((SIZE, SIZE, 3), 128, np.uint8)
    if pixels.size != (SIZE, SIZE):
        pixels = pixels.resize((SIZE, SIZE), ENLARGE)
    return np.array(pixels, np.uint8)


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


def _split_avif(file: bytes) -> tuple[bytes, bytes]:
    """Return an AVIF file's container and the payload of its ``mdat``, which is its last box."""
    start = 0
    while start + 8 <= len(file):
        size, kind = struct.unpack_from(">I4s", file, start)
        if kind == b"mdat" and start + size == len(file):
            return file[: start + 8], file[start + 8 :]
        start += max(size, 8)
    return file, b""


def _join_avif(container: bytes, payload: bytes) -> bytes:
    """Return the file of a container, its lengths corrected, and a payload (ISO/IEC 14496-12)."""
    patched = bytearray(container + payload)
    struct.pack_into(">I", patched, len(container) - 8, len(payload) + 8)
    location = container.index(b"iloc") - 4
    (box_size,) = struct.unpack_from(">I", container, location)
    struct.pack_into(">I", patched, location + box_size - 4, len(payload))
    return bytes(patched)


@lru_cache(maxsize=8)
def _avif_container(side: int, options: tuple[tuple[str, Any], ...]) -> bytes:
    return _split_avif(_save(bytes(3 * side * side), side, "AVIF", options))[0]


def _version(feature: str) -> str:
    if not features.check(feature):
        raise ConfigError(f"this Pillow was built without {feature}; install Pillow 11.3 or newer")
    return f"{feature} {features.version(feature)}"


def _jpeg_version() -> str:
    return f"libjpeg-turbo {features.version('libjpeg_turbo')}"


def _jpeg_options(quality: int) -> dict[str, Any]:
    return {"quality": quality, "progressive": True, "optimize": True}


def _open_jpeg() -> list[Contender]:
    ladder = tuple(_jpeg_options(quality) for quality in range(1, 96))
    whole = [Rival("jpeg", "JPEG", ladder, scale, _jpeg_version()) for scale in SCALES]
    cut = [CutJpeg(quality, scale) for scale in SCALES for quality in JPEG_CUT_QUALITIES]
    return [*whole, *cut]


def _open_webp() -> list[Contender]:
    ladder = tuple({"quality": quality, "method": 6} for quality in range(101))
    return [Rival("webp", "WEBP", ladder, scale, _version("webp")) for scale in SCALES]


AVIF_SPEED = 6
"""libavif's effort, 0 to 10, least at 10: Pillow's default."""


def _avif_ladder() -> tuple[Mapping[str, Any], ...]:
    """Return one quality for each of AV1's 64 quantizers, by libavif's rule, coarsest first."""
    of_quantizer = {((100 - quality) * 63 + 50) // 100: quality for quality in range(101)}
    return tuple(
        {"quality": of_quantizer[quantizer], "speed": AVIF_SPEED, "max_threads": 1}
        for quantizer in sorted(of_quantizer, reverse=True)
    )


def _open_avif() -> list[Contender]:
    ladder = _avif_ladder()
    return [Rival("avif", "AVIF", ladder, scale, _version("avif")) for scale in SCALES]


def _open_stripped_avif() -> list[Contender]:
    ladder, version = _avif_ladder(), _version("avif")
    return [StrippedAvif("avif-stripped", "AVIF", ladder, scale, version) for scale in SCALES]


JPEG_XL_PLUGIN = "pillow-jxl-plugin"
"""The distribution that teaches Pillow JPEG XL."""

JPEG_XL_EFFORTS = (7, 9)
"""libjxl's default, and what saves 2 to 5 % of the bytes at equal PSNR for five times the work; 10
takes as long again and saves nothing at these sizes."""


def _open_jpeg_xl() -> list[Contender]:
    try:
        # By name: an optional package, which registers itself with Pillow.
        importlib.import_module("pillow_jxl")
    except ImportError as error:
        raise ConfigError(f"no JPEG XL here; install {JPEG_XL_PLUGIN}") from error
    version = f"{JPEG_XL_PLUGIN} {importlib.metadata.version(JPEG_XL_PLUGIN)}"
    ladders = [
        tuple(
            {"quality": half / 2, "effort": effort, "num_threads": 0, "use_container": False}
            for half in range(200)
        )
        for effort in JPEG_XL_EFFORTS
    ]
    return [JpegXl("jpegxl", "JXL", lad, scale, version) for lad in ladders for scale in SCALES]


def _open_jpeg2000() -> list[Contender]:
    ratios = np.geomspace(600.0, 4.0, 128).round(2).tolist()
    ladder = tuple(
        {"quality_mode": "rates", "quality_layers": (ratio,), "irreversible": True, "no_jp2": True}
        for ratio in ratios
    )
    version = _version("jpg_2000")
    return [Rival("jpeg2000", "JPEG2000", ladder, scale, version) for scale in SCALES]


RIVALS: dict[str, Callable[[], list[Contender]]] = {
    "jpeg": _open_jpeg,
    "webp": _open_webp,
    "avif": _open_avif,
    "avif-stripped": _open_stripped_avif,
    "jpegxl": _open_jpeg_xl,
    "jpeg2000": _open_jpeg2000,
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
}
"""What tables and plots call them."""
