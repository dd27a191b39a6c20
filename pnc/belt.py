"""Renders parts on a conveyor belt: the embedded data set, numpy and Pillow only.

Twelve kinds of parts that differ in shape and in nothing else: every kind comes in every
material, colour, angle, scale and place, so that colour, size and brightness do not tell the label.

    seed, index -> label, numbers          SeedSequence + raw PCG64 words
      kind      -> distance, height field  `_SHAPES`, in part space (the part fits in |x|, |y| <= 1)
      scene     -> height, albedo, gloss   belt, clutter, the part, what hides it, in this order
      light     -> colour                  one directional light over the whole height field:
                                           diffuse, specular, cast shadows, ambient occlusion
      camera    -> uint8 picture           falloff, defocus or motion blur, noise, tone curve

The same (seed, index) gives the same bytes on every machine: only raw generator words are drawn
(the streams of numpy's distributions may change between versions), arrays see single IEEE
operations, transcendental functions of arrays are computed in double precision and rounded,
decisions are made on counts of pixels, and blurs are Pillow's, on 8-bit pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from pnc.errors import ConfigError

CLASSES: tuple[str, ...] = (
    "bearing",
    "bolt",
    "bracket",
    "gear",
    "hex_nut",
    "key",
    "pipe_elbow",
    "plate",
    "screw",
    "spring",
    "washer",
    "wing_nut",
)
"""Names of the kinds in label order."""

RENDERER_VERSION = 1
"""Counts up whenever the bytes of any picture change; caches carry it in their name."""

SIZE = 224
"""Side, in pixels, at which every picture is rendered; other sizes are reduced from it."""

MAX_HIDDEN = 0.2
"""Largest share of the part's pixels in the frame that occluders may hide. Beyond about a
quarter the telling detail (the tip of a screw, the bits of a key) is often gone."""

Field = NDArray[Any]
"""A float32 array [rows, columns]."""
Shape = Callable[["_Random", Field, Field], tuple[Field, Field]]
Colour = tuple[float, float, float]


class _Random:
    """Uniform numbers from raw 64-bit words, whose stream numpy guarantees never to change."""

    def __init__(self, *entropy: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(entropy))

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        return low + (high - low) * ((int(self._bits.random_raw()) >> 11) * 2.0**-53)

    def integer(self, low: int, high: int) -> int:
        """Return an integer in [low, high)."""
        return low + int(self._bits.random_raw()) % (high - low)

    def chance(self, probability: float) -> bool:
        return self.uniform() < probability

    def sign(self) -> float:
        return 1.0 if self.chance(0.5) else -1.0

    def permutation(self, length: int) -> list[int]:
        order = list(range(length))
        for last in range(length - 1, 0, -1):
            other = self.integer(0, last + 1)
            order[last], order[other] = order[other], order[last]
        return order

    def bytes(self, count: int) -> NDArray[np.uint8]:
        words = self._bits.random_raw((count + 7) // 8)
        drawn: NDArray[np.uint8] = np.asarray(words, "<u8").view(np.uint8)[:count]
        return drawn

    def gaussian(self, shape: tuple[int, ...]) -> Field:
        """Return nearly normal noise of unit variance: the sum of four random bytes."""
        drawn = self.bytes(4 * math.prod(shape)).reshape(4, *shape).astype(np.int16)
        total = drawn[0] + drawn[1] + drawn[2] + drawn[3] - 510
        noise: Field = total.astype(np.float32) * np.float32(1 / 147.8)
        return noise


def _turn(degrees: float) -> tuple[float, float]:
    """Return cosine and sine, rounded so that the last bit of a machine's libm does not matter."""
    return round(math.cos(math.radians(degrees)), 9), round(math.sin(math.radians(degrees)), 9)


# --- distances (negative inside) and heights, in part space ------------------------------------


def _box(x: Field, y: Field, half_width: float, half_height: float) -> Field:
    return np.maximum(np.abs(x) - half_width, np.abs(y) - half_height)


def _rounded(x: Field, y: Field, half_width: float, half_height: float, radius: float) -> Field:
    dx = np.abs(x) - (half_width - radius)
    dy = np.abs(y) - (half_height - radius)
    outside = np.sqrt(np.square(np.maximum(dx, 0)) + np.square(np.maximum(dy, 0)))
    distance: Field = outside + np.minimum(np.maximum(dx, dy), 0) - radius
    return distance


def _radius(x: Field, y: Field) -> Field:
    radius: Field = np.sqrt(x * x + y * y)
    return radius


def _hexagon(x: Field, y: Field, apothem: float) -> Field:
    ax, ay = np.abs(x), np.abs(y)
    return np.maximum(ay, ax * 0.8660254 + ay * 0.5) - apothem


def _capsule(x: Field, y: Field, ax: float, ay: float, bx: float, by: float) -> Field:
    """Return the distance to the segment from (ax, ay) to (bx, by)."""
    dx, dy = bx - ax, by - ay
    along = np.clip(((x - ax) * dx + (y - ay) * dy) * (1 / (dx * dx + dy * dy)), 0, 1)
    return _radius(x - ax - along * dx, y - ay - along * dy)


def _sector(x: Field, y: Field, count: int, offset: float = 0.0) -> Field:
    """Return the place within one of `count` equal sectors about the origin, in [-0.5, 0.5)."""
    turns = np.arctan2(y.astype(np.float64), x.astype(np.float64)) * (count / (2 * math.pi))
    turns += offset
    turns -= np.floor(turns + 0.5)
    return turns.astype(np.float32)


def _wave(x: Field, period: float) -> Field:
    """Return a triangle wave in [-1, 1]."""
    turns = x * (1 / period)
    return np.abs(turns - np.floor(turns) - 0.5) * 4 - 1


