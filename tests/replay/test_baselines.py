from __future__ import annotations

import io
import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, features

from pnc import belt
from pnc.codec.codec import Codec
from pnc.errors import ConfigError
from pnc.replay.baselines import (
    RIVALS,
    SCALES,
    TITLES,
    Contender,
    CutJpeg,
    OwnStreams,
    Rival,
    StrippedAvif,
    find_missing,
    open_family,
    search_ladder,
)
from pnc.replay.metrics import psnr_db

BUDGETS = (512, 1024, 2048)
CONTAINER_BYTES = 275


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    return belt.render(3, seed=3)[0]


def variant(family: str, setting: str) -> Contender:
    return next(v for v in open_family(family) if v.setting == setting)


def test_every_rival_has_a_title_and_every_scale() -> None:
    assert TITLES.keys() == {*RIVALS, "rtss23-huffman"}
    for family in RIVALS.keys() - find_missing(RIVALS):
        variants = open_family(family)
        assert {v.family for v in variants} == {family}
        assert len({v.fingerprint for v in variants}) == len(variants)
        settings = [v.setting for v in variants]
        for words in ("full size", "scale 1/2", "scale 1/4"):
            assert any(setting.endswith(words) for setting in settings)


@pytest.mark.parametrize("family", ["jpeg", "webp", "avif-stripped", "jpegxl", "jpeg2000"])
def test_streams_fit_and_more_bytes_look_better(family: str, picture: NDArray[np.uint8]) -> None:
    if family == "jpegxl":
        pytest.importorskip("pillow_jxl")
    contender = variant(family, "effort 9, scale 1/2" if family == "jpegxl" else "scale 1/2")
    streams = contender.encode_within(picture, (1200, 2000))
    quality = []
    for budget, stream in streams.items():
        assert stream is not None
        assert len(stream) <= budget
        decoded = contender.decode(stream)
        assert decoded.shape == (224, 224, 3)
        quality.append(psnr_db(picture, decoded))
    assert 20 < quality[0] < quality[1]


def test_what_cannot_fit_is_none(picture: NDArray[np.uint8]) -> None:
    assert variant("webp", "full size").encode_within(picture, [100]) == {100: None}
    assert CutJpeg(30, 1).encode_within(picture, [100]) == {100: None}


def test_the_next_quality_would_not_fit(picture: NDArray[np.uint8]) -> None:
    rival = variant("webp", "scale 1/4")
    assert isinstance(rival, Rival)
    stream = rival.encode_within(picture, [700])[700]
    assert stream is not None
    small = Image.fromarray(picture).resize((56, 56), Image.Resampling.LANCZOS)
    sizes = []
    for options in rival.ladder:
        buffer = io.BytesIO()
        small.save(buffer, "WEBP", **options)
        sizes.append(len(buffer.getvalue()))
    best = max(size for size in sizes if size <= 700)
    assert len(stream) == best


def test_files_carry_bare_pixels(picture: NDArray[np.uint8]) -> None:
    for family in ("jpeg", "webp", "avif"):
        stream = variant(family, "scale 1/4").encode_within(picture, [2000])[2000]
        assert stream is not None
        with Image.open(io.BytesIO(stream)) as image:
            assert image.size == (56, 56)
            assert not {"icc_profile", "exif", "xmp"} & image.info.keys()
            assert not image.getexif()


def test_cut_jpeg_decodes_at_every_length(picture: NDArray[np.uint8]) -> None:
    contender = CutJpeg(50, 4)
    whole = contender.encode_within(picture, [10**6])[10**6]
    assert whole is not None
    quality = []
    for length in range(480, len(whole) + 1, 7):
        stream = contender.encode_within(picture, [length])[length]
        if stream is not None:
            quality.append(psnr_db(picture, contender.decode(stream)))
    assert min(quality) > 15
    assert quality[-1] == max(quality)
    assert len(quality) > 50


def test_nonsense_is_seen_as_grey() -> None:
    assert (variant("webp", "full size").decode(b"nonsense") == 128).all()


