"""Pictures by number: what the stages read, in memory, on disk or in several places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, overload

import numpy as np
from numpy.typing import NDArray

from training.data import Data


class Pictures(Protocol):
    """A numbered set of uint8 ``[224, 224, 3]`` pictures; an array ``[n, 224, 224, 3]`` is one."""

    def __len__(self) -> int: ...

    @overload
    def __getitem__(self, index: int) -> NDArray[np.uint8]: ...

    @overload
    def __getitem__(self, index: slice) -> NDArray[np.uint8]: ...


class Subset:
    """Some pictures of a data set, read from its cache when asked for."""

    def __init__(self, data: Data, indices: NDArray[np.int64]) -> None:
        self._data = data
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int | slice) -> NDArray[np.uint8]:
        if isinstance(index, slice):
            return self._data.load_batch(self._indices[index])
        return self._data.load(int(self._indices[index]))


class Joined:
    """Several sets, one after the other."""

    def __init__(self, parts: Sequence[Pictures]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        return sum(len(part) for part in self._parts)

    def __getitem__(self, index: int | slice) -> NDArray[np.uint8]:
        if isinstance(index, slice):
            return np.stack([self[i] for i in range(*index.indices(len(self)))])
        place = index
        for part in self._parts:
            if place < len(part):
                return part[int(place)]
            place -= len(part)
        raise IndexError(f"picture {index} is beyond the last of {len(self)}")
