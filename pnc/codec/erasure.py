"""Repair pieces: each makes up for any one lost piece of the window before it.

A repair is a sum of pieces over GF(256), each times a coefficient of its own (random linear network
coding with a sliding window, as in RFC 8681, but with the coefficients of a Cauchy matrix, so that
nothing is drawn). As soon as as many repairs as pieces are there, whichever these are, the lost
ones are found by elimination. Layout in docs/bitstream.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.uint8]
"""Elements of GF(256): addition is XOR."""

WINDOW = 64
"""Pieces that a repair covers at most: its own number and those before it."""

_POLYNOMIAL = 0x11D
"""x^8 + x^4 + x^3 + x^2 + 1, of which x is a primitive element."""


def repair(pieces: Sequence[bytes], number: int) -> bytes:
    """The repair of the pieces up to ``number``.

    Args:
        pieces: from the first on, those of the window all of one length.
        number: of the last piece that it covers.
    """
    covered = np.arange(max(0, number - WINDOW + 1), number + 1)
    window = np.frombuffer(b"".join(pieces[i] for i in covered.tolist()), np.uint8)
    return _sum_of_products(
        _coefficients(np.array([number]), covered), window.reshape(len(covered), -1)
    ).tobytes()


def recover(pieces: Mapping[int, bytes], repairs: Mapping[int, bytes]) -> dict[int, bytes]:
    """Pieces that arrived, and those that repairs give back, as far as there is no gap.

    Behind a piece that is lost for good nothing is recovered.

    Args:
        pieces: by number, all of one length.
        repairs: by the number of the last piece that they cover, of the same length.
    """
    known = dict(pieces)
    first = 0
    while True:
        while first in known:
            first += 1
        found = _recover_next(known, repairs, first)
        if not found:
            return known
        known |= found


def _recover_next(
    known: Mapping[int, bytes], repairs: Mapping[int, bytes], first: int
) -> dict[int, bytes]:
    """The first lost piece, and those that have to be found together with it; none if it cannot."""
    missing: list[int] = []
    useful: list[int] = []
    for number in range(first, first + WINDOW):
        if number not in known:
            missing.append(number)
        if number in repairs:
            useful.append(number)
            if len(useful) >= len(missing):
                found = _solve(known, repairs, missing, useful)
                if found:
                    return found
    return {}


def _solve(
    known: Mapping[int, bytes],
    repairs: Mapping[int, bytes],
    missing: list[int],
    useful: list[int],
) -> dict[int, bytes]:
    """The missing pieces from so many repairs, of which all else is known; none if undetermined."""
    numbers = np.arange(max(0, useful[0] - WINDOW + 1), useful[-1] + 1)
    length = len(repairs[useful[0]])
    there = b"".join(known.get(number, bytes(length)) for number in numbers.tolist())
    coefficients = _coefficients(np.array(useful), numbers)
    sums = np.frombuffer(b"".join(repairs[number] for number in useful), np.uint8)
    sums = sums.reshape(len(useful), length) ^ _sum_of_products(
        coefficients, np.frombuffer(there, np.uint8).reshape(len(numbers), length)
    )
    solved = _eliminate(coefficients[:, np.array(missing) - numbers[0]], sums)
    return {} if solved is None else dict(zip(missing, map(bytes, solved), strict=True))


def _coefficients(repairs: NDArray[np.intp], pieces: NDArray[np.intp]) -> Field:
    """How often each repair (row) holds each piece (column): ``1 / (x + y)``, or 0 outside."""
    lag = repairs[:, None] - pieces
    quotient = _inverses()[(128 + repairs[:, None] % 128) ^ (pieces % 128)]
    return np.where((lag >= 0) & (lag < WINDOW), quotient, 0).astype(np.uint8)


def _sum_of_products(coefficients: Field, pieces: Field) -> Field:
    """The product of two matrices."""
    products = _products()[coefficients[:, :, None], pieces]
    total: Field = np.bitwise_xor.reduce(products, axis=1)
    return total


def _eliminate(matrix: Field, sums: Field) -> Field | None:
    """Solve for as many rows as the matrix has columns; nothing if they are not determined."""
    products, count = _products(), matrix.shape[1]
    rows = np.concatenate([matrix, sums], axis=1)
    for column in range(count):
        usable = np.flatnonzero(rows[column:, column])
        if not len(usable):
            return None
        rows[[column, column + usable[0]]] = rows[[column + usable[0], column]]
        rows[column] = products[_inverses()[rows[column, column]], rows[column]]
        others = rows[:, column].copy()
        others[column] = 0
        rows ^= products[others[:, None], rows[column]]
    return rows[:count, count:]


@lru_cache
def _products() -> Field:
    """The product of any two elements, ``[256, 256]``."""
    powers = [1]
    for _ in range(254):
        double = powers[-1] << 1
        powers.append(double ^ _POLYNOMIAL if double > 255 else double)
    logarithm = np.zeros(256, np.intp)
    logarithm[powers] = np.arange(255)
    table: Field = np.array(powers, np.uint8)[(logarithm[:, None] + logarithm) % 255]
    table[0] = table[:, 0] = 0
    return table


@lru_cache
def _inverses() -> Field:
    """The inverse of each element, 0 for 0."""
    inverses: Field = np.argmax(_products() == 1, axis=1).astype(np.uint8)
    return inverses