def _slab(distance: Field, height: float, bevel: float) -> Field:
    """Return the height of a flat body with a rounded edge."""
    inside = np.clip(distance * (-1 / bevel), 0, 1)
    return height - bevel * np.square(1 - inside)


def _tube(distance: Field, radius: float) -> Field:
    """Return the height of a round bar above its axis; `distance` is from the axis."""
    return np.sqrt(np.maximum(radius * radius - distance * distance, 0))


def _bearing(rng: _Random, x: Field, y: Field) -> tuple[Field, Field]:
    r = _radius(x, y)
    bore = rng.uniform(0.3, 0.4)
    inner, outer = bore + rng.uniform(0.13, 0.17), rng.uniform(0.76, 0.8)
    middle, ball = (inner + outer) / 2, (outer - inner) * 0.47
    balls = int(math.pi * middle / ball * rng.uniform(0.72, 0.92))
    arc = _sector(x, y, balls, rng.uniform()) * np.float32(2 * math.pi / balls)
    from_ball = np.sqrt(np.square(r - middle) + np.square(r * arc))
    body = np.maximum(r - 0.95, bore - r)
    groove = np.maximum(inner - r, r - outer)
    rings = _slab(np.maximum(body, -groove), 0.3, 0.05)
    height = np.where(groove < 0, 0.05 + 1.1 * _tube(from_ball, ball), rings)
    return body, height


def _bolt(rng: _Random, x: Field, y: Field) -> tuple[Field, Field]:
    shank, head = rng.uniform(0.15, 0.21), rng.uniform(0.36, 0.46)
    neck = rng.uniform(-0.68, -0.52)
    end = rng.uniform(0.82, 0.97)
    thread_from = rng.uniform(neck + 0.1, 0.15)
    wave = _wave(x + 0.12 * y, rng.uniform(0.085, 0.12)) * (x > thread_from)
    half = shank + 0.018 * wave - np.clip(x - end + 0.07, 0, 0.07) * 0.8
    bar = np.maximum(np.abs(y) - half, np.maximum(x - end, neck - 0.05 - x))
    cap = _box(x - (neck - 0.98) / 2, y, (neck + 0.98) / 2, head)
    corner = np.maximum(np.abs(x - (neck - 0.98) / 2) + 0.25 * np.abs(y) - 0.34, cap)
    cap = np.maximum(cap, corner)
    facet = np.clip((np.abs(y) - head / 2) * 2 / head, 0, 1)
    cap_height = np.minimum(head * (0.86 - 0.5 * facet), _slab(cap, head * 0.86, 0.06))
    bar_height = 0.86 * head - shank + _tube(y, shank) + 0.02 * wave
    distance = np.minimum(bar, cap)
    return distance, np.where(cap < bar, cap_height, bar_height * 0.8)


def _bracket(rng: _Random, x: Field, y: Field) -> tuple[Field, Field]:
    width = rng.uniform(0.24, 0.31)
    long, short = rng.uniform(0.85, 0.95), rng.uniform(0.65, 0.9)
    x, y = x + 0.28, y + 0.28
    lower = _rounded(x - (long - width) / 2 + 0.1, y + 0.4, (long + width) / 2 + 0.1, width, 0.07)
    upper = _rounded(x + 0.4, y - (short - width) / 2 + 0.1, width, (short + width) / 2 + 0.1, 0.07)
    body = np.minimum(lower, upper)
    if rng.chance(0.5):
        fillet = np.maximum(x + y + 0.4 - 2 * width + 0.15, np.maximum(-x - 0.4, -y - 0.4))
        body = np.minimum(body, fillet * 0.7)
    hole = rng.uniform(0.09, 0.13)
    corner = _radius(x + 0.4, y + 0.4)
    far = _radius(x - long + 0.3, y + 0.4)
    top = _radius(x + 0.4, y - short + 0.3)
    holes = np.minimum(far, top)
    if rng.chance(0.6):
        holes = np.minimum(holes, corner)
    body = np.maximum(body, hole - holes)
    ridge = 0.18 * np.clip(1 - _box(x + 0.4 + width, y, 0.05, 2.0) * 12, 0, 1)
    return body, _slab(body, 0.16, 0.04) + ridge


def _gear(rng: _Random, x: Field, y: Field) -> tuple[Field, Field]:
    r = _radius(x, y)
    teeth = rng.integer(9, 19)
    depth = rng.uniform(0.075, 0.11)
    tooth = np.clip((0.25 - np.abs(_sector(x, y, teeth, rng.uniform()))) * 11, -1, 1)
    rim = (r - (0.86 + depth * tooth)) * 0.8
    bore = rng.uniform(0.15, 0.26)
    hub = bore + rng.uniform(0.1, 0.14)
    hole = r - bore
    if rng.chance(0.6):
        hole = np.minimum(hole, _box(x - bore, y, 0.09, 0.06))
    body = np.maximum(rim, -hole)
    recess = np.maximum(hub - r, r - 0.66)
    height = _slab(body, 0.26, 0.04)
    height = height - np.clip(recess * -14, 0, 1) * rng.uniform(0.06, 0.12)
    if rng.chance(0.45):
        windows = rng.integer(4, 7)
        arc = _sector(x, y, windows, rng.uniform()) * np.float32(2 * math.pi / windows)
        middle = (hub + 0.66) / 2
        window = np.sqrt(np.square(r - middle) + np.square(r * arc)) - (0.66 - hub) * 0.36
        body = np.maximum(body, -window)
    return body, height


def _hex_nut(rng: _Random, x: Field, y: Field) -> tuple[Field, Field]:
    r = _radius(x, y)
    bore = rng.uniform(0.38, 0.5)
    body = np.maximum(_hexagon(x, y, 0.82), bore - r)
    height = _slab(body, 0.46, 0.05) - np.clip(r - 0.8, 0, 1) * 0.9
    collar = np.clip(bore + 0.07 - r, 0, 1) * 1.2
    return body, height - collar


