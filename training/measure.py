"""Accuracy of an exported checkpoint on reported pictures, by bytes: the model card's figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from pnc.codec.codec import Codec
from training.pictures import Pictures

BUDGETS = (256, 512, 1024, 2048, 4096)
"""Stream lengths that a card reports, bytes."""


def measure_checkpoint(
    codec: Codec,
    pictures: Pictures,
    labels: NDArray[np.int64],
    *,
    budgets: Sequence[int] = BUDGETS,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """Top-1 accuracy of the classifier on undamaged pictures and on streams cut at each budget.

    Args:
        codec: an exported checkpoint.
        pictures: those to report on.
        labels: their classes, ``[n]``.
        budgets: bytes.
        on_progress: called with pictures done and all.

    Returns:
        ``{"n": ..., "undamaged": ..., "at_512_bytes": ..., ..., "mean_stream_bytes": ...}``.
    """
    right = np.zeros(len(budgets) + 1)
    total_bytes = 0
    for index in range(len(pictures)):
        pixels = pictures[index]
        stream = codec.encode(pixels)
        total_bytes += len(stream)
        views = [pixels, *(codec.decode(stream[:budget]) for budget in budgets)]
        right += [int(np.argmax(codec.classifier.probabilities(v))) == labels[index] for v in views]
        if on_progress:
            on_progress(index + 1, len(pictures))
    count = len(pictures)
    figures = {"n": float(count), "undamaged": right[0] / count}
    for budget, hits in zip(budgets, right[1:], strict=True):
        figures[f"at_{budget}_bytes"] = hits / count
    return {**figures, "mean_stream_bytes": total_bytes / count}
