"""What the same bytes look like: renders of the belt through our codec, WebP and AVIF."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.codecs import open_codec
from pnc import belt
from pnc.codec.codec import Codec
from pnc.replay.baselines import TITLES
from pnc.replay.report.drawing import INK, MUTED, OWN_COLOURS
from pnc.splits import BELT_SEEDS

BUDGETS = (256, 512, 1024, 2048)
"""Bytes."""

RIVALS = ("webp", "avif-stripped")
"""Beside us."""

PICTURES = (2, 5, 15)
"""Indices of renders that are for reporting; taken before any was looked at."""

WRONG = "#b3261e"

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Tile:
    """One decoded picture.

    Attributes:
        pixels: uint8 RGB ``[224, 224, 3]``; none where nothing fits the bytes.
        num_bytes: Of its stream.
        guess: What the classifier takes it for.
        is_right: Whether that is what it shows.
    """

    pixels: Pixels | None
    num_bytes: int = 0
    guess: str = ""
    is_right: bool = False


def draw_gallery(figure: Any, checkpoint: str = "belt") -> None:
    """Draw three renders, each through every codec at every budget.

    A rival has the scale, of three, that comes nearest to the picture in squared error.

    Args:
        figure: An empty ``matplotlib.figure.Figure``; its size and layout are set.
        checkpoint: Ours; its classifier names what it sees.
    """
    judge = Codec.load(checkpoint)
    names = (checkpoint, *RIVALS)
    num_columns = 1 + len(BUDGETS)
    figure.set_size_inches(1.2 * num_columns, 1.4 * len(names) * len(PICTURES))
    figure.set_facecolor("white")
    figure.set_layout_engine("constrained", w_pad=0.03, h_pad=0.03)
    places = figure.subplots(len(names) * len(PICTURES), num_columns, squeeze=False)
    for axes in places.flat:
        axes.set_axis_off()
    for row, index in enumerate(PICTURES):
        picture, label = belt.render(index, seed=BELT_SEEDS["val"])
        wanted = belt.CLASSES[label]
        for line, name in enumerate(names):
            axes = places[row * len(names) + line]
            if line == 0:
                _show(axes[0], picture, f"{wanted}, undamaged", INK)
            _write(axes[0], TITLES.get(name, f"PNC, {name}"), below=line == 0)
            for place, tile in zip(axes[1:], _tiles(name, picture, wanted, judge), strict=True):
                if tile.pixels is not None:
                    colour = OWN_COLOURS[0] if tile.is_right else WRONG
                    _show(place, tile.pixels, f"{tile.num_bytes:,} B: {tile.guess}", colour)


def _tiles(name: str, picture: Pixels, wanted: str, judge: Codec) -> Sequence[Tile]:
    variants = open_codec(name)
    streams = [variant.encode_within(picture, BUDGETS) for variant in variants]
    tiles = []
    for budget in BUDGETS:
        decoded = [
            (variant.decode(stream), len(stream))
            for variant, of_variant in zip(variants, streams, strict=True)
            if (stream := of_variant[budget]) is not None
        ]
        if not decoded:
            tiles.append(Tile(None))
            continue
        pixels, num_bytes = min(decoded, key=lambda one: _squared_error(one[0], picture))
        guess = judge.classify(pixels, top=1)[0].label
        tiles.append(Tile(pixels, num_bytes, guess, guess == wanted))
    return tiles


def _squared_error(one: Pixels, other: Pixels) -> float:
    return float(np.square(one.astype(np.float64) - other).mean())


def _show(axes: Any, pixels: Pixels, title: str, colour: str) -> None:
    axes.imshow(pixels, interpolation="lanczos")
    axes.set_title(title, fontsize=6, color=colour, pad=2)


def _write(axes: Any, text: str, *, below: bool) -> None:
    axes.text(
        0.5,
        -0.04 if below else 0.5,
        text,
        transform=axes.transAxes,
        ha="center",
        va="top" if below else "center",
        fontsize=6.5,
        color=MUTED,
    )
