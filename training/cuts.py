"""Where training cuts what the encoder made: random byte budgets, or features."""

from __future__ import annotations

from typing import Any, Protocol

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from pnc.replay.rtss23 import NUM_LEVELS
from training.plan import FittedPlan
from training.plane_drop import PlaneDrop

MIN_BUDGET_BYTES = 100
"""Smallest random byte budget: less than two packets."""
MAX_BUDGET_BYTES = 7000
"""Largest one; streams that are shorter are then whole, longer ones never quite."""


class Cuts(Protocol):
    """How pictures are cut in training."""

    def random(self, count: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Random cuts for so many pictures, float32 ``[count, ...]``."""

    def at(self, num_bytes: float, count: int) -> NDArray[np.float32]:
        """Cuts after some bytes of a mean picture, float32 ``[count, ...]``."""

    def drop(self, values: Any, cuts: Any) -> tuple[Any, Any]:
        """What is left of values, and how much of each arrived, both as the values."""


class StreamCuts:
    """Of the bitstream: after a number of bytes that is uniform in its logarithm.

    Args:
        fitted: the plan with its sizes.
    """

    def __init__(self, fitted: FittedPlan) -> None:
        self._ends = np.concatenate([[0.0], np.cumsum(fitted.segment_bytes)])
        self._drop = PlaneDrop(fitted.plan)

    def random(self, count: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """See :class:`Cuts`."""
        bounds = np.log(MIN_BUDGET_BYTES), np.log(MAX_BUDGET_BYTES)
        return self._segments(np.exp(rng.uniform(*bounds, count)))

    def at(self, num_bytes: float, count: int) -> NDArray[np.float32]:
        """See :class:`Cuts`."""
        return self._segments(np.full(count, num_bytes))

    def _segments(self, num_bytes: NDArray[np.float64]) -> NDArray[np.float32]:
        whole = np.interp(num_bytes, self._ends, np.arange(len(self._ends)))
        return whole.astype(np.float32)

    def drop(self, values: Any, cuts: Any) -> tuple[Any, Any]:
        """See :class:`Cuts`."""
        restored, received = self._drop(values, cuts)
        return restored, received


@keras.saving.register_keras_serializable("pnc")
class FeatureDrop(keras.layers.Layer):
    """Tail-drop as published: the first features as they are sent, all others 0.

    Source: RTSS'23 (arXiv 2310.05306), section IV; the quantiser is :mod:`pnc.replay.rtss23`'s.
    Call arguments: values float ``[n, h, w, c]``, whole numbers of features float ``[n]``.

    Returns:
        What is left of the values. No gradient passes to them.
    """

    def call(self, values: Any, num_features: Any) -> Any:
        """See the class."""
        symbols = ops.clip(ops.round(values), 0.0, 255.0)
        # Half a unit less leaves whole quotients whole, however the division is rounded.
        levels = ops.ceil((symbols * (NUM_LEVELS - 1) - 0.5) / 255.0)
        restored = levels * (255.0 / NUM_LEVELS)
        features = ops.arange(values.shape[-1], dtype="float32")
        arrived = ops.cast(features < ops.reshape(num_features, (-1, 1, 1, 1)), "float32")
        return restored * arrived


class FeatureCuts:
    """Of features: after a uniform number of them.

    Args:
        num_features: of a picture.
        feature_bytes: mean size of one.
    """

    def __init__(self, num_features: int, feature_bytes: float) -> None:
        self._num_features = num_features
        self._feature_bytes = feature_bytes
        self._drop = FeatureDrop()

    def random(self, count: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """See :class:`Cuts`."""
        return rng.integers(1, self._num_features + 1, count).astype(np.float32)

    def at(self, num_bytes: float, count: int) -> NDArray[np.float32]:
        """See :class:`Cuts`."""
        whole = min(self._num_features, int(num_bytes / self._feature_bytes))
        return np.full(count, whole, np.float32)

    def drop(self, values: Any, cuts: Any) -> tuple[Any, Any]:
        """See :class:`Cuts`."""
        restored = self._drop(values, cuts)
        return restored, ops.ones_like(restored)