def _key(rng: _Random, x: Field, y: Field) -> tuple[Field, Field]:
    bow = rng.uniform(0.32, 0.38)
    at = -0.95 + bow
    style = rng.integer(0, 3)
    if style == 0:
        head = _radius(x - at, y) - bow
    elif style == 1:
        head = _hexagon(x - at, y, bow * 0.95)
    else:
        head = _rounded(x - at, y, bow * 0.9, bow, 0.12)
    blade_half = rng.uniform(0.085, 0.11)
    blade = _box(x - (at + 0.97) / 2, y, (0.97 - at) / 2, blade_half)
    blade = np.maximum(blade, (x + 0.8 * np.abs(y) - 1.0) * 0.8)
    distance = np.minimum(head, blade)
    if rng.chance(0.5):
        for _ in range(rng.integer(3, 6)):
            notch = rng.uniform(0.2, 0.85)
            cut = np.abs(x - notch) * 0.8 - (y + 0.0) * 0.8 + rng.uniform(-0.01, 0.03)
            distance = np.maximum(distance, -np.maximum(cut, -y))
    else:
        place = 0.9
        for _ in range(rng.integer(2, 4)):
            wide = rng.uniform(0.05, 0.08)
            deep = rng.uniform(0.2, 0.34)
            bit = _box(x - place + wide, y - blade_half - deep / 2 + 0.03, wide, deep / 2 + 0.03)
            distance = np.minimum(distance, bit)
            place -= 2 * wide + rng.uniform(0.06, 0.1)
    eye = _radius(x - at + rng.uniform(0.0, 0.1), y) - bow * rng.uniform(0.4, 0.6)
    distance = np.maximum(distance, -eye)
    height = _slab(distance, 0.13, 0.035)
    groove = np.clip(1 - np.abs(y + 0.02) * 40, 0, 1) * (x > at + bow)
    return distance, height - 0.03 * groove


def _pipe_elbow(rng: _Random, x: Field, y: Field) -> tuple[Field, Field]:
    tube = rng.uniform(0.25, 0.31)
    bend = rng.uniform(0.48, 0.6)
    collar = tube + rng.uniform(0.06, 0.09)
    stub = rng.uniform(0.3, 0.42)
    x, y = x + bend * 0.62 - 0.03, y + bend * 0.62 - 0.03
    corner = (x > 0) & (y > 0)
    axis = np.where(
        corner, _radius(x, y) - bend, np.where(y <= 0, np.abs(x) - bend, np.abs(y) - bend)
    )
    along = np.maximum(-x, -y)
    wrong = np.where(corner, -1.0, np.where(y <= 0, -x, -y)).astype(np.float32)
    pipe = np.maximum(np.maximum(np.abs(axis) - tube, along - stub), wrong)
    flange = np.maximum(np.abs(axis) - collar, np.abs(along - stub + 0.1) - 0.1)
    flange = np.maximum(flange, wrong)
    ring = flange < 0
    height = tube + np.where(ring, _tube(axis, collar), _tube(axis, tube))
    seam = np.clip(1 - np.abs(along + 0.02) * 30, 0, 1)
    return np.minimum(pipe, flange), (height + 0.015 * seam) * 0.85


def _plate(rng: _Random, x: Field, y: Field) -> tuple[Field, Field]:
    half = rng.uniform(0.5, 0.68)
    body = _rounded(x, y, 0.92, half, rng.uniform(0.04, 0.16))
    hole = rng.uniform(0.085, 0.12)
    columns = rng.integer(2, 5)
    pitch = 1.4 / (columns - 1)
    near = np.abs(np.abs(x) - 0.7) if columns == 2 else None
    if near is None:
        shifted = (x + 0.7) * (1 / pitch)
        near = np.abs(x + 0.7 - pitch * np.clip(np.floor(shifted + 0.5), 0, columns - 1))
    body = np.maximum(body, hole - _radius(near, np.abs(y) - half + 0.22))
    if columns < 4 and rng.chance(0.5):
        slot = _capsule(x, y, -0.25, 0.0, 0.25, 0.0) - rng.uniform(0.07, 0.1)
        body = np.maximum(body, -slot)
    return body, _slab(body, rng.uniform(0.1, 0.16), 0.03)


def _screw(rng: _Random, x: Field, y: Field) -> tuple[Field, Field]:
    shank, head = rng.uniform(0.13, 0.18), rng.uniform(0.34, 0.42)
    neck = -0.95 + (head - shank) * rng.uniform(0.9, 1.15)
    taper_from = rng.uniform(0.25, 0.45)
    core = shank * np.clip((1.0 - x) * (1 / (1.0 - taper_from)), 0, 1)
    flare = (neck - x) * ((head - shank) / (neck + 0.95))
    core = core + np.clip(flare, 0, 1)
    wave = _wave(x + 0.28 * y, rng.uniform(0.12, 0.16)) * (x > neck + rng.uniform(0.05, 0.3))
    half = core + (0.035 * wave + 0.01) * (x < 0.93)
    distance = np.maximum(np.abs(y) - half, np.maximum(-0.97 - x, x - 1)) * 0.9
    height = head - shank + np.sqrt(np.maximum(np.square(half) - y * y, 0)) + 0.02 * wave
    return distance, height * 0.75


