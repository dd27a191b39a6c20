"""What another order of bits, or points by likelihood, could save at most (experiments 0025, 0026).

    python -m tools.plane_bounds photo PHOTOS [EXTRA ...]

Codes training pictures with a checkpoint's plan, notes what each class of each plane takes and by
how much it lowers the squared error of the coefficients, and prints two Markdown tables.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pnc.codec.checkpoint import Checkpoint
from pnc.codec.plan import CodingPlan
from pnc.codec.plane_coder import decode_planes, encode_planes
from pnc.codec.planes import NUM_CLASSES
from tools.samples import encoded_pictures

FITTED, MEASURED = 240, 100
"""Pictures."""

SIZES = (256, 512, 1024, 1536, 2048, 3072, 4096)
"""Bytes."""

PRIOR = 30
"""The mean of a channel counts as much as so many magnitudes of a class."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Segments:
    """Means over pictures of the segments of a stream, in the order of the stream.

    Attributes:
        sizes: bytes.
        savings: squared error that each takes away.
        error: squared error before the first.
    """

    sizes: Floats
    savings: Floats
    error: float

    def bytes_for(self, errors: Floats, order: NDArray[np.intp] | None = None) -> Floats:
        """Bytes until the error is as low, by the order of the stream or another."""
        order = np.arange(len(self.sizes)) if order is None else order
        left = self.error - np.r_[0, self.savings[order].cumsum()]
        found: Floats = np.interp(-errors, -left, np.r_[0, self.sizes[order].cumsum()])
        return found

    def errors_at(self, sizes: Sequence[int]) -> Floats:
        """Squared error after so many bytes."""
        left = self.error - np.r_[0, self.savings.cumsum()]
        found: Floats = np.interp(sizes, np.r_[0, self.sizes.cumsum()], left)
        return found

    def best_order(self) -> NDArray[np.intp]:
        """What saves most for its bytes first, as if no segment needed another to be read."""
        return np.argsort(-self.savings / np.maximum(self.sizes, 1e-9), kind="stable")


def measure_segments(plan: CodingPlan, pictures: Sequence[NDArray[np.int16]]) -> Segments:
    """Code pictures, int16 ``[height, width, channels]`` each, and add up."""
    planes = plan.planes
    shape = (len(planes.priors), NUM_CLASSES + 1)
    bits, savings, error = np.zeros(shape), np.zeros(shape), 0.0
    for picture in pictures:
        for segment in decode_planes(planes, encode_planes(planes, picture)).segments:
            column = NUM_CLASSES if segment.of_class is None else segment.of_class
            bits[segment.plane, column] += segment.num_bits
        magnitudes = _ordered(plan, picture)
        known = np.zeros(magnitudes.shape)
        for plane, classes in _classes(plan, magnitudes):
            found = _restored(plan, magnitudes, plane)
            saved = np.square(magnitudes - known) - np.square(magnitudes - found)
            savings[plane] += np.bincount(classes.ravel(), saved.ravel(), NUM_CLASSES + 1)
            known = found
        error += np.square(magnitudes, dtype=float).sum()
    order = [
        (plane, column)
        for plane in reversed(range(shape[0]))
        for column in np.insert(
            np.arange(NUM_CLASSES), planes.priors[plane].refined_after, NUM_CLASSES
        )
    ]
    index = tuple(np.array(order).T)
    count = len(pictures)
    return Segments(bits[index] / 8 / count, savings[index] / count, error / count)


