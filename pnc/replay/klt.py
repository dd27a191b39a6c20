"""The baseline without learning: a Karhunen-Loeve transform of patches before our entropy coder.

    picture -> patches -> analysis -> 8-bit symbols -> bit planes -> symbols -> synthesis -> picture

It tells what networks and their training are worth. ``pnc train klt`` fits it and writes an
``.npz`` file:

========================================  =========================================================
``rows`` float32 [p * p * 3, channels]    orthonormal directions, pixels in the order row, column,
                                          RGB
``plan`` uint8 [bytes]                    the coding plan, see :mod:`pnc.codec.plan`
========================================  =========================================================

Symbols are inner products of rows and pixels around 127.5, in steps with which a white patch just
fits in eight bits. No header is counted: the receiver knows the transform.
"""

from __future__ import annotations

import hashlib
import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import pnc.codec as codec_package
from pnc.codec.image import SIZE
from pnc.codec.plan import CodingPlan, plan_from_bytes, plan_to_bytes
from pnc.codec.plane_coder import decode_planes, encode_planes
from pnc.errors import CheckpointError, PncError
from pnc.replay.source_digest import source_digest

GREY = 127.5
"""What pixels are taken around, grey levels."""

ZERO_POINT = 128
"""The symbol that means 0."""


def symbol_step(patch: int) -> float:
    """Grey levels of one symbol: the largest value of a patch of this side is 127 of them."""
    return GREY * patch * math.sqrt(3) / 127


def to_patches(pictures: NDArray[np.uint8], patch: int) -> NDArray[np.float32]:
    """uint8 ``[n, 224, 224, 3]`` -> pixels around grey: float32 ``[n, side, side, p * p * 3]``."""
    side = SIZE // patch
    grid = pictures.astype(np.float32).reshape(-1, side, patch, side, patch, 3) - GREY
    return grid.transpose(0, 1, 3, 2, 4, 5).reshape(-1, side, side, patch * patch * 3)


def to_symbols(
    pictures: NDArray[np.uint8], rows: NDArray[np.float32], patch: int
) -> NDArray[np.uint8]:
    """uint8 ``[n, 224, 224, 3]`` -> uint8 ``[n, 224 / p, 224 / p, channels]``."""
    values = to_patches(pictures, patch) @ rows / symbol_step(patch)
    symbols: NDArray[np.uint8] = np.clip(np.rint(values) + ZERO_POINT, 0, 255).astype(np.uint8)
    return symbols


@dataclass(frozen=True)
class Transform:
    """A fitted transform.

    Attributes:
        rows: float32 ``[p * p * 3, channels]``.
        plan: how symbols are coded.
    """

    rows: NDArray[np.float32]
    plan: CodingPlan

    @property
    def patch(self) -> int:
        """Side of a patch, pixels."""
        return SIZE // self.plan.grid.height

    def to_bytes(self) -> bytes:
        """The content of an ``.npz`` file."""
        buffer = BytesIO()
        plan = np.frombuffer(plan_to_bytes(self.plan), np.uint8)
        np.savez(buffer, rows=self.rows, plan=plan)
        return buffer.getvalue()


@lru_cache(maxsize=4)
def read_transform(path: Path) -> Transform:
    """Read what ``pnc train klt`` wrote.

    Raises:
        CheckpointError: there is no such file, or it is no transform.
    """
    try:
        with np.load(BytesIO(path.read_bytes()), allow_pickle=False) as content:
            rows = np.asarray(content["rows"], np.float32)
            plan = plan_from_bytes(np.asarray(content["plan"], np.uint8).tobytes())
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, PncError) as error:
        raise CheckpointError(
            f"{path}: no transform ({error}); make one with `pnc train klt`"
        ) from error
    height, width, channels = plan.grid.shape
    if height != width or SIZE % height or rows.shape != ((SIZE // height) ** 2 * 3, channels):
        raise CheckpointError(f"{path}: rows {rows.shape} do not fit a grid {plan.grid.shape}")
    return Transform(rows, plan)


@dataclass(frozen=True)
class Klt:
    """A transform's streams, cut at the budget, behind the interface of the rivals."""

    path: Path

    @property
    def _transform(self) -> Transform:
        return read_transform(self.path)

    @property
    def family(self) -> str:
        """Named by the side of its patches."""
        return f"klt-{self._transform.patch}"

    @property
    def setting(self) -> str:
        """Channels, in words."""
        return f"{self._transform.rows.shape[1]} channels, cut at the budget"

    @property
    def fingerprint(self) -> str:
        """Hashes of the transform and of the code."""
        transform = hashlib.sha256(self._transform.to_bytes()).hexdigest()[:16]
        return f"klt {transform} {source_digest(codec_package.__file__, __file__)}"

    def encode_within(
        self, picture: NDArray[np.uint8], budgets: Sequence[int]
    ) -> dict[int, bytes | None]:
        """Return for each budget the stream cut there; always fits."""
        transform = self._transform
        (symbols,) = to_symbols(picture[None], transform.rows, transform.patch)
        grid = transform.plan.grid
        stream = encode_planes(transform.plan.planes, grid.forward(grid.values(symbols)))
        return {budget: stream[:budget] for budget in budgets}

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        """Return the picture that a prefix holds."""
        plan, patch = self._transform.plan, self._transform.patch
        values, _ = decode_planes(plan.planes, stream).restore(plan.points)
        side = SIZE // patch
        pixels = values @ self._transform.rows.T * symbol_step(patch) + GREY
        pixels = pixels.reshape(side, side, patch, patch, 3).transpose(0, 2, 1, 3, 4)
        whole = pixels.reshape(SIZE, SIZE, 3)
        picture: NDArray[np.uint8] = np.clip(np.rint(whole), 0, 255).astype(np.uint8)
        return picture