def _spring(rng: _Random, x: Field, y: Field) -> tuple[Field, Field]:
    wire = rng.uniform(0.055, 0.08)
    coil = rng.uniform(0.28, 0.4)
    turns = rng.integer(5, 9)
    pitch = 1.8 / turns
    folded = x + 0.9 - pitch * np.clip(np.floor((x + 0.9) * (1 / pitch)), 0, turns - 1) - pitch / 2
    front = _capsule(folded, y, -pitch / 4, -coil, pitch / 4, coil)
    turned = x + 0.9 - pitch / 2
    half_turn = np.clip(np.floor(turned * (1 / pitch)), 0, turns - 2)
    back = _capsule(turned - pitch * half_turn - pitch / 2, -y, -pitch / 4, -coil, pitch / 4, coil)
    distance = np.minimum(front, back) - wire
    front_height = 2 * coil * 0.55 + _tube(front, wire) + 0.1
    back_height = 0.06 + _tube(back, wire)
    swell = np.clip(1 - np.square(y * (0.9 / coil)), 0, 1)
    height = np.where(front < wire, front_height * (0.45 + 0.4 * swell), back_height)
    return distance, height


def _washer(rng: _Random, x: Field, y: Field) -> tuple[Field, Field]:
    r = _radius(x, y)
    body = np.maximum(r - 0.92, rng.uniform(0.4, 0.58) - r)
    height = _slab(body, rng.uniform(0.08, 0.13), 0.03)
    if rng.chance(0.3):
        gap = np.abs(y + 0.25 * (x - 0.7)) - 0.035
        body = np.maximum(body, -np.maximum(gap, -x))
    return body, height


def _wing_nut(rng: _Random, x: Field, y: Field) -> tuple[Field, Field]:
    hub, bore = rng.uniform(0.3, 0.36), rng.uniform(0.15, 0.19)
    r = _radius(x, y)
    ax = np.abs(x)
    lift = rng.uniform(0.12, 0.28)
    lobe = rng.uniform(0.2, 0.27)
    root = rng.uniform(0.13, 0.17)
    along = np.clip((ax - 0.2) * (1 / 0.5), 0, 1)
    wing = _capsule(ax, y, 0.2, 0.0, 0.72, lift) - (root + (lobe - root) * along)
    distance = np.minimum(r - hub, wing)
    bored = np.maximum(distance, bore - r)
    wings = _slab(wing, 0.22, 0.09) + 0.22 * along
    boss = _slab(np.maximum(r - hub, bore - r), 0.42, 0.06)
    return bored, np.where(r < hub, np.maximum(boss, np.where(r < bore + 0.02, 0, wings)), wings)


_SHAPES: dict[str, Shape] = {
    "bearing": _bearing,
    "bolt": _bolt,
    "bracket": _bracket,
    "gear": _gear,
    "hex_nut": _hex_nut,
    "key": _key,
    "pipe_elbow": _pipe_elbow,
    "plate": _plate,
    "screw": _screw,
    "spring": _spring,
    "washer": _washer,
    "wing_nut": _wing_nut,
}


# --- surfaces ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Material:
    """What a surface looks like; all but `colour` in [0, 1]."""

    colour: Colour
    specular: float = 0.15
    sharpness: float = 0.3
    metal: float = 0.0
    bump: float = 0.15
    mottle: float = 0.15
    brushed: bool = False
    rust: float = 0.0


_RUST: Colour = (0.36, 0.17, 0.07)


def _vivid(rng: _Random) -> Colour:
    """Return a saturated colour of any hue."""
    channels = [rng.uniform(0.6, 0.9), rng.uniform(0.08, 0.7), rng.uniform(0.03, 0.2)]
    order = rng.permutation(3)
    return channels[order[0]], channels[order[1]], channels[order[2]]


def _grey(rng: _Random, low: float, high: float, tint: float = 0.03) -> Colour:
    level = rng.uniform(low, high)
    return (
        level * (1 + rng.uniform(-tint, tint)),
        level,
        level * (1 + rng.uniform(-tint, tint)),
    )


def _part_material(rng: _Random) -> _Material:
    style = rng.integer(0, 8)
    brushed = rng.chance(0.4)
    rust = rng.uniform(0.25, 0.6) if rng.chance(0.15) else 0.0
    if style <= 1:
        steel = _grey(rng, 0.5, 0.78)
        return _Material(steel, 0.8, rng.uniform(0.3, 1), 0.8, 0.12, 0.1, brushed, rust)
    if style == 2:
        level = rng.uniform(0.65, 0.95)
        hue = rng.uniform(0.52, 0.78)
        yellow = (level, level * hue, level * (hue - 0.32))
        return _Material(yellow, 0.7, rng.uniform(0.3, 1), 0.75, 0.12, 0.12, brushed, rust)
    if style == 3:
        return _Material(_grey(rng, 0.1, 0.22), 0.5, 0.5, 0.35, 0.2, 0.12, brushed, rust)
    if style == 4:
        return _Material(_RUST, 0.1, 0.1, 0.1, 0.8, 0.5, False, rng.uniform(0.5, 0.9))
    if style == 5:
        return _Material(_grey(rng, 0.06, 0.3, 0.1), 0.12, 0.05, 0.0, 0.3, 0.15)
    if style == 6:
        return _Material(_grey(rng, 0.7, 0.92), 0.4, 0.6, 0.0, 0.06, 0.06)
    return _Material(_vivid(rng), rng.uniform(0.15, 0.5), rng.uniform(0.1, 0.9), 0.0, 0.08, 0.08)


def _belt_colour(rng: _Random) -> Colour:
    style = rng.integer(0, 7)
    if style <= 1:
        return _grey(rng, 0.05, 0.16, 0.08)
    if style == 2:
        return _grey(rng, 0.25, 0.45, 0.08)
    if style == 3:
        return _grey(rng, 0.55, 0.8, 0.06)
    level = rng.uniform(0.12, 0.5)
    if style == 4:
        return level * rng.uniform(0.2, 0.5), level, level * rng.uniform(0.4, 0.7)
    if style == 5:
        return level * rng.uniform(0.15, 0.4), level * rng.uniform(0.5, 0.75), level
    return level * 1.25, level * rng.uniform(0.8, 1.0), level * rng.uniform(0.45, 0.75)


