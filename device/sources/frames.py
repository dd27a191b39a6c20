"""From the frames of a camera's driver to pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pnc.errors import ImageError

__all__ = ["FRAME_FORMATS", "picture_from_frame"]

FRAME_FORMATS = ("MJPG", "YUYV")
"""What every UVC camera offers at least one of, best first: a JPEG is decoded at reduced size."""

_LUMA = bytes(min(255, max(0, round((level - 16) * 255 / 219))) for level in range(256))
_CHROMA = bytes(min(255, max(0, round((level - 128) * 255 / 224 + 128))) for level in range(256))
"""From the studio range of ITU-R BT.601 to the full range that a JPEG, and Pillow, mean."""


def picture_from_frame(
    data: bytes, pixel_format: str, width: int, height: int, bytes_per_line: int = 0
) -> bytes | Image.Image:
    """Return a frame as something that the codec takes.

    Args:
        data: The frame as the driver gave it.
        pixel_format: One of :data:`FRAME_FORMATS`.
        width, height: Pixels.
        bytes_per_line: Of a raw frame; 0: no padding.

    Raises:
        ImageError: The frame is shorter than its format says, or of another format.
    """
    if pixel_format in ("MJPG", "JPEG"):
        return bytes(data)
    if pixel_format == "YUYV":
        return _from_yuyv(data, width, height, bytes_per_line or 2 * width)
    raise ImageError(
        f"frame of format {pixel_format}: not one of {', '.join(FRAME_FORMATS)}; set another"
    )


def _from_yuyv(data: bytes, width: int, height: int, bytes_per_line: int) -> Image.Image:
    if (
        width % 2
        or bytes_per_line < 2 * width
        or len(data) < bytes_per_line * (height - 1) + (2 * width)
    ):
        raise ImageError(
            f"frame of {len(data)} bytes: not {width} x {height} in YUYV; take the camera's cable "
            "out and in again"
        )
    rows = np.zeros((height, bytes_per_line), np.uint8)
    flat: NDArray[np.uint8] = np.frombuffer(data, np.uint8)[: rows.size]
    rows.reshape(-1)[: flat.size] = flat
    pixels = rows[:, : 2 * width].reshape(height, width // 2, 4)
    luma = Image.fromarray(np.ascontiguousarray(pixels[..., 0::2]).reshape(height, width))
    blue, red = (
        Image.fromarray(np.ascontiguousarray(pixels[..., channel]))
        .resize((width, height), Image.Resampling.NEAREST)
        .point(_CHROMA)
        for channel in (1, 3)
    )
    return Image.merge("YCbCr", (luma.point(_LUMA), blue, red)).convert("RGB")
