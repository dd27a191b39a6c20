"""The twelve kinds of parts: each a distance and a height in part space."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from pnc.belt.distances import (
    box,
    capsule,
    hexagon,
    norm,
    rounded_box,
    sector,
    slab,
    triangle_wave,
    tube,
)
from pnc.belt.fields import Field
from pnc.belt.randomness import Random

Shape = Callable[[Random, Field, Field], tuple[Field, Field]]
"""From x and y to distance and height."""


def _bearing(rng: Random, x: Field, y: Field) -> tuple[Field, Field]:
    r = norm(x, y)
    bore = rng.uniform(0.3, 0.4)
    inner, outer = bore + rng.uniform(0.13, 0.17), rng.uniform(0.76, 0.8)
    middle, ball = (inner + outer) / 2, (outer - inner) * 0.47
    balls = int(math.pi * middle / ball * rng.uniform(0.72, 0.92))
    arc = sector(x, y, balls, rng.uniform()) * np.float32(2 * math.pi / balls)
    from_ball = np.sqrt(np.square(r - middle) + np.square(r * arc))
    body = np.maximum(r - 0.95, bore - r)
    groove = np.maximum(inner - r, r - outer)
    rings = slab(np.maximum(body, -groove), 0.3, 0.05)
    height = np.where(groove < 0, 0.05 + 1.1 * tube(from_ball, ball), rings)
    return body, height


def _bolt(rng: Random, x: Field, y: Field) -> tuple[Field, Field]:
    shank, head = rng.uniform(0.15, 0.21), rng.uniform(0.36, 0.46)
    neck = rng.uniform(-0.68, -0.52)
    end = rng.uniform(0.82, 0.97)
    thread_from = rng.uniform(neck + 0.1, 0.15)
    wave = triangle_wave(x + 0.12 * y, rng.uniform(0.085, 0.12)) * (x > thread_from)
    half = shank + 0.018 * wave - np.clip(x - end + 0.07, 0, 0.07) * 0.8
    bar = np.maximum(np.abs(y) - half, np.maximum(x - end, neck - 0.05 - x))
    cap = box(x - (neck - 0.98) / 2, y, (neck + 0.98) / 2, head)
    corner = np.maximum(np.abs(x - (neck - 0.98) / 2) + 0.25 * np.abs(y) - 0.34, cap)
    cap = np.maximum(cap, corner)
    facet = np.clip((np.abs(y) - head / 2) * 2 / head, 0, 1)
    cap_height = np.minimum(head * (0.86 - 0.5 * facet), slab(cap, head * 0.86, 0.06))
    bar_height = 0.86 * head - shank + tube(y, shank) + 0.02 * wave
    distance = np.minimum(bar, cap)
    return distance, np.where(cap < bar, cap_height, bar_height * 0.8)


def _bracket(rng: Random, x: Field, y: Field) -> tuple[Field, Field]:
    width = rng.uniform(0.24, 0.31)
    long, short = rng.uniform(0.85, 0.95), rng.uniform(0.65, 0.9)
    x, y = x + 0.28, y + 0.28
    lower = rounded_box(
        x - (long - width) / 2 + 0.1, y + 0.4, (long + width) / 2 + 0.1, width, 0.07
    )
    upper = rounded_box(
        x + 0.4, y - (short - width) / 2 + 0.1, width, (short + width) / 2 + 0.1, 0.07
    )
    body = np.minimum(lower, upper)
    if rng.chance(0.5):
        fillet = np.maximum(x + y + 0.4 - 2 * width + 0.15, np.maximum(-x - 0.4, -y - 0.4))
        body = np.minimum(body, fillet * 0.7)
    hole = rng.uniform(0.09, 0.13)
    corner = norm(x + 0.4, y + 0.4)
    far = norm(x - long + 0.3, y + 0.4)
    top = norm(x + 0.4, y - short + 0.3)
    holes = np.minimum(far, top)
    if rng.chance(0.6):
        holes = np.minimum(holes, corner)
    body = np.maximum(body, hole - holes)
    ridge = 0.18 * np.clip(1 - box(x + 0.4 + width, y, 0.05, 2.0) * 12, 0, 1)
    return body, slab(body, 0.16, 0.04) + ridge


def _gear(rng: Random, x: Field, y: Field) -> tuple[Field, Field]:
    r = norm(x, y)
    teeth = rng.integer(9, 19)
    depth = rng.uniform(0.075, 0.11)
    tooth = np.clip((0.25 - np.abs(sector(x, y, teeth, rng.uniform()))) * 11, -1, 1)
    rim = (r - (0.86 + depth * tooth)) * 0.8
    bore = rng.uniform(0.15, 0.26)
    hub = bore + rng.uniform(0.1, 0.14)
    hole = r - bore
    if rng.chance(0.6):
        hole = np.minimum(hole, box(x - bore, y, 0.09, 0.06))
    body = np.maximum(rim, -hole)
    recess = np.maximum(hub - r, r - 0.66)
    height = slab(body, 0.26, 0.04)
    height = height - np.clip(recess * -14, 0, 1) * rng.uniform(0.06, 0.12)
    if rng.chance(0.45):
        windows = rng.integer(4, 7)
        arc = sector(x, y, windows, rng.uniform()) * np.float32(2 * math.pi / windows)
        middle = (hub + 0.66) / 2
        window = np.sqrt(np.square(r - middle) + np.square(r * arc)) - (0.66 - hub) * 0.36
        body = np.maximum(body, -window)
    return body, height


def _hex_nut(rng: Random, x: Field, y: Field) -> tuple[Field, Field]:
    r = norm(x, y)
    bore = rng.uniform(0.38, 0.5)
    body = np.maximum(hexagon(x, y, 0.82), bore - r)
    height = slab(body, 0.46, 0.05) - np.clip(r - 0.8, 0, 1) * 0.9
    collar = np.clip(bore + 0.07 - r, 0, 1) * 1.2
    return body, height - collar


def _key(rng: Random, x: Field, y: Field) -> tuple[Field, Field]:
    bow = rng.uniform(0.32, 0.38)
    at = -0.95 + bow
    style = rng.integer(0, 3)
    if style == 0:
        head = norm(x - at, y) - bow
    elif style == 1:
        head = hexagon(x - at, y, bow * 0.95)
    else:
        head = rounded_box(x - at, y, bow * 0.9, bow, 0.12)
    blade_half = rng.uniform(0.085, 0.11)
    blade = box(x - (at + 0.97) / 2, y, (0.97 - at) / 2, blade_half)
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
            bit = box(x - place + wide, y - blade_half - deep / 2 + 0.03, wide, deep / 2 + 0.03)
            distance = np.minimum(distance, bit)
            place -= 2 * wide + rng.uniform(0.06, 0.1)
    eye = norm(x - at + rng.uniform(0.0, 0.1), y) - bow * rng.uniform(0.4, 0.6)
    distance = np.maximum(distance, -eye)
    height = slab(distance, 0.13, 0.035)
    groove = np.clip(1 - np.abs(y + 0.02) * 40, 0, 1) * (x > at + bow)
    return distance, height - 0.03 * groove


def _pipe_elbow(rng: Random, x: Field, y: Field) -> tuple[Field, Field]:
    outer = rng.uniform(0.25, 0.31)
    bend = rng.uniform(0.48, 0.6)
    collar = outer + rng.uniform(0.06, 0.09)
    stub = rng.uniform(0.3, 0.42)
    x, y = x + bend * 0.62 - 0.03, y + bend * 0.62 - 0.03
    corner = (x > 0) & (y > 0)
    axis = np.where(corner, norm(x, y) - bend, np.where(y <= 0, np.abs(x) - bend, np.abs(y) - bend))
    along = np.maximum(-x, -y)
    wrong = np.where(corner, -1.0, np.where(y <= 0, -x, -y)).astype(np.float32)
    pipe = np.maximum(np.maximum(np.abs(axis) - outer, along - stub), wrong)
    flange = np.maximum(np.abs(axis) - collar, np.abs(along - stub + 0.1) - 0.1)
    flange = np.maximum(flange, wrong)
    ring = flange < 0
    height = outer + np.where(ring, tube(axis, collar), tube(axis, outer))
    seam = np.clip(1 - np.abs(along + 0.02) * 30, 0, 1)
    return np.minimum(pipe, flange), (height + 0.015 * seam) * 0.85


def _plate(rng: Random, x: Field, y: Field) -> tuple[Field, Field]:
    half = rng.uniform(0.5, 0.68)
    body = rounded_box(x, y, 0.92, half, rng.uniform(0.04, 0.16))
    hole = rng.uniform(0.085, 0.12)
    columns = rng.integer(2, 5)
    pitch = 1.4 / (columns - 1)
    near = np.abs(np.abs(x) - 0.7) if columns == 2 else None
    if near is None:
        shifted = (x + 0.7) * (1 / pitch)
        near = np.abs(x + 0.7 - pitch * np.clip(np.floor(shifted + 0.5), 0, columns - 1))
    body = np.maximum(body, hole - norm(near, np.abs(y) - half + 0.22))
    if columns < 4 and rng.chance(0.5):
        slot = capsule(x, y, -0.25, 0.0, 0.25, 0.0) - rng.uniform(0.07, 0.1)
        body = np.maximum(body, -slot)
    return body, slab(body, rng.uniform(0.1, 0.16), 0.03)


def _screw(rng: Random, x: Field, y: Field) -> tuple[Field, Field]:
    shank, head = rng.uniform(0.13, 0.18), rng.uniform(0.34, 0.42)
    neck = -0.95 + (head - shank) * rng.uniform(0.9, 1.15)
    taper_from = rng.uniform(0.25, 0.45)
    core = shank * np.clip((1.0 - x) * (1 / (1.0 - taper_from)), 0, 1)
    flare = (neck - x) * ((head - shank) / (neck + 0.95))
    core = core + np.clip(flare, 0, 1)
    wave = triangle_wave(x + 0.28 * y, rng.uniform(0.12, 0.16)) * (
        x > neck + rng.uniform(0.05, 0.3)
    )
    half = core + (0.035 * wave + 0.01) * (x < 0.93)
    distance = np.maximum(np.abs(y) - half, np.maximum(-0.97 - x, x - 1)) * 0.9
    height = head - shank + np.sqrt(np.maximum(np.square(half) - y * y, 0)) + 0.02 * wave
    return distance, height * 0.75


def _spring(rng: Random, x: Field, y: Field) -> tuple[Field, Field]:
    wire = rng.uniform(0.055, 0.08)
    coil = rng.uniform(0.28, 0.4)
    turns = rng.integer(5, 9)
    pitch = 1.8 / turns
    folded = x + 0.9 - pitch * np.clip(np.floor((x + 0.9) * (1 / pitch)), 0, turns - 1) - pitch / 2
    front = capsule(folded, y, -pitch / 4, -coil, pitch / 4, coil)
    turned = x + 0.9 - pitch / 2
    half_turn = np.clip(np.floor(turned * (1 / pitch)), 0, turns - 2)
    back = capsule(turned - pitch * half_turn - pitch / 2, -y, -pitch / 4, -coil, pitch / 4, coil)
    distance = np.minimum(front, back) - wire
    front_height = 2 * coil * 0.55 + tube(front, wire) + 0.1
    back_height = 0.06 + tube(back, wire)
    swell = np.clip(1 - np.square(y * (0.9 / coil)), 0, 1)
    height = np.where(front < wire, front_height * (0.45 + 0.4 * swell), back_height)
    return distance, height


def _washer(rng: Random, x: Field, y: Field) -> tuple[Field, Field]:
    r = norm(x, y)
    body = np.maximum(r - 0.92, rng.uniform(0.4, 0.58) - r)
    height = slab(body, rng.uniform(0.08, 0.13), 0.03)
    if rng.chance(0.3):
        gap = np.abs(y + 0.25 * (x - 0.7)) - 0.035
        body = np.maximum(body, -np.maximum(gap, -x))
    return body, height


def _wing_nut(rng: Random, x: Field, y: Field) -> tuple[Field, Field]:
    hub, bore = rng.uniform(0.3, 0.36), rng.uniform(0.15, 0.19)
    r = norm(x, y)
    ax = np.abs(x)
    lift = rng.uniform(0.12, 0.28)
    lobe = rng.uniform(0.2, 0.27)
    root = rng.uniform(0.13, 0.17)
    along = np.clip((ax - 0.2) * (1 / 0.5), 0, 1)
    wing = capsule(ax, y, 0.2, 0.0, 0.72, lift) - (root + (lobe - root) * along)
    distance = np.minimum(r - hub, wing)
    bored = np.maximum(distance, bore - r)
    wings = slab(wing, 0.22, 0.09) + 0.22 * along
    boss = slab(np.maximum(r - hub, bore - r), 0.42, 0.06)
    return bored, np.where(r < hub, np.maximum(boss, np.where(r < bore + 0.02, 0, wings)), wings)


SHAPES: dict[str, Shape] = {
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
