"""A stream as a picture."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pnc.commands.drawing import choose_prefixes, draw_stream


@pytest.mark.parametrize(
    ("num_bytes", "expected"),
    [
        (0, [0]),
        (10, [10]),
        (17, [17]),
        (40, [16, 32, 40]),
        (1100, [32, 64, 128, 256, 512, 1100]),
        (2059, [64, 128, 256, 512, 1024, 2059]),
    ],
)
def test_prefixes_double_and_end_with_all(num_bytes: int, expected: list[int]) -> None:
    assert choose_prefixes(num_bytes) == expected


@pytest.mark.parametrize("length", [0, 1, 3, 4, 100, 259])
def test_every_length_can_be_drawn(length: int, fake_codec: Any) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (224, 224, 3), np.uint8)
    stream = fake_codec.encode(noise)[:length]
    drawing = draw_stream(fake_codec, stream, fake_codec.info(stream), title="t" * 300)
    assert drawing.dtype == np.uint8
    assert drawing.shape[2] == 3
    assert (drawing[:, :8] == 255).all(), "the margin is clean"


def test_segments_may_claim_more_than_the_whole(fake_codec: Any) -> None:
    stream = fake_codec.encode(np.zeros((224, 224, 3), np.uint8))
    info = fake_codec.info(stream)
    segments = tuple(replace(s, num_bits=s.num_bits + 99) for s in info.segments)
    assert draw_stream(fake_codec, stream, replace(info, segments=segments), title="t").any()


def test_every_segment_is_a_step_above_the_last(fake_codec: Any) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (224, 224, 3), np.uint8)
    whole = fake_codec.encode(noise)
    for part, num_steps in ((whole[:20], 1), (whole[:100], 2), (whole, 4)):
        drawing = draw_stream(fake_codec, part, fake_codec.info(part), title="t")
        dark = (drawing == (0x2F, 0x6F, 0xAB)).all(axis=2)
        tops = dark.argmax(axis=0)[dark.any(axis=0)]
        heights = [
            int(top)
            for top, count in zip(*np.unique(tops, return_counts=True), strict=True)
            if count > 50
        ]
        assert len(heights) == num_steps
        first = tops[tops != np.roll(tops, 1)]
        assert first[0] == max(heights)
