"""Any picture to uint8 RGB [224, 224, 3], the same way in training and on every device.

    file, bytes, array, Pillow image
      -> first frame                      animations show their first picture
      -> upright                          EXIF orientation
      -> RGB, 8 bits                      16-bit scaled, CMYK and palette converted by Pillow,
                                          transparency composited on mid-grey
      -> fit, one resampling              Pillow BILINEAR (a triangle as wide as the reduction asks
                                          for, so it does not alias), reducing_gap 3.0

ICC profiles are ignored: what cameras and phones write is sRGB or near it, converting would need a
library that not every Pillow build has, and the networks were trained without. A CMYK file is
converted by the plain formula for the same reason.
"""

from __future__ import annotations

import io
import logging
import os
import struct
import threading
import warnings
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from pnc.errors import ConfigError, ImageError

PictureLike: TypeAlias = (
    str | os.PathLike[str] | bytes | bytearray | memoryview | NDArray[Any] | Image.Image
)
"""A path, the bytes of a picture file, an array, or a Pillow image."""

Fit: TypeAlias = Literal["crop", "squash", "pad"]
"""How a picture becomes square: its middle, distorted, or whole between mid-grey bars."""

SIZE = 224
"""Side of the pictures that the networks see, pixels."""

MAX_PIXELS = 64_000_000
"""Largest picture that is decoded, width times height. Cameras of phones and full-frame bodies
deliver 12 to 61 megapixels; at 4 bytes per pixel this is 256 MB, what a Raspberry Pi with 1 GB can
spare. The header tells, so a larger picture is refused before any of it is decoded."""

MAX_FILE_BYTES = 256 * 2**20
"""Largest file that is opened: an uncompressed picture of `MAX_PIXELS` at 4 bytes per pixel."""

BACKGROUND = (128, 128, 128)
"""What shows through transparent pixels and beside padded ones: mid-grey, the value that tells a
network least and costs a codec least; white or black would make a border of highest contrast."""

RESAMPLING = Image.Resampling.BILINEAR
"""The one filter of every resize: Pillow's BILINEAR, antialiased when it reduces."""

REDUCING_GAP = 3.0
"""Pillow first reduces by a whole factor to at least this multiple of the target; from 3.0 on its
manual calls the result nearly indistinguishable from plain resampling."""

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""File formats that are tried, as far as this Pillow has them. Left out are those that start other
programs (EPS), have no signature (TGA), or come from no camera: less code that faces unknown
bytes."""

SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("apng", "avif", "bmp", "gif", "j2k", "jfif", "jp2", "jpe", "jpeg", "jpg"),
        *("pbm", "pgm", "png", "pnm", "ppm", "tif", "tiff", "webp"),
    )
)
"""How the names of such files end, in any case: what counts as a picture inside a folder. A file
named by itself is always tried."""

_DECODING_ERRORS = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    ZeroDivisionError,
    RuntimeError,
    AssertionError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow's plugins raise on damaged files; the fuzzing test keeps this list honest."""


_REDUCIBLE_MODES = frozenset({"L", "LA", "RGB", "RGBA", "CMYK", "YCbCr"})
_UINT16_MAX = 65535
_ORIENTATION_TAG = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Without a handler Python prints what Pillow logs about damaged TIFF files on stderr.
logging.getLogger("PIL").addHandler(logging.NullHandler())

_WARNINGS_LOCK = threading.Lock()
"""Python's warning filters are shared by all threads; Pillow warns of odd but readable files."""


