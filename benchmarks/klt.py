"""The baseline to beat: a Karhunen-Loeve transform of patches with our entropy coder.

    picture -> patches -> projections, 8-bit symbols -> bit planes, cut at the budget -> transposed

Minutes to fit, nothing trained: what is left between it and a checkpoint of ours is what training
is worth. Two sides of patches, each with as many projections as the device's 10 million
multiply-accumulates pay for; the better one counts, chosen as rivals' scales are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pnc.codec.bitstream import decode_stream, encode_stream
from pnc.codec.image import SIZE
from pnc.codec.plan import CodingPlan, plan_from_bytes, plan_to_bytes
from pnc.errors import ConfigError
from training.plan import fit_plan

FAMILY = "klt"
"""Its name among the codecs."""

CHANNELS = {14: 64, 8: 48}
"""Projections by side of the patches, pixels: 9.6 and 7.2 million multiply-accumulates."""

TRANSFORM_PICTURES = 400
"""Pictures that transforms are fitted to."""

PLAN_PICTURES = 200
"""Of these, those that coding plans are fitted to."""

_GREY = 127.5
_ZERO = 128
"""The symbol of value 0."""


@dataclass(frozen=True)
class PatchTransform:
    """One side of patches, fitted.

    Attributes:
        directions: float32 [side * side * 3, channels], orthonormal.
        plan: How symbols are coded.
    """

    directions: NDArray[np.float32]
    plan: CodingPlan

    @property
    def side(self) -> int:
        """Of a patch, pixels."""
        return _side(self.directions)

    @property
    def family(self) -> str:
        """Name of the codec."""
        return FAMILY

    @property
    def setting(self) -> str:
        """Its patches, in words."""
        return f"{self.directions.shape[1]} projections of {self.side}x{self.side}"

    @property
    def fingerprint(self) -> str:
        """All that its bytes and pictures depend on."""
        return f"{FAMILY} {self.identity}"

    @property
    def identity(self) -> str:
        """A hash of transform and plan; the streams' header holds a part of it."""
        content = self.directions.tobytes() + plan_to_bytes(self.plan)
        return hashlib.sha256(content).hexdigest()[:16]

    def encode_within(
        self, picture: NDArray[np.uint8], budgets: Sequence[int]
    ) -> dict[int, bytes | None]:
        """Return for each budget the stream cut there; always fits."""
        grid = self.plan.grid
        values = grid.values(_symbols(picture[None], self.directions)[0])
        stream = encode_stream(self.plan.planes, self.identity[:8], values)
        return {budget: stream[:budget] for budget in budgets}

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        """Return the picture that a prefix holds: the projections transposed, nothing else."""
        knowledge = decode_stream(self.plan.planes, self.identity[:8], stream)
        values, _ = knowledge.restore(self.plan.points)
        patches = values @ (self.directions.T * _step(self.side))
        pixels = _from_patches(patches[None], self.side)[0] + _GREY
        decoded: NDArray[np.uint8] = np.clip(np.round(pixels), 0, 255).astype(np.uint8)
        return decoded


def fit_transforms(pictures: NDArray[np.uint8]) -> tuple[PatchTransform, ...]:
    """Return a transform for each side of patches.

    Args:
        pictures: uint8 RGB [n, 224, 224, 3], none of which is reported on.

    Raises:
        ConfigError: There are no pictures.
    """
    if not len(pictures):
        raise ConfigError(f"{FAMILY}: needs pictures that it is fitted to; name some with --train")
    fitted = []
    for side, channels in CHANNELS.items():
        size = side * side * 3
        covariance = np.zeros((size, size))
        for picture in pictures[:TRANSFORM_PICTURES]:
            rows = _to_patches(picture[None], side).reshape(-1, size).astype(np.float64)
            covariance += rows.T @ rows
        _, directions = np.linalg.eigh(covariance)
        chosen = np.ascontiguousarray(directions[:, ::-1][:, :channels], np.float32)
        symbols = np.concatenate([_symbols(x[None], chosen) for x in pictures[:PLAN_PICTURES]])
        fitted.append(PatchTransform(chosen, fit_plan(symbols, _ZERO).plan))
    return tuple(fitted)


def write_transforms(path: Path, transforms: Sequence[PatchTransform]) -> None:
    """Write what `fit_transforms` made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {}
    for transform in transforms:
        arrays[f"directions_{transform.side}"] = transform.directions
        arrays[f"plan_{transform.side}"] = np.frombuffer(plan_to_bytes(transform.plan), np.uint8)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.savez(file, **arrays)
    partial.replace(path)


def read_transforms(path: Path) -> tuple[PatchTransform, ...]:
    """Read what `write_transforms` wrote.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return tuple(
                PatchTransform(
                    arrays[f"directions_{side}"], plan_from_bytes(arrays[f"plan_{side}"].tobytes())
                )
                for side in CHANNELS
            )
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{path}: no transforms ({error}); delete it") from error


def _side(directions: NDArray[np.float32]) -> int:
    return round(float(np.sqrt(len(directions) / 3)))


def _step(side: int) -> float:
    """Return the grey levels of one symbol: white fits just in 8 bits."""
    return _GREY * 3**0.5 * side / 127


def _symbols(pictures: NDArray[np.uint8], directions: NDArray[np.float32]) -> NDArray[np.uint8]:
    side = _side(directions)
    values = _to_patches(pictures, side) @ (directions / _step(side))
    return np.clip(np.round(values) + _ZERO, 0, 255).astype(np.uint8)


def _to_patches(pictures: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """Return [n, h, w, side * side * 3] around grey."""
    count = SIZE // side
    cells = (pictures.astype(np.float32) - _GREY).reshape(-1, count, side, count, side, 3)
    return cells.transpose(0, 1, 3, 2, 4, 5).reshape(-1, count, count, side * side * 3)


def _from_patches(patches: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    count = SIZE // side
    cells = patches.reshape(-1, count, count, side, side, 3).transpose(0, 1, 3, 2, 4, 5)
    return cells.reshape(-1, SIZE, SIZE, 3)
