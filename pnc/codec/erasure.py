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
    start = max(0, number - WINDOW + 1)
    window = np.frombuffer(b"".join(pieces[start : number + 1]), np.uint8)
    coefficients = _coefficients([number], start)
    return _sum_of_products(coefficients, window.reshape(number + 1 - start, -1)).tobytes()


def recover(pieces: Mapping[int, bytes], repairs: Mapping[int, bytes]) -> dict[int, bytes]:
    """Pieces that arrived, and those that repairs give back, as far as there is no gap.

    Behind a piece that is lost for good nothing is recovered.

    Args:
        pieces: by number, all of one length.
        repairs: by the number of the last piece that they cover, of the same length.
    """
    if not repairs:
        return dict(pieces)
    length = len(next(iter(repairs.values())))
    table = np.zeros((max([*pieces, *repairs]) + 1, length), np.uint8)
    if pieces:
        there = np.frombuffer(b"".join(pieces.values()), np.uint8)
        table[list(pieces)] = there.reshape(len(pieces), length)
    known = set(pieces)
    first = 0
    while True:
        while first in known:
            first += 1
        found = _recover_next(table, known, repairs, first)
        if not found:
            return {number: table[number].tobytes() for number in known}
        known.update(found)


def _recover_next(
    table: Field, known: set[int], repairs: Mapping[int, bytes], first: int
) -> list[int]:
    """Write the first lost piece into the table, and those that have to be found together with it.

    Args:
        table: pieces by number, zeros for those that are not known.
        known: their numbers.
        repairs: by the number of the last piece that they cover.
        first: the number of the first lost piece.

    Returns:
        The numbers of those found; none if the first cannot be.
    """
    missing: list[int] = []
    useful: list[int] = []
    for number in range(first, first + WINDOW):
        if number not in known:
            missing.append(number)
        if number in repairs:
            useful.append(number)
            if len(useful) >= len(missing):
                sums = np.frombuffer(b"".join(repairs[each] for each in useful), np.uint8)
                solved = _solve(table, sums.reshape(len(useful), -1), missing, useful)
                if solved is not None:
                    table[missing] = solved
                    return missing
    return []


def _solve(table: Field, sums: Field, missing: list[int], useful: list[int]) -> Field | None:
    """The missing pieces from so many repairs, of which all else is known; none if undetermined."""
    start = max(0, useful[0] - WINDOW + 1)
    coefficients = _coefficients(useful, start)
    rest = sums ^ _sum_of_products(coefficients, table[start : useful[-1] + 1])
    if len(useful) == 1:  # the usual case: its coefficient is not 0
        return _times(_inverses()[coefficients[0, missing[0] - start]], rest)
    return _eliminate(coefficients[:, [number - start for number in missing]], rest)


def _coefficients(repairs: list[int], start: int) -> Field:
    """How often each repair (row) holds each piece from ``start`` to the last repair (column)."""
    matrix = np.zeros((len(repairs), repairs[-1] + 1 - start), np.uint8)
    for row, number in enumerate(repairs):
        covered = min(WINDOW, number + 1)
        end = number + 1 - start
        matrix[row, end - covered : end] = _window(number % 128)[WINDOW - covered :]
    return matrix


@lru_cache(maxsize=128)
def _window(number: int) -> Field:
    """How often a repair holds each piece of its window: ``1 / (x + y)``, of a Cauchy matrix."""
    pieces = np.arange(number - WINDOW + 1, number + 1) % 128
    window: Field = _inverses()[(128 + number) ^ pieces]
    return window


def _sum_of_products(coefficients: Field, pieces: Field) -> Field:
    """The product of two matrices."""
    total: Field = np.bitwise_xor.reduce(_times(coefficients[:, :, None], pieces), axis=1)
    return total


def _eliminate(matrix: Field, sums: Field) -> Field | None:
    """Solve for as many rows as the matrix has columns; nothing if they are not determined."""
    count = matrix.shape[1]
    rows = np.concatenate([matrix, sums], axis=1)
    for column in range(count):
        usable = np.flatnonzero(rows[column:, column])
        if not len(usable):
            return None
        rows[[column, column + usable[0]]] = rows[[column + usable[0], column]]
        rows[column] = _times(_inverses()[rows[column, column]], rows[column])
        others = rows[:, column].copy()
        others[column] = 0
        rows ^= _times(others[:, None], rows[column])
    return rows[:count, count:]


def _times(some: Field | np.uint8, others: Field) -> Field:
    """Products, element by element."""
    places = np.left_shift(some, 8, dtype=np.intp) + others
    found: Field = _products().take(places)
    return found


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
