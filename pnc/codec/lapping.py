"""Lapping: pixels around the borders of patches are mixed before the encoder, unmixed at the end.

Patches that are transformed apart tell twice what goes on across a border. A filter of the few
pixels on both sides, along columns and then along rows, makes patches alike inside and leaves what
differs to the border, where its inverse smooths what coding did to it (time-domain lapped
transform: T. D. Tran, J. Liang, C. Tu, IEEE Transactions on Signal Processing 51(6), 2003).

With ``l`` and ``r`` the pixels to the left and right of a border, nearest first, and ``V`` the
weights::

    s, d = l + r, V (r - l)
    l, r = (s - d) / 2, (s + d) / 2

What is mixed can leave 0..255, so the encoder gets it halved around the middle, in eight bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

WEIGHT_UNIT = 64
"""A weight of 1."""

SPREAD = 2
"""Grey levels of a mixed picture for one step of what the encoder gets."""

MIDDLE = 127.5
"""What it is halved around, grey levels."""


@dataclass(frozen=True)
class Lapping:
    """How patches share what lies around their borders.

    Args:
        patch: side of a patch, pixels.
        weights: ``V`` of the module in 64ths, n x n, n at most half a patch. The absolute weights
            of a filtered pixel sum up to 4 at most, so that single precision holds every sum of
            :meth:`forward` exactly, in whatever order it is added up.
    """

    patch: int
    weights: tuple[tuple[int, ...], ...]

    @cached_property
    def mixing(self) -> NDArray[np.float32]:
        """What the pixels around a border become: float32 ``[2 n, 2 n]``, left to right."""
        num = len(self.weights)
        same, turned = np.eye(num), np.eye(num)[::-1]
        inner = np.array(self.weights) / WEIGHT_UNIT
        left = np.hstack([turned @ (same + inner) @ turned, turned @ (same - inner)])
        right = np.hstack([(same - inner) @ turned, same + inner])
        return (np.vstack([left, right]) / 2).astype(np.float32)

    @cached_property
    def unmixing(self) -> NDArray[np.float32]:
        """The inverse of :attr:`mixing`."""
        return np.linalg.inv(self.mixing.astype(np.float64)).astype(np.float32)

    def forward(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A picture as the encoder gets it; the same bytes on every machine.

        Args:
            pixels: uint8 ``[size, size, 3]``.
        """
        # All in place: new pages of memory would take longer than the sums.
        mixed = pixels.astype(np.float32)
        self._along_columns(mixed, self.mixing)
        mixed *= 4
        np.rint(mixed, out=mixed)
        mixed /= 4
        self._along_rows(mixed, self.mixing)
        mixed /= SPREAD
        mixed += np.float32(MIDDLE * (1 - 1 / SPREAD) + 0.5)
        np.floor(mixed, out=mixed)
        return np.clip(mixed, 0, 255, out=mixed).astype(np.uint8)

    def inverse(self, mixed: NDArray[np.float32]) -> NDArray[np.float32]:
        """A picture from what the decoder makes, which is not halved.

        Args:
            mixed: float32 ``[size, size, 3]``.
        """
        picture = np.array(mixed, np.float32)
        self._along_columns(picture, self.unmixing)
        self._along_rows(picture, self.unmixing)
        return picture

    def _along_columns(self, picture: NDArray[np.float32], matrix: NDArray[np.float32]) -> None:
        """Filter across borders that lie above each other, in place."""
        size, num = len(picture), len(matrix)
        start, borders = self.patch - num // 2, size // self.patch - 1
        lines = picture.reshape(size, -1)[start : start + borders * self.patch]
        around = lines.reshape(borders, self.patch, -1)[:, :num]
        around[...] = matrix @ around

    def _along_rows(self, picture: NDArray[np.float32], matrix: NDArray[np.float32]) -> None:
        """Filter across borders that lie beside each other, in place."""
        size, num, colours = len(picture), len(matrix), picture.shape[-1]
        start, borders = self.patch - num // 2, size // self.patch - 1
        lines = picture.reshape(size, -1)
        lines = lines[:, colours * start : colours * (start + borders * self.patch)]
        around = lines.reshape(size, borders, -1)[..., : colours * num]
        around[...] = around @ np.kron(matrix, np.eye(colours, dtype=np.float32)).T


LAPPINGS = {
    "lapped": Lapping(14, ((63, 44, 22, 17), (-40, 61, 33, 18), (5, -24, 70, 24), (0, -1, -9, 76)))
}
"""By architecture; fitted by ``tools/fit_lapping.py``. A checkpoint of another architecture does
without."""