def test_stripped_avif_leaves_out_the_container_and_nothing_else(
    picture: NDArray[np.uint8],
) -> None:
    for scale in ("scale 1/2", "scale 1/4"):
        whole, bare = variant("avif", scale), variant("avif-stripped", scale)
        assert isinstance(bare, StrippedAvif)
        stream = bare.encode_within(picture, [600])[600]
        file = whole.encode_within(picture, [600 + CONTAINER_BYTES])[600 + CONTAINER_BYTES]
        assert stream is not None
        assert file is not None
        assert bare.unpack(stream) == file
        assert len(file) - len(stream) == CONTAINER_BYTES
        assert np.array_equal(bare.decode(stream), whole.decode(file))


def test_avif_that_cannot_be_restored_is_sent_whole() -> None:
    bare = variant("avif-stripped", "scale 1/4")
    assert isinstance(bare, StrippedAvif)
    buffer = io.BytesIO()
    Image.new("L", (16, 16)).save(buffer, "AVIF")
    file = buffer.getvalue()
    assert bare.pack(file) == file
    assert bare.unpack(file) == file


@given(
    steps=st.lists(st.integers(1, 40), min_size=1, max_size=60),
    budgets=st.lists(st.integers(1, 2500), min_size=1, max_size=5),
)
def test_search_finds_the_last_step_that_fits(steps: list[int], budgets: list[int]) -> None:
    sizes = np.cumsum(steps).tolist()
    best = search_ladder(lambda step: bytes(sizes[step]), len(sizes), budgets)
    assert best.keys() == set(budgets)
    for budget, file in best.items():
        fitting = [size for size in sizes if size <= budget]
        assert (len(file) if file is not None else None) == (fitting[-1] if fitting else None)


def test_search_encodes_little() -> None:
    calls: list[int] = []

    def encode(step: int) -> bytes:
        calls.append(step)
        return bytes(int(300 * math.exp(step / 22)))

    search_ladder(encode, 100, [512, 1024, 2048, 3072, 4096])
    assert len(calls) == len(set(calls))
    assert len(calls) <= 20


def test_unknown_rival_is_refused() -> None:
    with pytest.raises(ConfigError, match="known are"):
        open_family("gif")


def test_pillow_without_a_codec_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda feature: False)
    with pytest.raises(ConfigError, match="without avif"):
        open_family("avif")


def test_jpeg_xl_is_a_bare_code_stream(picture: NDArray[np.uint8]) -> None:
    pytest.importorskip("pillow_jxl")
    stream = variant("jpegxl", "effort 7, scale 1/4").encode_within(picture, [600])[600]
    assert stream is not None
    assert stream.startswith(b"\xff\x0a")


def test_missing_rival_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    assert find_missing(["webp", "jpegxl"]) == {
        "jpegxl": "jpegxl is left out: no JPEG XL here; install pillow-jxl-plugin"
    }


@dataclass
class FakeCodec:
    """Streams are the picture's bytes; a prefix shows what it holds on black."""

    checkpoint: Any = field(
        default_factory=lambda: SimpleNamespace(
            name="fake", id="01234567", folder=Path(), read=lambda file: b"decoder"
        )
    )

    def encode(self, picture: NDArray[np.uint8]) -> bytes:
        return picture.tobytes()

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        size = 224 * 224 * 3
        return np.frombuffer(stream.ljust(size, b"\0"), np.uint8).reshape(224, 224, 3)


def test_own_streams_are_cut_to_the_byte(picture: NDArray[np.uint8]) -> None:
    own = OwnStreams(cast("Codec", FakeCodec()))
    streams = own.encode_within(picture, BUDGETS)
    assert {budget: len(stream or b"") for budget, stream in streams.items()} == {
        budget: budget for budget in BUDGETS
    }
    longest = streams[max(BUDGETS)]
    assert longest is not None
    assert all(longest.startswith(stream or b"-") for stream in streams.values())
    assert np.array_equal(own.decode(picture.tobytes()), picture)
    assert own.family == "fake"
    assert own.setting
    assert own.fingerprint.startswith("fake 01234567")


def test_scales_are_those_of_the_published_table() -> None:
    assert SCALES == (1, 2, 4)