def _luminance(colour: Colour) -> float:
    return 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]


def _apart(part: Colour, belt: Colour) -> Colour:
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
    rng = _Random(0x7469, 0x6C65)

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
    rows, columns = _wave(step, 6)[:, None], _wave(step, 6)[None, :]
    over = _wave(step, 12)[:, None] * _wave(step, 12)[None, :] > 0
    weave = np.where(over, rows, columns) * 0.8 + noise(512, 512) * 0.2
    return {
        "grain": grain.astype(np.float32),
        "cloud": np.clip(cloud, -1, 1).astype(np.float32),
        "brushed": brushed.astype(np.float32),
        "weave": weave.astype(np.float32),
    }


def _texture(rng: _Random, name: str, height: int = SIZE, width: int = SIZE) -> Field:
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


# --- the scene ---------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _grid() -> tuple[Field, Field]:
    rows, columns = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    return rows, columns


def _blur(field: Field, radius: float, low: float, high: float) -> Field:
    """Return a Gaussian blur of `field`, computed by Pillow on 8 bits between low and high."""
    scale = 255 / (high - low)
    levels = ((np.clip(field, low, high) - low) * scale + 0.5).astype(np.uint8)
    picture = Image.fromarray(levels).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(picture, np.float32) * np.float32(1 / scale) + np.float32(low)


def _shifted(padded: Field, margin: int, down: int, right: int) -> Field:
    """Return the inner field of one padded by `margin`, moved by whole pixels."""
    height, width = padded.shape
    return padded[margin - down : height - margin - down, margin - right : width - margin - right]


class _Scene:
    """The belt and what lies on it, as fields [224, 224]; heights in pixels."""

    def __init__(self) -> None:
        self.height = np.zeros((SIZE, SIZE), np.float32)
        self.albedo = np.zeros((3, SIZE, SIZE), np.float32)
        self.specular = np.zeros((SIZE, SIZE), np.float32)
        self.sharpness = np.zeros((SIZE, SIZE), np.float32)
        self.metal = np.zeros((SIZE, SIZE), np.float32)

    def copy(self) -> _Scene:
        """Return a scene that can change without this one."""
        other = _Scene.__new__(_Scene)
        for name, field in vars(self).items():
            setattr(other, name, field.copy())
        return other

    def place(
        self,
        rng: _Random,
        shape: Shape,
        material: _Material,
        *,
        centre: tuple[float, float],
        radius: float,
        degrees: float,
        stretch: tuple[float, float] = (1.0, 1.0),
        mirror: bool = False,
        lean: tuple[float, float] = (0.0, 0.0),
        lift: float = 0.0,
        reach: float = 1.45,
    ) -> NDArray[np.bool_]:
        """Put a body into the scene and return where it is seen, bool [224, 224].

        `centre` is (row, column) and `radius` the length of one unit of part space, in pixels;
        `lean` is how far (rows, columns) the view moves a point that is one pixel higher; `lift`
        raises the body above what is there, in pixels.
        """
        extent = radius * reach
        top, left = max(0, int(centre[0] - extent)), max(0, int(centre[1] - extent))
        bottom = min(SIZE, int(centre[0] + extent) + 1)
        right = min(SIZE, int(centre[1] + extent) + 1)
        seen = np.zeros((SIZE, SIZE), np.bool_)
        if bottom - top < 2 or right - left < 2:
            return seen
        window = (slice(top, bottom), slice(left, right))
        rows, columns = _grid()
        cosine, sine = _turn(degrees)
        down = (rows[window] - centre[0]) * np.float32(1 / (radius * stretch[0]))
        across = (columns[window] - centre[1]) * np.float32(1 / (radius * stretch[1]))
        x = across * np.float32(cosine) + down * np.float32(sine)
        y = down * np.float32(cosine) - across * np.float32(sine)
        distance, height = shape(rng, x, -y if mirror else y)
        cover = np.clip(0.5 - distance * np.float32(radius), 0, 1)
        height = height.astype(np.float32) * np.float32(radius)
        height, cover = _extrude(height * (cover > 0), cover, lean)

        size = (bottom - top, right - left)
        grain = _texture(rng, "brushed" if material.brushed else "grain", *size)
        cloud = _texture(rng, "cloud", *size)
        height = height + grain * np.float32(material.bump)
        mottle = 1 + cloud * np.float32(material.mottle) + grain * np.float32(material.mottle * 0.5)
        rust = np.zeros((), np.float32)
        if material.rust:
            rust = np.clip((cloud + 0.5 * grain + material.rust - 0.5) * 4, 0, 1)
            height = height + rust * grain * 0.8
        keep = 1 - cover
        shine = cover * (1 - 0.85 * rust)
        self.height[window] = self.height[window] * keep + (height + lift) * cover
        self.specular[window] = self.specular[window] * keep + shine * material.specular
        self.sharpness[window] = self.sharpness[window] * keep + shine * material.sharpness
        self.metal[window] = self.metal[window] * keep + shine * material.metal
        for channel in range(3):
            own = material.colour[channel] * (1 - rust) + _RUST[channel] * rust
            plane = self.albedo[channel]
            plane[window] = plane[window] * keep + own * mottle * cover
        seen[window] = cover > 0.5
        return seen


