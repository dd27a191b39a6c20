"""Pictures that look the same: re-encoded, resized, brighter or darker.

The signs of their 8x8 lowest DCT coefficients differ in few places (Zauner, "Implementation and
benchmarking of perceptual image hash functions", 2010), and their thumbnails correlate.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

THUMBNAIL = 32
"""Side of the thumbnails that are compared, pixels."""

HASH_SIDE = 8
"""The hash is the sign of 8 x 8 coefficients: 64 bits."""

MAX_HASH_DISTANCE = 10
"""Bits of 64 in which near duplicates may differ."""

MIN_CORRELATION = 0.985
"""Of two thumbnails, all three colours together, that are the same picture: re-encoded, resized,
brighter or darker, but not another picture of the same thing."""

_BLOCK = 1024

_MANY_PAIRS = 4096
"""From so many pairs of a block on, all products at once cost less than those of the pairs."""


def perceptual_hashes(thumbnails: NDArray[np.float32]) -> NDArray[np.float32]:
    """Signs of the lowest DCT coefficients against their median.

    Args:
        thumbnails: ``[n, 32, 32, 3]``, 0..255.

    Returns:
        float32 ``[n, 64]`` of -1 and 1, so that a product of two is 64 minus twice their distance.
    """
    grey = thumbnails.mean(-1)
    frequency, place = np.arange(HASH_SIDE)[:, None], np.arange(THUMBNAIL)
    basis = np.cos(np.pi * frequency * (2 * place + 1) / (2 * THUMBNAIL)).astype(np.float32)
    coefficients = (basis @ grey @ basis.T).reshape(len(grey), -1)
    median = np.median(coefficients[:, 1:], axis=1, keepdims=True)
    return np.where(coefficients > median, 1, -1).astype(np.float32)


def near_duplicates(thumbnails: NDArray[np.float32]) -> NDArray[np.int64]:
    """Pairs of pictures that look the same: ``[m, 2]`` of place and later place.

    Args:
        thumbnails: ``[n, 32, 32, 3]``, 0..255.
    """
    hashes = perceptual_hashes(thumbnails)
    centred = thumbnails.reshape(len(thumbnails), -1)
    centred = centred - centred.mean(1, keepdims=True)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True) + 1e-3
    least = hashes.shape[1] - 2 * MAX_HASH_DISTANCE
    pairs = [np.empty((0, 2), np.int64)]
    for row in range(0, len(hashes), _BLOCK):
        for column in range(row, len(hashes), _BLOCK):
            close = hashes[row : row + _BLOCK] @ hashes[column : column + _BLOCK].T >= least
            if row == column:
                close = np.triu(close, 1)
            found = np.argwhere(close)
            alike = _correlations(
                centred[row : row + _BLOCK], centred[column : column + _BLOCK], found
            )
            pairs.append(found[alike >= MIN_CORRELATION] + np.array([row, column]))
    return np.concatenate(pairs)


def _correlations(
    first: NDArray[np.float32], second: NDArray[np.float32], pairs: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Products of a row of ``first`` and one of ``second``, for each pair of places."""
    if len(pairs) > _MANY_PAIRS:
        products = first @ second.T
        return products[pairs[:, 0], pairs[:, 1]]
    return np.einsum("ij,ij->i", first[pairs[:, 0]], second[pairs[:, 1]])


def connected(pairs: Iterable[Sequence[int]]) -> list[tuple[int, ...]]:
    """Connected places, each group and all groups in order."""
    above: dict[int, int] = {}

    def first(place: int) -> int:
        while (parent := above.setdefault(place, place)) != place:
            above[place] = above[parent]
            place = parent
        return place

    for a, b in pairs:
        low, high = sorted((first(a), first(b)))
        above[high] = low
    members: dict[int, list[int]] = {}
    for place in sorted(above):
        members.setdefault(first(place), []).append(place)
    return sorted(tuple(group) for group in members.values())
