"""What a server would see: training pictures cut at a random byte and decoded, for ``finetune``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pnc.errors import ConfigError
from training.architectures import PICTURE_SIZE
from training.autoencoder import Autoencoder
from training.files import read_json, reserve, write_json
from training.pictures import Pictures

BATCH_SIZE = 16
"""Pictures decoded at once."""


def decode_pictures(
    autoencoder: Autoencoder, pictures: Pictures, path: Path, *, seed: int, identity: str
) -> NDArray[np.uint8]:
    """Every picture cut at a random byte and decoded.

    A killed process leaves a part file and the number of pictures in it; the next one goes on.

    Args:
        autoencoder: as it is after ``distill``.
        pictures: what to decode.
        path: the ``.npy`` file; beside it a ``.json`` says what is in it.
        seed: where the cuts come from.
        identity: stands for pictures and autoencoder; what was decoded of others is not used.

    Returns:
        uint8 ``[n, 224, 224, 3]``, a memory map of ``path``.

    Raises:
        ConfigError: the disk is full.
    """
    part, record = path.with_suffix(".part"), path.with_suffix(".json")
    done = _num_done(record, identity)
    if done < len(pictures) or not path.exists():
        path.unlink(missing_ok=True)
        if not part.exists():
            done = 0
        out = np.lib.format.open_memmap(part, "r+") if done else _make(part, len(pictures))
        reconstruct = autoencoder.compiled()
        rng = np.random.default_rng([seed, 3])
        for start in range(0, len(pictures), BATCH_SIZE):
            size = min(BATCH_SIZE, len(pictures) - start)
            cuts = autoencoder.cuts.random(size, rng)
            if start < done:
                continue
            batch = pictures[start : start + size].astype(np.float32)
            decoded = np.clip(np.rint(reconstruct(batch, cuts)), 0, 255)
            out[start : start + size] = decoded.astype(np.uint8)
            out.flush()
            write_json(record, {"pictures": identity, "done": start + size})
        part.replace(path)
    return np.load(path, mmap_mode="r")


def _num_done(record: Path, identity: str) -> int:
    found = read_json(record, "delete it") if record.exists() else {}
    return int(found["done"]) if found.get("pictures") == identity else 0


def _make(part: Path, count: int) -> np.memmap[tuple[int, ...], np.dtype[np.uint8]]:
    part.parent.mkdir(parents=True, exist_ok=True)
    shape = (count, PICTURE_SIZE, PICTURE_SIZE, 3)
    try:
        out = np.lib.format.open_memmap(part, "w+", np.uint8, shape)
        reserve(part, part.stat().st_size)
    except OSError as error:
        raise ConfigError(
            f"{part.parent}: no room for {count} decoded pictures ({error.strerror}); free "
            f"{count * PICTURE_SIZE**2 * 3 / 1e6:.0f} MB and give the same command again",
            path=part,
        ) from error
    return out
