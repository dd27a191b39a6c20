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

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pnc.belt.camera import light, photograph
from pnc.belt.fields import SIZE
from pnc.belt.parts import SHAPES
from pnc.belt.randomness import Random
from pnc.belt.scene import Scene
from pnc.belt.surfaces import apart, belt_colour, part_material
from pnc.belt.surroundings import hide_part, lay_belt, scatter_clutter
from pnc.errors import ConfigError

__all__ = ["CLASSES", "RENDERER_VERSION", "SIZE", "label_of", "pictures", "render"]

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

RENDERER_VERSION = 2
"""Counts up whenever the bytes of any picture change; caches carry it in their name."""


def label_of(index: int, *, seed: int = 0) -> int:
    """Return the label of a picture without rendering it.

    Every run of twelve pictures that begins at a multiple of twelve holds each kind once, in an
    order drawn from the seed.
    """
    block, place = divmod(index, len(CLASSES))
    return Random(seed, block, 1).permutation(len(CLASSES))[place]


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
    rng = Random(seed, index, 0)
    shape = SHAPES[CLASSES[label]]
    material = part_material(rng)
    scene = Scene()
    lay_belt(rng, scene, apart(material.colour, belt_colour(rng)))
    lean = (rng.uniform(-0.45, 0.45), rng.uniform(-0.45, 0.45))
    scatter_clutter(rng, scene, lean)
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
    scene = hide_part(rng, scene, part, centre)
    pixels = photograph(rng, light(rng, scene), rng.uniform(0, 360))
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
