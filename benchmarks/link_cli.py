"""The commands of ``python -m benchmarks`` that send something over a link."""

from __future__ import annotations

from typing import Annotated

import typer

from benchmarks.bench import CACHE
from benchmarks.early_stop import (
    MTU_BYTES,
    PREVIEWS,
    THRESHOLDS,
    EarlyStopPlan,
    measure_early_stop,
)
from benchmarks.faults import BIT_ERRORS, LOSSES, MTUS, FaultsPlan, measure_faults
from benchmarks.kinds import RESULTS, run
from benchmarks.late import KINDS, LatePlan, measure_late
from benchmarks.options import (
    CacheFolder,
    Checkpoint,
    Data,
    FitName,
    Judges,
    Limit,
    Out,
    Seed,
    Workers,
    check_fit,
    count_processes,
    join_numbers,
    parse_fractions,
    parse_numbers,
    parse_shares,
)

PERCENTS = [100 * share for share in LOSSES]


def faults(
    data: Data,
    judge: Judges,
    checkpoint: Checkpoint = "photo",
    losses: Annotated[str, typer.Option(help="Percents of packets lost.")] = join_numbers(PERCENTS),
    bit_errors: Annotated[str, typer.Option(help="Probabilities, comma-separated.")] = (
        join_numbers(BIT_ERRORS)
    ),
    mtus: Annotated[str, typer.Option(help="Bytes of the largest packet.")] = join_numbers(MTUS),
    limit: Limit = None,
    seed: Seed = 0,
    fit: FitName = "crop",
    workers: Workers = None,
    cache: CacheFolder = CACHE,
    out: Out = RESULTS / "faults.json",
) -> None:
    """Send streams over a link that loses packets or flips bits, both ways; judge what arrives."""
    plan = FaultsPlan(
        data=tuple(data),
        judges=tuple(judge),
        checkpoint=checkpoint,
        losses=parse_shares("--losses", losses),
        bit_errors=parse_fractions("--bit-errors", bit_errors),
        mtus=parse_numbers("--mtus", mtus),
        limit=limit,
        seed=seed,
        fit=check_fit(fit),
        cache=cache,
        num_processes=count_processes(workers),
    )
    run(measure_faults, plan, out)


def early_stop(
    data: Data,
    judge: Judges,
    tune: Annotated[list[str], typer.Option(help="Sets on which thresholds are chosen.")],
    checkpoint: Checkpoint = "photo",
    thresholds: Annotated[
        str, typer.Option(help="Probabilities from which on it is enough.")
    ] = join_numbers(THRESHOLDS),
    previews: Annotated[str, typer.Option(help="Previews a second at most.")] = join_numbers(
        PREVIEWS
    ),
    mtu: Annotated[int, typer.Option(min=32, help="Bytes of the largest packet.")] = MTU_BYTES,
    limit: Limit = None,
    tune_limit: Annotated[
        int | None, typer.Option(min=1, help="Pictures of each tuning set; as --limit.")
    ] = None,
    seed: Seed = 0,
    fit: FitName = "crop",
    workers: Workers = None,
    cache: CacheFolder = CACHE,
    out: Out = RESULTS / "early_stop.json",
) -> None:
    """Stop pictures once the checkpoint's classifier is sure: air time saved, accuracy lost."""
    plan = EarlyStopPlan(
        data=tuple(data),
        judges=tuple(judge),
        tune=tuple(tune),
        checkpoint=checkpoint,
        thresholds=parse_fractions("--thresholds", thresholds),
        previews=parse_fractions("--previews", previews),
        mtu_bytes=mtu,
        limit=limit,
        tune_limit=tune_limit,
        seed=seed,
        fit=check_fit(fit),
        cache=cache,
        num_processes=count_processes(workers),
    )
    run(measure_early_stop, plan, out)


def late(
    links: Annotated[str, typer.Option(help="Kinds, comma-separated.")] = ",".join(KINDS),
    pictures: Annotated[int, typer.Option(min=1, help="Of a run in virtual time.")] = 100,
    real_pictures: Annotated[int, typer.Option(min=4, help="Of a run in real time.")] = 20,
    seed: Annotated[int, typer.Option(help="Of radio losses and resampling.")] = 1,
    workers: Workers = None,
    out: Out = RESULTS / "late.json",
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
