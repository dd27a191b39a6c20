"""The belt as a data set: three splits that never share a picture, rendered once into a cache."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pnc.belt import RENDERER_VERSION, SIZE, label_of, pictures, render
from pnc.errors import ConfigError
from pnc.splits import BELT_SEEDS, Split
from training.cache import CACHE_FOLDER, OnProgress, fill_cache

__all__ = ["fingerprint", "load_split"]

NUM_PROBES = 4
"""Pictures that stand for the renderer in its fingerprint: 60 ms of work."""


@functools.lru_cache(maxsize=1)
def fingerprint() -> str:
    """Return 8 hex digits that name what the renderer draws here, e.g. for file names."""
    digest = hashlib.sha256(str(RENDERER_VERSION).encode())
    for picture, _ in pictures(count=NUM_PROBES):
        digest.update(picture.tobytes())
    return digest.hexdigest()[:8]


def _picture(index: int, seed: int, size: int) -> NDArray[np.uint8]:
    return render(index, seed=seed, size=size)[0]


def load_split(
    split: Split,
    count: int,
    *,
    size: int = SIZE,
    folder: Path = CACHE_FOLDER,
    processes: int | None = None,
    on_progress: OnProgress | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return the first `count` pictures of a split, uint8 [count, size, size, 3], and labels.

    The pictures are a read-only memory map of the cache in `folder`; those not in it are rendered
    by `processes` processes (one per core when None). A killed run goes on where it stopped.

    Raises:
        ConfigError: `count` is not positive, or the folder cannot be written.
    """
    if count < 1:
        raise ConfigError(f"belt: {count} pictures asked for in {split}; ask for at least one")
    seed = BELT_SEEDS[split]
    cache = fill_cache(
        f"belt-v{RENDERER_VERSION}-{fingerprint()}-{split}-{size}-{count}",
        count,
        size,
        functools.partial(_picture, seed=seed, size=size),
        folder=folder,
        processes=processes,
        on_progress=on_progress,
    )
    labels = np.array([label_of(index, seed=seed) for index in range(count)], np.int32)
    return cache.pixels, labels
