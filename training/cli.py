"""``pnc train``: every stage by itself, whole recipes, and the architectures' training speed."""

from __future__ import annotations

import json
import logging
import os
import time
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from training.recipe import Recipe

app = typer.Typer(help="Train checkpoints on your own pictures.", no_args_is_help=True)


class Fit(StrEnum):
    """See :data:`pnc.codec.image.Fit`."""

    crop = "crop"
    squash = "squash"
    pad = "pad"


DataOption = Annotated[
    str,
    typer.Option("--data", help='"belt", a folder of class folders, or one with train/ and val/.'),
]
RunOption = Annotated[
    Path, typer.Option("--run", help="Folder of the run; a killed run resumes there.")
]
SeedOption = Annotated[int, typer.Option(help="Seed of everything random.")]
TeacherOption = Annotated[
    str | None,
    typer.Option(help="A Keras classifier: helps the classifier, judges the autoencoder."),
]
JudgeOption = Annotated[
    list[str] | None,
    typer.Option("--judge", help="A Keras classifier that judges the autoencoder, too."),
]
InitialOption = Annotated[
    str | None,
    typer.Option(help="A Keras file of an EfficientNetB0 that the classifier starts from."),
]
ExtraOption = Annotated[
    list[str] | None, typer.Option(help="Folder of unlabeled pictures; NAME#even takes half of it.")
]
ExcludeOption = Annotated[
    list[str] | None, typer.Option(help="Pattern of picture names to leave out.")
]
RenameOption = Annotated[
    list[str] | None, typer.Option(help="FOLDER=NAME: another name for a class.")
]
FitOption = Annotated[
    Fit, typer.Option("--fit", help="How pictures become square: crop, squash or pad.")
]
OutOption = Annotated[
    Path | None, typer.Option(help="Checkpoint folder; default checkpoints/NAME.")
]


class Architecture(StrEnum):
    """Autoencoders."""

    lapped = "lapped"
    rtss23 = "rtss23"


class Loss(StrEnum):
    """Losses of the distillation."""

    published = "published"
    features = "features"


