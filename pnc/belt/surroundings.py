"""All but the part: the belt under it, the clutter beside it, what hides some of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pnc.belt.distances import box, capsule, norm, slab, triangle_wave, tube
from pnc.belt.fields import SIZE, Field, grid, turn
from pnc.belt.parts import Shape
from pnc.belt.randomness import Random
from pnc.belt.scene import Scene
from pnc.belt.surfaces import Colour, Material, grey_colour, part_material, texture, vivid_colour

MAX_HIDDEN = 0.15
"""Largest share of the part's pixels in the frame that something may hide. Beyond about a
quarter the telling detail (the tip of a screw, the bits of a key) is often gone."""


def lay_belt(rng: Random, scene: Scene, colour: Colour) -> None:
    """Fill the scene with a belt: relief, seams, paint, stains, perhaps a rail."""
    rows, columns = grid()
    cosine, sine = turn(rng.integer(0, 4) * 90 + rng.uniform(-12, 12))
    along = rows * np.float32(cosine) + columns * np.float32(sine)
    across = columns * np.float32(cosine) - rows * np.float32(sine)
    cloud, grain = texture(rng, "cloud"), texture(rng, "grain")
    tone: Field = (
        1 + cloud * np.float32(rng.uniform(0.05, 0.3)) + grain * np.float32(rng.uniform(0, 0.12))
    )
    relief: Field = grain * np.float32(rng.uniform(0.05, 0.35))
    style = rng.integer(0, 5)
    if style == 1:
        relief = relief + texture(rng, "weave") * np.float32(rng.uniform(0.2, 0.6))
    elif style == 2:
        period = rng.uniform(9, 40)
        relief = relief + np.clip(triangle_wave(along, period) * 3, -1, 1) * np.float32(
            rng.uniform(0.4, 1.4)
        )
    elif style == 3:
        period = rng.uniform(24, 60)
        bent = along + np.abs(across - rng.uniform(60, 160)) * np.float32(0.6)
        relief = relief + np.clip(triangle_wave(bent, period) * 4 - 2, 0, 1) * np.float32(
            rng.uniform(0.8, 2)
        )
    elif style == 4:
        period = rng.uniform(10, 22)
        studs = triangle_wave(along, period) + triangle_wave(across, period)
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
        paint = vivid_colour(rng) if rng.chance(0.5) else (0.8, 0.8, 0.76)
        for channel in range(3):
            plane = scene.albedo[channel]
            plane += (paint[channel] - plane) * worn
    if rng.chance(0.5):
        depth = rng.uniform(0.25, 0.7)
        stain = np.clip((texture(rng, "cloud") - rng.uniform(0.1, 0.5)) * 5, 0, 1)
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


def _chip(rng: Random, x: Field, y: Field) -> tuple[Field, Field]:
    cut = np.maximum(
        box(x, y, 0.9, rng.uniform(0.3, 0.8)), x * 0.6 + y * 0.8 - rng.uniform(0.2, 0.6)
    )
    return cut, slab(cut, 0.3, 0.1) + 0.2 * x


def _drop(rng: Random, x: Field, y: Field) -> tuple[Field, Field]:
    distance = norm(x, y * np.float32(rng.uniform(0.8, 1.3))) - 0.8
    return distance, np.sqrt(np.maximum(-distance, 0)) * 0.25


def _rod(rng: Random, x: Field, y: Field) -> tuple[Field, Field]:
    half = rng.uniform(0.05, 0.16)
    bow = y + np.float32(rng.uniform(-0.25, 0.25)) * x * x
    distance = np.maximum(np.abs(bow) - half, np.abs(x) - 0.95)
    return distance, half + tube(bow, half)


def _curl(rng: Random, x: Field, y: Field) -> tuple[Field, Field]:
    wire = rng.uniform(0.06, 0.12)
    ring = np.abs(norm(x, y) - 0.7)
    distance = np.maximum(ring - wire, x * 0.7 - rng.uniform(0.1, 0.6))
    return distance, wire + tube(ring, wire)


def _label(rng: Random, x: Field, y: Field) -> tuple[Field, Field]:
    distance = box(x, y, 0.9, rng.uniform(0.4, 0.7))
    return distance, np.full_like(x, 0.02)


_CLUTTER: tuple[Shape, ...] = (_chip, _drop, _rod, _curl, _label)


def scatter_clutter(rng: Random, scene: Scene, lean: tuple[float, float]) -> None:
    """Throw up to five small things onto the belt."""
    for _ in range(rng.integer(0, 6)):
        shape = _CLUTTER[rng.integer(0, len(_CLUTTER))]
        scene.place(
            rng,
            shape,
            part_material(rng),
            centre=(rng.uniform(-10, SIZE + 10), rng.uniform(-10, SIZE + 10)),
            radius=rng.uniform(4, 18) if shape is not _rod else rng.uniform(8, 45),
            degrees=rng.uniform(0, 360),
            lean=lean,
        )


def _finger(rng: Random, x: Field, y: Field) -> tuple[Field, Field]:
    distance = capsule(x, y, -6.0, rng.uniform(-1, 1), 0.0, 0.0) - 1.0
    return distance, 0.6 + 0.8 * np.sqrt(np.maximum(-distance * (2 + distance), 0))


def _strap(rng: Random, x: Field, y: Field) -> tuple[Field, Field]:
    distance = np.abs(y) - 0.5 + 0.0 * x
    stitch = np.clip(1 - np.abs(np.abs(y) - 0.4) * 25, 0, 1) * (triangle_wave(x, 0.3) > 0)
    return distance, slab(distance, 0.3, 0.08) + 0.06 * stitch


def _cover_material(rng: Random) -> Material:
    """Return rubber, plastic or cloth, as gloves and straps are made of."""
    style = rng.integer(0, 4)
    if style == 0:
        return Material(grey_colour(rng, 0.05, 0.3, 0.1), 0.1, 0.05, 0.0, 0.25, 0.1)
    if style == 1:
        return Material(grey_colour(rng, 0.6, 0.9), 0.15, 0.2, 0.0, 0.2, 0.08)
    if style == 2:
        level = rng.uniform(0.4, 0.8)
        return Material((level * 0.2, level * 0.5, level), 0.3, 0.3, 0.0, 0.15, 0.08)
    return Material(vivid_colour(rng), 0.2, 0.3, 0.0, 0.15, 0.1)


def hide_part(
    rng: Random, scene: Scene, part: NDArray[np.bool_], centre: tuple[float, float]
) -> Scene:
    """Return the scene with at most one thing over the part, of which `MAX_HIDDEN` may be lost."""
    if rng.chance(0.5):
        return scene
    angle = rng.uniform(0, 360)
    cosine, sine = turn(angle)
    away = rng.uniform(35, 85)
    finger = rng.chance(0.5)
    trial = scene.copy()
    cover = trial.place(
        rng,
        _finger if finger else _strap,
        _cover_material(rng),
        centre=(centre[0] + sine * away, centre[1] + cosine * away),
        radius=rng.uniform(11, 22) if finger else rng.uniform(10, 26),
        degrees=angle + 180 + rng.uniform(-50, 50) if finger else angle + 90,
        lift=min(float(scene.height.max()), 12.0),
        reach=40.0,
    )
    hidden = np.count_nonzero(cover & part)
    return trial if hidden <= MAX_HIDDEN * np.count_nonzero(part) else scene