def _extrude(height: Field, cover: Field, lean: tuple[float, float]) -> tuple[Field, Field]:
    """Project upright columns along the view, so that sides show where the camera leans."""
    highest = float(height.max())
    steps = int(max(abs(lean[0]), abs(lean[1])) * highest + 0.5)
    if steps == 0:
        return height, cover
    seen_height, seen_cover = height * 0, cover * 0
    margin = steps + 1
    height, cover = np.pad(height, margin), np.pad(cover, margin)
    for step in range(steps + 1):
        level = highest * step / steps
        down, right = round(lean[0] * level), round(lean[1] * level)
        reaches = height >= level - highest / steps
        column = np.minimum(height, level) * reaches
        seen_height = np.maximum(seen_height, _shifted(column, margin, down, right))
        seen_cover = np.maximum(seen_cover, _shifted(cover * reaches, margin, down, right))
    return seen_height, seen_cover


def _lay_belt(rng: _Random, scene: _Scene, colour: Colour) -> None:
    rows, columns = _grid()
    cosine, sine = _turn(rng.integer(0, 4) * 90 + rng.uniform(-12, 12))
    along = rows * np.float32(cosine) + columns * np.float32(sine)
    across = columns * np.float32(cosine) - rows * np.float32(sine)
    cloud, grain = _texture(rng, "cloud"), _texture(rng, "grain")
    tone: Field = (
        1 + cloud * np.float32(rng.uniform(0.05, 0.3)) + grain * np.float32(rng.uniform(0, 0.12))
    )
    relief: Field = grain * np.float32(rng.uniform(0.05, 0.35))
    style = rng.integer(0, 5)
    if style == 1:
        relief = relief + _texture(rng, "weave") * np.float32(rng.uniform(0.2, 0.6))
    elif style == 2:
        period = rng.uniform(9, 40)
        relief = relief + np.clip(_wave(along, period) * 3, -1, 1) * np.float32(
            rng.uniform(0.4, 1.4)
        )
    elif style == 3:
        period = rng.uniform(24, 60)
        bent = along + np.abs(across - rng.uniform(60, 160)) * np.float32(0.6)
        relief = relief + np.clip(_wave(bent, period) * 4 - 2, 0, 1) * np.float32(
            rng.uniform(0.8, 2)
        )
    elif style == 4:
        period = rng.uniform(10, 22)
        studs = _wave(along, period) + _wave(across, period)
        relief = relief + np.clip(studs - 0.6, 0, 1) * np.float32(rng.uniform(0.6, 1.8))
    if rng.chance(0.35):
        seam = np.abs(along - rng.uniform(-40, 240)) - rng.uniform(1, 3)
        groove = np.clip(1 - seam, 0, 1)
        relief = relief - groove * 2
        tone = tone * (1 - 0.4 * groove)
    for channel in range(3):
        scene.albedo[channel] = colour[channel] * tone
    if rng.chance(0.3):
        stripe = np.clip(rng.uniform(4, 14) - np.abs(across - rng.uniform(-60, 260)), 0, 1)
        worn = stripe * np.clip(0.9 + cloud * 0.8, 0, 1)
        paint = _vivid(rng) if rng.chance(0.5) else (0.8, 0.8, 0.76)
        for channel in range(3):
            plane = scene.albedo[channel]
            plane += (paint[channel] - plane) * worn
    if rng.chance(0.5):
        depth = rng.uniform(0.25, 0.7)
        stain = np.clip((_texture(rng, "cloud") - rng.uniform(0.1, 0.5)) * 5, 0, 1)
        wet = rng.chance(0.5)
        scene.specular += stain * np.float32(0.5 if wet else 0.0)
        scene.sharpness += stain * np.float32(0.8 if wet else 0.0)
        scene.albedo *= 1 - stain * np.float32(depth)
    scene.height += relief
    scene.specular += np.float32(rng.uniform(0.02, 0.2))
    scene.sharpness += np.float32(rng.uniform(0.0, 0.3))
    if rng.chance(0.22):
        edge = rng.uniform(8, 30)
        beyond = (rows, columns, SIZE - 1 - rows, SIZE - 1 - columns)[rng.integer(0, 4)]
        rail = np.clip(edge - beyond, 0, 1)
        level = rng.uniform(0.1, 0.7)
        scene.height += (rng.uniform(3, 9) - scene.height) * rail
        for channel in range(3):
            plane = scene.albedo[channel]
            plane += (level * (1 + 0.1 * grain) - plane) * rail
        scene.specular += (0.5 - scene.specular) * rail
        scene.metal += rail * np.float32(0.6)


def _chip(rng: _Random, x: Field, y: Field) -> tuple[Field, Field]:
    cut = np.maximum(
        _box(x, y, 0.9, rng.uniform(0.3, 0.8)), x * 0.6 + y * 0.8 - rng.uniform(0.2, 0.6)
    )
    return cut, _slab(cut, 0.3, 0.1) + 0.2 * x


def _drop(rng: _Random, x: Field, y: Field) -> tuple[Field, Field]:
    distance = _radius(x, y * np.float32(rng.uniform(0.8, 1.3))) - 0.8
    return distance, np.sqrt(np.maximum(-distance, 0)) * 0.25


def _rod(rng: _Random, x: Field, y: Field) -> tuple[Field, Field]:
    half = rng.uniform(0.05, 0.16)
    bow = y + np.float32(rng.uniform(-0.25, 0.25)) * x * x
    distance = np.maximum(np.abs(bow) - half, np.abs(x) - 0.95)
    return distance, half + _tube(bow, half)


def _curl(rng: _Random, x: Field, y: Field) -> tuple[Field, Field]:
    wire = rng.uniform(0.06, 0.12)
    ring = np.abs(_radius(x, y) - 0.7)
    distance = np.maximum(ring - wire, x * 0.7 - rng.uniform(0.1, 0.6))
    return distance, wire + _tube(ring, wire)


def _label(rng: _Random, x: Field, y: Field) -> tuple[Field, Field]:
    distance = _box(x, y, 0.9, rng.uniform(0.4, 0.7))
    return distance, np.full_like(x, 0.02)


