"""Light on the scene, and the camera that sees it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from pnc.belt.distances import triangle_wave
from pnc.belt.fields import SIZE, Field, blurred, grid, moved, turn
from pnc.belt.randomness import Random
from pnc.belt.scene import Scene


def light(rng: Random, scene: Scene) -> Field:
    """Return the scene in linear light, float32 [3, 224, 224], about 0 to 1."""
    cosine, sine = turn(rng.uniform(0, 360))
    rise, flat = turn(rng.uniform(28, 65))
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
        above = moved(around, margin, down, right) - height
        above -= np.float32(index * drop)
        np.maximum(shade, above, out=shade)
    shadow = blurred(np.clip(shade, 0, 1), rng.uniform(0.6, 2.5), 0, 1)
    shadow *= np.float32(rng.uniform(0.6, 0.95))

    hollow = blurred(height, 5.0, -8, 56) - height
    occlusion = 1 / (1 + np.maximum(hollow, 0) * 0.11)

    room_x, room_y = turn(rng.uniform(0, 360))
    mirrored = (slope_x * np.float32(room_x) + slope_y * np.float32(room_y)) * up
    room = np.square(triangle_wave(mirrored + rng.uniform(), rng.uniform(0.6, 1.4)))

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


def photograph(rng: Random, picture: Field, belt_degrees: float) -> NDArray[np.uint8]:
    """Return what the camera makes of linear light: uint8 [224, 224, 3]."""
    rows, columns = grid()
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
        cosine, sine = turn(belt_degrees)
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
    noise *= np.float32(rng.uniform(0.5, 4.5))
    noise += pixels
    return np.clip(noise + 0.5, 0, 255).astype(np.uint8)
