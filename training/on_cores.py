"""Work on pictures on all cores: codecs and models of each thread's own."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Tool = TypeVar("Tool")


class EachThread(Generic[Tool]):
    """Makes something once in each thread: an interpreter serves one at a time.

    Args:
        make: makes it.
    """

    def __init__(self, make: Callable[[], Tool]) -> None:
        self._make = make
        self._local = threading.local()

    def __call__(self) -> Tool:
        """This thread's own."""
        if not hasattr(self._local, "tool"):
            self._local.tool = self._make()
        tool: Tool = self._local.tool
        return tool


def map_on_cores(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """``map``, as many items at a time as there are cores; whoever stops early leaves no work."""
    num_workers = os.cpu_count() or 1
    left = iter(items)
    with ThreadPoolExecutor(num_workers) as pool:
        while batch := list(islice(left, num_workers)):
            yield from pool.map(function, batch)