_CLUTTER: tuple[Shape, ...] = (_chip, _drop, _rod, _curl, _label)


def _scatter(rng: _Random, scene: _Scene, lean: tuple[float, float]) -> None:
    for _ in range(rng.integer(0, 8)):
        shape = _CLUTTER[rng.integer(0, len(_CLUTTER))]
        scene.place(
            rng,
            shape,
            _part_material(rng),
            centre=(rng.uniform(-10, SIZE + 10), rng.uniform(-10, SIZE + 10)),
            radius=rng.uniform(4, 18) if shape is not _rod else rng.uniform(8, 45),
            degrees=rng.uniform(0, 360),
            lean=lean,
        )


def _finger(rng: _Random, x: Field, y: Field) -> tuple[Field, Field]:
    distance = _capsule(x, y, -6.0, rng.uniform(-1, 1), 0.0, 0.0) - 1.0
    return distance, 0.6 + 0.8 * np.sqrt(np.maximum(-distance * (2 + distance), 0))


def _strap(rng: _Random, x: Field, y: Field) -> tuple[Field, Field]:
    distance = np.abs(y) - 0.5 + 0.0 * x
    stitch = np.clip(1 - np.abs(np.abs(y) - 0.4) * 25, 0, 1) * (_wave(x, 0.3) > 0)
    return distance, _slab(distance, 0.3, 0.08) + 0.06 * stitch


def _cover_material(rng: _Random) -> _Material:
    """Return rubber, plastic or cloth, as gloves and straps are made of."""
    style = rng.integer(0, 4)
    if style == 0:
        return _Material(_grey(rng, 0.05, 0.3, 0.1), 0.1, 0.05, 0.0, 0.25, 0.1)
    if style == 1:
        return _Material(_grey(rng, 0.6, 0.9), 0.15, 0.2, 0.0, 0.2, 0.08)
    if style == 2:
        level = rng.uniform(0.4, 0.8)
        return _Material((level * 0.2, level * 0.5, level), 0.3, 0.3, 0.0, 0.15, 0.08)
    return _Material(_vivid(rng), 0.2, 0.3, 0.0, 0.15, 0.1)


def _hide(
    rng: _Random, scene: _Scene, part: NDArray[np.bool_], centre: tuple[float, float]
) -> _Scene:
    """Return the scene with at most two things over the part, of which `MAX_HIDDEN` may be lost."""
    whole = int(np.count_nonzero(part))
    left = int(MAX_HIDDEN * whole)
    tallest = float(scene.height.max())
    for _ in range(rng.integer(0, 3)):
        angle = rng.uniform(0, 360)
        cosine, sine = _turn(angle)
        away = rng.uniform(35, 85)
        finger = rng.chance(0.5)
        width = rng.uniform(11, 22) if finger else rng.uniform(10, 26)
        place = (centre[0] + sine * away, centre[1] + cosine * away)
        material = _cover_material(rng)
        trial = scene.copy()
        cover = trial.place(
            rng,
            _finger if finger else _strap,
            material,
            centre=place,
            radius=width,
            degrees=angle + 180 + rng.uniform(-50, 50) if finger else angle + 90,
            lift=min(tallest, 12.0),
            reach=40.0,
        )
        lost = int(np.count_nonzero(cover & part))
        if lost <= left:
            left -= lost
            part = part & ~cover
            scene = trial
    return scene


# --- light and camera --------------------------------------------------------------------------


