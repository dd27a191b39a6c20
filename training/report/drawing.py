"""Charts as inline SVG, and pictures as data URIs: nothing that a page would have to fetch."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

JPEG_QUALITY = 92
"""Of the pictures in the page: high, since artefacts are what they show."""


@dataclass(frozen=True)
class Series:
    """One line of a chart."""

    title: str
    """What the legend calls it."""
    x: Sequence[float]
    """Places."""
    y: Sequence[float]
    """Values."""
    colour: str
    """CSS colour."""
    band: Sequence[float] = ()
    """Half width of a shaded band around each value."""
    dots: bool = True
    """Whether the points are marked."""


def line_chart(
    series: Sequence[Series],
    *,
    width: int = 640,
    height: int = 320,
    x_label: str = "",
    y_label: str = "",
    log_x: bool = False,
    y_range: tuple[float, float] | None = None,
    x_ticks: Sequence[float] | None = None,
    percent: bool = False,
) -> str:
    """Draw lines over common axes.

    Args:
        series: the lines; empty ones are left out, and so are values that are no numbers.
        width, height: of the drawing, pixels.
        x_label, y_label: what the axes show.
        log_x: whether places are on a logarithmic scale.
        y_range: limits of the values; those of the data if absent.
        x_ticks: places to label.
        percent: whether values are shares, labelled as percentages.

    Returns:
        An ``<svg>`` element.
    """
    lines = [line for line in map(_numbers_only, series) if len(line.x)]
    if not lines:
        return '<p class="faint">nothing was recorded</p>'
    left, right, top, bottom = 52, 20, 14, 40
    xs = [_scale(x, log_x) for line in lines for x in line.x]
    ys = [y for line in lines for y in line.y]
    x_low, x_high = min(xs), max(xs)
    y_low, y_high = y_range or (min(ys), max(ys))
    x_high, y_high = max(x_high, x_low + 1e-9), max(y_high, y_low + 1e-9)

    def place(x: float, y: float) -> tuple[float, float]:
        u = (_scale(x, log_x) - x_low) / (x_high - x_low)
        v = (min(max(y, y_low), y_high) - y_low) / (y_high - y_low)
        return left + u * (width - left - right), height - bottom - v * (height - top - bottom)

    parts = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(y_label)}">']
    for tick in _ticks(y_low, y_high):
        _, y = place(lines[0].x[0], tick)
        text = f"{tick:.0%}" if percent else f"{tick:.3g}"
        parts.append(
            f'<line class="grid" x1="{left}" x2="{width - right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        parts.append(
            f'<text class="tick" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
        )
    for tick in x_ticks or _ticks(x_low, x_high):
        x, _ = place(tick, y_low)
        y = height - bottom + 18
        parts.append(f'<text class="tick" x="{x:.1f}" y="{y}" text-anchor="middle">{tick:g}</text>')
    for line in lines:
        points = [place(x, y) for x, y in zip(line.x, line.y, strict=True)]
        if line.band:
            upper = [place(x, y + b) for x, y, b in zip(line.x, line.y, line.band, strict=True)]
            lower = [place(x, y - b) for x, y, b in zip(line.x, line.y, line.band, strict=True)]
            outline = _points([*upper, *lower[::-1]])
            parts.append(f'<polygon points="{outline}" fill="{line.colour}" opacity="0.14"/>')
        parts.append(
            f'<polyline points="{_points(points)}" fill="none" stroke="{line.colour}" '
            'stroke-width="2" stroke-linejoin="round"/>'
        )
        if line.dots:
            parts += [
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="{line.colour}"/>'
                for x, y in points
            ]
    middle = (left + width - right) / 2
    parts.append(
        f'<text class="axis" x="{middle}" y="{height - 4}" text-anchor="middle">'
        f"{escape(x_label)}</text>"
    )
    parts.append("</svg>")
    legend = "".join(
        f'<span><i style="background:{line.colour}"></i>{escape(line.title)}</span>'
        for line in lines
        if line.title
    )
    caption = f'<div class="axis-title">{escape(y_label)}</div>' if y_label else ""
    return f'<figure>{caption}{"".join(parts)}<div class="legend">{legend}</div></figure>'


def _numbers_only(line: Series) -> Series:
    kept = [place for place, y in enumerate(line.y) if math.isfinite(y)]
    x, y, band = (
        [values[place] for place in kept if values] for values in (line.x, line.y, line.band)
    )
    return replace(line, x=x, y=y, band=band)


def _scale(x: float, log: bool) -> float:
    return math.log(x) if log else x


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers within limits, two to seven."""
    power = 10.0 ** math.floor(math.log10(max(high - low, 1e-12) / 6))
    step = power * next((size for size in (1, 2, 5) if (high - low) / (power * size) <= 6), 10)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def picture_uri(pixels: NDArray[np.uint8]) -> str:
    """A picture, uint8 ``[h, w, 3]``, as a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
