"""What arrives too late, and what in time: the window beside none and beside stop-and-wait.

Every link is offered pictures one after the other, each half as much again as it carries by its
deadline. Emulated serial lines and the virtual radio run in virtual time, each cell in a process;
sockets and pseudo-terminals run in real time, one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from itertools import product
from multiprocessing import get_context
from typing import Any

import numpy as np

from benchmarks.bench import OnProgress
from benchmarks.facts import describe_run
from benchmarks.late_links import REAL_KINDS, RealLink
from pnc.errors import ConfigError
from pnc.replay.lateness import CONTENDERS, Outcome, send_virtually
from pnc.replay.metrics import bootstrap_interval
from pnc.replay.report.late import LATE_SCHEMA
from pnc.testing import VirtualLinkConfig
from pnc.transport.links.channel import ChannelConfig
from pnc.transport.links.trace import RateTrace
from pnc.transport.wire import wire_bytes

PACKET_BYTES = 244
"""Of a packet, but on the radio, where a frame fills one packet of the link layer."""

DELAY_S = 0.01
"""Every byte of a serial line or a relay is so long on its way."""

FIFO_BYTES = 16_384
"""What the layers of a serial line swallow: a pseudo-terminal 10 to 20 kB, a USB port 5 kB."""

RATES = (1_000, 3_000, 10_000, 30_000, 100_000)
"""Bytes per second of the serial lines."""

REAL_RATES = (3_000, 30_000, 100_000)
"""The same of the links in real time."""

RADIOS = ((0.1, 1), (0.03, 2), (0.05, 6), (0.015, 6))
"""Connection interval in seconds and packets per event."""

RADIO_LOSSES = (0.0, 0.2)
"""Probability that an exchange of the radio fails."""

KINDS = ("serial", "ble", *REAL_KINDS)
"""Links that are measured."""


Found = tuple[list[Outcome], float]
"""What became of the pictures of a run, and what its link carries, payload bytes per second."""


@dataclass(frozen=True, kw_only=True)
class LatePlan:
    """What to measure."""

    kinds: tuple[str, ...] = KINDS
    """Of :data:`KINDS`."""
    num_pictures: int = 100
    """Of each run in virtual time; four times as many on a radio that loses, with the window."""
    num_real_pictures: int = 20
    """Of each run in real time with the window; the others have a quarter."""
    seed: int = 1
    """Of radio losses and of the resampling."""
    num_processes: int = 0
    """For what runs in virtual time; 0 works in this process."""


@dataclass(frozen=True)
class Cell:
    """One link with one contender."""

    kind: str
    contender: str
    count: int
    seed: int
    rate: float = 0.0
    """Bytes per second; not of the radio."""
    interval_s: float = 0.0
    packets_per_event: int = 0
    loss: float = 0.0

    @property
    def deadline_s(self) -> float:
        """Seconds; a multiple of no connection interval, so that deadlines fall everywhere."""
        if self.kind == "ble":
            return 1.507 if self.interval_s > 0.02 else 0.757
        return max(0.5, 2_000 / self.rate)

    def run(self) -> Found:
        """Send the pictures."""
        ends = CONTENDERS[self.contender]
        if self.kind == "ble":
            from benchmarks.radio.pictures import PACKET_BYTES as RADIO_BYTES
            from benchmarks.radio.pictures import send_over_radio

            return send_over_radio(
                ends(RADIO_BYTES), self._radio(), count=self.count, deadline_s=self.deadline_s
            )
        channel = ChannelConfig(
            trace=RateTrace.constant(8 * self.rate), delay_s=DELAY_S, fifo_bytes=FIFO_BYTES
        )
        capacity = self.rate * PACKET_BYTES / wire_bytes(PACKET_BYTES)
        way_s = DELAY_S + wire_bytes(PACKET_BYTES) / self.rate
        send = (
            partial(send_virtually, link=VirtualLinkConfig(channel=channel))
            if self.kind == "serial"
            else RealLink(self.kind, channel).send
        )
        outcomes = send(
            ends(PACKET_BYTES),
            count=self.count,
            deadline_s=self.deadline_s,
            packet_bytes=PACKET_BYTES,
            way_s=way_s,
        )
        return outcomes, capacity

    def _radio(self) -> Any:
        from benchmarks.radio.controller import RadioConfig

        return RadioConfig(
            interval_s=self.interval_s,
            packets_per_event=self.packets_per_event,
            loss=self.loss,
            seed=self.seed,
        )


def measure_late(plan: LatePlan, on_progress: OnProgress | None = None) -> dict[str, Any]:
    """Return the results as JSON values; `docs/benchmarks.md` explains the fields.

    Raises:
        ConfigError: A kind of link is not known, or nothing is to be sent.
    """
    unknown = set(plan.kinds) - set(KINDS)
    if unknown or not plan.kinds:
        raise ConfigError(f"links {sorted(unknown)} are unknown; use {', '.join(KINDS)}")
    if plan.num_pictures < 1 or plan.num_real_pictures < 4:
        raise ConfigError("late needs a picture, and four in real time")
    show = on_progress or (lambda what, done, total: None)
    cells = list(_cells(plan))
    real = [cell for cell in cells if cell.kind in REAL_KINDS]
    virtual = [cell for cell in cells if cell.kind not in REAL_KINDS]
    outcomes: dict[Cell, Found] = {}
    show("in real time", 0, len(real))
    for cell in real:
        outcomes[cell] = cell.run()
        show("in real time", len(outcomes), len(real))
    show("in virtual time", 0, len(virtual))
    for done, (cell, found) in enumerate(_run_virtual(virtual, plan.num_processes), 1):
        outcomes[cell] = found
        show("in virtual time", done, len(virtual))
    return {
        **describe_run(LATE_SCHEMA),
        "seed": plan.seed,
        "contenders": list(CONTENDERS),
        "packet_bytes": PACKET_BYTES,
        "delay_s": DELAY_S,
        "fifo_bytes": FIFO_BYTES,
        "results": [_row(cell, *outcomes[cell]) for cell in cells],
    }


def _cells(plan: LatePlan) -> Iterator[Cell]:
    for kind in plan.kinds:
        if kind == "ble":
            for loss, (interval_s, packets), contender in product(RADIO_LOSSES, RADIOS, CONTENDERS):
                often = 4 if loss and contender == "window" else 1
                yield Cell(
                    kind,
                    contender,
                    often * plan.num_pictures,
                    plan.seed,
                    interval_s=interval_s,
                    packets_per_event=packets,
                    loss=loss,
                )
            continue
        rates = REAL_RATES if kind in REAL_KINDS else RATES
        for rate, contender in product(rates, CONTENDERS):
            count = plan.num_pictures
            if kind in REAL_KINDS:
                count = plan.num_real_pictures // (1 if contender == "window" else 4)
            yield Cell(kind, contender, count, plan.seed, rate=rate)


def _run_virtual(cells: Sequence[Cell], num_processes: int) -> Iterator[tuple[Cell, Found]]:
    if not num_processes:
        for cell in cells:
            yield cell, cell.run()
        return
    with ProcessPoolExecutor(num_processes, mp_context=get_context("spawn")) as pool:
        # The longest runs are those of the fast radio: they begin.
        order = sorted(cells, key=lambda cell: cell.interval_s or 1.0)
        futures = {pool.submit(cell.run): cell for cell in order}
        for future in as_completed(futures):
            yield futures[future], future.result()


def _row(cell: Cell, outcomes: Sequence[Outcome], capacity_bytes_per_s: float) -> dict[str, Any]:
    possible = capacity_bytes_per_s * cell.deadline_s
    late = [outcome.late_packets for outcome in outcomes]
    share = [outcome.in_time_bytes / possible for outcome in outcomes]
    return {
        "kind": cell.kind,
        "contender": cell.contender,
        "rate_bytes_per_s": cell.rate or None,
        "interval_s": cell.interval_s or None,
        "packets_per_event": cell.packets_per_event or None,
        "loss": cell.loss,
        "n": len(outcomes),
        "deadline_s": cell.deadline_s,
        "capacity_bytes_per_s": capacity_bytes_per_s,
        "goodput_share": bootstrap_interval(share, seed=cell.seed).to_json(),
        "late_packets_p99": int(np.percentile(late, 99, method="inverted_cdf")),
        "late_packets_max": max(late),
        "late_packets_mean": float(np.mean(late)),
        "last_late_s": max(outcome.last_late_s for outcome in outcomes),
    }
