"""Tail-drop over the real layer order: training sees what a stream cut at any byte leaves.

Source of the idea: Koike-Akino, Wang, "Stochastic bottleneck" (arXiv 2005.02870), used by RTSS'23
on whole features. Here the tail is cut at a random place of the bitstream's own order, inside bit
planes and inside layers.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from pnc.codec.layers import UNKNOWN_SHIFT, LayerPlan


def shift_table(plan: LayerPlan) -> NDArray[np.float32]:
    """Precision of every channel after any number of whole layers.

    Returns:
        float32 ``[num_layers + 1, channels]``, shifts.
    """
    table = np.full((len(plan.steps) + 1, plan.num_channels), UNKNOWN_SHIFT, np.float32)
    for index, (channel, shift) in enumerate(plan.steps):
        table[index + 1 :, channel] = shift
    return table


@keras.saving.register_keras_serializable("pnc")
class TailDrop(keras.layers.Layer):
    """Quantises values as the bitstream does and keeps what a cut stream holds.

    Args:
        plan: the layer order.
        reconstruction: ``[channels, 8]``, where in its interval a non-zero magnitude is put back,
            0..1.

    Call arguments: values float ``[n, h, w, c]`` in symbol units, and cuts float ``[n]``: the
    number of layers that arrived; its fraction is the part of the next layer, in scan order.

    Returns:
        Reconstructed values and received precision (0 nothing .. 1 all bits), both float
        ``[n, h, w, c]``. The gradient passes straight through to the values that arrived.
    """

    def __init__(self, plan: LayerPlan, reconstruction: NDArray[np.float32], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._plan = plan
        self._table = shift_table(plan)
        self._reconstruction = np.concatenate(
            [reconstruction, np.zeros((plan.num_channels, 1), np.float32)], axis=1
        ).astype(np.float32)
        rank = np.empty(plan.num_positions, np.float32)
        rank[plan.scan] = (np.arange(plan.num_positions) + 0.5) / plan.num_positions
        self._rank = rank.reshape(1, plan.height, plan.width, 1)

    def call(self, values: Any, cuts: Any) -> tuple[Any, Any]:
        """See the class."""
        whole = ops.floor(cuts)
        index = ops.cast(whole, "int32")
        last = len(self._plan.steps)
        table = ops.convert_to_tensor(self._table)
        shape = (-1, 1, 1, self._plan.num_channels)
        now = ops.reshape(ops.take(table, index, axis=0), shape)
        then = ops.reshape(ops.take(table, ops.minimum(index + 1, last), axis=0), shape)
        fraction = ops.reshape(cuts - whole, (-1, 1, 1, 1))
        shift = ops.where(ops.convert_to_tensor(self._rank) < fraction, then, now)
        return self.quantize_values(values, shift)

    def quantize_values(self, values: Any, shift: Any) -> tuple[Any, Any]:
        """Values at given precisions: the differentiable twin of the bitstream's arithmetic.

        Args:
            values: float ``[n, h, w, c]`` in symbol units.
            shift: float, same shape, whole numbers.

        Returns:
            As the call.
        """
        low, high = -float(self._plan.zero_point), 255.0 - self._plan.zero_point
        whole = ops.round(ops.clip(values, low, high))
        unit = ops.power(2.0, shift)
        magnitude = ops.floor(ops.abs(whole) / unit)
        step_index = ops.cast(shift, "int32")
        offset = ops.sum(
            ops.one_hot(step_index, UNKNOWN_SHIFT + 1)
            * ops.convert_to_tensor(self._reconstruction),
            axis=-1,
        )
        exact = ops.cast(shift == 0, "float32")
        offset = offset * (1.0 - exact)
        restored = ops.where(magnitude > 0, ops.sign(whole) * (magnitude + offset) * unit, 0.0)
        arrived = ops.cast(shift < UNKNOWN_SHIFT, "float32")
        through = values * arrived
        restored = ops.stop_gradient(restored) + (through - ops.stop_gradient(through))
        return restored, (float(UNKNOWN_SHIFT) - shift) / float(UNKNOWN_SHIFT)
