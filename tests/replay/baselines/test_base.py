from __future__ import annotations

import io
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, features

from pnc.errors import ConfigError
from pnc.replay.baselines import open_family
from pnc.replay.baselines.base import SCALES, Rival, search_ladder
from tests.replay.baselines.variants import variant


def test_what_cannot_fit_is_none(picture: NDArray[np.uint8]) -> None:
    assert variant("webp", "full size").encode_within(picture, [100]) == {100: None}


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


def test_nonsense_is_seen_as_grey() -> None:
    assert (variant("webp", "full size").decode(b"nonsense") == 128).all()


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


def test_pillow_without_a_codec_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda feature: False)
    with pytest.raises(ConfigError, match="without avif"):
        open_family("avif")


def test_scales_are_those_of_the_published_table() -> None:
    assert SCALES == (1, 2, 4)
