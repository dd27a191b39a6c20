from __future__ import annotations

import contextlib
import io
import os
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from pnc.codec.image import (
    BACKGROUND,
    FORMATS,
    MAX_PIXELS,
    SUFFIXES,
    Fit,
    PictureLike,
    encode_png,
    load_picture,
)
from pnc.errors import ConfigError, ImageError

FITS: tuple[Fit, ...] = ("crop", "squash", "pad")


def gradient(height: int, width: int) -> NDArray[np.uint8]:
    rows, columns = np.mgrid[0:height, 0:width]
    red, green = rows * 255 // height, columns * 255 // width
    return np.stack([red, green, 255 - red], axis=-1).astype(np.uint8)


def written(image: Image.Image, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def quarters() -> Image.Image:
    """Return a picture whose top left quarter alone is red, the rest blue."""
    pixels = np.zeros((224, 224, 3), np.uint8)
    pixels[..., 2] = 255
    pixels[:112, :112] = (255, 0, 0)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("fit", FITS)
def test_a_picture_of_the_right_size_passes_bit_for_bit(fit: Fit) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    assert np.array_equal(load_picture(pixels, fit=fit), pixels)
    assert np.array_equal(load_picture(encode_png(pixels), fit=fit), pixels)
    assert np.array_equal(load_picture(Image.fromarray(pixels), fit=fit), pixels)


def test_the_result_is_a_copy() -> None:
    pixels = gradient(224, 224)
    load_picture(pixels)[:] = 0
    assert pixels.any()


@pytest.mark.parametrize("shape", [(1, 1), (3, 1000), (300, 200), (1000, 999), (2, 224)])
@pytest.mark.parametrize("fit", FITS)
def test_every_size_and_fit_gives_a_square(shape: tuple[int, int], fit: Fit) -> None:
    loaded = load_picture(gradient(*shape), fit=fit, size=96)
    assert loaded.shape == (96, 96, 3)
    assert loaded.dtype == np.uint8


def test_crop_takes_the_middle_squash_takes_all_and_pad_adds_bars() -> None:
    pixels = np.zeros((100, 300, 3), np.uint8)
    pixels[:, 100:200] = 255
    assert load_picture(pixels, fit="crop")[:, 1:-1].min() == 255
    squashed = load_picture(pixels, fit="squash")
    assert squashed[112, 112, 0] == 255
    assert squashed[112, 10, 0] == 0
    padded = load_picture(pixels, fit="pad")
    assert tuple(padded[0, 0]) == BACKGROUND
    assert tuple(padded[223, 112]) == BACKGROUND
    assert padded[112, 112, 0] == 255
    assert padded[112, 3, 0] == 0


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_undone(orientation: int, file_format: str) -> None:
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    image = quarters()
    stored = image.transpose(undo[orientation]) if orientation in undo else image
    exif = Image.Exif()
    exif[0x0112] = orientation
    loaded = load_picture(written(stored, file_format, exif=exif))
    assert loaded[50, 50, 0] > 200
    assert loaded[50, 170, 0] < 60
    assert loaded[170, 50, 0] < 60
    assert loaded[170, 170, 0] < 60


def test_orientation_survives_the_early_reduction() -> None:
    image = quarters().resize((1600, 1600)).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    for file_format in ("JPEG", "PNG"):
        loaded = load_picture(written(image, file_format, exif=exif))
        assert loaded[50, 50, 0] > 200
        assert loaded[170, 50, 0] < 60


def test_transparency_shows_mid_grey() -> None:
    clear = Image.new("RGBA", (300, 300), (255, 0, 0, 0))
    half = Image.new("RGBA", (300, 300), (255, 0, 0, 128))
    assert tuple(load_picture(written(clear, "PNG"))[9, 9]) == BACKGROUND
    red, green, _ = load_picture(written(half, "WEBP", lossless=True))[9, 9]
    assert 188 <= red <= 195
    assert 60 <= green <= 68
    palette = Image.new("P", (300, 300), 0)
    palette.putpalette([9, 9, 9, 250, 250, 250])
    assert tuple(load_picture(written(palette, "PNG", transparency=0))[9, 9]) == BACKGROUND
    grey = Image.new("LA", (300, 300), (255, 0))
    assert tuple(load_picture(written(grey, "PNG"))[9, 9]) == BACKGROUND
    assert tuple(load_picture(np.zeros((50, 50, 4), np.uint8))[9, 9]) == BACKGROUND


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "I", "I;16"])
def test_every_mode_gives_white_for_white(mode: str) -> None:
    full = 65535 if mode.startswith("I") else 255
    white: Any = {"CMYK": (0, 0, 0, 0), "YCbCr": (255, 128, 128)}.get(mode, full)
    if mode in ("RGB", "RGBA", "LA"):
        white = (255,) * len(mode)
    assert load_picture(Image.new(mode, (40, 30), white)).min() >= 254


def test_palettes_are_resolved() -> None:
    image = Image.new("P", (40, 30), 1)
    image.putpalette([9, 9, 9, 250, 120, 30])
    for picture in (image, written(image, "GIF"), written(image, "PNG")):
        assert tuple(load_picture(picture)[5, 5]) == (250, 120, 30)


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    levels = np.linspace(0, 65535, 224, dtype=np.uint16)[None].repeat(224, 0)
    expected = np.round(levels / 257).astype(np.uint8)
    picture = Image.fromarray(levels)
    candidates: list[PictureLike] = [
        levels,
        written(picture, "PNG"),
        written(picture, "TIFF"),
        written(picture.convert("I"), "PPM"),
    ]
    for candidate in candidates:
        assert np.array_equal(load_picture(candidate)[..., 1], expected)


