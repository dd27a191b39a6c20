"""The coding plan of a checkpoint: all that both sides must know to read each other's bits.

It lies in ``plan.npz``, arrays without pickle:

=================  ===============================  ================================================
``zero_point``     int64 ``[]``                     the symbol that means 0
``smooth``         int64 ``[n]``                    channels that are transformed once more
``scale``          float32 ``[h, w, c]``            of each coefficient
``points``         float32 ``[c, 13]``              where in its interval a magnitude lies, by plane
``first``          int64 ``[c]``                    highest plane of each channel
``inner``          int16 ``[planes, 2, c, hidden]`` see :class:`pnc.codec.context.Context`
``inner_bias``     int32 ``[planes, hidden]``
``outer``          int16 ``[planes, hidden, c]``
``neighbours``     int16 ``[planes, c]``
``bias``           int16 ``[planes, h, w, c]``
``orders``         int64 ``[planes, 18]``
``refined``        int64 ``[planes]``
=================  ===============================  ================================================
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
from pnc.codec.context import Context
from pnc.codec.planes import PlanePlan, PlanePrior
from pnc.errors import CheckpointError

MAX_PLAN_BYTES = 64 << 20
"""Arrays of a plan that together are larger are not read."""

_COMPRESSIONS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
"""What NumPy writes; decoders of others take memory as they are told to."""

_CONTEXT_ARRAYS: dict[str, tuple[type[np.generic], int]] = {
    "inner": (np.int16, 4),
    "inner_bias": (np.int32, 2),
    "outer": (np.int16, 3),
    "neighbours": (np.int16, 2),
    "bias": (np.int16, 4),
}
"""Of the networks, with a first axis for the planes: their types and axes."""

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
    """How pictures are coded and put back.

    Args:
        planes: the order of all bits.
        points: float32 ``[channels, 13]``: where in its interval a magnitude lies that is known
            down to a plane, 0..1.

    Raises:
        CheckpointError: these do not fit each other.
    """

    planes: PlanePlan
    points: NDArray[np.float32]

    def __post_init__(self) -> None:
        wanted = (self.grid.num_channels, TOP_PLANE + 1)
        if self.points.shape != wanted or not ((self.points >= 0) & (self.points <= 1)).all():
            raise CheckpointError(f"plan: reconstruction points are not {wanted} from 0 to 1")

    @property
    def grid(self) -> CoefficientGrid:
        """Of the picture."""
        return self.planes.grid


def plan_to_bytes(plan: CodingPlan) -> bytes:
    """The content of ``plan.npz``; the same for the same plan."""
    grid = plan.grid
    priors = plan.planes.priors
    arrays: dict[str, Any] = {
        "zero_point": np.array(grid.zero_point, np.int64),
        "smooth": np.array(grid.smooth, np.int64),
        "scale": grid.scale,
        "points": plan.points,
        "first": np.array(plan.planes.first_planes, np.int64),
        **{
            name: np.stack([getattr(prior.context, name) for prior in priors])
            for name in _CONTEXT_ARRAYS
        },
        "orders": np.array([prior.orders for prior in priors], np.int64),
        "refined": np.array([prior.refined_after for prior in priors], np.int64),
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
            entries = archive.infolist()
        size = sum(entry.file_size for entry in entries)
        if not {entry.compress_type for entry in entries} <= _COMPRESSIONS:
            raise CheckpointError("plan: compressed in a way that NumPy does not")
        if size > MAX_PLAN_BYTES:
            raise CheckpointError(f"plan: its arrays take {size} bytes, at most {MAX_PLAN_BYTES}")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            scale = _read(arrays, "scale", np.float32, 3)
            height, width, channels = scale.shape
            smooth = tuple(int(channel) for channel in _read(arrays, "smooth", np.int64, 1))
            zero_point = int(_read(arrays, "zero_point", np.int64, 0))
            grid = CoefficientGrid(height, width, channels, zero_point, smooth, scale)
            return CodingPlan(_read_planes(arrays, grid), _read(arrays, "points", np.float32, 2))
    except CheckpointError:
        raise
    except _DAMAGES as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"plan: not the arrays of a coding plan ({reason})") from error


def _read_planes(arrays: Any, grid: CoefficientGrid) -> PlanePlan:
    first = _read(arrays, "first", np.int64, 1)
    orders, refined = _read(arrays, "orders", np.int64, 2), _read(arrays, "refined", np.int64, 1)
    networks = {
        name: _read(arrays, name, dtype, axes) for name, (dtype, axes) in _CONTEXT_ARRAYS.items()
    }
    counts = {len(array) for array in (orders, refined, *networks.values())}
    if counts != {int(first.max(initial=-1)) + 1}:
        raise CheckpointError("plan: the arrays of the planes are not for planes 0 to the highest")
    priors = tuple(
        PlanePrior(
            Context(**{name: array[plane] for name, array in networks.items()}),
            tuple(orders[plane].tolist()),
            int(refined[plane]),
        )
        for plane in range(len(orders))
    )
    return PlanePlan(grid, tuple(int(plane) for plane in first), priors)


def _read(arrays: Any, name: str, dtype: type[np.generic], num_axes: int) -> NDArray[Any]:
    array = arrays[name]
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != num_axes:
        raise CheckpointError(f"plan: {name} is no array of {np.dtype(dtype)} with {num_axes} axes")
    return array
