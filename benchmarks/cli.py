"""The commands of ``python -m benchmarks``.

rate-accuracy   what is recognized within a budget   ->  JSON, plot, table
steps           the same on a fine grid of bytes     ->  JSON, plot, table
loss            what is recognized of lossy packets  ->  JSON, plot, table
cost            time, multiply-accumulates, memory   ->  JSON, table
plot, table     from the JSON alone
all             the shipped checkpoints; what ``make bench`` runs
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import typer

from benchmarks.cost import SCHEMA as COST_SCHEMA
from benchmarks.cost import cost_table, measure_cost
from benchmarks.facts import write_json
from benchmarks.loss import BUDGETS as LOSS_BUDGETS
from benchmarks.loss import LOSSES, MTUS, NUM_SEEDS, LossPlan, measure_loss
from benchmarks.output import (
    draw_files,
    parse_numbers,
    parse_shares,
    read_json,
    with_progress,
    write_between,
)
from benchmarks.rate_accuracy import BUDGETS, CODECS, Plan, measure
from benchmarks.steps import BUDGETS as STEP_BUDGETS
from benchmarks.steps import measure_steps
from pnc.codec.checkpoint import MANIFEST, search_folders
from pnc.codec.image import Fit
from pnc.errors import ConfigError, PncError
from pnc.replay.baselines import find_missing
from pnc.replay.report.loss import LOSS_SCHEMA, draw_loss, loss_tables
from pnc.replay.report.rate_accuracy import (
    RATE_ACCURACY_SCHEMA,
    draw_rate_accuracy,
    rate_accuracy_tables,
)
from pnc.replay.report.results import check_schema
from pnc.replay.report.steps import STEPS_SCHEMA, draw_steps, steps_table
from pnc.replay.rtss23 import FAMILY as PUBLISHED

RESULTS = Path("benchmarks/results")
"""Where results lie, relative to the root of the source tree."""

CACHE = Path(".cache/benchmarks")

PHOTOGRAPHS = "PHOTOGRAPHS"
"""Environment variable: folder of the photographs and the teacher, see docs/benchmarks.md."""

app = typer.Typer(
    no_args_is_help=False, invoke_without_command=True, add_completion=False, help=__doc__
)


@app.callback()
def root(context: typer.Context) -> None:
    """Measure again what the README says; all of it unless a command is named."""
    if context.invoked_subcommand is None:
        run_all(None, None)


@app.command("rate-accuracy")
def rate_accuracy(
    data: Annotated[list[str], typer.Option(help="NAME=FOLDER[#odd|#even|#tune], or belt.")],
    judge: Annotated[
        list[str],
        typer.Option(help="Checkpoint, NAME=FILE.tflite or .keras[,crop=F][,report-only]."),
    ],
    codec: Annotated[
        list[str] | None, typer.Option(help="Checkpoint or rival; the rivals alone by default.")
    ] = None,
    tune: Annotated[
        list[str] | None, typer.Option(help="Sets on which rivals' scales are chosen.")
    ] = None,
    budgets: Annotated[str, typer.Option(help="Bytes, comma-separated.")] = ",".join(
        map(str, BUDGETS)
    ),
    limit: Annotated[int | None, typer.Option(min=1, help="Pictures of each set.")] = None,
    train: Annotated[
        list[str] | None,
        typer.Option(help="Sets that Huffman tables are fitted to; those of --tune by default."),
    ] = None,
    tune_limit: Annotated[
        int | None, typer.Option(min=1, help="Pictures of each tuning set; as --limit.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Chooses the pictures and resamples.")] = 0,
    fit: Annotated[str, typer.Option(help="crop, squash or pad.")] = "crop",
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes; one for each core by default.")
    ] = None,
    cache: Annotated[Path, typer.Option(help="Folder of what was done before.")] = CACHE,
    out: Annotated[Path, typer.Option(help="JSON; the plot lies beside it.")] = RESULTS
    / "rate_accuracy.json",
) -> None:
    """Measure what judges recognize within byte budgets: our streams and every rival."""
    plan = Plan(
        data=tuple(data),
        judges=tuple(judge),
        codecs=tuple(codec or installed_rivals()),
        tune=tuple(tune or ()),
        train=tuple(train or ()),
        budgets=parse_numbers("--budgets", budgets),
        limit=limit,
        tune_limit=tune_limit,
        seed=seed,
        fit=_check_fit(fit),
        cache=cache,
        num_processes=_count_processes(workers),
    )
    _run_rate_accuracy(plan, out)


@app.command()
def steps(
    data: Annotated[list[str], typer.Option(help="NAME=FOLDER[#odd|#even|#tune], or belt.")],
    judge: Annotated[list[str], typer.Option(help="As of rate-accuracy.")],
    checkpoint: Annotated[str, typer.Option(help="Name or folder.")] = "photo",
    budgets: Annotated[str, typer.Option(help="Bytes: FROM:TO:STEP, or comma-separated.")] = (
        f"{STEP_BUDGETS[0]}:{STEP_BUDGETS[-1]}:{STEP_BUDGETS[1] - STEP_BUDGETS[0]}"
    ),
    limit: Annotated[int | None, typer.Option(min=1, help="Pictures of each set.")] = None,
    seed: Annotated[int, typer.Option(help="Chooses the pictures and resamples.")] = 0,
    fit: Annotated[str, typer.Option(help="crop, squash or pad.")] = "crop",
    workers: Annotated[int | None, typer.Option(min=0, help="Processes.")] = None,
    cache: Annotated[Path, typer.Option(help="Folder of what was done before.")] = CACHE,
    out: Annotated[Path, typer.Option(help="JSON; the plot lies beside it.")] = RESULTS
    / "steps.json",
) -> None:
    """Measure a checkpoint on a fine grid of budgets: does more ever mean less?"""
    plan = Plan(
        data=tuple(data),
        judges=tuple(judge),
        codecs=(checkpoint,),
        budgets=parse_numbers("--budgets", budgets),
        limit=limit,
        seed=seed,
        fit=_check_fit(fit),
        cache=cache,
        num_processes=_count_processes(workers),
    )
    results = with_progress(lambda show: measure_steps(plan, show))
    write_json(out, results)
    draw_files(draw_steps, results, out)
    typer.echo(steps_table(results))


@app.command()
def loss(
    data: Annotated[list[str], typer.Option(help="NAME=FOLDER[#odd|#even|#tune], or belt.")],
    judge: Annotated[list[str], typer.Option(help="As of rate-accuracy.")],
    checkpoint: Annotated[list[str], typer.Option(help="Name or folder; may be repeated.")],
    budgets: Annotated[str, typer.Option(help="Bytes that are sent.")] = ",".join(
        map(str, LOSS_BUDGETS)
    ),
    losses: Annotated[str, typer.Option(help="Percents of packets that are lost.")] = ",".join(
        f"{100 * share:g}" for share in LOSSES
    ),
    mtus: Annotated[str, typer.Option(help="Bytes of the largest packet.")] = ",".join(
        map(str, MTUS)
    ),
    seeds: Annotated[int, typer.Option(min=1, help="Draws of each loss.")] = NUM_SEEDS,
    limit: Annotated[int | None, typer.Option(min=1, help="Pictures of each set.")] = None,
    seed: Annotated[int, typer.Option(help="Chooses the pictures and resamples.")] = 0,
    fit: Annotated[str, typer.Option(help="crop, squash or pad.")] = "crop",
    workers: Annotated[int | None, typer.Option(min=0, help="Processes.")] = None,
    cache: Annotated[Path, typer.Option(help="Folder of what was done before.")] = CACHE,
    out: Annotated[Path, typer.Option(help="JSON; the plot lies beside it.")] = RESULTS
    / "loss.json",
) -> None:
    """Measure what judges recognize when packets are lost, against no loss."""
    plan = LossPlan(
        data=tuple(data),
        judges=tuple(judge),
        checkpoints=tuple(checkpoint),
        budgets=parse_numbers("--budgets", budgets),
        losses=parse_shares("--losses", losses),
        mtus=parse_numbers("--mtus", mtus),
        num_seeds=seeds,
        limit=limit,
        seed=seed,
        fit=_check_fit(fit),
        cache=cache,
        num_processes=_count_processes(workers),
    )
    results = with_progress(lambda show: measure_loss(plan, show))
    write_json(out, results)
    draw_files(draw_loss, results, out)
    typer.echo(loss_tables(results))


@app.command()
def cost(
    checkpoint: Annotated[str, typer.Option(help="Name or folder.")] = "photo",
    data: Annotated[str, typer.Option(help="NAME=FOLDER[#PART], or belt.")] = "belt",
    pictures: Annotated[int, typer.Option(min=1, help="How many.")] = 12,
    rounds: Annotated[int, typer.Option(min=1, help="How often each is measured.")] = 10,
    seed: Annotated[int, typer.Option(help="Chooses the pictures.")] = 0,
    out: Annotated[Path, typer.Option(help="JSON.")] = RESULTS / "cost.json",
) -> None:
    """Measure time on one thread beside the rivals', multiply-accumulates and memory."""
    results = measure_cost(checkpoint, data, num_pictures=pictures, num_rounds=rounds, seed=seed)
    write_json(out, results)
    typer.echo(cost_table(results))


