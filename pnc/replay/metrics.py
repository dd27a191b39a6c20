"""What the benchmarks measure: bytes, fidelity, hits, and how sure a mean of them is.

Which one should I use? `top_k_hits` with `bootstrap_interval` for accuracy at a budget,
`paired_interval` for the difference of two codecs on the same pictures, `pnc.replay.rates` to put a
whole curve into one number; `psnr_db` and `ms_ssim` say how a picture looks, which is not what a
classifier needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pnc.errors import ConfigError

PEAK = 255.0
"""Largest value of a pixel."""

MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales, finest first: Wang, Simoncelli, Bovik 2003, section 3.2."""

SSIM_WINDOW = 11
"""Side of the Gaussian window, pixels: Wang et al. 2004, section III.B."""

SSIM_SIGMA = 1.5
"""Its standard deviation, pixels: the same."""

SSIM_K = (0.01, 0.03)
"""The constants that keep the quotients stable, as shares of `PEAK`: the same."""

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue: ITU-R BT.601, as in JPEG."""

MAX_PSNR_DB = 99.0
"""PSNR of two equal pictures, which has no finite value; 8-bit pictures that differ at all stay
below 96 dB up to 224 x 224."""

CONFIDENCE = 0.95
"""Share of resamples that lies inside an interval."""

RESAMPLES = 2000
"""Bootstrap resamples: the ends of a 95 % interval move by less than a tenth of its width."""


@dataclass(frozen=True)
class Interval:
    """A mean and the ends of its confidence interval."""

    value: float
    """The mean."""
    low: float
    """Lower end."""
    high: float
    """Upper end."""

    def to_json(self) -> dict[str, float]:
        """Return the three numbers by name, rounded to 5 decimals."""
        return {name: round(getattr(self, name), 5) for name in ("value", "low", "high")}


def psnr_db(reference: NDArray[np.uint8], picture: NDArray[np.uint8]) -> float:
    """Return the peak signal-to-noise ratio over all values of two uint8 arrays of one shape, dB.

    Equal arrays give `MAX_PSNR_DB`.

    Raises:
        ConfigError: The shapes differ.
    """
    _check_shapes(reference, picture)
    error = reference.astype(np.float32) - picture.astype(np.float32)
    mean_square = float(np.mean(np.square(error), dtype=np.float64))
    if mean_square == 0.0:
        return MAX_PSNR_DB
    return min(MAX_PSNR_DB, float(10.0 * np.log10(PEAK * PEAK / mean_square)))


def luma(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return uint8 RGB [H, W, 3] as float32 luma [H, W], 0 to 255."""
    weighted: NDArray[np.float32] = picture.astype(np.float32) @ np.asarray(LUMA, np.float32)
    return weighted


def ms_ssim(reference: NDArray[np.uint8], picture: NDArray[np.uint8]) -> float:
    """Return the multi-scale structural similarity of two uint8 pictures, 1 for equal ones.

    Wang, Simoncelli, Bovik, "Multiscale structural similarity for image quality assessment",
    Asilomar 2003: contrast and structure at five scales, luminance at the coarsest, on luma, over
    the places where the window fits; each scale halves the last by 2 x 2 means.

    Args:
        reference: uint8 RGB [H, W, 3] or grey [H, W], both sides at least 176.
        picture: Same shape.

    Raises:
        ConfigError: The shapes differ, or a side is too short for five scales.
    """
    _check_shapes(reference, picture)
    shortest = SSIM_WINDOW * 2 ** (len(MS_SSIM_WEIGHTS) - 1)
    if min(reference.shape[:2]) < shortest:
        raise ConfigError(f"MS-SSIM needs sides of at least {shortest} pixels")
    x, y = (_as_grey(reference), _as_grey(picture))
    product = 1.0
    for index, weight in enumerate(MS_SSIM_WEIGHTS):
        similarity, contrast = _ssim_terms(x, y)
        is_last = index == len(MS_SSIM_WEIGHTS) - 1
        product *= max(similarity if is_last else contrast, 0.0) ** weight
        x, y = _halve(x), _halve(y)
    return product


def top_k(probabilities: NDArray[Any], k: int = 5) -> list[int]:
    """Return the `k` likeliest of probabilities [classes], likeliest first, ties by index."""
    order = np.argsort(-probabilities.astype(np.float64), kind="stable")
    return [int(index) for index in order[:k]]


def top_k_hits(
    predictions: Sequence[Sequence[int]], labels: ArrayLike, k: int
) -> NDArray[np.bool_]:
    """Return for each picture whether its label is among the first `k` predictions.

    Args:
        predictions: For each picture its likeliest classes, likeliest first; empty where a codec
            delivered nothing, which is a miss.
        labels: The right class of each picture, [pictures].
        k: How many predictions count.
    """
    wanted = np.asarray(labels).tolist()
    pairs = zip(predictions, wanted, strict=True)
    return np.array([label in list(guesses)[:k] for guesses, label in pairs], np.bool_)