@lru_cache(maxsize=1)
def _known_formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def load_picture(
    picture: PictureLike, *, fit: Fit = "crop", size: int = SIZE, max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """Return any picture as uint8 RGB [size, size, 3].

    Args:
        picture: A path; the bytes of a picture file; a Pillow image; or an array [H, W] (grey),
            [H, W, 1] (grey), [H, W, 3] (RGB) or [H, W, 4] (RGB and alpha) of uint8, of uint16 (0
            to 65535), of bool, or of floats in [0, 1].
        fit: "crop" scales the shorter side to `size` and takes the middle, "squash" scales both
            sides, "pad" scales the longer side and fills up with mid-grey.
        size: Side of the result, pixels.
        max_pixels: Largest width times height that is decoded.

    A uint8 [size, size, 3] array comes back bit for bit, whatever the fit.

    Raises:
        ImageError: Missing, unreadable, empty, damaged or not a picture; larger than `max_pixels`;
            or an array of another shape, type or range. Attribute `source` names the picture.
        ConfigError: No such fit, or `size` is not positive.
    """
    if fit not in get_args(Fit):
        raise ConfigError(f"fit {fit!r} is unknown; use crop, squash or pad", fit=fit)
    if size < 1:
        raise ConfigError(f"size {size} is not a positive number of pixels", size=size)
    if isinstance(picture, np.ndarray):
        _check_size("array", picture.shape[1::-1] if picture.ndim > 1 else (0, 0), max_pixels)
        return _fitted(_from_array(picture, "array"), fit, size)
    if isinstance(picture, Image.Image):
        _check_size("image", picture.size, max_pixels)
        return _from_pillow(picture, "image", fit, size)
    source = "picture"
    file: io.BytesIO | io.BufferedReader
    if isinstance(picture, bytes | bytearray | memoryview):
        file, num_bytes = io.BytesIO(picture), len(picture)
    elif isinstance(picture, str | os.PathLike):
        source = os.fspath(picture)
        file, num_bytes = _open_file(source)
    else:
        kind = type(picture).__name__
        raise ImageError(f"cannot read a picture from a {kind}; pass a path, bytes or an array")
    with file:
        return _from_file(file, num_bytes, source, fit, size, max_pixels)


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Return uint8 RGB [H, W, 3] or grey [H, W] as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG")
    return buffer.getvalue()


def _open_file(source: str) -> tuple[io.BufferedReader, int]:
    path = Path(source)
    try:
        if path.is_dir():
            raise ImageError(f"{source}: is a folder; name a picture in it", source=source)
        if path.exists() and not path.is_file():
            raise ImageError(f"{source}: is not a regular file", source=source)
        return path.open("rb"), path.stat().st_size
    except FileNotFoundError as error:
        message = f"{source}: no such file; check the path"
        raise ImageError(message, source=source) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ImageError(f"{source}: cannot be read ({reason})", source=source) from error


def _check_size(source: str, size: tuple[int, ...], max_pixels: int) -> None:
    num_pixels = size[0] * size[1]
    if num_pixels > max_pixels:
        raise ImageError(
            f"{source}: {size[0]} x {size[1]} is {num_pixels / 1e6:.1f} megapixels, over the limit "
            f"of {max_pixels / 1e6:.1f}; reduce it first",
            source=source,
            num_pixels=num_pixels,
        )


def _from_file(
    file: io.BufferedReader | io.BytesIO,
    num_bytes: int,
    source: str,
    fit: Fit,
    size: int,
    max_pixels: int,
) -> NDArray[np.uint8]:
    if num_bytes == 0:
        raise ImageError(f"{source}: is empty; not a picture", source=source)
    if num_bytes > MAX_FILE_BYTES:
        raise ImageError(
            f"{source}: {num_bytes / 2**20:.0f} MiB is over the limit of "
            f"{MAX_FILE_BYTES // 2**20} MiB; reduce it first",
            source=source,
        )
    with _WARNINGS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(file, formats=_known_formats()) as image:
                _check_size(source, image.size, max_pixels)
                if isinstance(image, JpegImageFile):
                    enough = round(size * REDUCING_GAP)
                    image.draft(None, (enough, enough))
                return _from_pillow(image, source, fit, size)
        except UnidentifiedImageError as error:
            known = ", ".join(_known_formats())
            message = f"{source}: not a picture, or damaged at its start; known are {known}"
            raise ImageError(message, source=source) from error
        except Image.DecompressionBombError as error:
            message = f"{source}: far over the limit of {max_pixels / 1e6:.1f} megapixels"
            raise ImageError(message, source=source) from error
        except _DECODING_ERRORS as error:
            raise _damaged(source, error) from error


def _damaged(source: str, error: BaseException) -> ImageError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return ImageError(f"{source}: the picture is truncated or damaged ({reason})", source=source)


def _from_pillow(image: Image.Image, source: str, fit: Fit, size: int) -> NDArray[np.uint8]:
    try:
        image.load()
        turn = _TURNS.get(_orientation(image))
        factor = min(image.size) // round(size * REDUCING_GAP)
        if factor > 1 and image.mode in _REDUCIBLE_MODES:
            image = image.reduce(factor)
        if turn is not None:
            image = image.transpose(turn)
        return _fitted(_flattened(image, source), fit, size)
    except _DECODING_ERRORS as error:
        raise _damaged(source, error) from error


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; damaged EXIF data says nothing, so 1."""
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except _DECODING_ERRORS:
        return 1


def _flattened(image: Image.Image, source: str) -> Image.Image:
    """Return any mode as RGB on the background."""
    if image.mode.startswith("I"):
        levels = np.asarray(image)
        if levels.min() < 0 or levels.max() > _UINT16_MAX:
            raise ImageError(f"{source}: its values are not in 0 to 65535", source=source)
        return _from_array(levels.astype(np.uint16), source)
    if image.mode == "F":
        return _from_array(np.asarray(image), source)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        below = Image.new("RGBA", image.size, (*BACKGROUND, 255))
        return Image.alpha_composite(below, image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_array(array: NDArray[Any], source: str) -> Image.Image:
    """Return an array of any allowed type and shape as an RGB image."""
    shape = array.shape
    if len(shape) not in (2, 3) or 0 in shape or (len(shape) == 3 and shape[2] not in (1, 3, 4)):
        raise ImageError(
            f"{source}: shape {list(shape)} is not [H, W] or [H, W, 1, 3 or 4]", source=source
        )
    if array.dtype == np.uint8:
        levels = array
    elif array.dtype == np.bool_:
        levels = array.astype(np.uint8) * 255
    elif array.dtype == np.uint16:
        levels = ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    elif array.dtype.kind == "f":
        if not (array.min() >= 0 and array.max() <= 1):
            raise ImageError(
                f"{source}: floats must lie in [0, 1]; divide by the largest value", source=source
            )
        levels = (array * 255 + 0.5).astype(np.uint8)
    else:
        raise ImageError(
            f"{source}: type {array.dtype} is not uint8, uint16, bool or float", source=source
        )
    if len(shape) == 3 and shape[2] == 1:
        levels = levels[..., 0]
    return _flattened(Image.fromarray(np.ascontiguousarray(levels)), source)


def _fitted(image: Image.Image, fit: Fit, size: int) -> NDArray[np.uint8]:
    """Return an RGB image as uint8 [size, size, 3]."""
    width, height = image.size
    if (width, height) != (size, size):
        if fit == "pad":
            image = _padded(image, size)
        else:
            side = min(width, height)
            left, top = (width - side) / 2, (height - side) / 2
            box = (left, top, left + side, top + side) if fit == "crop" else None
            image = image.resize((size, size), RESAMPLING, box, REDUCING_GAP)
    return np.array(image, np.uint8)


def _padded(image: Image.Image, size: int) -> Image.Image:
    longest = max(image.size)
    width = max(1, round(image.width * size / longest))
    height = max(1, round(image.height * size / longest))
    canvas = Image.new("RGB", (size, size), BACKGROUND)
    reduced = image.resize((width, height), RESAMPLING, None, REDUCING_GAP)
    canvas.paste(reduced, ((size - width) // 2, (size - height) // 2))
    return canvas
