"""How fast a link is over time: a piecewise constant rate that repeats."""

from __future__ import annotations

import csv
import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from os import PathLike
from pathlib import Path

from pnc.errors import ConfigError

__all__ = ["RateTrace"]

MAX_TRACE_BYTES = 64 * 2**20
"""A trace is read whole; a day at 10 ms steps stays below this."""


class RateTrace:
    """A link rate over time, repeated for ever.

    Args:
        times_s: When each rate begins, seconds; the first is 0, each larger than the one before.
        rates_bps: The rates, bits per second, 0 or more.
        period_s: When the trace begins again, seconds, after the last time.

    Raises:
        ConfigError: Empty, unsorted, negative or not finite.
    """

    def __init__(
        self, times_s: Sequence[float], rates_bps: Sequence[float], period_s: float
    ) -> None:
        self.times_s = tuple(times_s)
        self.rates_bps = tuple(rates_bps)
        self.period_s = period_s
        ends = (*self.times_s[1:], period_s)
        if not self.times_s or len(self.times_s) != len(self.rates_bps) or self.times_s[0] != 0:
            raise ConfigError("a trace needs as many rates as times, and its first time is 0")
        if not all(math.isfinite(value) for value in (*self.times_s, *self.rates_bps, period_s)):
            raise ConfigError("a trace holds a number that is not finite")
        if min(self.rates_bps) < 0 or any(a >= b for a, b in zip(self.times_s, ends, strict=True)):
            raise ConfigError("a trace holds a negative rate, or times that do not grow")
        pieces = [
            (end - start) * rate / 8
            for start, end, rate in zip(self.times_s, ends, self.rates_bps, strict=True)
        ]
        self._bytes_before = (0.0, *accumulate(pieces))

    @classmethod
    def constant(cls, rate_bps: float) -> RateTrace:
        """Make a link that never changes."""
        return cls((0.0,), (rate_bps,), 1.0)

    @classmethod
    def from_file(cls, path: str | PathLike[str]) -> RateTrace:
        """Read a CSV file with the columns ``time_s,rate_bps``; a heading is optional.

        The last rate holds as long as the one before it, one second if it is the only one. Times
        count from the first.

        Raises:
            ConfigError: One line that names file and line number.
        """
        times: list[float] = []
        rates: list[float] = []
        for number, fields in read_rows(path):
            if len(fields) != 2:
                raise trace_error(path, number, f"{len(fields)} columns, not time_s,rate_bps")
            if not times and fields == ["time_s", "rate_bps"]:
                continue
            time_s, rate_bps = (parse_number(path, number, text) for text in fields)
            if times and time_s <= times[-1]:
                raise trace_error(path, number, f"time {time_s:g} is not after {times[-1]:g}")
            times.append(time_s)
            rates.append(rate_bps)
        if not times:
            raise ConfigError(f"{path}: the trace is empty; it needs lines of time_s,rate_bps")
        last_s = times[-1] - times[-2] if len(times) > 1 else 1.0
        starts = [time_s - times[0] for time_s in times]
        return cls(starts, rates, starts[-1] + last_s)

    @property
    def mean_bps(self) -> float:
        """Mean rate over one period, bits per second."""
        return 8 * self._bytes_before[-1] / self.period_s

    def rate_at(self, time_s: float) -> float:
        """Rate at a time, bits per second."""
        return self.rates_bps[bisect_right(self.times_s, time_s % self.period_s) - 1]

    def bytes_between(self, start_s: float, end_s: float) -> float:
        """How many bytes the link can carry from ``start_s`` to ``end_s``."""
        return self._bytes_until(end_s) - self._bytes_until(start_s)

    def time_after(self, start_s: float, num_bytes: float) -> float:
        """When the link has carried ``num_bytes`` since ``start_s``; infinity if it never will."""
        whole = self._bytes_before[-1]
        if whole == 0:
            return math.inf
        target = self._bytes_until(start_s) + num_bytes
        if num_bytes <= 0:
            return start_s
        periods, rest = divmod(target, whole)
        if rest == 0:
            periods, rest = periods - 1, whole
        index = bisect_left(self._bytes_before, rest) - 1
        seconds = 8 * (rest - self._bytes_before[index]) / self.rates_bps[index]
        return max(start_s, periods * self.period_s + self.times_s[index] + seconds)

    def _bytes_until(self, time_s: float) -> float:
        periods, inside = divmod(time_s, self.period_s)
        index = bisect_right(self.times_s, inside) - 1
        partial = (inside - self.times_s[index]) * self.rates_bps[index] / 8
        return periods * self._bytes_before[-1] + self._bytes_before[index] + partial

    def write_csv(self, path: str | PathLike[str]) -> None:
        """Write the form that :meth:`from_file` reads.

        A last rate that holds unlike the one before it is written twice to say so.
        """
        rows = list(zip(self.times_s, self.rates_bps, strict=True))
        last_s = self.period_s - self.times_s[-1]
        steps = [b - a for a, b in pairwise(self.times_s)]
        if not math.isclose(last_s, steps[-1] if steps else 1.0):
            rows.append((self.times_s[-1] + last_s / 2, self.rates_bps[-1]))
        lines = ["time_s,rate_bps", *(f"{time_s!r},{rate!r}" for time_s, rate in rows)]
        Path(path).write_text("\n".join(lines) + "\n", encoding="ascii")


def read_rows(path: str | PathLike[str]) -> list[tuple[int, list[str]]]:
    """Read the rows of a small CSV file with their line numbers; blank and ``#`` lines go.

    Raises:
        ConfigError: The file cannot be read, is too large, or is not text.
    """
    try:
        if Path(path).stat().st_size > MAX_TRACE_BYTES:
            raise ConfigError(f"{path}: the trace is over {MAX_TRACE_BYTES} bytes; cut it")
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: the trace cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a trace: it is not text") from error
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            rows.append((number, [field.strip() for field in next(csv.reader([line]))]))
    return rows


def parse_number(path: str | PathLike[str], number: int, text: str) -> float:
    """Read a number that is finite and not negative.

    Raises:
        ConfigError: One line that names file and line number.
    """
    try:
        value = float(text)
    except ValueError:
        raise trace_error(path, number, f"{text[:40]!r} is not a number") from None
    if not math.isfinite(value):
        raise trace_error(path, number, f"{text} is not finite")
    if value < 0:
        raise trace_error(path, number, f"{text} is negative")
    return value


def trace_error(path: str | PathLike[str], number: int, what: str) -> ConfigError:
    """Make the one line that says what is wrong where."""
    return ConfigError(f"{path}, line {number}: {what}", path=str(path), line=number)
