"""What measuring a link gives: figures, proposals, and a trace."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from pnc.errors import LinkError
from pnc.transport.links.trace import RateTrace

__all__ = [
    "LOAD_BYTES",
    "OVERHEAD_BYTES",
    "LinkFigures",
    "WindowFigure",
    "percentile",
    "propose_mtu",
    "trace_of_arrivals",
]

LOAD_BYTES = 244
"""Filler of a LOAD frame: what a device sends by default, with as much around it."""

MTUS_BYTES = (64, 120, 244, 508, 1000)
"""Packet sizes that are proposed."""

OVERHEAD_BYTES = 16
"""Around the packet of a DATA frame."""

MAX_PACKET_S = 0.05
"""A packet takes this long at most: a tenth of the published deadline."""


@dataclass(frozen=True, slots=True)
class WindowFigure:
    """What a link does with so many bytes on the way."""

    window_bytes: int
    goodput_bps: float
    """Payload that arrived, bits per second."""
    round_trip_s: float
    """Median from a frame to its answer while the window is full, seconds."""


@dataclass(frozen=True, slots=True)
class LinkFigures:
    """What a link is like."""

    round_trip_s: float
    """Median of a small frame on an idle link, seconds."""
    round_trip_p95_s: float
    """19 of 20 are back within this, seconds."""
    goodput_bps: float
    """Payload that arrived with the proposed window, bits per second."""
    loss: float
    """Share of the frames that did not arrive, 0 to 1."""
    hidden_bytes: int
    """Bytes that a write accepts beyond what has arrived: nobody can take them back."""
    hidden_unbounded: bool
    """Whether the layer would have taken still more."""
    window_bytes: int
    """Proposed: the least window with nine tenths of the best goodput."""
    mtu_bytes: int
    """Proposed size of packets."""
    windows: tuple[WindowFigure, ...]


def propose_mtu(loss: float, rate_bytes_per_s: float) -> int:
    """Choose a packet size: the smallest that carries nearly as much as the best.

    A small packet loses less at the deadline, a large one has less around it. Losses are taken
    for bytes that go wrong independently, so that a packet twice as long is lost twice as often.

    Args:
        loss: Share of LOAD frames that were lost, 0 to 1.
        rate_bytes_per_s: Of the link.
    """
    good_byte = max(1e-9, 1 - loss) ** (1 / (LOAD_BYTES + OVERHEAD_BYTES))

    def efficiency(mtu: int) -> float:
        whole = mtu + OVERHEAD_BYTES
        return mtu / whole * float(good_byte**whole)

    longest = max(MTUS_BYTES[0], rate_bytes_per_s * MAX_PACKET_S)
    possible = [mtu for mtu in MTUS_BYTES if mtu <= longest]
    best = max(map(efficiency, possible))
    return next(mtu for mtu in possible if efficiency(mtu) >= 0.95 * best)


def trace_of_arrivals(arrivals: list[tuple[float, int]], bin_s: float) -> RateTrace:
    """Turn arrivals into a link trace.

    Args:
        arrivals: Seconds, growing, and bytes that had arrived by then.
        bin_s: Step of the trace, seconds. Bytes between two arrivals are spread evenly.

    Raises:
        LinkError: Too little arrived to tell a rate.
    """
    if len(arrivals) < 2 or arrivals[-1][0] - arrivals[0][0] < bin_s:
        raise LinkError("too little arrived to tell a rate; record for longer", reason="silent")
    start = arrivals[0][0]
    bins = [0.0] * int((arrivals[-1][0] - start) / bin_s)
    for (begin, had), (end, has) in pairwise(arrivals):
        first, last = (begin - start) / bin_s, (end - start) / bin_s
        for index in range(int(first), min(int(last) + 1, len(bins))):
            share = min(last, index + 1) - max(first, index)
            whole = last - first
            bins[index] += (has - had) * (share / whole if whole > 0 else 1.0)
    times = [index * bin_s for index in range(len(bins))]
    return RateTrace(times, [8 * count / bin_s for count in bins], len(bins) * bin_s)


def percentile(values: list[float], share: float) -> float:
    """Return the value that this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]
