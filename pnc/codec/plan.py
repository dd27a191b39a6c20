"""The coding plan of a checkpoint: all that both sides must know to read each other's bits.

It lies in ``plan.npz``, arrays without pickle:

=================  ===============================  ================================================
``zero_point``     int64 ``[]``                     the symbol that means 0
``smooth``         int64 ``[n]``                    channels that are transformed once more
``scale``          float32 ``[h, w, c]``            of each coefficient
``points``         float32 ``[c, 13]``              where in its interval a magnitude lies, by plane
``X_first``        int64 ``[c]``                    highest plane of each channel
``X_weights``      int16 ``[planes, c, c]``         see :class:`pnc.codec.planes.PlanePrior`
``X_neighbours``   int16 ``[planes, c]``
``X_bias``         int16 ``[planes, ..., c]``       for each position
``X_orders``       int64 ``[planes, 14]``
``X_refined``      int64 ``[planes]``
=================  ===============================  ================================================

``X`` is ``whole`` and, where the grid can be cut, ``region``; all regions share theirs.
"""

from __future__ import annotations

import io
import struct
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pnc.codec.coefficients import TOP_PLANE, CoefficientGrid
from pnc.codec.plane_coder import Knowledge
from pnc.codec.planes import PlanePlan, PlanePrior
from pnc.codec.regions import NUM_REGIONS, is_divisible, region_places
from pnc.errors import CheckpointError

MAX_PLAN_BYTES = 64 << 20
"""Arrays of a plan that together are larger are not read."""

_DAMAGES = (
    ArithmeticError,
    EOFError,
    KeyError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What zipfile and NumPy raise when they read damaged archives."""


@dataclass(frozen=True)
class CodingPlan:
    """How pictures are coded, whole or by regions.

    Args:
        whole: for the whole grid.
        regions: for each region; none where the grid cannot be cut.
        points: float32 ``[channels, 13]``: where in its interval a magnitude lies that is known
            down to a plane, 0..1.

    Raises:
        CheckpointError: these do not fit each other.
    """

    whole: PlanePlan
    regions: tuple[PlanePlan, ...]
    points: NDArray[np.float32]

    def __post_init__(self) -> None:
        wanted = (self.whole.grid.num_channels, TOP_PLANE + 1)
        if self.points.shape != wanted or not np.isfinite(self.points).all():
            raise CheckpointError(f"plan: reconstruction points are not {wanted} numbers")

    @property
    def grid(self) -> CoefficientGrid:
        """Of the whole picture."""
        return self.whole.grid

    def split(self, values: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Values ``[height, width, channels]`` as those of each region."""
        flat = values.reshape(-1, self.grid.num_channels)
        places = region_places(self.grid.height, self.grid.width)
        return [
            flat[place].reshape(plan.grid.shape)
            for place, plan in zip(places, self.regions, strict=True)
        ]

    def restore(self, parts: list[Knowledge]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What is known of a picture, from that of its regions or of its whole.

        Args:
            parts: of each region, or one of the whole.

        Returns:
            Values and how uncertain they are, both float32 ``[height, width, channels]``.
        """
        if len(parts) == 1:
            values, spread = parts[0].restore(self.points)
            return values, spread
        places = region_places(self.grid.height, self.grid.width)
        whole = np.empty(
            (2, self.grid.height * self.grid.width, self.grid.num_channels), np.float32
        )
        for place, part in zip(places, parts, strict=True):
            for target, found in zip(whole, part.restore(self.points), strict=True):
                target[place] = found.reshape(-1, self.grid.num_channels)
        values, spread = whole.reshape(2, *self.grid.shape)
        return values, spread


def make_plan(
    whole: PlanePlan, region: PlanePlan | None, points: NDArray[np.float32]
) -> CodingPlan:
    """A plan whose regions share the priors that were fitted to all of them together."""
    if region is None:
        return CodingPlan(whole, (), points)
    grid = whole.grid
    regions = tuple(
        PlanePlan(
            grid.cut(places, grid.height // 2, grid.width // 2), region.first_planes, region.priors
        )
        for places in region_places(grid.height, grid.width)
    )
    return CodingPlan(whole, regions, points)


def plan_to_bytes(plan: CodingPlan) -> bytes:
    """The content of ``plan.npz``; the same for the same plan."""
    grid = plan.grid
    arrays: dict[str, Any] = {
        "zero_point": np.array(grid.zero_point, np.int64),
        "smooth": np.array(grid.smooth, np.int64),
        "scale": grid.scale,
        "points": plan.points,
    }
    for prefix, planes in (("whole", plan.whole), *(("region", r) for r in plan.regions[:1])):
        arrays |= {
            f"{prefix}_first": np.array(planes.first_planes, np.int64),
            f"{prefix}_weights": np.stack([prior.weights for prior in planes.priors]),
            f"{prefix}_neighbours": np.stack([prior.neighbours for prior in planes.priors]),
            f"{prefix}_bias": np.stack([prior.bias for prior in planes.priors]),
            f"{prefix}_orders": np.array([prior.orders for prior in planes.priors], np.int64),
            f"{prefix}_refined": np.array(
                [prior.refined_after for prior in planes.priors], np.int64
            ),
        }
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def plan_from_bytes(content: bytes) -> CodingPlan:
    """Read the content of ``plan.npz``.

    Raises:
        CheckpointError: it is damaged or describes no plan.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_PLAN_BYTES:
            raise CheckpointError(f"plan: its arrays take {size} bytes, at most {MAX_PLAN_BYTES}")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            scale = _read(arrays, "scale", np.float32)
            height, width, channels = scale.shape
            smooth = tuple(int(channel) for channel in _read(arrays, "smooth", np.int64))
            zero_point = int(_read(arrays, "zero_point", np.int64))
            grid = CoefficientGrid(height, width, channels, zero_point, smooth, scale)
            whole = _read_planes(arrays, "whole", grid)
            region = None
            if "region_first" in arrays:
                if not is_divisible(height, width):
                    raise CheckpointError(f"plan: {height}x{width} positions have no regions")
                places = region_places(height, width)[0]
                region = _read_planes(arrays, "region", grid.cut(places, height // 2, width // 2))
            return make_plan(whole, region, _read(arrays, "points", np.float32))
    except CheckpointError:
        raise
    except _DAMAGES as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"plan: not the arrays of a coding plan ({reason})") from error


def _read_planes(arrays: Any, prefix: str, grid: CoefficientGrid) -> PlanePlan:
    first = _read(arrays, f"{prefix}_first", np.int64)
    parts = (
        _read(arrays, f"{prefix}_weights", np.int16),
        _read(arrays, f"{prefix}_neighbours", np.int16),
        _read(arrays, f"{prefix}_bias", np.int16),
        _read(arrays, f"{prefix}_orders", np.int64),
        _read(arrays, f"{prefix}_refined", np.int64),
    )
    priors = tuple(
        PlanePrior(
            weights, neighbours, bias, tuple(int(order) for order in orders), int(refined_after)
        )
        for weights, neighbours, bias, orders, refined_after in zip(*parts, strict=True)
    )
    return PlanePlan(grid, tuple(int(plane) for plane in first), priors)


def _read(arrays: Any, name: str, dtype: type[np.generic]) -> NDArray[Any]:
    array = arrays[name]
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        raise CheckpointError(f"plan: {name} is no array of {np.dtype(dtype)}")
    return array


__all__ = ["NUM_REGIONS", "CodingPlan", "make_plan", "plan_from_bytes", "plan_to_bytes"]
