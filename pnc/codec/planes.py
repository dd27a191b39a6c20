"""Bit planes of coefficients, the likeliest first: what a stream sends in which order.

Magnitudes are sent bit by bit, from the highest plane to the lowest. In a plane ``k`` every
coefficient that is still 0 is *decided*: does its magnitude reach ``2**k``, and if so, with which
sign? All others are *refined* by one bit. How likely a yes is, both sides predict in integers from
what all planes above have told: a weighted sum of the magnitudes at the same place in all channels
and of the eight neighbours in the same channel, plus a number of the place's own. By the ratio of
that prediction to ``2**k``, in half octaves, the undecided coefficients fall into classes. A plane
sends its classes in order, the likeliest first, each as one segment of
:mod:`pnc.codec.runs`, and somewhere between them the refinement bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pnc.codec.coefficients import TOP_PLANE, CoefficientGrid
from pnc.codec.runs import MAX_ORDER, Bits, decode_segment, encode_segments
from pnc.codec.scan import scan_order
from pnc.errors import CheckpointError, CorruptBitstreamError

FRACTION_BITS = 6
"""Weights and predictions are integers in units of ``2**-6``."""

NUM_CLASSES = 14
"""Classes of a plane."""

LIKELIEST = 3
"""Half octaves above the plane's threshold from which on predictions are one class."""

_SINGLE_INTEGERS = 1 << 24
"""Below this every integer is a number of single precision."""

_SINGLE_THREAD_PRODUCTS = 1 << 18
"""OpenBLAS starts threads for larger products of matrices, which costs more than it gains."""


@dataclass(frozen=True)
class PlanePrior:
    """What both sides know about one plane.

    Args:
        weights: int16 ``[channels, channels]``: of the magnitude of each channel (row) at the same
            place, for each channel (column) that is predicted.
        neighbours: int16 ``[channels]``: of the sum over the eight neighbours, the four that share
            a side counted twice.
        bias: int16 ``[height, width, channels]``.
        orders: of each class, likeliest first, see :mod:`pnc.codec.runs`.
        refined_after: the refinement bits follow after so many classes.

    Raises:
        CheckpointError: an order or the place of the refinement is impossible.
    """

    weights: NDArray[np.int16]
    neighbours: NDArray[np.int16]
    bias: NDArray[np.int16]
    orders: tuple[int, ...]
    refined_after: int

    def __post_init__(self) -> None:
        if len(self.orders) != NUM_CLASSES or not all(
            -1 <= order <= MAX_ORDER for order in self.orders
        ):
            raise CheckpointError(f"prior: {NUM_CLASSES} orders of -1 to {MAX_ORDER} are needed")
        if not 0 <= self.refined_after <= NUM_CLASSES:
            raise CheckpointError(f"prior: refinement after class {self.refined_after}")


@dataclass(frozen=True)
class Arrangement:
    """The coefficients of one plane in coded order.

    Attributes:
        undecided: flat indices of the coefficients that are decided, class after class.
        lengths: how many each class has, ``[classes]``.
        refined: flat indices of the coefficients that are refined.
    """

    undecided: NDArray[np.intp]
    lengths: NDArray[np.int64]
    refined: NDArray[np.intp]


