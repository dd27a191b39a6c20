"""Rivals that are whole files and nothing else: WebP, JPEG 2000, JPEG XL."""

from __future__ import annotations

import importlib
import importlib.metadata
from dataclasses import dataclass

import numpy as np

from pnc.errors import ConfigError
from pnc.replay.baselines.base import SCALES, Contender, Rival, name_scale, name_version

JPEG_XL_PLUGIN = "pillow-jxl-plugin"
"""The distribution that teaches Pillow JPEG XL."""

JPEG_XL_EFFORTS = (7, 9)
"""libjxl's default, and what saves 2 to 5 % of the bytes at equal PSNR for five times the work; 10
takes as long again and saves nothing at these sizes."""


@dataclass(frozen=True)
class JpegXl(Rival):
    """JPEG XL as a bare code stream, by Pillow's plug-in; efforts are variants as scales are."""

    @property
    def setting(self) -> str:
        """Effort and scale, in words."""
        return f"effort {self.ladder[0]['effort']}, {name_scale(self.scale)}"


def open_webp() -> list[Contender]:
    """Return the variants of WebP.

    Raises:
        ConfigError: This Pillow lacks it.
    """
    ladder = tuple({"quality": quality, "method": 6} for quality in range(101))
    return [Rival("webp", "WEBP", ladder, scale, name_version("webp")) for scale in SCALES]


def open_jpeg2000() -> list[Contender]:
    """Return the variants of JPEG 2000.

    Raises:
        ConfigError: This Pillow lacks it.
    """
    ratios = np.geomspace(600.0, 4.0, 128).round(2).tolist()
    ladder = tuple(
        {"quality_mode": "rates", "quality_layers": (ratio,), "irreversible": True, "no_jp2": True}
        for ratio in ratios
    )
    version = name_version("jpg_2000")
    return [Rival("jpeg2000", "JPEG2000", ladder, scale, version) for scale in SCALES]


def open_jpeg_xl() -> list[Contender]:
    """Return the variants of JPEG XL.

    Raises:
        ConfigError: Its package is not installed.
    """
    try:
        # By name: an optional package, which registers itself with Pillow.
        importlib.import_module("pillow_jxl")
    except ImportError as error:
        raise ConfigError(f"no JPEG XL here; install {JPEG_XL_PLUGIN}") from error
    version = f"{JPEG_XL_PLUGIN} {importlib.metadata.version(JPEG_XL_PLUGIN)}"
    ladders = [
        tuple(
            {"quality": half / 2, "effort": effort, "num_threads": 0, "use_container": False}
            for half in range(200)
        )
        for effort in JPEG_XL_EFFORTS
    ]
    return [JpegXl("jpegxl", "JXL", lad, scale, version) for lad in ladders for scale in SCALES]
