"""Accuracy of an exported checkpoint on reported pictures, by bytes: the model card's figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.on_cores import ThreadCodec, map_on_cores
from training.pictures import Pictures

BUDGETS = (256, 512, 1024, 2048, 4096)
"""Stream lengths that a card reports, bytes."""


def measure_checkpoint(
    folder: Path,
    pictures: Pictures,
    labels: NDArray[np.int64],
    *,
    budgets: Sequence[int] = BUDGETS,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """Top-1 accuracy of the classifier on undamaged pictures and on streams cut at each budget.

    Args:
        folder: an exported checkpoint.
        pictures: those to report on.
        labels: their classes, ``[n]``.
        budgets: bytes.
        on_progress: called with pictures done and all.

    Returns:
        ``{"n": ..., "undamaged": ..., "at_512_bytes": ..., ..., "mean_stream_bytes": ...}``.
    """
    thread_codec = ThreadCodec(folder)

    def look(index: int) -> tuple[int, list[bool]]:
        """Bytes of a picture's stream; whether it is recognised whole and at each budget."""
        codec, pixels = thread_codec(), pictures[index]
        stream = codec.encode(pixels)
        views = [pixels, *(codec.decode(stream[:budget]) for budget in budgets)]
        found = (int(np.argmax(codec.classifier.probabilities(view))) for view in views)
        return len(stream), [top == labels[index] for top in found]

    right = np.zeros(len(budgets) + 1)
    total_bytes, count = 0, len(pictures)
    for done, (num_bytes, hits) in enumerate(map_on_cores(look, range(count)), 1):
        total_bytes += num_bytes
        right += hits
        if on_progress:
            on_progress(done, count)
    undamaged, *shares = (right / count).tolist()
    figures = {"n": float(count), "undamaged": undamaged}
    for budget, share in zip(budgets, shares, strict=True):
        figures[f"at_{budget}_bytes"] = share
    return {**figures, "mean_stream_bytes": total_bytes / count}
