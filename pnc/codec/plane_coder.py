"""The bits of all planes: from coefficients to bytes, from any first bytes to what they tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pnc.codec.planes import NUM_CLASSES, Arrangement, PlanePlan
from pnc.codec.runs import Bits, SegmentReader, encode_segments
from pnc.errors import CorruptBitstreamError


def plane_bits(plan: PlanePlan, coefficients: NDArray[np.int16]) -> Iterator[Bits]:
    """Code a picture's coefficients, the highest plane first, each plane when it is asked for.

    Small planes come together (:attr:`PlanePlan.together`): what a step takes whatever its length
    then counts once.

    Args:
        plan: the order.
        coefficients: int16 ``[height, width, channels]``.
    """
    ordered = plan.in_order(coefficients)
    magnitudes = np.minimum(np.abs(ordered), plan.limits[plan.channels])
    signs = np.sign(ordered).astype(np.int8).ravel()
    for planes in plan.together:
        arrangements = [plan.arrange(plane, magnitudes) for plane in planes]
        digits = [((magnitudes >> plane) & 1).astype(np.int8).ravel() for plane in planes]
        pairs = list(zip(arrangements, digits, strict=True))
        bits, bounds = encode_segments(
            np.concatenate([(signs * digit)[arranged.undecided] for arranged, digit in pairs]),
            np.concatenate([arranged.lengths for arranged in arrangements]),
            tuple(order for plane in planes for order in plan.priors[plane].orders),
        )
        parts, at = [], 0
        for index, (plane, (arranged, digit)) in enumerate(zip(planes, pairs, strict=True)):
            cut = bounds[index * NUM_CLASSES + plan.priors[plane].refined_after]
            parts += [bits[at:cut], digit[arranged.refined].view(np.uint8)]
            at = cut
        yield np.concatenate([*parts, bits[at:]])


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
    return b"".join(iter_planes(plan, coefficients, max_bytes))


def iter_planes(
    plan: PlanePlan, coefficients: NDArray[np.int16], max_bytes: int | None = None
) -> Iterator[bytes]:
    """As :func:`encode_planes`, in parts: the whole bytes of each plane as soon as it is coded."""
    waiting = np.zeros(0, np.uint8)
    num_bytes = 0
    for bits in plane_bits(plan, coefficients):
        waiting = np.concatenate([waiting, bits])
        whole = len(waiting) // 8 * 8
        part = np.packbits(waiting[:whole]).tobytes()
        waiting = waiting[whole:]
        if max_bytes is not None and num_bytes + len(part) >= max_bytes:
            yield part[: max_bytes - num_bytes]
            return
        num_bytes += len(part)
        yield part
    yield np.packbits(waiting).tobytes()


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
        segments: what was read, in order; the last one may be incomplete.
    """

    def __init__(self, plan: PlanePlan) -> None:
        self.plan = plan
        beyond = np.array(plan.first_planes, np.uint8)[plan.channels] + 1
        self._planes = np.repeat(beyond[None], len(plan.scan), axis=0)
        self._magnitudes = np.zeros(self._planes.shape, np.int16)
        self._signs = np.zeros(self._planes.shape, np.int8)
        self.segments: list[Segment] = []

    @property
    def magnitudes(self) -> NDArray[np.int16]:
        """Of each coefficient, ``[height, width, channels]``, in units of one, low bits 0."""
        return self.plan.in_raster(self._magnitudes)

    @property
    def signs(self) -> NDArray[np.int8]:
        """-1, 1, or 0 where the magnitude is 0, ``[height, width, channels]``."""
        return self.plan.in_raster(self._signs)

    @property
    def planes(self) -> NDArray[np.uint8]:
        """The lowest plane that is known, above all for none, ``[height, width, channels]``."""
        return self.plan.in_raster(self._planes)

    @property
    def is_complete(self) -> bool:
        """Whether every bit of every coefficient is known."""
        return not self._planes.any()

    def arrange(self, plane: int) -> Arrangement:
        """The coefficients of the next plane in coded order."""
        return self.plan.arrange(plane, self._magnitudes)

    def decide(self, plane: int, indices: NDArray[np.intp], decisions: NDArray[np.int8]) -> None:
        """Note which of some coefficients reach a plane, and their signs."""
        self._planes.reshape(-1)[indices] = plane
        reached = np.flatnonzero(decisions)
        self._magnitudes.reshape(-1)[indices[reached]] = 1 << plane
        self._signs.reshape(-1)[indices[reached]] = decisions[reached]

    def refine(self, plane: int, indices: NDArray[np.intp], bits: Bits) -> None:
        """Note one more bit of some coefficients."""
        self._planes.reshape(-1)[indices] = plane
        self._magnitudes.reshape(-1)[indices] += bits.astype(np.int16) << plane

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
        return grid.inverse(self.signs * (self.magnitudes + offset)), grid.spread(widths)


def decode_planes(plan: PlanePlan, data: bytes) -> Knowledge:
    """Decode what bytes tell, however many there are.

    Raises:
        CorruptBitstreamError: no encoder makes these.
    """
    return decode_bits(plan, np.unpackbits(np.frombuffer(data, np.uint8)))


def decode_bits(plan: PlanePlan, bits: Bits) -> Knowledge:
    """As :func:`decode_planes`, of bits."""
    knowledge = Knowledge(plan)
    text = (bits + ord("0")).tobytes()
    at = 0
    for plane in range(len(plan.priors) - 1, -1, -1):
        is_whole, at = _decode_plane(knowledge, plane, text, at)
        if not is_whole:
            return knowledge
    if len(bits) - at >= 8 or bits[at:].any():
        raise CorruptBitstreamError(
            f"corrupt stream: the picture is complete after {at} bits, {len(bits)} came"
        )
    return knowledge


def _decode_plane(knowledge: Knowledge, plane: int, text: bytes, at: int) -> tuple[bool, int]:
    """Decode a plane as far as its bits go: whether that is all of it, and where it ends."""
    prior = knowledge.plan.priors[plane]
    arrangement = knowledge.arrange(plane)
    segments: list[tuple[int | None, int]] = [*enumerate(arrangement.lengths.tolist())]
    segments.insert(prior.refined_after, (None, len(arrangement.refined)))
    reader, is_whole = SegmentReader(text, at, len(arrangement.undecided)), False
    for of_class, length in segments:
        at = reader.at
        if at == len(text):
            break
        if of_class is None:
            found = np.frombuffer(text[at : at + length], np.uint8) & np.uint8(1)
            knowledge.refine(plane, arrangement.refined[: len(found)], found)
            num_known = len(found)
            reader.at += num_known
        else:
            num_known = reader.read(length, prior.orders[of_class])
        knowledge.segments.append(Segment(plane, of_class, length, num_known, reader.at - at))
        if num_known < length:
            break
    else:
        is_whole = True
    decisions = reader.decisions()
    knowledge.decide(plane, arrangement.undecided[: len(decisions)], decisions)
    return is_whole, reader.at