@app.command()
def plot(
    results: Annotated[Path, typer.Argument(help="JSON of rate-accuracy, steps or loss.")] = RESULTS
    / "rate_accuracy.json",
) -> None:
    """Draw results as PNG and SVG beside their JSON."""
    content = read_json(results)
    match _schema(content):
        case name if name == LOSS_SCHEMA:
            paths = draw_files(draw_loss, content, results)
        case name if name == STEPS_SCHEMA:
            paths = draw_files(draw_steps, content, results)
        case _:
            paths = draw_files(
                draw_rate_accuracy, check_schema(content, RATE_ACCURACY_SCHEMA), results
            )
    for path in paths:
        typer.echo(path)


@app.command()
def table(
    results: Annotated[list[Path] | None, typer.Argument(help="JSON files of results.")] = None,
    write: Annotated[
        Path | None, typer.Option(help="Page to write into, between the markers.")
    ] = None,
) -> None:
    """Print results as Markdown, or write them into a page between their markers."""
    tables = {
        RATE_ACCURACY_SCHEMA: rate_accuracy_tables,
        COST_SCHEMA: cost_table,
        LOSS_SCHEMA: loss_tables,
        STEPS_SCHEMA: steps_table,
    }
    for path in results or sorted(RESULTS.glob("*.json")):
        content = read_json(path)
        schema = _schema(content)
        if schema not in tables:
            if results is None:
                continue
            check_schema(content, RATE_ACCURACY_SCHEMA)
        text = tables[schema](content)
        marker = path.stem.replace("_", "-")
        if write is None:
            typer.echo(f"{text}\n")
        else:
            write_between(write, marker, text)


