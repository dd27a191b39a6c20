"""Tail-drop over the real order of bits: training sees what a stream cut at any byte leaves.

Source of the idea: Koike-Akino, Wang, "Stochastic bottleneck" (arXiv 2005.02870), used by RTSS'23
on whole features. Here the tail is cut between the segments of the bitstream's own bit planes or
inside one, after the very predictions that order them.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import keras
import numpy as np
from keras import ops

from pnc.codec.coefficients import TOP_PLANE, second_transform
from pnc.codec.context import HIDDEN_BITS, LARGEST_HIDDEN, Context
from pnc.codec.decoder import VALUE_BITS
from pnc.codec.plan import CodingPlan
from pnc.codec.planes import CLASS_BITS, NUM_CLASSES, NUM_LIKELY
from training.planes import SEGMENTS


@keras.saving.register_keras_serializable("pnc")
class PlaneDrop(keras.layers.Layer):
    """Codes values as the bitstream does and keeps what the beginning of a stream holds.

    Args:
        plan: how pictures are coded.

    Call arguments: values float ``[n, h, w, c]``; cuts float ``[n]``: the number of segments that
    arrived, :data:`training.planes.SEGMENTS` a plane from the highest plane on; the fraction is
    the part of the next segment, in scan order.

    Returns:
        Restored values, and how much of each arrived (see :func:`pnc.codec.decoder.received`), both
        float ``[n, h, w, c]``. No gradient passes to the values.
    """

    def __init__(self, plan: CodingPlan, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._plan = plan.planes
        grid, priors = plan.grid, plan.planes.priors
        self._contexts = {
            name: np.stack([getattr(prior.context, name) for prior in priors]).astype(np.float32)
            for name in (field.name for field in fields(Context))
        }
        self._refined_after = np.array([prior.refined_after for prior in priors], np.float32)
        self._points = plan.points
        self._first = np.array(self._plan.first_planes, np.float32)
        self._smooth = np.isin(np.arange(grid.num_channels), grid.smooth).astype(np.float32)
        rank = np.empty(grid.height * grid.width, np.float32)
        rank[self._plan.scan] = (np.arange(len(rank)) + 0.5) / len(rank)
        self._rank = rank.reshape(1, grid.height, grid.width, 1)

    @property
    def num_segments(self) -> int:
        """Segments of a whole stream."""
        return SEGMENTS * len(self._plan.priors)

    def call(self, values: Any, cuts: Any) -> tuple[Any, Any]:
        """See the class."""
        scale = ops.convert_to_tensor(self._plan.grid.scale)
        coefficients = self._transform(values) * scale
        planes = self._known_planes(coefficients, cuts)
        whole = self._whole(coefficients)
        unit = ops.power(2.0, planes)
        magnitude = ops.floor(ops.abs(whole) / unit)
        offset = ops.sum(
            ops.one_hot(ops.cast(planes, "int32"), TOP_PLANE + 1)
            * ops.convert_to_tensor(self._points),
            axis=-1,
        )
        restored = ops.where(magnitude > 0, ops.sign(whole) * (magnitude + offset) * unit, 0.0)
        spread = self._transform(ops.square(unit / scale), back=True, squared=True)
        received = 1.0 - ops.log2(ops.sqrt(spread)) / VALUE_BITS
        return self._transform(restored / scale, back=True), received

    def _whole(self, coefficients: Any) -> Any:
        limit = ops.convert_to_tensor(self._plan.limits.astype(np.float32))
        return ops.clip(ops.round(coefficients), -limit, limit)

    def _transform(self, values: Any, *, back: bool = False, squared: bool = False) -> Any:
        """The second transform of the smooth channels, or its inverse; with squared numbers."""
        if not self._plan.grid.smooth:
            return values
        height, width = self._plan.grid.height, self._plan.grid.width
        down, across = (second_transform(side).astype("float32") for side in (height, width))
        if back:
            down, across = down.T, across.T
        if squared:
            down, across = down**2, across**2
        changed = ops.einsum(
            "ai,nijc,bj->nabc", ops.convert_to_tensor(down), values, ops.convert_to_tensor(across)
        )
        smooth = ops.convert_to_tensor(self._smooth)
        return changed * smooth + values * (1.0 - smooth)

    def _known_planes(self, coefficients: Any, cuts: Any) -> Any:
        """The lowest plane of each coefficient that a cut stream holds."""
        num_planes = len(self._plan.priors)
        cuts = ops.clip(cuts, 0.0, self.num_segments - 1e-3)
        plane = ops.reshape(num_planes - 1 - ops.floor(cuts / SEGMENTS), (-1, 1, 1, 1))
        segment = ops.reshape(ops.mod(ops.floor(cuts), SEGMENTS), (-1, 1, 1, 1))
        part = ops.reshape(cuts - ops.floor(cuts), (-1, 1, 1, 1))
        whole = self._whole(coefficients)
        unit = ops.power(2.0, plane)
        known = ops.floor(ops.abs(whole) / (2 * unit))
        some = known > 0
        classes = self._classes(plane, 2 * known + ops.cast(some, "float32"))
        index = ops.cast(ops.reshape(plane, (-1,)), "int32")
        refined = ops.reshape(
            ops.take(ops.convert_to_tensor(self._refined_after), index, axis=0), (-1, 1, 1, 1)
        )
        turn = ops.where(some, refined, classes + ops.cast(classes >= refined, "float32"))
        rank = ops.convert_to_tensor(self._rank)
        arrived = (turn < segment) | ((turn == segment) & (rank < part))
        return ops.minimum(
            plane + 1.0 - ops.cast(arrived, "float32"), ops.convert_to_tensor(self._first) + 1.0
        )

    def _classes(self, plane: Any, middle: Any) -> Any:
        """See :meth:`pnc.codec.planes.PlanePlan.arrange`, of middles in units of the plane."""
        index = ops.cast(ops.reshape(plane, (-1,)), "int32")
        network = {
            name: ops.take(ops.convert_to_tensor(array), index, axis=0)
            for name, array in self._contexts.items()
        }
        padded = ops.pad(middle, ((0, 0), (1, 1), (1, 1), (0, 0)))
        rows = padded[:, :-2] + padded[:, 2:] + 2 * padded[:, 1:-1]
        around = _levels(rows[:, :, :-2] + rows[:, :, 2:] + 2 * rows[:, :, 1:-1] - 4 * middle)
        sums = _at_places(_levels(middle), network["inner"][:, 0])
        sums += _at_places(around, network["inner"][:, 1])
        sums += network["inner_bias"][:, None, None, :]
        hidden = ops.clip(ops.floor(sums * 2.0**-HIDDEN_BITS), 0.0, float(LARGEST_HIDDEN))
        logits = _at_places(hidden, network["outer"]) + network["bias"]
        logits += around * network["neighbours"][:, None, None, :]
        classes = ops.floor(((NUM_LIKELY << CLASS_BITS) - logits) * 2.0**-CLASS_BITS)
        return ops.clip(classes, 0.0, NUM_CLASSES - 1.0)


def _at_places(fields: Any, matrices: Any) -> Any:
    """``[n, h, w, a]`` times ``[n, a, b]``."""
    return ops.einsum("nhwa,nab->nhwb", fields, matrices)


def _levels(numbers: Any) -> Any:
    """See :func:`pnc.codec.context.level`."""
    octave = ops.log2(ops.maximum(numbers, 2.0) * (1 + 1e-6))  # whole numbers never fall below
    base = ops.floor(octave)
    halves = 2 * base + ops.cast(octave - base >= np.log2(1.5), "float32")
    return ops.maximum(halves - 2.0, 0.0)
