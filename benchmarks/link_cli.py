"""The commands of ``python -m benchmarks`` that send something over a link."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.chaos import measure_chaos
from benchmarks.early_stop import (
    MTU_BYTES,
    PREVIEWS,
    THRESHOLDS,
    EarlyStopPlan,
    measure_early_stop,
)
from benchmarks.faults import BIT_ERRORS, LOSSES, MTUS, FaultsPlan, measure_faults
from benchmarks.kinds import finish, run
from benchmarks.late import KINDS, LatePlan, measure_late
from benchmarks.options import (
    OUTPUT,
    Checkpoint,
    Out,
    PlanFields,
    TuneLimit,
    Workers,
    count_processes,
    join_numbers,
    parse_fractions,
    parse_numbers,
    parse_shares,
    with_plan_options,
)
from benchmarks.output import with_progress
from benchmarks.replug import measure_replug

PERCENTS = [100 * share for share in LOSSES]


@with_plan_options
def faults(
    fields: PlanFields,
    checkpoint: Checkpoint = "photo",
    losses: Annotated[str, typer.Option(help="Percents of packets lost.")] = join_numbers(PERCENTS),
    bit_errors: Annotated[str, typer.Option(help="Probabilities, comma-separated.")] = (
        join_numbers(BIT_ERRORS)
    ),
    mtus: Annotated[str, typer.Option(help="Bytes of the largest packet.")] = join_numbers(MTUS),
    out: Out = OUTPUT / "faults.json",
) -> None:
    """Send streams over a link that loses packets or flips bits, both ways; judge what arrives."""
    plan = FaultsPlan(
        **fields,
        checkpoint=checkpoint,
        losses=parse_shares("--losses", losses),
        bit_errors=parse_fractions("--bit-errors", bit_errors),
        mtus=parse_numbers("--mtus", mtus),
    )
    run(measure_faults, plan, out)


@with_plan_options
def early_stop(
    fields: PlanFields,
    tune: Annotated[list[str], typer.Option(help="Sets on which thresholds are chosen.")],
    checkpoint: Checkpoint = "photo",
    thresholds: Annotated[
        str, typer.Option(help="Probabilities from which on it is enough.")
    ] = join_numbers(THRESHOLDS),
    previews: Annotated[str, typer.Option(help="Previews a second at most.")] = join_numbers(
        PREVIEWS
    ),
    mtu: Annotated[int, typer.Option(min=32, help="Bytes of the largest packet.")] = MTU_BYTES,
    tune_limit: TuneLimit = None,
    out: Out = OUTPUT / "early_stop.json",
) -> None:
    """Stop pictures once the checkpoint's classifier is sure: air time saved, accuracy lost."""
    plan = EarlyStopPlan(
        **fields,
        tune=tuple(tune),
        checkpoint=checkpoint,
        thresholds=parse_fractions("--thresholds", thresholds),
        previews=parse_fractions("--previews", previews),
        mtu_bytes=mtu,
        tune_limit=tune_limit,
    )
    run(measure_early_stop, plan, out)


def late(
    links: Annotated[str, typer.Option(help="Kinds, comma-separated.")] = ",".join(KINDS),
    pictures: Annotated[int, typer.Option(min=1, help="Of a run in virtual time.")] = 100,
    real_pictures: Annotated[int, typer.Option(min=4, help="Of a run in real time.")] = 20,
    seed: Annotated[int, typer.Option(help="Of radio losses and resampling.")] = 1,
    workers: Workers = None,
    out: Out = OUTPUT / "late.json",
) -> None:
    """Measure what arrives late and in time: the window, none, and stop-and-wait."""
    plan = LatePlan(
        kinds=tuple(links.split(",")),
        num_pictures=pictures,
        num_real_pictures=real_pictures,
        seed=seed,
        num_processes=count_processes(workers),
    )
    run(measure_late, plan, out)


def chaos(
    hours: Annotated[float, typer.Option(help="Virtual time; two pictures a second.")] = 24.0,
    seed: Annotated[int, typer.Option(help="Same seed, same log.")] = 0,
    log: Annotated[Path | None, typer.Option(help="Write all that happens, a line each.")] = None,
    out: Out = OUTPUT / "chaos.json",
) -> None:
    """Run sender and receiver through every fault of a link: is a result lost or doubled?"""
    finish(with_progress(lambda show: measure_chaos(hours, seed, log, show)), out)


def replug(
    tries: Annotated[int, typer.Option(min=1, help="Of each.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the times away.")] = 0,
    out: Out = OUTPUT / "replug.json",
) -> None:
    """Pull the port out and kill the server: how long until pictures come again?"""
    finish(with_progress(lambda show: measure_replug(tries, seed, show)), out)