@app.command("all")
def run_all(
    photographs: Annotated[
        Path | None, typer.Option(help=f"Folder with photographs; ${PHOTOGRAPHS} by default.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Pictures of each set.")] = None,
) -> None:
    """Measure all shipped checkpoints: belt, and photo where the photographs are."""
    known = {path.parent.name for f in search_folders() for path in f.glob(f"*/{MANIFEST}")}
    processes = _count_processes(None)
    given = os.environ.get(PHOTOGRAPHS)
    folder = photographs or (Path(given) if given else None)
    if "belt" in known:
        typer.echo("rate-accuracy on the belt")
        belt = Plan(
            data=("belt",),
            judges=("belt",),
            codecs=("belt", *installed_rivals()),
            tune=("belt#tune",),
            limit=limit or 300,
            tune_limit=min(limit or 100, 100),
            cache=CACHE,
            num_processes=processes,
        )
        _run_rate_accuracy(belt, RESULTS / "rate_accuracy_belt.json")
    if folder is None:
        typer.echo(f"no photographs: name their folder in ${PHOTOGRAPHS} to measure `photo`")
    elif "photo" in known:
        typer.echo("rate-accuracy on photographs")
        rivals = [*installed_rivals(), *([PUBLISHED] if "rtss23" in known else [])]
        plan = photograph_plan(folder, ["photo"], rivals, limit or 300, processes)
        _run_rate_accuracy(plan, RESULTS / "rate_accuracy.json")
    for name in sorted(known & {"belt", "photo"}):
        data = "belt" if folder is None or name == "belt" else photograph_sets(folder)[0]
        results = measure_cost(name, data)
        write_json(RESULTS / ("cost.json" if name == "photo" else f"cost_{name}.json"), results)
        typer.echo(cost_table(results))