def _prepare() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from training.towers import share_cores

    share_cores()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for name in ("absl", "tensorflow"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _run(recipe: Recipe, stages: tuple[str, ...], run: Path, out: Path | None) -> None:
    from training.run import Run, run_stages

    folder = out or Path("checkpoints") / recipe.name
    run_stages(Run(recipe, run), stages, folder)
    if "export" in stages:
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        typer.echo(json.dumps({"checkpoint": str(folder), **card["accuracy"]}))


def _recipe(name: str, data: str, **settings: Any) -> Recipe:
    from training.recipe import BELT, Recipe

    base = BELT if data == "belt" else Recipe(name, data)
    given = {key: value for key, value in settings.items() if value is not None}
    for key in ("extra", "exclude", "rename"):
        if key in given:
            given[key] = tuple(given[key])
    return replace(base, name=name, data=data, **given)


def _stage_command(stage: str, text: str) -> None:
    def command(
        data: DataOption = "belt",
        run: RunOption = Path("runs/belt"),
        name: Annotated[str, typer.Option(help="Name of the checkpoint.")] = "belt",
        seed: SeedOption = 0,
        teacher: TeacherOption = None,
        judge: JudgeOption = None,
        initial: InitialOption = None,
        extra: ExtraOption = None,
        exclude: ExcludeOption = None,
        rename: RenameOption = None,
        fit: FitOption = Fit.crop,
        loss: Annotated[Loss, typer.Option(help="Loss of the distillation.")] = Loss.features,
        architecture: Annotated[
            Architecture, typer.Option(help="Of the autoencoder.")
        ] = Architecture.lapped,
        batch_size: Annotated[
            int | None, typer.Option(min=1, help="Pictures a step of pretrain and distill.")
        ] = None,
        pretrain_steps: Annotated[int | None, typer.Option(min=0)] = None,
        distill_steps: Annotated[int | None, typer.Option(min=0)] = None,
        stream_bytes: Annotated[
            int | None, typer.Option(min=256, help="Mean size of whole streams at most, bytes.")
        ] = None,
        finetune_pictures: Annotated[
            int | None, typer.Option(min=0, help="Pictures decoded for finetune; 0 skips it.")
        ] = None,
        finetune_size: Annotated[
            int | None, typer.Option(min=32, help="Side of the pictures that finetune sees.")
        ] = None,
        finetune_rate: Annotated[
            float | None, typer.Option(min=0, help="Peak learning rate of finetune.")
        ] = None,
        window: Annotated[
            int | None,
            typer.Option(min=28, help="Side of pretrain's windows, pixels; rtss23 only."),
        ] = None,
        patience: Annotated[
            int | None, typer.Option(min=0, help="Evaluations without gain before a stage stops.")
        ] = None,
        out: OutOption = None,
    ) -> None:
        _prepare()
        recipe = _recipe(
            name,
            data,
            seed=seed,
            teacher=teacher,
            judges=tuple(judge or ()),
            initial=initial,
            extra=extra,
            exclude=exclude,
            rename=rename,
            fit=fit.value,
            distill_loss=loss.value,
            architecture=architecture.value,
            batch_size=batch_size,
            pretrain_steps=pretrain_steps,
            distill_steps=distill_steps,
            stream_bytes=stream_bytes,
            finetune_pictures=finetune_pictures,
            finetune_learning_rate=finetune_rate,
            window=window,
            patience=patience,
        )
        if finetune_size:
            phases = (replace(phase, size=finetune_size) for phase in recipe.finetune_phases)
            recipe = replace(recipe, finetune_phases=tuple(phases))
        from training.run import STAGES

        _run(recipe, STAGES if stage == "run" else (stage,), run, out)

    command.__doc__ = text
    app.command(stage)(command)


_stage_command(
    "classifier", "EfficientNetB0 on undamaged pictures: progressive resizing, EMA, teacher."
)
_stage_command("pretrain", "The autoencoder on squared error with tail-drop.")
_stage_command("distill", "The autoencoder through the frozen teacher or classifier.")
_stage_command("finetune", "The classifier on decoded pictures.")
_stage_command("export", "TFLite files, coding plan, manifest and model card.")
_stage_command("run", "All stages in order; each is skipped where its result lies already.")


@app.command("all")
def everything(
    data: Annotated[
        str,
        typer.Option("--data", help="A folder of class folders, or one with train/ and val/."),
    ],
    out: Annotated[Path, typer.Option(help="Checkpoint folder to write; its name is used.")],
    hours: Annotated[
        float | None,
        typer.Option(min=0.01, help="Time from start to report; default: the whole recipe."),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option("--run", help="Folder of the run, report.html too; default runs/NAME."),
    ] = None,
    start: Annotated[
        str, typer.Option(help="photo, another checkpoint, a .keras file of a classifier, or none.")
    ] = "photo",
    seed: SeedOption = 0,
    extra: ExtraOption = None,
    exclude: ExcludeOption = None,
    rename: RenameOption = None,
    teacher: TeacherOption = None,
    judge: JudgeOption = None,
    fit: FitOption = Fit.crop,
) -> None:
    """Check the pictures, train every stage in the time given, export, verify, report."""
    began = time.monotonic()
    _prepare()
    from training.everything import Order, train_everything

    outcome = train_everything(
        Order(
            data,
            out,
            run or Path("runs") / out.resolve().name,
            hours=hours,
            start=start,
            seed=seed,
            extra=tuple(extra or ()),
            exclude=tuple(exclude or ()),
            rename=tuple(rename or ()),
            teacher=teacher,
            judges=tuple(judge or ()),
            fit=fit.value,
        ),
        began=began,
    )
    results = outcome.facts["results"]
    accuracy = dict(zip(results["bytes"], results["accuracy"], strict=True))
    figures = {
        "checkpoint": str(outcome.checkpoint),
        "report": str(outcome.report),
        "n": results["n"],
        "undamaged": results["undamaged"],
        "at_1024_bytes": accuracy[1024],
        "hours": round(outcome.facts["used_s"] / 3600, 3),
    }
    typer.echo(json.dumps(figures))


@app.command()
def belt(run: RunOption = Path("runs/belt"), out: OutOption = None, seed: SeedOption = 0) -> None:
    """The shipped checkpoint ``belt``, from nothing: all stages, at most an hour on two cores."""
    _prepare()
    from training.run import STAGES

    _run(_recipe("belt", "belt", seed=seed), STAGES, run, out)


@app.command()
def ablate(
    checkpoint: Annotated[str, typer.Argument(help="Name or folder.")],
    out: Annotated[Path, typer.Option(help="Gets a folder for each part that is left out.")],
    data: DataOption = "belt",
    extra: ExtraOption = None,
    exclude: ExcludeOption = None,
) -> None:
    """Write checkpoints without a part of the coding plan each, to be compared by benchmarks."""
    _prepare()
    from pnc.codec.checkpoint import Checkpoint
    from training.ablation import write_ablation
    from training.run_pictures import RunPictures

    opened = Checkpoint.load(checkpoint)
    recipe = _recipe("ablation", data, extra=extra, exclude=exclude, fit=opened.fit)
    images = RunPictures(recipe, out).all_train
    for folder in write_ablation(opened, images, out):
        typer.echo(folder)


@app.command()
def klt(
    out: Annotated[Path, typer.Option(help="File to write, .npz.")],
    data: DataOption = "belt",
    extra: ExtraOption = None,
    exclude: ExcludeOption = None,
    fit: FitOption = Fit.crop,
    seed: SeedOption = 0,
    patch: Annotated[int, typer.Option(min=4, help="Side of a patch, pixels.")] = 14,
    channels: Annotated[int, typer.Option(min=1, max=1024, help="Directions kept.")] = 72,
) -> None:
    """A Karhunen-Loeve transform of patches with its plan, the baseline of benchmarks."""
    _prepare()
    from training.files import replacing
    from training.klt import fit_klt
    from training.run_pictures import mixed_training_pictures, open_pictures

    recipe = _recipe("klt", data, extra=extra, exclude=exclude, fit=fit.value, seed=seed)
    images = mixed_training_pictures(open_pictures(recipe), seed)
    content = fit_klt(images, patch, channels).to_bytes()
    with replacing(out) as path:
        path.write_bytes(content)
    typer.echo(out)


@app.command()
def speed(
    out: Annotated[Path, typer.Option(help="JSON file to write.")] = Path(
        "runs/bench/training_speed.json"
    ),
    steps: Annotated[int, typer.Option(min=1, help="Timed steps of each architecture.")] = 3,
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures a step.")] = 4,
) -> None:
    """Pictures a second of ``lapped`` and ``rtss23`` in the same run."""
    _prepare()
    from training.speed import measure_speed

    figures = measure_speed(steps, batch_size)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    typer.echo(json.dumps(figures))


if __name__ == "__main__":
    app()
