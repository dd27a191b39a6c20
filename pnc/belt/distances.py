"""Distances of simple outlines (negative inside), and the heights of bodies over them.

All in part space, where a part fits in |x|, |y| <= 1.
"""

from __future__ import annotations

import math

import numpy as np

from pnc.belt.fields import Field


def box(x: Field, y: Field, half_width: float, half_height: float) -> Field:
    """Return the distance to a rectangle about the origin."""
    return np.maximum(np.abs(x) - half_width, np.abs(y) - half_height)


def rounded_box(x: Field, y: Field, half_width: float, half_height: float, radius: float) -> Field:
    """Return the distance to a rectangle with round corners about the origin."""
    dx = np.abs(x) - (half_width - radius)
    dy = np.abs(y) - (half_height - radius)
    outside = np.sqrt(np.square(np.maximum(dx, 0)) + np.square(np.maximum(dy, 0)))
    distance: Field = outside + np.minimum(np.maximum(dx, dy), 0) - radius
    return distance


def norm(x: Field, y: Field) -> Field:
    """Return the distance to the origin."""
    radius: Field = np.sqrt(x * x + y * y)
    return radius


def hexagon(x: Field, y: Field, apothem: float) -> Field:
    """Return the distance to a regular hexagon about the origin."""
    ax, ay = np.abs(x), np.abs(y)
    return np.maximum(ay, ax * 0.8660254 + ay * 0.5) - apothem


def capsule(x: Field, y: Field, ax: float, ay: float, bx: float, by: float) -> Field:
    """Return the distance to the segment from (ax, ay) to (bx, by)."""
    dx, dy = bx - ax, by - ay
    along = np.clip(((x - ax) * dx + (y - ay) * dy) * (1 / (dx * dx + dy * dy)), 0, 1)
    return norm(x - ax - along * dx, y - ay - along * dy)


def sector(x: Field, y: Field, count: int, offset: float = 0.0) -> Field:
    """Return the place within one of `count` equal sectors about the origin, in [-0.5, 0.5)."""
    turns = np.arctan2(y.astype(np.float64), x.astype(np.float64)) * (count / (2 * math.pi))
    turns += offset
    turns -= np.floor(turns + 0.5)
    return turns.astype(np.float32)


def triangle_wave(x: Field, period: float) -> Field:
    """Return a triangle wave in [-1, 1]."""
    turns = x * (1 / period)
    return np.abs(turns - np.floor(turns) - 0.5) * 4 - 1


def slab(distance: Field, height: float, bevel: float) -> Field:
    """Return the height of a flat body with a rounded edge."""
    inside = np.clip(distance * (-1 / bevel), 0, 1)
    return height - bevel * np.square(1 - inside)


def tube(distance: Field, radius: float) -> Field:
    """Return the height of a round bar above its axis; `distance` is from the axis."""
    return np.sqrt(np.maximum(radius * radius - distance * distance, 0))
