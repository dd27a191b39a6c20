"""Work on pictures with a checkpoint on all cores: a codec for each thread."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

from pnc.codec.codec import Codec

Item = TypeVar("Item")
Result = TypeVar("Result")


class ThreadCodec:
    """Loads a checkpoint once in each thread: an interpreter serves one at a time.

    Args:
        folder: the checkpoint's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._local = threading.local()

    def __call__(self) -> Codec:
        """This thread's codec."""
        if not hasattr(self._local, "codec"):
            self._local.codec = Codec.load(self._folder)
        codec: Codec = self._local.codec
        return codec


def map_on_cores(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """``map``, as many items at a time as there are cores; whoever stops early leaves no work."""
    num_workers = os.cpu_count() or 1
    left = iter(items)
    with ThreadPoolExecutor(num_workers) as pool:
        while batch := list(islice(left, num_workers)):
            yield from pool.map(function, batch)
