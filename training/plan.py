"""Fit a checkpoint's coding plan to what its encoder makes of training pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pnc.codec.coefficients import BLOCK, TOP_PLANE, CoefficientGrid
from pnc.codec.plan import CodingPlan
from pnc.codec.plane_coder import decode_planes, encode_planes
from pnc.codec.planes import PlanePlan
from training.planes import SEGMENTS, fit_planes, segment_turn

SMOOTH_CORRELATION = 0.7
"""Channels whose neighbours correlate by more are transformed once more (experiment 0002: .8)."""

SIZE_PICTURES = 200
"""Pictures that segments are measured on."""

MIN_SAMPLES = 50
"""Magnitudes that tell a reconstruction point; with fewer it stays at :data:`USUAL_POINT`."""

USUAL_POINT = 0.45
"""Where in its interval a magnitude lies if little is known of it: they are rarer, the larger."""


@dataclass(frozen=True)
class FittedPlan:
    """A plan with what training needs to know about it.

    Attributes:
        plan: what encoder and decoder share.
        segment_bytes: float64 ``[segments]``: mean size of each segment of a picture, the highest
            plane first, :data:`training.planes.SEGMENTS` a plane.
    """

    plan: CodingPlan
    segment_bytes: NDArray[np.float64]


def fit_plan(
    symbols: NDArray[np.uint8], zero_point: int, scale: NDArray[np.float32] | None = None
) -> FittedPlan:
    """The plan for symbols like these.

    Args:
        symbols: uint8 ``[n, height, width, channels]``.
        zero_point: the symbol that means 0.
        scale: of each coefficient, see :class:`pnc.codec.coefficients.CoefficientGrid`; 1 if
            absent.
    """
    _, height, width, channels = symbols.shape
    shape = (height, width, channels)
    smooth = smooth_channels(symbols)
    scale = np.ones(shape, np.float32) if scale is None else scale
    return fit_plan_on(CoefficientGrid(height, width, channels, zero_point, smooth, scale), symbols)


def fit_plan_on(
    grid: CoefficientGrid, symbols: NDArray[np.uint8], *, neighbours: bool = True
) -> FittedPlan:
    """The plan for symbols like these, uint8 ``[n, height, width, channels]``, on a given grid.

    ``neighbours`` says whether predictions look at them.
    """
    coefficients = np.stack([grid.forward(grid.values(picture)) for picture in symbols])
    planes = fit_planes(grid, coefficients, neighbours=neighbours)
    plan = CodingPlan(planes, reconstruction_points(coefficients))
    return FittedPlan(plan, segment_bytes(planes, coefficients[:SIZE_PICTURES]))


def scale_within(fitted: FittedPlan, num_bytes: float) -> NDArray[np.float32]:
    """A plan's scales, smaller where whole streams would have more than ``num_bytes`` on average.

    Half the scale is one plane less; between planes the size is interpolated, so it is met roughly.
    """
    scale = fitted.plan.grid.scale
    planes = fitted.segment_bytes.reshape(-1, SEGMENTS).sum(axis=1)
    sizes = planes.cumsum()  # with one plane, with two, ...; the last is the whole stream
    planes_less = np.arange(len(sizes))[::-1]
    return scale * np.float32(0.5 ** np.interp(num_bytes, sizes, planes_less))


def smooth_channels(symbols: NDArray[np.uint8]) -> tuple[int, ...]:
    """Channels whose neighbours are alike; none where the grid is not made of 4x4 blocks."""
    if symbols.shape[1] % BLOCK or symbols.shape[2] % BLOCK:
        return ()
    values = symbols.astype(np.float32)
    values -= values.mean(axis=(0, 1, 2))
    power = np.maximum((values**2).mean(axis=(0, 1, 2)), 1e-6)
    down = (values[:, 1:] * values[:, :-1]).mean(axis=(0, 1, 2))
    across = (values[:, :, 1:] * values[:, :, :-1]).mean(axis=(0, 1, 2))
    correlation = (down + across) / 2 / power
    return tuple(int(channel) for channel in np.flatnonzero(correlation > SMOOTH_CORRELATION))


def reconstruction_points(coefficients: NDArray[np.int16]) -> NDArray[np.float32]:
    """Mean place of magnitudes in their intervals, by channel and plane.

    Args:
        coefficients: int16 ``[n, height, width, channels]``.

    Returns:
        float32 ``[channels, 13]``; 0 at plane 0, where nothing is left to tell.
    """
    channels = coefficients.shape[-1]
    points = np.full((channels, TOP_PLANE + 1), USUAL_POINT, np.float32)
    for channel in range(channels):
        magnitudes = np.abs(coefficients[..., channel]).ravel().astype(np.float64)
        for plane in range(1, TOP_PLANE + 1):
            scaled = magnitudes[magnitudes >= 1 << plane] / (1 << plane)
            if len(scaled) < MIN_SAMPLES:
                break
            points[channel, plane] = np.clip(np.mean(scaled % 1.0), 0.2, 0.6)
    points[:, 0] = 0.0
    return points


def segment_bytes(plan: PlanePlan, coefficients: NDArray[np.int16]) -> NDArray[np.float64]:
    """Mean size of each segment, bytes, the highest plane first: float64 ``[segments]``."""
    num_planes = len(plan.priors)
    bits = np.zeros(SEGMENTS * num_planes)
    for picture in coefficients:
        for segment in decode_planes(plan, encode_planes(plan, picture)).segments:
            turn = segment_turn(segment.of_class, plan.priors[segment.plane].refined_after)
            bits[SEGMENTS * (num_planes - 1 - segment.plane) + turn] += segment.num_bits
    return bits / 8 / len(coefficients)