@dataclass(frozen=True)
class PlanePlan:
    """The order of all bits of a picture: what encoder and decoder must agree on.

    Args:
        grid: the coefficients.
        first_planes: the highest plane that each channel takes part in; larger magnitudes are
            clipped by the encoder.
        priors: of the planes 0, 1, ... up to the highest first plane.

    Raises:
        CheckpointError: these do not fit each other.
    """

    grid: CoefficientGrid
    first_planes: tuple[int, ...]
    priors: tuple[PlanePrior, ...]

    def __post_init__(self) -> None:
        channels = self.grid.num_channels
        shape = (self.grid.height, self.grid.width, channels)
        if len(self.first_planes) != channels or not all(
            0 <= plane < TOP_PLANE for plane in self.first_planes
        ):
            raise CheckpointError("planes: one first plane below 12 for each channel is needed")
        if len(self.priors) != max(self.first_planes) + 1:
            raise CheckpointError(f"planes: {len(self.priors)} priors for other first planes")
        for prior in self.priors:
            found = (prior.weights.shape, prior.neighbours.shape, prior.bias.shape)
            if found != ((channels, channels), (channels,), shape):
                raise CheckpointError(f"planes: a prior has shapes {found}")

    @cached_property
    def scan(self) -> NDArray[np.intp]:
        """Positions in coding order."""
        return scan_order(self.grid.height, self.grid.width)

    @cached_property
    def _unscan(self) -> NDArray[np.intp]:
        return np.argsort(self.scan)

    @cached_property
    def _columns(self) -> tuple[NDArray[np.intp], ...]:
        """For each plane the channels that take part in it."""
        first = np.array(self.first_planes)
        return tuple(np.flatnonzero(first >= plane) for plane in range(len(self.priors)))

    @cached_property
    def _numbers(self) -> tuple[tuple[NDArray[Any], ...], ...]:
        """For each plane weights, neighbours and bias as floats, in scan order, cut to size.

        Single precision where no sum can reach 2**24, so that either is exact.
        """
        largest = 2 << np.array(self.first_planes)
        numbers = []
        for plane, prior in enumerate(self.priors):
            columns = self._columns[plane]
            above = self._columns[plane + 1] if plane + 1 < len(self.priors) else columns[:0]
            bias = prior.bias.reshape(-1, self.grid.num_channels)[self.scan][:, columns]
            weights = prior.weights[np.ix_(above, columns)]
            neighbours = prior.neighbours[columns]
            bound = np.abs(weights).T.astype(np.int64) @ largest[above]
            bound += 12 * np.abs(neighbours).astype(np.int64) * largest[columns] + 32768
            single = int(bound.max(initial=0)) < _SINGLE_INTEGERS
            dtype = np.float32 if single else np.float64
            numbers.append((weights.astype(dtype), neighbours.astype(dtype), bias.astype(dtype)))
        return tuple(numbers)

    @cached_property
    def limits(self) -> NDArray[np.int16]:
        """The largest magnitude that can be sent of each channel."""
        return ((2 << np.array(self.first_planes)) - 1).astype(np.int16)

    def arrange(self, plane: int, magnitudes: NDArray[np.int16]) -> Arrangement:
        """The coefficients of a plane in coded order.

        Args:
            plane: which one.
            magnitudes: int16 ``[positions in scan order, channels]``: what the planes above told,
                in units of one.
        """
        columns = self._columns[plane]
        classes = self._classes(plane, magnitudes, columns)
        some = magnitudes[:, columns] != 0
        flat = (np.arange(len(self.scan))[:, None] * self.grid.num_channels + columns).ravel()
        undecided = ~some.ravel()
        classes = classes.ravel()[undecided]
        order = np.argsort(classes, kind="stable")
        return Arrangement(
            undecided=flat[undecided][order],
            lengths=np.bincount(classes, minlength=NUM_CLASSES),
            refined=flat[~undecided],
        )

    def _classes(
        self, plane: int, magnitudes: NDArray[np.int16], columns: NDArray[np.intp]
    ) -> NDArray[np.uint8]:
        """The class of each coefficient; all arithmetic is on integers below 2**53."""
        weights, neighbours, predicted = self._numbers[plane]
        if plane + 1 < len(self.priors):
            above = self._columns[plane + 1]
            known = self._middles(plane + 1, magnitudes[:, above], predicted.dtype)
            predicted = predicted + _product(known, weights)
            inside = np.searchsorted(columns, above)
            predicted[:, inside] += self._around(known) * neighbours[inside]
        halves = _half_octaves(np.maximum(predicted, predicted.dtype.type(1)))
        threshold = 2 * (plane + FRACTION_BITS)
        classes: NDArray[np.uint8] = np.clip(
            threshold + LIKELIEST - 1 - halves, 0, NUM_CLASSES - 1
        ).astype(np.uint8)
        return classes

    def _middles(
        self, plane: int, magnitudes: NDArray[np.int16], dtype: np.dtype[Any]
    ) -> NDArray[Any]:
        """The middle of the interval that a magnitude known down to ``plane`` lies in, or 0."""
        half = np.int16((1 << plane) >> 1)
        middles: NDArray[Any] = (magnitudes + half * (magnitudes != 0)).astype(dtype)
        return middles

    def _around(self, known: NDArray[Any]) -> NDArray[Any]:
        """The weighted sum over the eight neighbours of each position, in scan order."""
        height, width = self.grid.height, self.grid.width
        padded = np.zeros((height + 2, width + 2, known.shape[1]), known.dtype)
        padded[1:-1, 1:-1] = known[self._unscan].reshape(height, width, -1)
        rows = padded[:-2] + padded[2:]
        rows += 2 * padded[1:-1]
        total: NDArray[Any] = rows[:, :-2] + rows[:, 2:]
        total += 2 * rows[:, 1:-1]
        total -= 4 * padded[1:-1, 1:-1]
        return total.reshape(height * width, -1)[self.scan]


