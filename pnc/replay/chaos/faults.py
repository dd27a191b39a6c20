"""What goes wrong, when, and for how long: drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from pnc.errors import ConfigError
from pnc.testing import VirtualLinkConfig
from pnc.transport.links.channel import ChannelConfig
from pnc.transport.links.trace import RateTrace

__all__ = ["DURATIONS_S", "Fault", "Kind", "draw_faults", "link_under"]

Kind = Literal[
    "jam",
    "cut",
    "lose",
    "reorder",
    "duplicate",
    "corrupt",
    "stall",
    "full",
    "unplug",
    "restart-device",
    "restart-server",
    "clock",
    "night",
]
"""
=================  ==============================================================================
jam                almost nothing gets through
cut                everything written is lost, both ways
lose               a third of the frames is lost
reorder            half of the frames come after the next one
duplicate          half of the frames come twice
corrupt            bits are flipped: about half of the frames are damaged
stall              nothing moves and nothing is lost: a writer waits, then its bytes are lost
full               8 KiB of buffers in front of a slow link: what waits there is beyond recall
unplug             the port is gone at one end or both; it is opened again when a driver would
restart-device     killed; comes back as a new session that knows nothing
restart-server     killed with what it had not stored; comes back with its store
clock              the wall clock jumps by up to a day, either way
night              a cut of minutes
=================  ==============================================================================
"""

DURATIONS_S: dict[Kind, tuple[float, float]] = {
    "jam": (2, 20),
    "cut": (0.2, 15),
    "lose": (5, 30),
    "reorder": (5, 30),
    "duplicate": (5, 30),
    "corrupt": (5, 30),
    "stall": (10, 10),
    "full": (5, 20),
    "unplug": (0.2, 15),
    "restart-device": (0.5, 15),
    "restart-server": (0.5, 15),
    "clock": (0, 0),
    "night": (60, 400),
}
"""Shortest and longest of each kind, seconds. A night stays below the 1024 pictures of the protocol
(`docs/wire.md`) at two pictures a second."""

_WEIGHTS: dict[Kind, float] = dict.fromkeys(DURATIONS_S, 1.0) | {"night": 0.05}

RATE_BPS = 100_000.0
"""A radio as the published test bed's, both ways."""

DELAY_S = 0.005
FIFO_BYTES = 512

QUANTUM_BYTES = 128
"""Coarser than a radio, finer than a picture, and a day passes in minutes."""

WRITE_TIMEOUT_S = 0.5
"""As all links: a write that finds no room for so long loses the rest."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong."""

    kind: Kind
    start_s: float
    duration_s: float


def draw_faults(duration_s: float, seed: int, mean_gap_s: float) -> Iterator[Fault]:
    """Draw faults of all kinds; they begin at random, so some overlap.

    Args:
        duration_s: None lasts beyond this, seconds.
        seed: Same seed, same faults.
        mean_gap_s: From the beginning of one to the beginning of the next, seconds.

    Raises:
        ConfigError: No positive gap.
    """
    if mean_gap_s <= 0:
        raise ConfigError(f"mean_gap_s: {mean_gap_s} is not a positive time", value=mean_gap_s)
    source = random.Random(f"faults {seed}")
    start_s = 0.0
    while (start_s := start_s + source.expovariate(1 / mean_gap_s)) < duration_s:
        kind = source.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        yield Fault(kind, start_s, min(source.uniform(*DURATIONS_S[kind]), duration_s - start_s))


@cache
def link_under(kinds: frozenset[Kind], seed: int) -> VirtualLinkConfig:
    """Return what one direction of the link is like under these faults at once.

    Args:
        kinds: Those that are no fault of the link change nothing.
        seed: Of what happens to frames.
    """
    rate_bps, fifo_bytes = RATE_BPS, FIFO_BYTES
    if "full" in kinds:
        rate_bps, fifo_bytes = RATE_BPS / 10, 8192
    if "jam" in kinds:
        rate_bps = RATE_BPS / 50
    if "stall" in kinds:
        rate_bps = 0.0
    channel = ChannelConfig(
        trace=RateTrace.constant(rate_bps),
        fifo_bytes=fifo_bytes,
        delay_s=DELAY_S,
        bit_error=5e-4 if "corrupt" in kinds else 0.0,
        seed=seed,
        quantum_bytes=QUANTUM_BYTES,
    )
    link = VirtualLinkConfig(
        channel=channel,
        loss=0.3 if "lose" in kinds else 0.0,
        duplicate=0.5 if "duplicate" in kinds else 0.0,
        reorder=0.5 if "reorder" in kinds else 0.0,
        write_timeout_s=WRITE_TIMEOUT_S,
        seed=seed,
    )
    return replace(link, loss=1.0) if kinds & {"cut", "night"} else link