def _light(rng: _Random, scene: _Scene) -> Field:
    """Return the scene in linear light, float32 [3, 224, 224], about 0 to 1."""
    cosine, sine = _turn(rng.uniform(0, 360))
    rise, flat = _turn(rng.uniform(28, 65))
    rise, flat = flat, rise
    light_x, light_y = cosine * flat, sine * flat
    height = scene.height

    padded = np.pad(height, 1, mode="edge")
    slope_x = np.clip((padded[1:-1, 2:] - padded[1:-1, :-2]) * 0.5, -2.5, 2.5)
    slope_y = np.clip((padded[2:, 1:-1] - padded[:-2, 1:-1]) * 0.5, -2.5, 2.5)
    up = 1 / np.sqrt(1 + slope_x * slope_x + slope_y * slope_y)
    toward = (rise - slope_x * np.float32(light_x) - slope_y * np.float32(light_y)) * up
    diffuse = np.maximum(toward, 0)

    half = math.sqrt(light_x**2 + light_y**2 + (rise + 1) ** 2)
    glint = (rise + 1 - slope_x * np.float32(light_x) - slope_y * np.float32(light_y)) * up
    glint = np.clip(glint * np.float32(1 / half), 0, 1)
    for _ in range(3):
        glint = glint * glint
    broad = glint
    for _ in range(3):
        glint = glint * glint
    highlight = scene.specular * (
        broad * (1 - scene.sharpness) * 0.35 + glint * scene.sharpness * 1.3
    )

    reach = int(min(float(height.max()) / (rise / flat), 45.0))
    step = 2 if reach > 16 else 1
    drop = step * rise / flat
    margin = reach + 1
    around = np.pad(height, margin, mode="edge")
    shade = np.zeros_like(height)
    for index in range(1, reach // step + 1):
        down, right = round(-sine * index * step), round(-cosine * index * step)
        above = _shifted(around, margin, down, right) - height
        above -= np.float32(index * drop)
        np.maximum(shade, above, out=shade)
    shadow = _blur(np.clip(shade, 0, 1), rng.uniform(0.6, 2.5), 0, 1)
    shadow *= np.float32(rng.uniform(0.6, 0.95))

    hollow = _blur(height, 5.0, -8, 56) - height
    occlusion = 1 / (1 + np.maximum(hollow, 0) * 0.11)

    room_x, room_y = _turn(rng.uniform(0, 360))
    mirrored = (slope_x * np.float32(room_x) + slope_y * np.float32(room_y)) * up
    room = np.square(_wave(mirrored + rng.uniform(), rng.uniform(0.6, 1.4)))

    ambient = rng.uniform(0.18, 0.42)
    direct = rng.uniform(0.75, 1.1) * (1 - shadow)
    matte = ambient * occlusion + direct * diffuse * (1 - 0.6 * scene.metal)
    matte += scene.metal * (0.12 + 0.8 * room) * occlusion
    shine = highlight * direct * np.float32(1.2)
    warm = rng.uniform(-0.1, 0.1)
    tint = (1 + warm, 1.0, 1 - warm)
    picture = np.empty((3, SIZE, SIZE), np.float32)
    for channel in range(3):
        gleam = shine * (1 - scene.metal * 0.6) + shine * scene.metal * scene.albedo[channel]
        picture[channel] = (scene.albedo[channel] * matte + gleam) * np.float32(tint[channel])
    return picture


def _photograph(rng: _Random, picture: Field, belt_degrees: float) -> NDArray[np.uint8]:
    """Return what the camera makes of linear light: uint8 [224, 224, 3]."""
    rows, columns = _grid()
    lamp_row, lamp_column = rng.uniform(-60, 284), rng.uniform(-60, 284)
    away = np.square(rows - lamp_row) + np.square(columns - lamp_column)
    falloff = 1 / (1 + away * np.float32(rng.uniform(0.0, 1.6e-5)))
    exposure = rng.uniform(0.75, 1.25)
    picture = picture * (falloff * np.float32(exposure))

    gamma = rng.uniform(1.7, 2.3)
    curve = np.array([(level / 1023) ** (1 / gamma) for level in range(1024)])
    table = np.floor(curve * 255 + 0.5).astype(np.uint8)
    soft = picture * np.float32(1.05) / (1 + picture * picture * np.float32(0.1))
    curved = table[(np.clip(soft, 0, 1) * 1023 + 0.5).astype(np.int16)]
    pixels = np.ascontiguousarray(curved.transpose(1, 2, 0))

    blur = rng.uniform()
    if blur < 0.45:
        focus = ImageFilter.GaussianBlur(rng.uniform(0.45, 1.8))
        pixels = np.asarray(Image.fromarray(pixels).filter(focus))
    elif blur < 0.7:
        length = rng.integer(2, 9)
        cosine, sine = _turn(belt_degrees)
        total = np.zeros((SIZE, SIZE, 3), np.uint16)
        padded = np.pad(pixels, ((8, 8), (8, 8), (0, 0)), mode="edge")
        for index in range(length):
            top = 8 + round((index - length / 2) * sine)
            left = 8 + round((index - length / 2) * cosine)
            total += padded[top : top + SIZE, left : left + SIZE]
        pixels = (total // length).astype(np.uint8)

    noise = rng.gaussian((SIZE, SIZE, 3))
    noise[..., 1:] *= 0.65
    noise[..., 1:] += 0.75 * noise[..., :1]
    noise *= np.float32(rng.uniform(0.5, 6.0))
    noise += pixels
    return np.clip(noise + 0.5, 0, 255).astype(np.uint8)


def label_of(index: int, *, seed: int = 0) -> int:
    """Return the label of a picture without rendering it.

    Every run of twelve pictures that begins at a multiple of twelve holds each kind once, in an
    order drawn from the seed.
    """
    block, place = divmod(index, len(CLASSES))
    return _Random(seed, block, 1).permutation(len(CLASSES))[place]


def render(index: int, *, seed: int = 0, size: int = SIZE) -> tuple[NDArray[np.uint8], int]:
    """Render one picture: uint8 RGB [size, size, 3], and its label, an index into `CLASSES`.

    `index` and `seed` are not negative; the same pair always gives the same bytes. `size`, 16 to
    224 pixels, is reached by reducing the 224-pixel picture (Pillow, bicubic).

    Raises `ConfigError` for numbers out of range.
    """
    if index < 0 or seed < 0:
        raise ConfigError(f"belt: index {index} and seed {seed} must not be negative")
    if not 16 <= size <= SIZE:
        raise ConfigError(f"belt: size {size} is not between 16 and {SIZE} pixels")
    label = label_of(index, seed=seed)
    rng = _Random(seed, index, 0)
    shape = _SHAPES[CLASSES[label]]
    material = _part_material(rng)
    scene = _Scene()
    _lay_belt(rng, scene, _apart(material.colour, _belt_colour(rng)))
    lean = (rng.uniform(-0.45, 0.45), rng.uniform(-0.45, 0.45))
    _scatter(rng, scene, lean)
    radius = rng.uniform(56, 98)
    margin = SIZE / 2 - radius * 0.88
    centre = (
        SIZE / 2 + rng.uniform(-1, 1) * max(margin, 6.0),
        SIZE / 2 + rng.uniform(-1, 1) * max(margin, 6.0),
    )
    part = scene.place(
        rng,
        shape,
        material,
        centre=centre,
        radius=radius,
        degrees=rng.uniform(0, 360),
        stretch=(rng.uniform(0.82, 1.0), rng.uniform(0.82, 1.0)),
        mirror=rng.chance(0.5),
        lean=lean,
    )
    scene = _hide(rng, scene, part, centre)
    pixels = _photograph(rng, _light(rng, scene), rng.uniform(0, 360))
    if size != SIZE:
        picture = Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC)
        pixels = np.asarray(picture)
    return pixels, label


def pictures(
    seed: int = 0, start: int = 0, count: int | None = None
) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Yield `render(start, seed=seed)` and its followers; for ever when `count` is None."""
    index = start
    while count is None or index < start + count:
        yield render(index, seed=seed)
        index += 1