def _product(left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    """A product of matrices, by as many rows at a time as one thread does."""
    step = max(1, _SINGLE_THREAD_PRODUCTS // max(1, right.size))
    product = np.empty((len(left), right.shape[1]), left.dtype)
    for start in range(0, len(left), step):
        np.matmul(left[start : start + step], right, out=product[start : start + step])
    return product


def _half_octaves(numbers: NDArray[Any]) -> NDArray[Any]:
    """How many half octaves numbers lie above 1: exponents and the first bit behind each."""
    if numbers.dtype == np.float32:
        return (numbers.view(np.int32) >> 22) - 2 * 127
    return (numbers.view(np.int64) >> 51) - 2 * 1023


def plane_bits(plan: PlanePlan, coefficients: NDArray[np.int16]) -> Iterator[Bits]:
    """Code a picture's coefficients, the highest plane first, each plane when it is asked for.

    Args:
        plan: the order.
        coefficients: int16 ``[height, width, channels]``.
    """
    scanned = coefficients.reshape(-1, plan.grid.num_channels)[plan.scan]
    magnitudes = np.minimum(np.abs(scanned), plan.limits)
    signs = np.sign(scanned).astype(np.int8).ravel()
    flat = magnitudes.ravel()
    for plane in range(len(plan.priors) - 1, -1, -1):
        known = (magnitudes >> (plane + 1)) << (plane + 1)
        arrangement = plan.arrange(plane, known)
        yes = (flat[arrangement.undecided] >> plane).astype(np.int8)
        decisions = yes * signs[arrangement.undecided]
        refinement = ((flat[arrangement.refined] >> plane) & 1).astype(np.uint8)
        prior = plan.priors[plane]
        bits, sizes = encode_segments(decisions, arrangement.lengths, np.array(prior.orders))
        cut = int(sizes[: prior.refined_after].sum())
        yield np.concatenate([bits[:cut], refinement, bits[cut:]])


def encode_planes(
    plan: PlanePlan, coefficients: NDArray[np.int16], max_bytes: int | None = None
) -> bytes:
    """Code a picture's coefficients.

    Args:
        plan: the order.
        coefficients: int16 ``[height, width, channels]``.
        max_bytes: the first so many bytes only; planes beyond them are not begun.

    Returns:
        The bits, the first in the highest bit of the first byte; the last byte ends in zeros.
    """
    parts: list[Bits] = []
    num_bits = 0
    for bits in plane_bits(plan, coefficients):
        parts.append(bits)
        num_bits += len(bits)
        if max_bytes is not None and num_bits >= 8 * max_bytes:
            break
    return np.packbits(np.concatenate(parts)).tobytes()[:max_bytes]


@dataclass(frozen=True)
class Segment:
    """What arrived of one class of a plane, or of its refinement.

    Attributes:
        plane: which plane.
        of_class: which class; none for the refinement.
        num_coefficients: how many it decides or refines.
        num_known: how many of these are known.
        num_bits: what they took.
    """

    plane: int
    of_class: int | None
    num_coefficients: int
    num_known: int
    num_bits: int


class Knowledge:
    """What is known of one picture's coefficients.

    Attributes:
        plan: the order in which they came.
        magnitudes: int16 ``[positions in scan order, channels]``, in units of one, low bits 0.
        signs: int8, same shape.
        planes: uint8, same shape: the lowest plane that is known; above all planes for none.
        segments: what was read, in order; the last one may be incomplete.
    """

    def __init__(self, plan: PlanePlan) -> None:
        self.plan = plan
        shape = (len(plan.scan), plan.grid.num_channels)
        self.magnitudes = np.zeros(shape, np.int16)
        self.signs = np.zeros(shape, np.int8)
        self.planes = np.broadcast_to(np.array(plan.first_planes, np.uint8) + 1, shape).copy()
        self.segments: list[Segment] = []

    @property
    def num_bits(self) -> int:
        """Bits that were read."""
        return sum(segment.num_bits for segment in self.segments)

    @property
    def is_complete(self) -> bool:
        """Whether every bit of every coefficient is known."""
        return not self.planes.any()

    def decide(self, plane: int, indices: NDArray[np.intp], decisions: NDArray[np.int8]) -> None:
        """Note which of some coefficients, by flat index, reach a plane, and their signs."""
        self.magnitudes.reshape(-1)[indices] = np.abs(decisions).astype(np.int16) << plane
        self.signs.reshape(-1)[indices] = decisions
        self.planes.reshape(-1)[indices] = plane

    def refine(self, plane: int, indices: NDArray[np.intp], bits: Bits) -> None:
        """Note one more bit of some coefficients, by flat index."""
        self.magnitudes.reshape(-1)[indices] += bits.astype(np.int16) << plane
        self.planes.reshape(-1)[indices] = plane

    def restore(self, points: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Values, and how uncertain they are.

        Args:
            points: float32 ``[channels, 13]``: where in its interval a magnitude lies that is known
                down to a plane, 0..1.

        Returns:
            Two float32 ``[height, width, channels]``, see :class:`CoefficientGrid`.
        """
        grid = self.plan.grid
        planes = self.planes.astype(np.intp)
        widths = np.exp2(planes, dtype=np.float32)
        offset = points[np.arange(grid.num_channels), planes] * widths
        coefficients = self.signs * (self.magnitudes + offset)
        return grid.inverse(self._raster(coefficients)), grid.spread(self._raster(widths))

    def _raster(self, scanned: NDArray[np.float32]) -> NDArray[np.float32]:
        raster = np.empty_like(scanned)
        raster[self.plan.scan] = scanned
        return raster.reshape(self.plan.grid.shape)


def decode_planes(plan: PlanePlan, data: bytes) -> Knowledge:
    """Decode what bytes tell, however many there are.

    Raises:
        CorruptBitstreamError: no encoder makes these.
    """
    return decode_bits(plan, np.unpackbits(np.frombuffer(data, np.uint8)))


def decode_bits(plan: PlanePlan, bits: Bits) -> Knowledge:
    """As :func:`decode_planes`, of bits."""
    knowledge = Knowledge(plan)
    text = (bits + ord("0")).tobytes().decode("ascii")
    at = 0
    for plane in range(len(plan.priors) - 1, -1, -1):
        arrangement = plan.arrange(plane, knowledge.magnitudes)
        for indices, of_class in _segments(plan.priors[plane].refined_after, arrangement):
            if at == len(bits):
                return knowledge
            if of_class is None:
                found = bits[at : at + len(indices)]
                num_known = used = len(found)
                knowledge.refine(plane, indices[:used], found)
            else:
                order = plan.priors[plane].orders[of_class]
                decisions, used = decode_segment(text, at, len(indices), order)
                num_known = len(decisions)
                knowledge.decide(plane, indices[:num_known], decisions)
            segment = Segment(plane, of_class, len(indices), num_known, used)
            knowledge.segments.append(segment)
            at += used
            if num_known < len(indices):
                return knowledge
    if len(bits) - at >= 8 or bits[at:].any():
        raise CorruptBitstreamError(
            f"corrupt stream: the picture is complete after {at} bits, {len(bits)} came"
        )
    return knowledge


def _segments(
    refined_after: int, arrangement: Arrangement
) -> Iterator[tuple[NDArray[np.intp], int | None]]:
    """The coefficients of each segment of a plane and its class; no class for the refinement."""
    ends = np.cumsum(arrangement.lengths)
    for index, (start, end) in enumerate(zip(ends - arrangement.lengths, ends, strict=True)):
        if index == refined_after:
            yield arrangement.refined, None
        yield arrangement.undecided[start:end], index
    if refined_after == len(ends):
        yield arrangement.refined, None
