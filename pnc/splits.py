"""Which pictures train, choose and report: the belt's by seed, others by file name.

By file name means its sha256, so that a picture stays in its split when others are added: its first
8 bytes as an integer, modulo 100. `tune` chooses between models and stops training; `val` is for
reporting.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Literal, TypeAlias

__all__ = [
    "BELT_SEEDS",
    "TUNE_PERCENTS",
    "VAL_PERCENTS",
    "Split",
    "is_odd",
    "name_hash",
    "split_by_name",
]

Split: TypeAlias = Literal["train", "tune", "val"]

BELT_SEEDS: dict[Split, int] = {"train": 1, "tune": 2, "val": 3}
"""Seed of each split of the belt; seed 0 is left to demonstrations and tests."""

VAL_PERCENTS = range(15)
"""Which hundredths of a folder are `val`."""

TUNE_PERCENTS = range(15, 20)
"""Which hundredths of a folder are `tune`."""


def name_hash(path: str | os.PathLike[str]) -> int:
    """Return the sha256 of a file's name (without its folders) as an integer."""
    return int.from_bytes(hashlib.sha256(Path(path).name.encode()).digest())


def is_odd(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is in the half of a folder that is called odd, not in the even one."""
    return name_hash(path) % 2 == 1


def split_by_name(path: str | os.PathLike[str]) -> Split:
    """Return the split that a file belongs to by its name."""
    percent = (name_hash(path) >> 192) % 100
    if percent in VAL_PERCENTS:
        return "val"
    return "tune" if percent in TUNE_PERCENTS else "train"
