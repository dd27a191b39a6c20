"""A stream as a picture: the bytes of its segments, and what its beginnings decode to.

Drawn with Pillow alone, so that a device and a server without plotting packages can do it::

    title
    checkpoint, bytes, planes
    cumulative bytes by segment, segments grouped by plane, with a dot where each tile below stops
    tiles: the picture after 64, 128, ... bytes, what the classifier makes of it
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from pnc.codec.codec import Codec, Segment, StreamInfo

__all__ = ["choose_prefixes", "draw_stream"]

_NUM_TILES = 6
_TILE = 224
_GAP = 24
_MARGIN = 48
_WIDTH = 2 * _MARGIN + _NUM_TILES * _TILE + (_NUM_TILES - 1) * _GAP
_CHART_TOP, _CHART_HEIGHT = 172, 340
_AXIS_WIDTH = 64
_TILES_TOP = _CHART_TOP + _CHART_HEIGHT + 92
_HEIGHT = _TILES_TOP + _TILE + 92

_PAPER, _INK, _SOFT, _GRID = "#ffffff", "#1d2733", "#66727f", "#e3e8ed"
_AREA, _STEP, _DOT = "#dbe7f3", "#2f6fab", "#d9622b"

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def choose_prefixes(num_bytes: int) -> list[int]:
    """Return at most six lengths to show of a stream, rising, the last one the whole stream."""
    lengths = [16 << power for power in range(24) if 16 << power < num_bytes * 0.9]
    return [*lengths[-(_NUM_TILES - 1) :], num_bytes]


def draw_stream(codec: Codec, stream: bytes, info: StreamInfo, *, title: str) -> NDArray[np.uint8]:
    """Draw a stream.

    Args:
        codec: What made the stream; decodes and classifies its beginnings.
        stream: The stream.
        info: ``codec.info(stream)``.
        title: The headline.

    Returns:
        The drawing, uint8 RGB ``[height, width, 3]``.

    Raises:
        PncError: The stream cannot be decoded.
    """
    image = Image.new("RGB", (_WIDTH, _HEIGHT), _PAPER)
    draw = ImageDraw.Draw(image)
    prefixes = choose_prefixes(len(stream))
    segments = [segment for segment in info.segments if segment.num_coefficients]
    title = _shorten(draw, title, _font(34), _WIDTH - 2 * _MARGIN)
    draw.text((_MARGIN, 36), title, _INK, _font(34))
    state = "complete" if info.complete else "cut short"
    facts = (
        f"checkpoint {codec.checkpoint.name} {info.checkpoint_id}   ·   {len(stream):,} bytes"
        f"   ·   {_span_of_planes(segments)}   ·   {state}"
    )
    draw.text((_MARGIN, 86), facts, _SOFT, _font(20))
    _draw_chart(image, segments, len(stream), prefixes)
    for column, length in enumerate(prefixes):
        left = _MARGIN + column * (_TILE + _GAP)
        pixels = codec.decode(stream[:length])
        best = codec.classify(pixels, top=1)[0]
        _draw_tile(image, left, pixels, f"{length:,} bytes", f"{best.label} {best.probability:.0%}")
    return np.asarray(image, dtype=np.uint8)


@dataclass(frozen=True)
class _Axes:
    """Maps segments and bytes to pixels."""

    num_segments: int
    top_bytes: float

    def x(self, segment: float) -> float:
        width = _WIDTH - 2 * _MARGIN - _AXIS_WIDTH
        return _MARGIN + _AXIS_WIDTH + width * segment / max(self.num_segments, 1)

    def y(self, num_bytes: float) -> float:
        return _CHART_TOP + _CHART_HEIGHT * (1 - num_bytes / self.top_bytes)


def _draw_chart(
    image: Image.Image, segments: list[Segment], num_bytes: int, prefixes: list[int]
) -> None:
    draw = ImageDraw.Draw(image)
    sizes = [segment.num_bits / 8 for segment in segments]
    header = max(num_bytes - sum(sizes), 0.0)
    ends = list(itertools.accumulate(sizes, initial=header))
    tick = _round_step(max(num_bytes, 1) / 5)
    axes = _Axes(len(segments), tick * max(1, -(-max(num_bytes, 1) // tick)))
    bottom, right = axes.y(0), float(_WIDTH - _MARGIN)
    small = _font(16)
    for value in range(0, int(axes.top_bytes) + 1, tick):
        y = axes.y(value)
        draw.line([(axes.x(0), y), (right, y)], _GRID, 1)
        draw.text((axes.x(0) - 12, y), f"{value:,}", _SOFT, small, anchor="rm")
    bar_gap = 1 if axes.x(1) - axes.x(0) > 4 else 0
    for segment, (start, end) in enumerate(itertools.pairwise(ends)):
        left, edge = axes.x(segment), axes.x(segment + 1) - bar_gap
        if end > start:
            draw.rectangle([left, axes.y(start), edge, bottom], _AREA)
            draw.rectangle([left, min(axes.y(end), axes.y(start) - 2), edge, axes.y(start)], _STEP)
    draw.line([(axes.x(0), bottom), (right, bottom)], _SOFT, 1)
    begin = 0
    for plane, members in itertools.groupby(segments, lambda segment: segment.plane):
        end = begin + len(list(members))
        draw.line([(axes.x(begin), bottom), (axes.x(begin), bottom + 6)], _SOFT, 1)
        middle = axes.x((begin + end) / 2)
        draw.text((middle, bottom + 8), str(plane), _SOFT, small, anchor="ma")
        begin = end
    axis = "planes and their classes, in the order of sending"
    draw.text((right, bottom + 32), axis, _SOFT, small, anchor="ra")
    caption = "bytes, summed up   (dark: the class's own;  dots: where the pictures below stop)"
    draw.text((axes.x(0), _CHART_TOP - 12), caption, _SOFT, small, anchor="ls")
    for length in prefixes:
        _draw_dot(image, axes.x(_segment_at(ends, length)), axes.y(length))


def _span_of_planes(segments: list[Segment]) -> str:
    if not segments:
        return "no plane"
    first, last = segments[0].plane, segments[-1].plane
    return f"plane {first}" if first == last else f"planes {first} to {last}"


def _draw_tile(
    image: Image.Image, left: int, pixels: NDArray[np.uint8], size: str, verdict: str
) -> None:
    draw = ImageDraw.Draw(image)
    tile = Image.fromarray(pixels).resize((_TILE, _TILE))
    image.paste(tile, (left, _TILES_TOP))
    draw.rectangle([left - 1, _TILES_TOP - 1, left + _TILE, _TILES_TOP + _TILE], outline=_GRID)
    _draw_dot(image, left + 6, _TILES_TOP + _TILE + 24)
    draw.text((left + 22, _TILES_TOP + _TILE + 12), size, _INK, _font(20))
    verdict = _shorten(draw, verdict, _font(18), _TILE)
    draw.text((left, _TILES_TOP + _TILE + 42), verdict, _SOFT, _font(18))


def _draw_dot(image: Image.Image, x: float, y: float) -> None:
    """Draw a smooth dot of 12 pixels with a pale rim; Pillow's own are ragged."""
    dot = Image.new("RGB", (64, 64), _PAPER)
    mask = Image.new("L", (64, 64))
    ImageDraw.Draw(dot).ellipse([8, 8, 55, 55], _DOT)
    ImageDraw.Draw(mask).ellipse([0, 0, 63, 63], 255)
    image.paste(dot.reduce(4), (round(x) - 8, round(y) - 8), mask.reduce(4))


def _segment_at(ends: list[float], num_bytes: float) -> float:
    """Return how many segments, with a fraction, lie within the first bytes."""
    for segment, (start, end) in enumerate(itertools.pairwise(ends)):
        if num_bytes < end:
            return segment + max(num_bytes - start, 0.0) / (end - start)
    filled = [segment for segment, (a, b) in enumerate(itertools.pairwise(ends), 1) if b > a]
    return float(max(filled, default=0))


def _round_step(at_least: float) -> int:
    """Return the smallest of 1, 2, 5, 10, 20, ... that is not below a number."""
    steps = (factor * int(10.0**power) for power in range(12) for factor in (1, 2, 5))
    return next(step for step in steps if step >= at_least)


def _font(size: int) -> _Font:
    return ImageFont.load_default(size)


def _shorten(draw: ImageDraw.ImageDraw, text: str, font: _Font, width: int) -> str:
    if draw.textlength(text, font) <= width:
        return text
    while text and draw.textlength(text + "...", font) > width:
        text = text[:-1]
    return text + "..."