def photograph_sets(folder: Path) -> tuple[str, str]:
    """Return the sets of photographs that are reported on, see docs/benchmarks.md."""
    return (
        f"imagenet-sample={folder / 'imagenet-sample-224'}#odd",
        f"imagenette-val={folder / 'imagenette-224' / 'val'}",
    )


def installed_rivals() -> list[str]:
    """Return the rivals that run here; says on standard error which are left out, and why."""
    missing = find_missing(CODECS)
    for line in missing.values():
        typer.echo(line, err=True)
    return [name for name in CODECS if name not in missing]


def photograph_plan(
    folder: Path,
    checkpoints: Sequence[str],
    rivals: Sequence[str],
    limit: int,
    num_processes: int,
) -> Plan:
    """Return what the README's table of photographs measures.

    Args:
        folder: Holds imagenet-sample-224, imagenette-224 and teacher, see docs/benchmarks.md.
        checkpoints: Ours; the first one's classifier is a judge, too.
        rivals: See `benchmarks.codecs`.
        limit: Pictures of each set.
        num_processes: See `Plan`.
    """
    teacher = folder / "teacher"
    stranger = teacher / "stranger_mobilenet_v1_0.5_160_uint8.tflite"
    return Plan(
        data=photograph_sets(folder),
        judges=(
            f"MobileNetV2={teacher / 'mobilenet_v2_imagenet_uint8.tflite'}",
            f"EfficientNetB0={checkpoints[0]}",
            f"MobileNetV1-0.5={stranger},crop=0.875,report-only",
        ),
        codecs=(*checkpoints, *rivals),
        tune=(
            f"imagenet-sample={folder / 'imagenet-sample-224'}#even",
            f"imagenette-tune={folder / 'imagenette-224' / 'train'}#tune",
        ),
        train=(
            f"imagenet-sample={folder / 'imagenet-sample-224'}#even",
            f"imagenette-train={folder / 'imagenette-224' / 'train'}",
        ),
        limit=limit,
        tune_limit=min(limit, 100),
        cache=CACHE,
        num_processes=num_processes,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``python -m benchmarks``; the exit status: 0, 1 for an error, 2 for usage, 130."""
    try:
        app(args=None if arguments is None else list(arguments), prog_name="python -m benchmarks")
    except PncError as error:
        typer.echo(f"benchmarks: error: {error}", err=True)
        return 1
    except SystemExit as exit_request:
        return exit_request.code if isinstance(exit_request.code, int) else 1
    return 0


def _run_rate_accuracy(plan: Plan, out: Path) -> None:
    results = with_progress(lambda show: measure(plan, show))
    write_json(out, results)
    draw_files(draw_rate_accuracy, results, out)
    typer.echo(rate_accuracy_tables(results))


def _schema(content: Any) -> str:
    return str(content.get("schema")) if isinstance(content, dict) else ""


def _check_fit(fit: str) -> Fit:
    if fit not in get_args(Fit):
        raise ConfigError(f"--fit {fit} is unknown; use crop, squash or pad")
    return cast("Fit", fit)


def _count_processes(workers: int | None) -> int:
    return len(os.sched_getaffinity(0)) if workers is None else workers
