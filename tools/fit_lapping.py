"""Fit the weights of :mod:`pnc.codec.lapping` to pictures.

    python tools/fit_lapping.py PICTURES [--reach 4]

Takes the covariance of grey levels along rows of pictures, and looks for the whole-numbered weights
with which an ideal code of the Karhunen-Loeve transform of the mixed patches needs the fewest bits,
on average over some distortions (reverse water-filling; what unmixing does to errors counts). Each
weight is tried up and down by ever smaller steps until nothing helps. Prints them, and the bits
against patches that do not lap.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from benchmarks.pictures import open_set
from pnc.codec.lapping import WEIGHT_UNIT, Lapping

PATCH = 14
"""Side of a patch, pixels."""

NUM_PATCHES = 5
"""In a row; the middle one counts."""

DISTORTIONS = (150.0, 60.0, 25.0, 10.0)
"""Mean squared errors that the fit is for, grey levels squared: from 1 KB to whole streams."""

NOISE = 1e-3
"""Share of the power that tells nothing of neighbours. Without it the fit trusts in more than the
coder can use: coded pictures lose some hundredths of a dB."""

STEPS = (16, 8, 4, 2, 1)
"""Changes that are tried, 64ths."""


def covariance(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Of neighbouring pixels in a row of patches, as if each place were like any other."""
    grey = pictures.astype(np.float64).mean(axis=-1) - 127.5
    size = PATCH * NUM_PATCHES
    width = grey.shape[2]
    by_distance = [(grey[..., : width - t] * grey[..., t:]).mean() for t in range(size)]
    by_distance[0] *= 1 + NOISE
    distances = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
    found: NDArray[np.float64] = np.array(by_distance)[distances]
    return found


def bits(weights: NDArray[np.int64], grey: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bits of one row of a patch at each of the distortions; infinite without a way back."""
    lapping = Lapping(PATCH, tuple(tuple(int(weight) for weight in row) for row in weights))
    reach, mixing = len(weights), np.eye(len(grey))
    for border in range(PATCH, len(grey), PATCH):
        around = slice(border - reach, border + reach)
        mixing[around, around] = lapping.mixing
    middle = slice(NUM_PATCHES // 2 * PATCH, (NUM_PATCHES // 2 + 1) * PATCH)
    try:
        unmixing = np.linalg.inv(mixing)[:, middle]
    except np.linalg.LinAlgError:
        return np.full(len(DISTORTIONS), np.inf)
    powers, directions = np.linalg.eigh((mixing @ grey @ mixing.T)[middle, middle])
    told = np.maximum(powers * np.square(unmixing @ directions).sum(axis=0), 1e-9)
    return np.array([_rate(told, PATCH * distortion) for distortion in DISTORTIONS])


def _rate(powers: NDArray[np.float64], distortion: float) -> float:
    """Bits of independent numbers with these powers at a sum of squared errors."""
    low, high = 1e-9, float(powers.max())
    for _ in range(60):
        level = np.sqrt(low * high)
        low, high = (low, level) if np.minimum(powers, level).sum() > distortion else (level, high)
    return float(np.maximum(0.0, np.log2(powers / low) / 2).sum())


def fit(grey: NDArray[np.float64], reach: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The weights, and their bits as shares of those without lapping."""
    weights = WEIGHT_UNIT * np.eye(reach, dtype=np.int64)
    plain = bits(weights, grey)
    best = 1.0
    for step in STEPS:
        better = True
        while better:
            better = False
            for place in np.ndindex(weights.shape):
                for change in (step, -step):
                    weights[place] += change
                    found = float((bits(weights, grey) / plain).mean())
                    if found < best - 1e-7:
                        best, better = found, True
                    else:
                        weights[place] -= change
    return weights, bits(weights, grey) / plain


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", help="as for the benchmarks: FOLDER, FOLDER#even ...")
    parser.add_argument("--reach", type=int, default=4, help="pixels on each side of a border")
    parser.add_argument("--limit", type=int, default=200, help="pictures")
    given = parser.parse_args()
    chosen = open_set(f"pictures={given.pictures}", limit=given.limit)
    grey = covariance(np.stack([picture.load("crop") for picture in chosen.pictures]))
    weights, shares = fit(grey, given.reach)
    print("weights in 64ths:", weights.tolist())
    pairs = zip(DISTORTIONS, shares, strict=True)
    print("bits along a row:", ", ".join(f"{s:.3f} at mse {d:g}" for d, s in pairs))


if __name__ == "__main__":
    main()
