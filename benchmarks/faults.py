"""What comes of pictures when the link damages what both ends send: the protocol and the codec.

    pictures  ->  packets (cached)  ->  pnc.replay.faults: Sender, link, Receiver  ->  what arrived
    what arrived  ->  decoded and judged (cached)  ->  accuracy beside on-time share and results

One simulation for each set, packet size and fault; nothing of it is kept, it takes seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.bench import ACCURACIES, Bench, OnProgress, Panel, Plan, intervals, open_bench
from benchmarks.codecs import is_rival, name_lossy, name_received, open_codec
from benchmarks.pictures import PictureSet
from benchmarks.work import UNDAMAGED, Cell, fingerprint
from pnc.errors import ConfigError
from pnc.replay.faults import Fault, FaultRun, send_through
from pnc.replay.loss import split_packets
from pnc.replay.report.faults import FAULTS_SCHEMA

LOSSES = (0.0, 0.01, 0.05, 0.1, 0.2, 0.5)
"""Shares of packets that are lost."""

BIT_ERRORS = (1e-6, 1e-5, 1e-4, 1e-3)
"""Probabilities that a bit is flipped."""

MTUS = (64, 244)
"""Bytes of the largest packet: the published one, and what BLE carries."""

OFFERED_BYTES = 4096
"""Packets of a picture: more than the link carries before a deadline."""

RATE_BPS = 40_000.0
"""Undamaged, some 2 KB of payload arrive before a deadline."""

DEADLINE_S = 0.5


@dataclass(frozen=True, kw_only=True)
class FaultsPlan(Plan):
    """Which faults to measure."""

    checkpoint: str
    """Ours."""
    losses: tuple[float, ...] = LOSSES
    """Probabilities."""
    bit_errors: tuple[float, ...] = BIT_ERRORS
    """Probabilities."""
    mtus: tuple[int, ...] = MTUS
    """Bytes."""
    rate_bps: float = RATE_BPS
    """Of the link, each way, bits per second."""
    deadline_s: float = DEADLINE_S
    """Time of each picture, seconds."""

    @property
    def faults(self) -> list[Fault]:
        """No fault, then each loss, then each bit error."""
        losses = sorted({0.0, *self.losses})
        errors = sorted({*self.bit_errors} - {0.0})
        return [*(Fault(loss=p) for p in losses), *(Fault(bit_error=p) for p in errors)]


def measure_faults(plan: FaultsPlan, on_progress: OnProgress | None = None) -> dict[str, Any]:
    """Return the results as JSON values; `docs/benchmarks.md` explains the fields.

    Raises:
        ConfigError: A set, judge, size, probability, rate or time is not usable.
        CheckpointError: No such checkpoint.
        ImageError: A picture cannot be read.
    """
    if is_rival(plan.checkpoint):
        raise ConfigError(f"{plan.checkpoint}: only our checkpoints come in packets")
    if not plan.mtus:
        raise ConfigError("faults need packet sizes")
    if any(not 0 <= one <= 1 for one in (*plan.losses, *plan.bit_errors)):
        raise ConfigError("losses and bit errors are probabilities, 0 to 1")
    whole = Cell(UNDAMAGED, 0, 0)
    undamaged, rows = [], []
    with open_bench(plan, on_progress) as bench:
        runs = {
            (pictures.name, mtu): _send(bench, plan, pictures, mtu)
            for pictures in bench.sets
            for mtu in sorted(plan.mtus)
        }
        for pictures in bench.sets:
            cells = [
                [
                    whole,
                    *(
                        _cell(plan, run, number)
                        for mtu in plan.mtus
                        for run in runs[pictures.name, mtu]
                    ),
                ]
                for number in range(len(pictures.pictures))
            ]
            judges = bench.judges_of(pictures)
            jobs = zip(pictures.pictures, cells, strict=True)
            bench.complete("judging", [(picture, mine, judges) for picture, mine in jobs])
        for panel in bench.panels():
            means = intervals(panel.columns(whole), ACCURACIES, plan.seed)
            undamaged.append({**panel.head, **means})
            for mtu in sorted(plan.mtus):
                sent = zip(plan.faults, runs[panel.pictures.name, mtu], strict=True)
                rows += [_row(plan, panel, mtu, fault, run) for fault, run in sent]
    facts = bench.describe(
        FAULTS_SCHEMA,
        codec=open_codec(plan.checkpoint)[0].family,
        mtus=sorted(plan.mtus),
        faults=[asdict(fault) for fault in plan.faults],
        offered_bytes=OFFERED_BYTES,
        rate_bps=plan.rate_bps,
        deadline_s=plan.deadline_s,
    )
    return {**facts, "undamaged": undamaged, "results": rows}


def _send(bench: Bench, plan: FaultsPlan, pictures: PictureSet, mtu: int) -> list[FaultRun]:
    """Return what became of a set under each fault."""
    packets = packets_of(bench, plan.checkpoint, pictures, mtu)
    runs = []
    for done, fault in enumerate(plan.faults):
        bench.on_progress(f"sending, {mtu} bytes", done, len(plan.faults))
        runs.append(
            send_through(
                packets,
                fault,
                rate_bps=plan.rate_bps,
                deadline_s=plan.deadline_s,
                mtu_bytes=mtu,
                seed=plan.seed,
            )
        )
    bench.on_progress(f"sending, {mtu} bytes", len(runs), len(runs))
    return runs


def packets_of(
    bench: Bench, checkpoint: str, pictures: PictureSet, mtu: int
) -> list[Sequence[bytes]]:
    """Return the packets of each picture in priority order, `OFFERED_BYTES` at most."""
    cell = Cell(name_lossy(checkpoint, mtu, 0.0, 0.0, 0), 0, OFFERED_BYTES)
    bench.complete("encoding", [(picture, [cell], []) for picture in pictures.pictures])
    key = fingerprint(cell), cell.budget
    known = [bench.cache.read(picture.key)[key].stream for picture in pictures.pictures]
    return [split_packets(stream or b"") for stream in known]


def _cell(plan: FaultsPlan, run: FaultRun, number: int) -> Cell:
    return Cell(name_received(plan.checkpoint, run.arrived[number]), 0, 0)


def _row(plan: FaultsPlan, panel: Panel, mtu: int, fault: Fault, run: FaultRun) -> dict[str, Any]:
    num_pictures = len(run.arrived)
    columns = panel.columns_of([_cell(plan, run, number) for number in range(num_pictures)])
    columns["on_time"] = np.array(
        [
            bool(arrived) and told > 0
            for arrived, told in zip(run.arrived, run.num_results, strict=True)
        ],
        np.float64,
    )
    columns["arrived_bytes"] = np.array([sum(map(len, one)) for one in run.arrived], np.float64)
    return {
        **panel.head,
        "mtu_bytes": mtu,
        **asdict(fault),
        **intervals(columns, (*ACCURACIES, "on_time", "arrived_bytes"), plan.seed),
        "num_without_end": run.num_ends.count(0),
        "num_ended_twice": sum(count > 1 for count in run.num_ends),
        "num_without_result": run.num_results.count(0),
        "num_results_twice": sum(count > 1 for count in run.num_results),
        "result_after_s": {
            f"p{share}": round(float(np.percentile(run.result_after_s, share, method="higher")), 3)
            for share in (50, 95, 100)
        },
        "goodput_bps": round(run.goodput_bps, 1),
        "resent_share": round(run.resent_share, 5),
        "longest_skip_bytes": run.longest_skip_bytes,
        "longest_frame_bytes": run.longest_frame_bytes,
        "num_forged": run.num_forged,
    }
