"""Made links that have the statistics of measured ones."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Literal, get_args

from pnc.errors import ConfigError
from pnc.transport.links.trace import RateTrace

__all__ = ["PUBLISHED", "Jamming", "Published", "jamming"]

Jamming = Literal["none", "light", "heavy"]

BIN_S = 0.5
"""The published run gave each picture this long and states the mean rate over it."""

STEP_S = 0.02
"""Finest step of a made trace: three radio packets of the test bed at full rate."""

PEAK_BPS = 140_000.0
"""What 802.15.4 carries at best with its back-off and acknowledgement, bits per second."""


@dataclass(frozen=True, slots=True)
class Published:
    """Rate per picture of the published run, bits per second (RTSS'23 slides, page 8)."""

    mean_bps: float
    min_bps: float
    max_bps: float
    sd_bps: float
    ripple: float
    """Relative spread of the steps within a picture; ours, the run does not tell."""
    outages_per_bin: float
    """Mean number of short outages within a picture; ours, the run does not tell."""


PUBLISHED: dict[Jamming, Published] = {
    "none": Published(67_400, 59_200, 73_300, 3_600, 0.10, 0.0),
    "light": Published(51_900, 43_800, 57_300, 4_000, 0.30, 0.3),
    "heavy": Published(34_300, 29_700, 40_600, 3_100, 0.50, 1.5),
}


def jamming(kind: str, seconds: float, seed: int = 0) -> RateTrace:
    """Make a link under jamming.

    The rate averaged over each half second has the published mean, minimum and maximum exactly (if
    there are three half seconds or more) and about the published spread. Within a half second it
    ripples, and under jamming it stops now and then for 20 to 120 ms.

    Args:
        kind: ``none``, ``light`` or ``heavy``.
        seconds: Length, rounded up to half seconds; then it repeats.
        seed: Same seed, same trace.

    Raises:
        ConfigError: An unknown kind, or no positive length.
    """
    if kind not in get_args(Jamming):
        raise ConfigError(f"jamming: {kind!r} is not none, light or heavy", kind=kind)
    if not 0 < seconds <= 86_400:
        raise ConfigError(f"jamming: {seconds} s is not a length of up to a day", seconds=seconds)
    world: Published = next(value for name, value in PUBLISHED.items() if name == kind)
    source = random.Random(f"{kind} {seed}")
    num_bins = math.ceil(round(seconds / BIN_S, 6))
    rates: list[float] = []
    for mean_bps in _bin_means(world, num_bins, source):
        rates += _steps(world, mean_bps, source)
    times = [index * STEP_S for index in range(len(rates))]
    return RateTrace(times, rates, len(rates) * STEP_S)


def _bin_means(world: Published, num_bins: int, source: random.Random) -> list[float]:
    low, high, mean = world.min_bps, world.max_bps, world.mean_bps
    means = [min(high, max(low, source.gauss(mean, world.sd_bps))) for _ in range(num_bins)]
    pinned = source.sample(range(num_bins), 2) if num_bins > 2 else []
    for index, value in zip(pinned, (low, high), strict=False):
        means[index] = value
    free = [index for index in range(num_bins) if index not in pinned]
    gap = mean * num_bins - sum(means)
    end = high if gap > 0 else low
    room = sum(end - means[index] for index in free)
    share = gap / room if room else 0.0
    for index in free:
        means[index] += share * (end - means[index])
    return means


def _steps(world: Published, mean_bps: float, source: random.Random) -> list[float]:
    count = round(BIN_S / STEP_S)
    weights = [max(0.05, source.gauss(1.0, world.ripple)) for _ in range(count)]
    for _ in range(_poisson(world.outages_per_bin, source)):
        start, length = source.randrange(count), source.randint(1, 6)
        weights[start : start + length] = [0.0] * len(weights[start : start + length])
    if sum(weights) < count / 3:
        weights = [1.0] * count
    rates = [weight * mean_bps * count / sum(weights) for weight in weights]
    while max(rates) > PEAK_BPS * (1 + 1e-9):
        rates = [min(rate, PEAK_BPS) for rate in rates]
        missing = mean_bps * count - sum(rates)
        room = sum(PEAK_BPS - rate for rate in rates if rate)
        rates = [rate + missing * (PEAK_BPS - rate) / room if rate else 0.0 for rate in rates]
    return rates


def _poisson(mean: float, source: random.Random) -> int:
    count, product, limit = 0, source.random(), math.exp(-mean)
    while product > limit:
        count += 1
        product *= source.random()
    return count
