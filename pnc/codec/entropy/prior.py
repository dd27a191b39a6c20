"""Static priors: two tables of integer frequencies a layer, and nothing a float could decide.

Which one when: a position whose value is still 0 takes its layer's *significance* table, all others
the *refinement* table. Frequencies of a table sum to ``2**16``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pnc.codec.entropy import backend
from pnc.codec.layers import UNKNOWN_SHIFT, Layer, LayerPlan, at_shift, layer_symbols
from pnc.errors import CheckpointError

TOTAL = 1 << 16
"""Sum of a table's frequencies; a power of two keeps the coder's scaling exact in doubles."""


@dataclass(frozen=True)
class Table:
    """Frequencies of the symbols ``0..n-1``, all positive, summing to :data:`TOTAL`.

    Raises:
        CheckpointError: they do not.
    """

    frequencies: tuple[int, ...]

    def __post_init__(self) -> None:
        if min(self.frequencies, default=0) < 1 or sum(self.frequencies) != TOTAL:
            raise CheckpointError(f"prior: frequencies must be positive and sum to {TOTAL}")

    @classmethod
    def fitted(cls, counts: NDArray[np.integer[Any]]) -> Table:
        """The table nearest to observed counts; what was never seen keeps at least 1.

        Args:
            counts: ``[n]``, of at most 511 symbols, the largest alphabet there is. The largest
                frequency pays for what the rarest get; ``2 * sqrt(TOTAL) > n`` keeps it positive.
        """
        weights = np.asarray(counts, np.float64) + 0.4
        frequencies = np.maximum(1, np.floor(weights * (TOTAL / weights.sum())).astype(np.int64))
        frequencies[np.argmax(frequencies)] += TOTAL - frequencies.sum()
        return cls(tuple(int(f) for f in frequencies))

    @property
    def bits(self) -> NDArray[np.float64]:
        """Ideal code length of each symbol, bits ``[n]``."""
        return np.log2(TOTAL / np.asarray(self.frequencies, np.float64))

    @cached_property
    def model(self) -> Any:
        """The entropy model of the range coder in use: it widens the frequencies to 24 bits.

        The cumulative frequency ``F`` of symbol ``i`` becomes
        ``floor(F * (2**24 - n) / 2**16) + i`` (docs/bitstream.md).
        """
        return backend.BACKEND.make_model(self.frequencies)


@dataclass(frozen=True)
class LayerPrior:
    """The two tables of one layer; a channel's first layer has nothing to refine."""

    significance: Table
    refinement: Table | None


def check_priors(plan: LayerPlan, priors: Sequence[LayerPrior]) -> None:
    """Make sure that every layer has tables of the right alphabet.

    Raises:
        CheckpointError: one has not.
    """
    if len(priors) != len(plan.layers):
        raise CheckpointError(f"priors: {len(priors)} layers, the plan has {len(plan.layers)}")
    for index, (layer, prior) in enumerate(zip(plan.layers, priors, strict=True)):
        expected = (significance_size(plan, layer), refinement_size(layer))
        found = (
            len(prior.significance.frequencies),
            len(prior.refinement.frequencies) if prior.refinement else 0,
        )
        if expected != found:
            raise CheckpointError(
                f"priors: layer {index} has alphabets {found}, the plan wants {expected}"
            )


def significance_size(plan: LayerPlan, layer: Layer) -> int:
    """Symbols of a layer's significance alphabet: ``-m..m``, or ``0..m`` where none is negative."""
    largest = plan.largest(layer)
    return 2 * largest + 1 if plan.signed else largest + 1


def refinement_size(layer: Layer) -> int:
    """Symbols of a layer's refinement alphabet, the new low bits; 0 for a channel's first layer."""
    return 0 if layer.from_shift == UNKNOWN_SHIFT else 1 << layer.num_bits


def fit_priors(plan: LayerPlan, symbols: NDArray[np.uint8]) -> tuple[LayerPrior, ...]:
    """Tables from the symbols of training pictures, uint8 ``[n, height, width, channels]``."""
    values = np.concatenate([plan.values(picture) for picture in symbols], axis=1)
    priors = []
    for layer in plan.layers:
        full = values[layer.channel]
        before = at_shift(full, 0, layer.from_shift)
        new, low = layer_symbols(plan, layer, before, at_shift(full, 0, layer.shift))
        refinement = (
            Table.fitted(np.bincount(low, minlength=refinement_size(layer)))
            if refinement_size(layer)
            else None
        )
        counts = np.bincount(new, minlength=significance_size(plan, layer))
        priors.append(LayerPrior(Table.fitted(counts), refinement))
    return tuple(priors)
