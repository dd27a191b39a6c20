"""A contact sheet: the picture as it was taken, what arrived of it, and what it was taken for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from edge_server.summary import PictureRecord

__all__ = ["MAX_ENTRIES", "Entry", "choose_records", "make_contact_sheet"]

MAX_ENTRIES = 12
"""A dozen: three rows of four fit a slide."""

NUM_COLUMNS = 4
SIZE = 168
"""Side of a picture on the sheet, pixels."""

GAP = 6
MARGIN = 20
CAPTION = 88
HEAD = 62

GROUND = (246, 247, 250)
CARD = (255, 255, 255)
INK = (23, 32, 51)
SOFT = (100, 112, 134)
GOOD = (20, 128, 74)
BAD = (194, 47, 60)
ACCENT = (47, 111, 237)
TRACK = (228, 233, 243)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One picture of the sheet."""

    original: NDArray[np.uint8]
    """uint8 RGB [H, W, 3]."""
    arrived: NDArray[np.uint8] | None
    """What arrived, decoded; None if nothing did."""
    received_bytes: int
    encoded_bytes: int
    top: tuple[tuple[str, float], ...]
    """Best guesses and their probabilities, best first; three are shown."""
    truth: str | None
    """The right class, if it is known."""


def choose_records(
    records: Sequence[PictureRecord], count: int = MAX_ENTRIES
) -> list[PictureRecord]:
    """Return pictures that span the delivered bytes evenly, least first."""
    ordered = sorted(
        (one for one in records if one.result is not None),
        key=lambda one: (one.received_bytes, one.picture_id),
    )
    if len(ordered) <= count:
        return ordered
    places = np.linspace(0, len(ordered) - 1, count).round().astype(int)
    return [ordered[place] for place in places]


def make_contact_sheet(entries: Sequence[Entry], title: str, subtitle: str = "") -> Image.Image:
    """Draw the sheet.

    Args:
        entries: In the order they are shown, row by row.
        title: First line.
        subtitle: Second line, smaller.
    """
    cell_width = 2 * SIZE + 3 * GAP
    cell_height = SIZE + 2 * GAP + CAPTION
    num_columns = max(1, min(NUM_COLUMNS, len(entries)))
    num_rows = -(-len(entries) // num_columns)
    width = 2 * MARGIN + num_columns * (cell_width + MARGIN) - MARGIN
    height = HEAD + MARGIN + num_rows * (cell_height + MARGIN)
    sheet = Image.new("RGB", (width, height), GROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, 14), title, INK, _font(22))
    draw.text((MARGIN, 42), subtitle, SOFT, _font(13))
    for number, entry in enumerate(entries):
        row, column = divmod(number, num_columns)
        left = MARGIN + column * (cell_width + MARGIN)
        top = HEAD + MARGIN + row * (cell_height + MARGIN)
        draw.rounded_rectangle((left, top, left + cell_width, top + cell_height), 8, CARD)
        _draw_entry(sheet, draw, entry, left + GAP, top + GAP)
    return sheet


def _draw_entry(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, entry: Entry, left: int, top: int
) -> None:
    second = left + SIZE + GAP
    sheet.paste(_thumbnail(entry.original), (left, top))
    if entry.arrived is None:
        draw.rectangle((second, top, second + SIZE - 1, top + SIZE - 1), TRACK)
        centre = (second + SIZE // 2, top + SIZE // 2)
        draw.text(centre, "nothing arrived", SOFT, _font(13), anchor="mm")
    else:
        sheet.paste(_thumbnail(entry.arrived), (second, top))
    below = top + SIZE + 5
    truth = entry.truth or "original"
    draw.text((left, below), _cut(draw, truth, SIZE, 13), INK, _font(13))
    size = f"{entry.received_bytes:,} of {entry.encoded_bytes:,} bytes"
    draw.text((second, below), size, INK, _font(13))
    share = entry.received_bytes / max(entry.encoded_bytes, 1)
    bar = (second, below + 19, second + SIZE - 1, below + 22)
    draw.rectangle(bar, TRACK)
    if share > 0:
        draw.rectangle((*bar[:2], second + round(min(share, 1) * (SIZE - 1)), bar[3]), ACCENT)
    for place, (label, probability) in enumerate(entry.top[:3]):
        colour = INK if entry.truth is None else GOOD if label == entry.truth else BAD
        line = below + 27 + place * 18
        font = _font(13)
        name = _cut(draw, label.replace("_", " "), SIZE - 40, 13)
        draw.text((second, line), name, colour if place == 0 else SOFT, font)
        share_text = f"{probability:.0%}"
        draw.text((second + SIZE - 1, line), share_text, SOFT, font, anchor="ra")


def _thumbnail(pixels: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(pixels).resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def _cut(draw: ImageDraw.ImageDraw, text: str, width: int, size: int) -> str:
    """Shorten a text to a width in pixels."""
    text = text.replace("_", " ")
    if draw.textlength(text, _font(size)) <= width:
        return text
    while text and draw.textlength(text + "…", _font(size)) > width:
        text = text[:-1]
    return text + "…"


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Return Pillow's own font: the same sheet on every machine."""
    return ImageFont.load_default(size)