def test_arrays_of_every_type_agree() -> None:
    pixels = gradient(64, 64)
    expected = load_picture(pixels)
    assert np.array_equal(load_picture(pixels.astype(np.uint16) * 257), expected)
    assert np.array_equal(load_picture(pixels / 255), expected)
    assert np.array_equal(load_picture((pixels / 255).astype(np.float16)), expected)
    assert np.array_equal(load_picture(pixels[..., :1]), load_picture(pixels[..., 0]))
    assert load_picture(np.eye(4, dtype=np.bool_)).max() == 255
    assert np.array_equal(load_picture(pixels[:, ::-1]), load_picture(pixels[:, ::-1].copy()))


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_shows_its_first_picture(file_format: str) -> None:
    first, second = Image.new("RGB", (30, 30), (255, 0, 0)), Image.new("RGB", (30, 30), (0, 0, 255))
    loaded = load_picture(written(first, file_format, save_all=True, append_images=[second]))
    assert loaded[100, 100, 0] > 240
    assert loaded[100, 100, 2] < 15


def test_path_bytes_and_image_agree(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode_png(gradient(300, 400)))
    expected = load_picture(gradient(300, 400))
    for picture in (path, str(path), path.read_bytes(), Image.open(path)):
        assert np.array_equal(load_picture(picture), expected)


def png_header(width: int, height: int) -> bytes:
    facts = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + facts
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
    return start + struct.pack(">I", zlib.crc32(chunk)) + struct.pack(">I", 0) + b"IDAT"


@pytest.mark.parametrize("size", [(10_000, 10_000), (8001, 8000), (60_000, 60_000)])
def test_a_huge_picture_is_refused_from_its_header(size: tuple[int, int]) -> None:
    started = time.process_time()
    with pytest.raises(ImageError, match="over the limit of 64") as caught:
        load_picture(png_header(*size))
    assert time.process_time() - started < 0.5
    assert "\n" not in str(caught.value)


def test_huge_arrays_and_images_are_refused() -> None:
    wide = np.broadcast_to(np.uint8(0), (10_000, 10_000))
    with pytest.raises(ImageError, match=r"100\.0 megapixels"):
        load_picture(wide)
    with pytest.raises(ImageError, match="over the limit"):
        load_picture(Image.new("L", (20, 20)), max_pixels=399)
    assert load_picture(Image.new("L", (20, 20)), max_pixels=400).shape == (224, 224, 3)


def test_a_fifty_megapixel_jpeg_is_read() -> None:
    assert MAX_PIXELS > 8160 * 6144
    camera = written(Image.new("L", (8160, 6144), 200), "JPEG")
    assert np.all(np.abs(load_picture(camera).astype(int) - 200) <= 1)


def test_bad_files_give_one_line(tmp_path: Path) -> None:
    whole = written(Image.fromarray(gradient(300, 300)), "JPEG")
    cases: dict[str, tuple[bytes | None, str]] = {
        "missing.jpg": (None, "no such file"),
        "empty.png": (b"", "empty"),
        "notes.txt": (b"these are words, not a picture", "not a picture"),
        "truncated.jpg": (whole[: len(whole) // 2], "truncated or damaged"),
        "start.jpg": (whole[:20], "not a picture|damaged"),
    }
    for name, (content, expected) in cases.items():
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ImageError, match=expected) as caught:
            load_picture(path)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
        assert caught.value.source == str(path)
    with pytest.raises(ImageError, match="folder"):
        load_picture(tmp_path)
    with pytest.raises(ImageError, match="empty"):
        load_picture(b"")
    with pytest.raises(ImageError, match="cannot be read"):
        load_picture("a\0b")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ImageError, match="not a regular file"):
        load_picture(tmp_path / "pipe")


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 4, 3), np.uint8),
        np.zeros(7, np.uint8),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((4, 4, 4, 3), np.uint8),
        np.zeros((4, 4), np.int32),
        np.zeros((4, 4), np.complex64),
        np.full((4, 4), 255.0),
        np.full((4, 4), np.nan),
        np.full((4, 4), -0.1),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(array: NDArray[Any]) -> None:
    with pytest.raises(ImageError, match=r"^array: "):
        load_picture(array)


def test_other_things_and_settings_are_refused() -> None:
    with pytest.raises(ImageError, match="from a int"):
        load_picture(3)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="fit"):
        load_picture(gradient(4, 4), fit="stretch")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="size"):
        load_picture(gradient(4, 4), size=0)
    with pytest.raises(ImageError, match="65535"):
        load_picture(Image.new("I", (4, 4), 70_000))


SEEDS = tuple(
    written(Image.fromarray(gradient(40, 50)), file_format)
    for file_format in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM")
)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8),
    st.floats(0.05, 1),
)
def test_damaged_files_give_a_picture_or_an_image_error(
    seed: bytes, changes: list[tuple[float, int]], share: float
) -> None:
    damaged = bytearray(seed)
    for place, value in changes:
        damaged[int(place * (len(damaged) - 1))] = value
    with contextlib.suppress(ImageError):
        assert load_picture(bytes(damaged[: int(share * len(damaged)) + 1])).shape == (224, 224, 3)


def test_files_are_found_by_the_suffixes_of_the_formats_that_are_tried() -> None:
    format_of = Image.registered_extensions()
    assert {format_of[suffix] for suffix in SUFFIXES} == set(FORMATS)


@given(st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=20, deadline=None)
def test_png_is_lossless(height: int, width: int) -> None:
    pixels = gradient(height, width)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode_png(pixels)))), pixels)
