"""What surfaces look like: materials, colours, textures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

from pnc.belt.distances import triangle_wave
from pnc.belt.fields import SIZE, Field
from pnc.belt.randomness import Random

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Material:
    """What a surface looks like; all but `colour` in [0, 1]."""

    colour: Colour
    specular: float = 0.15
    sharpness: float = 0.3
    metal: float = 0.0
    bump: float = 0.15
    mottle: float = 0.15
    brushed: bool = False
    rust: float = 0.0


RUST: Colour = (0.36, 0.17, 0.07)


def vivid_colour(rng: Random) -> Colour:
    """Return a saturated colour of any hue."""
    channels = [rng.uniform(0.6, 0.9), rng.uniform(0.08, 0.7), rng.uniform(0.03, 0.2)]
    order = rng.permutation(3)
    return channels[order[0]], channels[order[1]], channels[order[2]]


def grey_colour(rng: Random, low: float, high: float, tint: float = 0.03) -> Colour:
    """Return a grey between two levels, each channel off by up to `tint`."""
    level = rng.uniform(low, high)
    return (
        level * (1 + rng.uniform(-tint, tint)),
        level,
        level * (1 + rng.uniform(-tint, tint)),
    )


def part_material(rng: Random) -> Material:
    """Return what a part is made of: metal, rust, rubber or plastic."""
    style = rng.integer(0, 8)
    brushed = rng.chance(0.4)
    rust = rng.uniform(0.25, 0.6) if rng.chance(0.15) else 0.0
    if style <= 1:
        steel = grey_colour(rng, 0.5, 0.78)
        return Material(steel, 0.8, rng.uniform(0.3, 1), 0.8, 0.12, 0.1, brushed, rust)
    if style == 2:
        level = rng.uniform(0.65, 0.95)
        hue = rng.uniform(0.52, 0.78)
        yellow = (level, level * hue, level * (hue - 0.32))
        return Material(yellow, 0.7, rng.uniform(0.3, 1), 0.75, 0.12, 0.12, brushed, rust)
    if style == 3:
        return Material(grey_colour(rng, 0.1, 0.22), 0.5, 0.5, 0.35, 0.2, 0.12, brushed, rust)
    if style == 4:
        return Material(RUST, 0.1, 0.1, 0.1, 0.8, 0.5, False, rng.uniform(0.5, 0.9))
    if style == 5:
        return Material(grey_colour(rng, 0.06, 0.3, 0.1), 0.12, 0.05, 0.0, 0.3, 0.15)
    if style == 6:
        return Material(grey_colour(rng, 0.7, 0.92), 0.4, 0.6, 0.0, 0.06, 0.06)
    return Material(
        vivid_colour(rng), rng.uniform(0.15, 0.5), rng.uniform(0.1, 0.9), 0.0, 0.08, 0.08
    )


def belt_colour(rng: Random) -> Colour:
    """Return a colour that belts have."""
    style = rng.integer(0, 7)
    if style <= 1:
        return grey_colour(rng, 0.05, 0.16, 0.08)
    if style == 2:
        return grey_colour(rng, 0.25, 0.45, 0.08)
    if style == 3:
        return grey_colour(rng, 0.55, 0.8, 0.06)
    level = rng.uniform(0.12, 0.5)
    if style == 4:
        return level * rng.uniform(0.2, 0.5), level, level * rng.uniform(0.4, 0.7)
    if style == 5:
        return level * rng.uniform(0.15, 0.4), level * rng.uniform(0.5, 0.75), level
    return level * 1.25, level * rng.uniform(0.8, 1.0), level * rng.uniform(0.45, 0.75)


def _luminance(colour: Colour) -> float:
    return 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]


def apart(part: Colour, belt: Colour) -> Colour:
    """Return the belt's colour, moved away where the part would vanish on it."""
    gap = 0.12
    difference = _luminance(belt) - _luminance(part)
    if abs(difference) >= gap:
        return belt
    shift = gap - difference if _luminance(part) < 0.4 else -gap - difference
    return belt[0] + shift, belt[1] + shift, belt[2] + shift


_TILE = 512


@lru_cache(maxsize=1)
def _tiles() -> dict[str, Field]:
    """Return noise tiles [512, 512] in [-1, 1], made once: grain, cloud, brushed, weave."""
    rng = Random(0x7469, 0x6C65)

    def noise(cells_y: int, cells_x: int) -> Field:
        picture = Image.fromarray(rng.bytes(cells_y * cells_x).reshape(cells_y, cells_x))
        picture = picture.resize((_TILE, _TILE), Image.Resampling.BICUBIC)
        return np.asarray(picture, np.float32) * np.float32(1 / 127.5) - 1

    grain = (noise(512, 512) + noise(256, 256)) * np.float32(0.5)
    cloud = (
        noise(8, 8) * 0.45 + noise(20, 20) * 0.35 + noise(56, 56) * 0.25 + noise(160, 160) * 0.15
    )
    brushed = noise(512, 6) * 0.5 + noise(256, 10) * 0.5
    step = np.arange(_TILE, dtype=np.float32)
    rows, columns = triangle_wave(step, 6)[:, None], triangle_wave(step, 6)[None, :]
    over = triangle_wave(step, 12)[:, None] * triangle_wave(step, 12)[None, :] > 0
    weave = np.where(over, rows, columns) * 0.8 + noise(512, 512) * 0.2
    return {
        "grain": grain.astype(np.float32),
        "cloud": np.clip(cloud, -1, 1).astype(np.float32),
        "brushed": brushed.astype(np.float32),
        "weave": weave.astype(np.float32),
    }


def texture(rng: Random, name: str, height: int = SIZE, width: int = SIZE) -> Field:
    """Return a random window [height, width] of a tile, mirrored or transposed."""
    tile = _tiles()[name]
    top = rng.integer(0, _TILE - max(height, width) + 1)
    left = rng.integer(0, _TILE - max(height, width) + 1)
    way = rng.integer(0, 8)
    if way & 1:
        tile = tile.T
    window = tile[top : top + height, left : left + width]
    if way & 2:
        window = window[::-1]
    if way & 4:
        window = window[:, ::-1]
    return window
