"""The scene: what lies where, how high, and what it is made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pnc.belt.fields import SIZE, Field, grid, moved, turn
from pnc.belt.parts import Shape
from pnc.belt.randomness import Random
from pnc.belt.surfaces import RUST, Material, texture


class Scene:
    """The belt and what lies on it, as fields [224, 224]; heights in pixels."""

    def __init__(self) -> None:
        self.height = np.zeros((SIZE, SIZE), np.float32)
        self.albedo = np.zeros((3, SIZE, SIZE), np.float32)
        self.specular = np.zeros((SIZE, SIZE), np.float32)
        self.sharpness = np.zeros((SIZE, SIZE), np.float32)
        self.metal = np.zeros((SIZE, SIZE), np.float32)

    def copy(self) -> Scene:
        """Return a scene that can change without this one."""
        other = Scene.__new__(Scene)
        for name, field in vars(self).items():
            setattr(other, name, field.copy())
        return other

    def place(
        self,
        rng: Random,
        shape: Shape,
        material: Material,
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
        rows, columns = grid()
        cosine, sine = turn(degrees)
        down = (rows[window] - centre[0]) * np.float32(1 / (radius * stretch[0]))
        across = (columns[window] - centre[1]) * np.float32(1 / (radius * stretch[1]))
        x = across * np.float32(cosine) + down * np.float32(sine)
        y = down * np.float32(cosine) - across * np.float32(sine)
        distance, height = shape(rng, x, -y if mirror else y)
        cover = np.clip(0.5 - distance * np.float32(radius), 0, 1)
        height = height.astype(np.float32) * np.float32(radius)
        height, cover = _extrude(height * (cover > 0), cover, lean)

        size = (bottom - top, right - left)
        grain = texture(rng, "brushed" if material.brushed else "grain", *size)
        cloud = texture(rng, "cloud", *size)
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
            own = material.colour[channel] * (1 - rust) + RUST[channel] * rust
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
        seen_height = np.maximum(seen_height, moved(column, margin, down, right))
        seen_cover = np.maximum(seen_cover, moved(cover * reaches, margin, down, right))
    return seen_height, seen_cover
