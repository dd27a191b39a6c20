"""Bit planes of coefficients, the likeliest first: what a stream sends in which order.

Magnitudes are sent bit by bit, from the highest plane to the lowest. In a plane ``k`` every
coefficient that is still 0 is *decided*: does its magnitude reach ``2**k``, and if so, with which
sign? All others are *refined* by one bit. How likely a yes is, both sides compute from what all
planes above have told (:mod:`pnc.codec.context`). By that the undecided coefficients fall into
classes. A plane sends its classes in order, the likeliest first, each as one segment of
:mod:`pnc.codec.runs`, and somewhere between them the refinement bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pnc.codec.coefficients import TOP_PLANE, CoefficientGrid
from pnc.codec.context import LOGIT_BITS, Context, Prepared
from pnc.codec.runs import MAX_ORDER
from pnc.codec.scan import scan_order
from pnc.errors import CheckpointError

NUM_CLASSES = 18
"""Classes of a plane."""

CLASS_BITS = LOGIT_BITS - 1
"""A class is half a unit of the logit wide."""

NUM_LIKELY = 3
"""Classes of what is likelier than not."""


@dataclass(frozen=True)
class PlanePrior:
    """What both sides know about one plane.

    Args:
        context: tells how likely a yes is.
        orders: of each class, likeliest first, see :mod:`pnc.codec.runs`.
        refined_after: the refinement bits follow after so many classes.

    Raises:
        CheckpointError: an order or the place of the refinement is impossible.
    """

    context: Context
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
    lengths: NDArray[np.intp]
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
            if prior.context.bias.shape != shape:
                raise CheckpointError(f"planes: the network of a plane is not for {shape}")

    @cached_property
    def scan(self) -> NDArray[np.intp]:
        """Positions in coding order."""
        return scan_order(self.grid.height, self.grid.width)

    @cached_property
    def channels(self) -> NDArray[np.intp]:
        """Channels in coding order: those that begin with a higher plane first."""
        return np.argsort(-np.array(self.first_planes), kind="stable")

    @cached_property
    def _counts(self) -> tuple[int, ...]:
        """How many channels, the first in coding order, take part in each plane, and one beyond."""
        first = np.array(self.first_planes)
        return tuple(int((first >= plane).sum()) for plane in range(len(self.priors) + 1))

    @cached_property
    def together(self) -> tuple[tuple[int, ...], ...]:
        """Planes that are coded at once, the highest first: no more than one full plane holds."""
        groups: list[tuple[int, ...]] = []
        room = 0
        for plane in range(len(self.priors) - 1, -1, -1):
            if self._counts[plane] > room:
                groups.append(())
                room = self.grid.num_channels
            groups[-1] += (plane,)
            room -= self._counts[plane]
        return tuple(groups)

    @cached_property
    def _contexts(self) -> tuple[Prepared, ...]:
        return tuple(
            prior.context.prepare(
                self.scan,
                self.channels[: self._counts[plane + 1]],
                self.channels[: self._counts[plane]],
            )
            for plane, prior in enumerate(self.priors)
        )

    @cached_property
    def _of_nothing(self) -> dict[int, Arrangement]:
        """How planes are arranged of which all above was 0, as far as one was asked for."""
        return {}

    @cached_property
    def _inside(self) -> NDArray[np.intp]:
        """Positions in coding order within a grid with a border of one on all sides."""
        row, column = np.divmod(self.scan, self.grid.width)
        return (row + 1) * (self.grid.width + 2) + column + 1

    @cached_property
    def _flat(self) -> NDArray[np.intp]:
        """Flat raster indices, ``[positions, channels]`` in coding order."""
        return self.scan[:, None] * self.grid.num_channels + self.channels

    def in_order(self, coefficients: NDArray[Any]) -> NDArray[Any]:
        """``[height, width, channels]`` as ``[positions, channels]``, both in coding order."""
        return coefficients.reshape(-1).take(self._flat)

    def in_raster(self, ordered: NDArray[Any]) -> NDArray[Any]:
        """The inverse of :meth:`in_order`."""
        raster = np.empty_like(ordered).reshape(self.grid.shape)
        raster.reshape(-1)[self._flat] = ordered
        return raster

    @cached_property
    def limits(self) -> NDArray[np.int16]:
        """The largest magnitude that can be sent of each channel."""
        return ((2 << np.array(self.first_planes)) - 1).astype(np.int16)

    def arrange(self, plane: int, magnitudes: NDArray[np.int16]) -> Arrangement:
        """The coefficients of a plane in coded order.

        Args:
            plane: which one.
            magnitudes: int16 as of :meth:`in_order`, in units of one; only what the planes above
                told of them is looked at.
        """
        known = magnitudes[:, : self._counts[plane + 1]] >> (plane + 1)
        if known.any():
            return self._arrange(plane, known)
        if plane not in self._of_nothing:
            self._of_nothing[plane] = self._arrange(plane, known)
        return self._of_nothing[plane]

    def _arrange(self, plane: int, known: NDArray[np.int16]) -> Arrangement:
        """As :meth:`arrange`, of magnitudes in units of the plane above."""
        some = known != 0
        classes = self._classes(plane, known + known + some)
        refined = classes[:, : known.shape[1]]
        np.maximum(refined, some * np.uint8(NUM_CLASSES), out=refined)
        classes = classes.ravel()
        order = np.argsort(classes, kind="stable")
        lengths = np.bincount(classes, minlength=NUM_CLASSES + 1)
        num_undecided = len(order) - lengths[NUM_CLASSES]
        if self._counts[plane] < self.grid.num_channels:
            order += order // self._counts[plane] * (self.grid.num_channels - self._counts[plane])
        return Arrangement(
            undecided=order[:num_undecided],
            lengths=lengths[:NUM_CLASSES],
            refined=order[num_undecided:],
        )

    def _classes(self, plane: int, middles: NDArray[np.int16]) -> NDArray[np.uint8]:
        """The class of each coefficient; all arithmetic is on integers that floats hold exactly.

        Args:
            plane: which one.
            middles: of the intervals that magnitudes lie in, in units of the plane.
        """
        context = self._contexts[plane]
        exact = middles.astype(context.bias.dtype)
        classes = context.logits(exact, self._around(exact))
        np.subtract(NUM_LIKELY << CLASS_BITS, classes, out=classes)
        classes *= 2.0**-CLASS_BITS
        np.clip(classes, 0, NUM_CLASSES - 1, out=classes)
        return classes.astype(np.uint8)

    def _around(self, known: NDArray[Any]) -> NDArray[Any]:
        """The sum over the eight neighbours of each position, sides twice."""
        row = self.grid.width + 2
        total = np.zeros((row * (self.grid.height + 2), known.shape[1]), known.dtype)
        total[self._inside] = known
        for step in (1, 1, row, row):
            total = total[:-step] + total[step:]
        around: NDArray[Any] = total.take(self._inside - row - 1, axis=0)
        around -= 4 * known
        return around
