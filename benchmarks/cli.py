"""The commands of ``python -m benchmarks``.

rate-accuracy   what is recognized within a budget   ->  JSON, plot, table
steps           the same on a fine grid of bytes     ->  JSON, plot, table
loss            what is recognized of lossy packets  ->  JSON, plot, table
faults          pictures over a link that damages    ->  JSON, plot, table
early-stop      air time saved, accuracy lost        ->  JSON, plot, table
cost            time, multiply-accumulates, memory   ->  JSON, table
device          what a running device uses           ->  JSON, table
late            what arrives after its deadline      ->  JSON, plot, table
gallery         the same bytes to look at            ->  picture
chaos           a day on a link that does all wrong  ->  JSON, table
replug          port pulled out, server killed       ->  JSON, table
plot, table     from the JSON alone
all             the shipped checkpoints; what ``make bench`` runs

All write to `runs/bench/` unless ``--out`` says otherwise; the committed results lie in
`benchmarks/results/`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.bench import Plan
from benchmarks.cost import measure_cost
from benchmarks.device import measure_device
from benchmarks.gallery import draw_gallery
from benchmarks.kinds import DRAWINGS, RESULTS, TABLES, finish, look_up, run, schema_of
from benchmarks.link_cli import chaos, early_stop, faults, late, replug
from benchmarks.loss import BUDGETS as LOSS_BUDGETS
from benchmarks.loss import LOSSES, MTUS, NUM_SEEDS, REDUNDANCIES, LossPlan, measure_loss
from benchmarks.options import (
    OUTPUT,
    Checkpoint,
    Limit,
    Out,
    PlanFields,
    TuneLimit,
    count_processes,
    join_numbers,
    parse_numbers,
    parse_shares,
    with_plan_options,
)
from benchmarks.output import draw_files, read_json, read_page, write_between
from benchmarks.rate_accuracy import BUDGETS, CODECS, RateAccuracyPlan, measure_rate_accuracy
from benchmarks.shipped import belt_plans, photo_plans, photograph_sets
from benchmarks.steps import BUDGETS as STEP_BUDGETS
from benchmarks.steps import StepsPlan, measure_steps
from pnc.codec.checkpoint import MANIFEST, search_folders
from pnc.errors import PncError
from pnc.replay.baselines import find_missing

PHOTOGRAPHS = "PHOTOGRAPHS"
"""Environment variable: folder of the photographs and the teacher, see docs/benchmarks.md."""

TRANSFORMS = (Path("runs/klt-14.npz"), Path("runs/klt-8.npz"))
"""Baselines without learning, see docs/benchmarks.md."""

MEASURES: dict[type[Plan], Callable[..., dict[str, Any]]] = {
    RateAccuracyPlan: measure_rate_accuracy,
    StepsPlan: measure_steps,
    LossPlan: measure_loss,
}

app = typer.Typer(
    no_args_is_help=False, invoke_without_command=True, add_completion=False, help=__doc__
)

for command in (faults, early_stop, late, chaos, replug):
    app.command()(command)


@app.callback()
def root(context: typer.Context) -> None:
    """Measure again what the README says; all of it unless a command is named."""
    if context.invoked_subcommand is None:
        run_all()


@app.command("rate-accuracy")
@with_plan_options
def rate_accuracy(
    fields: PlanFields,
    codec: Annotated[
        list[str] | None, typer.Option(help="Checkpoint or rival; the rivals alone by default.")
    ] = None,
    tune: Annotated[
        list[str] | None, typer.Option(help="Sets on which rivals' scales are chosen.")
    ] = None,
    budgets: Annotated[str, typer.Option(help="Bytes, comma-separated.")] = join_numbers(BUDGETS),
    train: Annotated[
        list[str] | None,
        typer.Option(help="Sets that Huffman tables are fitted to; those of --tune by default."),
    ] = None,
    tune_limit: TuneLimit = None,
    out: Out = OUTPUT / "rate_accuracy.json",
) -> None:
    """Measure what judges recognize within byte budgets: our streams and every rival."""
    plan = RateAccuracyPlan(
        **fields,
        codecs=tuple(codec or installed_rivals()),
        tune=tuple(tune or ()),
        train=tuple(train or ()),
        budgets=parse_numbers("--budgets", budgets),
        tune_limit=tune_limit,
    )
    run(measure_rate_accuracy, plan, out)


@app.command()
@with_plan_options
def steps(
    fields: PlanFields,
    checkpoint: Checkpoint = "photo",
    budgets: Annotated[str, typer.Option(help="Bytes: FROM:TO:STEP, or comma-separated.")] = (
        f"{STEP_BUDGETS[0]}:{STEP_BUDGETS[-1]}:{STEP_BUDGETS[1] - STEP_BUDGETS[0]}"
    ),
    out: Out = OUTPUT / "steps.json",
) -> None:
    """Measure a checkpoint on a fine grid of budgets: does more ever mean less?"""
    plan = StepsPlan(
        **fields,
        checkpoint=checkpoint,
        budgets=parse_numbers("--budgets", budgets),
    )
    run(measure_steps, plan, out)


@app.command()
@with_plan_options
def loss(
    fields: PlanFields,
    checkpoint: Annotated[list[str], typer.Option(help="Name or folder; may be repeated.")],
    budgets: Annotated[str, typer.Option(help="Bytes that are sent.")] = join_numbers(LOSS_BUDGETS),
    losses: Annotated[str, typer.Option(help="Percents of packets that are lost.")] = join_numbers(
        100 * share for share in LOSSES
    ),
    mtus: Annotated[str, typer.Option(help="Bytes of the largest packet.")] = join_numbers(MTUS),
    redundancies: Annotated[
        str, typer.Option(help="Percents: repairs for each 100 pieces.")
    ] = join_numbers(100 * share for share in REDUNDANCIES),
    seeds: Annotated[int, typer.Option(min=1, help="Draws of each loss.")] = NUM_SEEDS,
    out: Out = OUTPUT / "loss.json",
) -> None:
    """Measure what judges recognize when packets are lost, against no loss."""
    plan = LossPlan(
        **fields,
        checkpoints=tuple(checkpoint),
        budgets=parse_numbers("--budgets", budgets),
        losses=parse_shares("--losses", losses),
        mtus=parse_numbers("--mtus", mtus),
        redundancies=parse_shares("--redundancies", redundancies),
        num_seeds=seeds,
    )
    run(measure_loss, plan, out)


@app.command()
def cost(
    checkpoint: Checkpoint = "photo",
    data: Annotated[str, typer.Option(help="NAME=FOLDER[#PART], or belt.")] = "belt",
    pictures: Annotated[int, typer.Option(min=1, help="How many.")] = 12,
    rounds: Annotated[int, typer.Option(min=1, help="How often each is measured.")] = 10,
    seed: Annotated[int, typer.Option(help="Chooses the pictures.")] = 0,
    out: Annotated[Path, typer.Option(help="JSON.")] = OUTPUT / "cost.json",
) -> None:
    """Measure time on one thread beside the rivals', multiply-accumulates and memory."""
    results = measure_cost(checkpoint, data, num_pictures=pictures, num_rounds=rounds, seed=seed)
    finish(results, out)


