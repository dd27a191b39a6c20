"""Accuracy of an exported checkpoint on reported pictures, by bytes: the model card's figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pnc.codec.codec import Codec
from pnc.codec.interpreter import Model
from training.on_cores import EachThread, map_on_cores
from training.pictures import Pictures

BUDGETS = (256, 512, 1024, 2048, 4096)
"""Stream lengths that a card reports, bytes."""


def measure_checkpoint(
    folder: Path,
    pictures: Pictures,
    labels: NDArray[np.int64],
    *,
    others: Sequence[bytes] = (),
    budgets: Sequence[int] = BUDGETS,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, float]]:
    """Top-1 accuracy of the classifier on undamaged pictures and on streams cut at each budget.

    Args:
        folder: an exported checkpoint.
        pictures: those to report on.
        labels: their classes, ``[n]``.
        others: more classifiers of the same classes, TFLite files.
        budgets: bytes.
        on_progress: called with pictures done and all.

    Returns:
        ``{"n": ..., "undamaged": ..., "at_512_bytes": ..., ..., "mean_stream_bytes": ...}`` of the
        checkpoint's own classifier, then of each of the others.
    """
    thread_codec = EachThread(lambda: Codec.load(folder))
    thread_others = EachThread(lambda: [Model(file, name="classifier.tflite") for file in others])

    def look(index: int) -> tuple[int, list[list[bool]]]:
        """Bytes of a picture's stream; whether each recognises it whole and at each budget."""
        codec, pixels = thread_codec(), pictures[index]
        stream = codec.encode(pixels)
        views = [pixels, *(codec.decode(stream[:budget]) for budget in budgets)]
        found = [[codec.classifier.probabilities(view) for view in views]]
        found += [[model.run(view) for view in views] for model in thread_others()]
        return len(stream), [
            [bool(np.argmax(probabilities) == labels[index]) for probabilities in one]
            for one in found
        ]

    right = np.zeros((1 + len(others), len(budgets) + 1))
    total_bytes, count = 0, len(pictures)
    for done, (num_bytes, hits) in enumerate(map_on_cores(look, range(count)), 1):
        total_bytes += num_bytes
        right += hits
        if on_progress:
            on_progress(done, count)
    names = ("undamaged", *(f"at_{budget}_bytes" for budget in budgets))
    return [
        {
            "n": float(count),
            **dict(zip(names, shares, strict=True)),
            "mean_stream_bytes": total_bytes / count,
        }
        for shares in (right / count).tolist()
    ]
