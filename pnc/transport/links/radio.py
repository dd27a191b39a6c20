"""What imagined radios have in common, between two terminals or between any two links."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import TracebackType
from typing import Self

__all__ = ["DirectionStatistics", "Radio"]


@dataclass(frozen=True, slots=True)
class DirectionStatistics:
    """What one direction has done since the radio was made, bytes."""

    bytes_in: int
    bytes_out: int
    bytes_overrun: int
    trace_bytes: int
    """What the trace would have let through if there had always been something to send."""


class Radio(ABC):
    """Carries bytes both ways; closed at the end of a ``with`` block."""

    @abstractmethod
    def run(self, until: float) -> None:
        """Return at this time of the clock, or when the radio is closed."""

    @abstractmethod
    def statistics(self) -> dict[str, DirectionStatistics]:
        """Return what both directions have carried, by name: ``a_to_b`` and ``b_to_a``."""

    @abstractmethod
    def close(self) -> None:
        """Take both ends away."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
