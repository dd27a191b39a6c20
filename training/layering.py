"""The priority order: which channel gains how many bits next, by distortion removed per byte."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pnc.codec.entropy.prior import fit_priors
from pnc.codec.layers import UNKNOWN_SHIFT, LayerPlan, at_shift, layer_symbols

MIN_GAIN_BITS_PER_SYMBOL = 1e-4
"""Steps that cost less than this are merged into the next: an empty layer only costs time."""


@dataclass(frozen=True)
class Layering:
    """A plan with what training needs to know about it.

    Attributes:
        plan: grid and order.
        reconstruction: float32 ``[channels, 8]``: where in its interval a non-zero magnitude lies
            on average, 0..1.
        layer_bytes: float64 ``[num_layers]``: mean size of each layer.
    """

    plan: LayerPlan
    reconstruction: NDArray[np.float32]
    layer_bytes: NDArray[np.float64]


def reconstruction_points(values: NDArray[np.int16]) -> NDArray[np.float32]:
    """Mean place of non-zero magnitudes in their quantisation intervals, by channel and shift.

    Args:
        values: int16 ``[channels, n]``.

    Returns:
        float32 ``[channels, 8]``; 0.45 where too few values say anything.
    """
    points = np.full((len(values), UNKNOWN_SHIFT), 0.45, np.float32)
    for channel, magnitude in enumerate(np.abs(values).astype(np.float64)):
        for shift in range(1, UNKNOWN_SHIFT):
            scaled = magnitude[magnitude >= 1 << shift] / (1 << shift)
            if len(scaled) >= 50:
                points[channel, shift] = np.clip(
                    np.mean(scaled - np.floor(scaled)) + 0.5 / (1 << shift), 0.2, 0.6
                )
    points[:, 0] = 0.0
    return points


def restore(
    values: NDArray[np.int16], shift: int, points: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Values at a precision put back on the scale of precision 0; 0 where nothing is known."""
    if shift == UNKNOWN_SHIFT:
        return np.zeros(values.shape)
    coarse = at_shift(values, 0, shift).astype(np.float64)
    return np.sign(coarse) * (np.abs(coarse) + points[shift]) * (1 << shift) * (coarse != 0)


def entropy_bits(symbols: NDArray[np.integer]) -> float:
    """Empirical entropy of all symbols together, bits."""
    if not len(symbols):
        return 0.0
    _, counts = np.unique(symbols, return_counts=True)
    return float(-(counts * np.log2(counts / counts.sum())).sum())


def channel_steps(
    values: NDArray[np.int16], points: NDArray[np.float32]
) -> list[tuple[float, int]]:
    """The lower convex hull of one channel's rate and distortion.

    Returns:
        ``(distortion removed per bit, shift)``, best first.
    """
    shifts = range(UNKNOWN_SHIFT, -1, -1)
    rates = [
        entropy_bits(at_shift(values, 0, shift)) if shift < UNKNOWN_SHIFT else 0.0
        for shift in shifts
    ]
    errors = [float(np.square(values - restore(values, shift, points)).sum()) for shift in shifts]
    hull: list[tuple[float, int]] = []
    at = 0
    while at < UNKNOWN_SHIFT:
        slopes = [
            (errors[at] - errors[to])
            / max(rates[to] - rates[at], MIN_GAIN_BITS_PER_SYMBOL * len(values))
            for to in range(at + 1, UNKNOWN_SHIFT + 1)
        ]
        best = int(np.argmax(slopes))
        if slopes[best] <= 0:
            break
        at += best + 1
        hull.append((slopes[best], UNKNOWN_SHIFT - at))
    return hull


def fit_layering(
    symbols: NDArray[np.uint8],
    zero_point: int,
    *,
    whole_channels: int | None = None,
    weights: NDArray[np.float64] | None = None,
) -> Layering:
    """Order the layers of an encoder.

    Args:
        symbols: uint8 ``[n, height, width, channels]`` of training pictures.
        zero_point: the symbol of value 0.
        whole_channels: one layer a channel in index order, down to this shift (the published
            scheme); otherwise bit planes by distortion per byte.
        weights: ``[channels]``, what a squared error in each channel costs; equal if absent.
    """
    _, height, width, channels = symbols.shape
    blank = LayerPlan(height, width, channels, zero_point, ((0, 0),))
    values = np.concatenate([blank.values(picture) for picture in symbols], axis=1)
    points = reconstruction_points(values)
    if whole_channels is None:
        factors = np.ones(channels) if weights is None else weights
        ranked = sorted(
            (
                (-slope * factors[channel], channel, shift)
                for channel in range(channels)
                for slope, shift in channel_steps(values[channel], points[channel])
            ),
        )
        steps = _monotone([(channel, shift) for _, channel, shift in ranked])
    else:
        steps = tuple((channel, whole_channels) for channel in range(channels))
    plan = LayerPlan(height, width, channels, zero_point, steps)
    return Layering(plan, points, layer_sizes(plan, symbols))


def _monotone(steps: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Drop what a finer step of the same channel, tied in rank, has overtaken."""
    reached: dict[int, int] = {}
    kept = []
    for channel, shift in steps:
        if shift < reached.get(channel, UNKNOWN_SHIFT):
            reached[channel] = shift
            kept.append((channel, shift))
    return tuple(kept)


def layer_sizes(plan: LayerPlan, symbols: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean bytes of each layer under its own fitted priors: float64 ``[num_layers]``."""
    values = np.concatenate([plan.values(picture) for picture in symbols], axis=1)
    sizes = []
    for layer, prior in zip(plan.layers, fit_priors(plan, symbols), strict=True):
        full = values[layer.channel]
        new, low = layer_symbols(
            plan, layer, at_shift(full, 0, layer.from_shift), at_shift(full, 0, layer.shift)
        )
        bits = prior.significance.bits[new].sum() + (
            prior.refinement.bits[low].sum() if prior.refinement else 0.0
        )
        sizes.append(bits / 8 / len(symbols))
    return np.asarray(sizes)
