"""Whole curves of accuracy over bytes as one number.

bytes_for_accuracy    how many bytes reach an accuracy
mean_rate_change      how many more or less bytes than another codec, at equal accuracy
rate_change_interval  the same with its uncertainty
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pnc.errors import ConfigError
from pnc.replay.metrics import CONFIDENCE, RESAMPLES, resampling

MAX_UNDEFINED = 0.05
"""Share of resamples without a common accuracy beyond which a rate change has no interval."""

_NUM_ACCURACIES = 201
_RISE = 1e-9


@dataclass(frozen=True)
class RateChange:
    """Mean change of bytes against a reference at equal accuracy; -0.2 is 20 % less."""

    value: float | None
    """None where the curves have no accuracy in common."""
    low: float | None
    """Lower end of the interval; None where too many resamples have no accuracy in common."""
    high: float | None
    """Upper end."""
    accuracies: tuple[float, float] | None
    """The accuracies that both curves reach, over which the mean is taken."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields by name, rounded to 5 decimals."""
        numbers = {
            name: None if number is None else round(number, 5)
            for name, number in (("value", self.value), ("low", self.low), ("high", self.high))
        }
        common = self.accuracies
        return {**numbers, "accuracies": common and [round(end, 5) for end in common]}


def bytes_for_accuracy(
    num_bytes: Sequence[float], accuracy: Sequence[float], target: float
) -> float | None:
    """Return the bytes from which on no accuracy lies below a target, None if the last one does.

    Linear in the logarithm of the bytes between the points around the last crossing; the first
    point where no accuracy lies below, since nothing was measured with less.

    Args:
        num_bytes: Rising, [points].
        accuracy: [points].
        target: Accuracy to reach.
    """
    below = [index for index, value in enumerate(accuracy) if value < target]
    if not below:
        return float(num_bytes[0])
    last = below[-1]
    if last == len(accuracy) - 1:
        return None
    share = (target - accuracy[last]) / (accuracy[last + 1] - accuracy[last])
    low, high = np.log(num_bytes[last]), np.log(num_bytes[last + 1])
    return float(np.exp(low + share * (high - low)))


def mean_rate_change(
    num_bytes: Sequence[float],
    accuracy: Sequence[float],
    reference_bytes: Sequence[float],
    reference_accuracy: Sequence[float],
) -> float | None:
    """Return the mean change of bytes against a reference at equal accuracy: -0.2 is 20 % less.

    Bjontegaard's BD-rate (VCEG-M33) with accuracy for PSNR: the difference of the logarithms of
    bytes, averaged over the accuracies that both curves reach. Straight lines between the points,
    not the cubic, which overshoots on noisy curves; curves are made non-decreasing first, since
    nobody has to send more to know less. None where the curves have no accuracy in common: nothing
    is extrapolated.
    """
    curves = _rising(num_bytes, accuracy), _rising(reference_bytes, reference_accuracy)
    common = _common(*curves)
    if common is None:
        return None
    at = np.linspace(*common, _NUM_ACCURACIES)
    ours, theirs = (np.interp(at, hits, sizes) for hits, sizes in curves)
    return float(np.exp(np.mean(ours - theirs)) - 1.0)


def rate_change_interval(
    num_bytes: Sequence[float],
    hits: ArrayLike,
    reference_hits: ArrayLike,
    *,
    seed: int = 0,
    confidence: float = CONFIDENCE,
    num_resamples: int = RESAMPLES,
) -> RateChange:
    """Return `mean_rate_change` of two codecs on the same pictures, with its bootstrap interval.

    A resample draws pictures, the same for both codecs and at all numbers of bytes. Resamples whose
    curves have no accuracy in common are left out; beyond `MAX_UNDEFINED` there is no interval.

    Args:
        num_bytes: Rising, [points].
        hits: [points, pictures].
        reference_hits: The same of the reference.
        seed: Of the resampling.
        confidence: Share of resamples inside.
        num_resamples: How often to resample.

    Raises:
        ConfigError: The shapes differ, or there are no pictures.
    """
    ours, theirs = np.asarray(hits, np.float64), np.asarray(reference_hits, np.float64)
    if ours.shape != theirs.shape or ours.ndim != 2 or not ours.size:
        raise ConfigError(f"hits of shapes {list(ours.shape)} and {list(theirs.shape)}")
    means = ours.mean(axis=1), theirs.mean(axis=1)
    common = _common(*(_rising(num_bytes, mean) for mean in means))
    value = mean_rate_change(num_bytes, means[0].tolist(), num_bytes, means[1].tolist())
    if common is None or value is None:
        return RateChange(None, None, None, None)
    drawn = resampling(ours.shape[1], seed, num_resamples)
    curves = [_resampled_curves(side, drawn) for side in (ours, theirs)]
    changes = [
        mean_rate_change(num_bytes, our_curve, num_bytes, their_curve)
        for our_curve, their_curve in zip(*curves, strict=True)
    ]
    known = [change for change in changes if change is not None]
    low = high = None
    if len(known) >= (1 - MAX_UNDEFINED) * num_resamples:
        tail = 50.0 * (1.0 - confidence)
        low, high = (float(end) for end in np.percentile(known, [tail, 100.0 - tail]))
    return RateChange(value, low, high, common)


def _resampled_curves(hits: NDArray[np.float64], drawn: NDArray[np.int64]) -> list[list[float]]:
    """Return a curve for each resample from hits [points, pictures]."""
    means = np.stack([row[drawn].mean(axis=1) for row in hits], axis=1)
    curves: list[list[float]] = means.tolist()
    return curves


def _rising(
    num_bytes: ArrayLike, accuracy: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return strictly rising accuracies and the logarithms of their bytes."""
    rising = np.maximum.accumulate(np.asarray(accuracy, np.float64))
    return rising + _RISE * np.arange(rising.size), np.log(np.asarray(num_bytes, np.float64))


def _common(
    ours: tuple[NDArray[np.float64], NDArray[np.float64]],
    theirs: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> tuple[float, float] | None:
    """Return the least and the greatest accuracy that both curves reach."""
    low, high = max(ours[0][0], theirs[0][0]), min(ours[0][-1], theirs[0][-1])
    return None if high - low <= _RISE * ours[0].size else (float(low), float(high))