def errors_by_points(
    plan: CodingPlan,
    fitted: Sequence[NDArray[np.int16]],
    measured: Sequence[NDArray[np.int16]],
) -> Iterator[tuple[int, float, float]]:
    """Each plane above the lowest with the squared error at its end: as it is, and by classes.

    By classes, a magnitude that has just become something is restored to the mean, over the
    ``fitted`` pictures, of its channel and its class of likelihood.
    """
    shape = (len(plan.planes.priors), plan.grid.num_channels, NUM_CLASSES)
    counts, sums = np.zeros(shape), np.zeros(shape)
    for picture in fitted:
        magnitudes = _ordered(plan, picture)
        for plane, classes in _classes(plan, magnitudes):
            new = magnitudes >> plane == 1
            place = (np.nonzero(new)[1], classes[new])
            np.add.at(counts[plane], place, 1)
            np.add.at(sums[plane], place, magnitudes[new] / (1 << plane) - 1)
    usual = plan.points[plan.planes.channels][:, : shape[0]].T[..., None]
    points = (sums + PRIOR * usual) / (counts + PRIOR)
    errors = np.zeros((shape[0], 2))
    for picture in measured:
        magnitudes = _ordered(plan, picture)
        for plane, classes in _classes(plan, magnitudes):
            restored = _restored(plan, magnitudes, plane)
            errors[plane, 0] += np.square(magnitudes - restored).sum()
            new = magnitudes >> plane == 1
            place = (np.nonzero(new)[1], classes[new])
            restored[new] = (1 + points[plane][place]) * (1 << plane)
            errors[plane, 1] += np.square(magnitudes - restored).sum()
    for plane in range(shape[0] - 1, 0, -1):
        usual_error, other = errors[plane] / len(measured)
        yield plane, usual_error, other


def _ordered(plan: CodingPlan, picture: NDArray[np.int16]) -> NDArray[np.int64]:
    planes = plan.planes
    magnitudes = np.minimum(np.abs(planes.in_order(picture)), planes.limits[planes.channels])
    return np.asarray(magnitudes, np.int64)


def _classes(
    plan: CodingPlan, magnitudes: NDArray[np.int64]
) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Each plane, the highest first, and the class of each coefficient there; refined ones last."""
    for plane in reversed(range(len(plan.planes.priors))):
        arranged = plan.planes.arrange(plane, magnitudes.astype(np.int16))
        classes = np.full(magnitudes.size, NUM_CLASSES)
        classes[arranged.undecided] = np.repeat(np.arange(NUM_CLASSES), arranged.lengths)
        yield plane, classes.reshape(magnitudes.shape)


def _restored(plan: CodingPlan, magnitudes: NDArray[np.int64], plane: int) -> Floats:
    """What is known at the end of a plane, as a decoder restores it."""
    points = plan.points[plan.planes.channels, plane].astype(float)
    digits = magnitudes >> plane
    return np.where(digits, (digits + points) * (1 << plane), 0.0)


def render(
    segments: Segments, by_points: Iterator[tuple[int, float, float]], sizes: Sequence[int] = SIZES
) -> str:
    """Both ideas as Markdown tables."""
    errors = segments.errors_at(sizes)
    least = segments.bytes_for(errors, segments.best_order())
    lines = ["| bytes in the order of planes | in the best order | |", "|---:|---:|---:|"]
    lines += [
        f"| {size:,} | {other:,.0f} | {100 * (other / size - 1):+.1f} % |"
        for size, other in zip(sizes, least, strict=True)
    ]
    lines += ["", "| at the end of plane | squared error | by class | |", "|---:|---:|---:|---:|"]
    lines += [
        f"| {plane} | {usual:,.0f} | {other:,.0f} | {100 * (other / usual - 1):+.2f} % |"
        for plane, usual, other in by_points
    ]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Measure the checkpoint named first on the pictures in the folders after it."""
    if len(arguments) < 2:
        sys.stderr.write("usage: python -m tools.plane_bounds CHECKPOINT DATA [EXTRA ...]\n")
        return 2
    checkpoint = Checkpoint.load(arguments[0])
    symbols = encoded_pictures(checkpoint, arguments[1:], FITTED + MEASURED)
    grid = checkpoint.plan.grid
    pictures = [grid.forward(grid.values(picture)) for picture in symbols]
    fitted, measured = pictures[:FITTED], pictures[FITTED:]
    segments = measure_segments(checkpoint.plan, measured)
    print(render(segments, errors_by_points(checkpoint.plan, fitted, measured)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