def bootstrap_interval(
    values: ArrayLike,
    *,
    seed: int = 0,
    confidence: float = CONFIDENCE,
    num_resamples: int = RESAMPLES,
) -> Interval:
    """Return the mean of one value a picture with its bootstrap percentile interval.

    Efron, "Bootstrap methods: another look at the jackknife", 1979. The same seed and number of
    values draw the same pictures. Values that are all equal give an interval without width.

    Args:
        values: Numbers or hits, [pictures].
        seed: Of the resampling.
        confidence: Share of resamples inside.
        num_resamples: How often to resample.

    Raises:
        ConfigError: There are no values.
    """
    sample = np.asarray(values, np.float64)
    if sample.ndim != 1 or sample.size == 0:
        raise ConfigError("an interval needs one value for each of at least one picture")
    means = _resampled_means(sample, seed, num_resamples)
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(means, [tail, 100.0 - tail])
    return Interval(float(sample.mean()), float(low), float(high))


def paired_interval(
    values: ArrayLike,
    reference: ArrayLike,
    *,
    seed: int = 0,
    confidence: float = CONFIDENCE,
    num_resamples: int = RESAMPLES,
) -> Interval:
    """Return the mean difference `values` - `reference` on the same pictures with its interval.

    Pairing removes what the choice of pictures does to both.

    Raises:
        ConfigError: There are no values, or not as many of one as of the other.
    """
    first, second = np.asarray(values, np.float64), np.asarray(reference, np.float64)
    _check_shapes(first, second)
    return bootstrap_interval(
        first - second, seed=seed, confidence=confidence, num_resamples=num_resamples
    )


@lru_cache(maxsize=8)
def resampling(size: int, seed: int, num_resamples: int) -> NDArray[np.int64]:
    """Return which pictures each bootstrap resample draws, [num_resamples, size]."""
    return np.random.default_rng(seed).integers(size, size=(num_resamples, size))


def _resampled_means(
    sample: NDArray[np.float64], seed: int, num_resamples: int
) -> NDArray[np.float64]:
    means: NDArray[np.float64] = sample[resampling(sample.size, seed, num_resamples)].mean(axis=1)
    return means


def _check_shapes(first: NDArray[Any], second: NDArray[Any]) -> None:
    if first.shape != second.shape:
        raise ConfigError(f"shapes {list(first.shape)} and {list(second.shape)} differ")


def _as_grey(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    return luma(picture) if picture.ndim == 3 else picture.astype(np.float32)


def _window() -> list[float]:
    """Return half of the Gaussian window, outermost first; the last is its middle."""
    taps = np.arange(SSIM_WINDOW) - (SSIM_WINDOW - 1) / 2
    weights = np.exp(-np.square(taps) / (2 * SSIM_SIGMA**2))
    weights /= weights.sum()
    half: list[float] = weights[: SSIM_WINDOW // 2 + 1].tolist()
    return half


_HALF_WINDOW = _window()


def _blur(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return float32 [n, H, W] under the Gaussian window where it fits: [n, H - 10, W - 10].

    Along one axis after the other; shifted sums, since small matrix products would wake threads.
    """
    for _ in range(2):
        maps = maps.swapaxes(1, 2)
        num_places, last = maps.shape[1] - SSIM_WINDOW + 1, SSIM_WINDOW - 1
        *outer, middle = _HALF_WINDOW
        blurred = maps[:, last // 2 : last // 2 + num_places] * np.float32(middle)
        for tap, weight in enumerate(outer):
            mirrored = (
                maps[:, tap : tap + num_places] + maps[:, last - tap : last - tap + num_places]
            )
            mirrored *= np.float32(weight)
            blurred += mirrored
        maps = blurred
    return maps


def _ssim_terms(x: NDArray[np.float32], y: NDArray[np.float32]) -> tuple[float, float]:
    """Return the mean SSIM and its mean contrast-structure part."""
    mean_x, mean_y, mean_squares, mean_product = _blur(np.stack([x, y, x * x + y * y, x * y]))
    c1, c2 = ((k * PEAK) ** 2 for k in SSIM_K)
    products, squares = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
    contrast = (2 * (mean_product - products) + c2) / (mean_squares - squares + c2)
    similarity = (2 * products + c1) / (squares + c1) * contrast
    return float(similarity.mean()), float(contrast.mean())


def _halve(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 2 x 2 means; an odd last row or column is dropped."""
    height, width = (side // 2 * 2 for side in x.shape)
    even = x[:height, :width]
    halved: NDArray[np.float32] = (
        even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]
    ) * np.float32(0.25)
    return halved
