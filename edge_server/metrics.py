"""Counts, on-time share and goodput, kept in memory for the page and the status of the API.

Goodput is the payload that arrived before its deadline, in bit/s; bytes that came later count as
late and nowhere else.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Metrics", "Totals"]

BUCKET_S = 0.5
"""Width of one point of the goodput curve."""

HISTORY_S = 120.0
"""Length of the goodput curve."""


@dataclass
class Totals:
    """What happened since the server started."""

    pictures: int = 0
    """Pictures that ended on the link, repeated ones once."""
    results: int = 0
    """Results committed and acknowledged."""
    on_time: int = 0
    """Results made from at least one packet that arrived before the deadline."""
    errors: int = 0
    """Results that name an error instead of a class."""
    repeated: int = 0
    """ENDs answered from the store."""
    received_bytes: int = 0
    late_bytes: int = 0
    previews: int = 0
    stopped_early: int = 0
    """Pictures ended because a preview was sure enough."""
    store_failures: int = 0


class Metrics:
    """Thread-safe counters and the goodput curve. Times are seconds of any one clock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._totals = Totals()
        self._buckets: deque[tuple[int, int]] = deque(maxlen=int(HISTORY_S / BUCKET_S) + 1)
        self._delays_s: deque[float] = deque(maxlen=200)

    def count(self, **increments: int) -> None:
        """Add to totals by name.

        Raises:
            AttributeError: No total has that name.
        """
        with self._lock:
            for name, increment in increments.items():
                setattr(self._totals, name, getattr(self._totals, name) + increment)

    def add_payload(self, num_bytes: int, now: float) -> None:
        """Count bytes of a packet that arrived in time."""
        bucket = int(now / BUCKET_S)
        with self._lock:
            self._totals.received_bytes += num_bytes
            if self._buckets and self._buckets[-1][0] == bucket:
                num_bytes += self._buckets.pop()[1]
            self._buckets.append((bucket, num_bytes))

    def add_delay(self, delay_s: float) -> None:
        """Note how long after the end of a picture its result was stored, by a monotonic clock."""
        with self._lock:
            self._delays_s.append(delay_s)

    @property
    def totals(self) -> Totals:
        """A copy of the totals."""
        with self._lock:
            return Totals(**asdict(self._totals))

    def goodput_bps(self, now: float, *, window_s: float = 5.0) -> float:
        """Return the mean goodput of the whole buckets of the last ``window_s`` seconds."""
        last = int(now / BUCKET_S) - 1
        first = last - int(window_s / BUCKET_S) + 1
        with self._lock:
            total = sum(size for bucket, size in self._buckets if first <= bucket <= last)
        return total * 8 / ((last - first + 1) * BUCKET_S)

    def curve(self, now: float) -> list[tuple[float, float]]:
        """Return the goodput curve: (seconds before now, bit/s), oldest first, gaps as zeros."""
        last = int(now / BUCKET_S) - 1
        with self._lock:
            sizes = dict(self._buckets)
        if not sizes:
            return []
        first = max(min(sizes), last - int(HISTORY_S / BUCKET_S) + 1)
        return [
            (round(bucket * BUCKET_S - now, 3), sizes.get(bucket, 0) * 8 / BUCKET_S)
            for bucket in range(first, last + 1)
        ]

    def summary(self, now: float) -> dict[str, Any]:
        """Return totals and rates for the API."""
        totals = self.totals
        with self._lock:
            delays = sorted(self._delays_s)
        return {
            **asdict(totals),
            "on_time_share": totals.on_time / totals.results if totals.results else None,
            "goodput_bps": self.goodput_bps(now),
            "median_delay_s": delays[len(delays) // 2] if delays else None,
        }
