"""Read link traces in the forms they come in."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

from pnc.errors import ConfigError
from pnc.transport.links.trace import RateTrace, parse_number, read_rows, trace_error

__all__ = ["read_mahimahi", "read_slide8", "read_trace"]

SLIDE8_COLUMNS = ("image_index", "jamming", "throughput_kbit_per_s", "fully_offloaded_kbyte")

SLIDE8_DEADLINE_S = 0.5
"""Time that each picture of the published run was given."""

MAHIMAHI_BYTES = 1500
"""What one packet stamp of a mahimahi trace lets through, in mahimahi itself."""

MAHIMAHI_BIN_S = 0.02
"""Stamps are counted over this: finer than any deadline, coarser than a packet on a slow radio."""


def read_trace(path: str | PathLike[str], *, packet_bytes: int = MAHIMAHI_BYTES) -> RateTrace:
    """Read a trace, telling its form by its first line.

    Args:
        path: A CSV file ``time_s,rate_bps`` (see :meth:`RateTrace.from_file`), a mahimahi trace, or
            the digitised slide 8 of the published run.
        packet_bytes: What one mahimahi stamp lets through.

    Raises:
        ConfigError: One line that names file and line number.
    """
    rows = read_rows(path)
    if not rows:
        raise ConfigError(f"{path}: the trace is empty")
    head = rows[0][1]
    if tuple(head) == SLIDE8_COLUMNS:
        return read_slide8(path)
    if len(head) == 1:
        return read_mahimahi(path, packet_bytes=packet_bytes)
    return RateTrace.from_file(path)


def read_mahimahi(path: str | PathLike[str], *, packet_bytes: int = MAHIMAHI_BYTES) -> RateTrace:
    """Read packet stamps: one line, one whole number of milliseconds, one packet leaves.

    Source: Winstein, Sivaraman and Balakrishnan, NSDI 2013; Netravali et al., USENIX ATC 2015. As
    there, the trace begins again after its last stamp.

    Raises:
        ConfigError: One line that names file and line number.
    """
    stamps: list[float] = []
    for number, fields in read_rows(path):
        if len(fields) != 1:
            raise trace_error(path, number, "a packet stamp stands alone on its line")
        stamp_s = parse_number(path, number, fields[0]) / 1000
        if stamps and stamp_s < stamps[-1]:
            raise trace_error(path, number, f"{fields[0]} ms is before the stamp above it")
        stamps.append(stamp_s)
    if not stamps:
        raise ConfigError(f"{path}: the trace is empty")
    num_bins = int(stamps[-1] / MAHIMAHI_BIN_S + 1e-6) + 1
    counts = [0] * num_bins
    for stamp_s in stamps:
        counts[int(stamp_s / MAHIMAHI_BIN_S + 1e-6)] += 1
    return _even_steps(
        [8 * packet_bytes * count / MAHIMAHI_BIN_S for count in counts], MAHIMAHI_BIN_S
    )


def read_slide8(path: str | PathLike[str], *, jamming: str | None = None) -> RateTrace:
    """Read the digitised published run: one mean rate for each picture of half a second.

    Args:
        path: The CSV file.
        jamming: Only the pictures under ``none``, ``light`` or ``heavy`` jamming; None takes all.

    Raises:
        ConfigError: One line that names file and line number.
    """
    rates: list[float] = []
    expected = 0.0
    for number, fields in read_rows(path):
        if tuple(fields) == SLIDE8_COLUMNS:
            continue
        if len(fields) != len(SLIDE8_COLUMNS):
            raise trace_error(path, number, f"{len(fields)} columns, not {len(SLIDE8_COLUMNS)}")
        index, rate = (parse_number(path, number, fields[column]) for column in (0, 2))
        if index <= expected:
            raise trace_error(path, number, f"picture {index:g} is not after {expected:g}")
        expected = index
        if jamming in (None, fields[1]):
            rates.append(1000 * rate)
    if not rates:
        which = "" if jamming is None else f" under {jamming} jamming"
        raise ConfigError(f"{path}: the trace holds no picture{which}")
    return _even_steps(rates, SLIDE8_DEADLINE_S)


def _even_steps(rates_bps: Sequence[float], step_s: float) -> RateTrace:
    times = [index * step_s for index in range(len(rates_bps))]
    return RateTrace(times, rates_bps, len(rates_bps) * step_s)