@app.command()
def device(
    checkpoint: Checkpoint = "belt",
    pictures: Annotated[int, typer.Option(min=1, help="How many of each kind.")] = 120,
    out: Annotated[Path, typer.Option(help="JSON.")] = OUTPUT / "device.json",
) -> None:
    """Measure a running device at 2 pictures/s: processor, memory, time to the first packet."""
    finish(measure_device(checkpoint, num_pictures=pictures), out)


@app.command()
def gallery(
    checkpoint: Checkpoint = "belt",
    out: Annotated[Path, typer.Option(help="PNG.")] = OUTPUT / "gallery.png",
) -> None:
    """Draw renders of the belt at several budgets beside WebP's and AVIF's."""
    for path in draw_files(draw_gallery, checkpoint, out, (".png",)):
        typer.echo(path)


@app.command()
def plot(
    results: Annotated[
        Path,
        typer.Argument(help="JSON of rate-accuracy, steps, loss, faults, early-stop or late."),
    ] = RESULTS / "rate_accuracy.json",
) -> None:
    """Draw results as PNG and SVG beside their JSON."""
    content = read_json(results)
    for path in draw_files(look_up(DRAWINGS, content), content, results):
        typer.echo(path)


@app.command()
def table(
    results: Annotated[
        list[Path] | None,
        typer.Argument(help="JSON files of results; default: all that the page has a place for."),
    ] = None,
    write: Annotated[
        Path | None, typer.Option(help="Page to write into, between the markers.")
    ] = None,
) -> None:
    """Print results as Markdown, or write them into a page between their markers."""
    for path in results or sorted(RESULTS.glob("*.json")):
        content, marker = read_json(path), path.stem.replace("_", "-")
        if results is None and (
            schema_of(content) not in TABLES
            or (write is not None and f"<!-- {marker}:begin -->" not in read_page(write))
        ):
            continue
        text = look_up(TABLES, content)(content)
        if write is None:
            typer.echo(f"{text}\n")
        else:
            write_between(write, marker, text)


@app.command("all")
def run_all(
    photographs: Annotated[
        Path | None, typer.Option(help=f"Folder with photographs; ${PHOTOGRAPHS} by default.")
    ] = None,
    limit: Limit = None,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = OUTPUT,
) -> None:
    """Measure all shipped checkpoints: belt, and photo where the photographs are."""
    known = {path.parent.name for f in search_folders() for path in f.glob(f"*/{MANIFEST}")}
    given = os.environ.get(PHOTOGRAPHS)
    folder = photographs or (Path(given) if given else None)
    plans: dict[str, Plan] = {}
    if "belt" in known:
        plans |= belt_plans(installed_rivals())
        gallery(out=out / "gallery.png")
    if folder is None:
        typer.echo(f"no photographs: name their folder in ${PHOTOGRAPHS} to measure `photo`")
    elif "photo" in known:
        plans |= photo_plans(folder, [*find_transforms(), *installed_rivals()])
    for name, plan in plans.items():
        typer.echo(name.partition(".")[0].replace("_", " "))
        plan = replace(plan, limit=limit or plan.limit, num_processes=count_processes(None))
        run(MEASURES[type(plan)], plan, out / name)
    if "belt" in known:
        finish(measure_cost("belt", "belt"), out / "cost_belt.json")
    if folder is not None and "photo" in known:
        finish(measure_cost("photo", photograph_sets(folder)[0]), out / "cost.json")


def find_transforms() -> list[str]:
    """Return the transforms of `TRANSFORMS` that are there; says which are left out."""
    for path in TRANSFORMS:
        if not path.is_file():
            typer.echo(f"{path} is left out; make it with `pnc train klt`", err=True)
    return [f"klt={path}" for path in TRANSFORMS if path.is_file()]


def installed_rivals() -> list[str]:
    """Return the rivals that run here; says on standard error which are left out, and why."""
    missing = find_missing(CODECS)
    for line in missing.values():
        typer.echo(line, err=True)
    return [name for name in CODECS if name not in missing]


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
