"""The stages in order: what turns pictures into a checkpoint folder.

    classifier -> pretrain -> distill -> finetune -> export

Every stage leaves its result in a folder of its own under the run's folder and is skipped when it
is there, so a run that was killed goes on where it stopped.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from pnc.codec.codec import Codec
from pnc.codec.image import Fit
from pnc.errors import ConfigError
from training.architectures import PICTURE_SIZE
from training.autoencoder import Autoencoder, AutoencoderConfig, random_cuts, train_autoencoder
from training.cache import CACHE_FOLDER
from training.check import leave_out
from training.classifier import (
    ClassifierConfig,
    Phase,
    teacher_targets,
    train_classifier,
)
from training.curves import draw_curves
from training.data import Data, open_data
from training.export import Parity, export_checkpoint, seal_card
from training.losses import Judge
from training.measure import measure_checkpoint
from training.pictures import Joined, Pictures, Subset
from training.progress import CountProgress, read_records

logger = logging.getLogger(__name__)

STAGES = ("classifier", "pretrain", "distill", "finetune", "export")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a checkpoint besides the pictures themselves."""

    name: str
    """Name of the checkpoint."""
    data: str
    """``belt``, a folder of class folders, or a folder with train/ and val/."""
    extra: tuple[str, ...] = ()
    """Folders of unlabeled pictures for the autoencoder."""
    exclude: tuple[str, ...] = ()
    """Names of pictures that training must not see."""
    rename: tuple[str, ...] = ()
    """``FOLDER=NAME``: what a class is called where its folder's name says little."""
    fit: Fit = "crop"
    """How pictures become square."""
    architecture: str = "lite"
    """Of the autoencoder, see :mod:`training.architectures`."""
    phases: tuple[Phase, ...] = (Phase(96, 6), Phase(128, 6), Phase(160, 2, min_area=0.5))
    """Progressive resizing of the classifier."""
    turn: bool = False
    """Whether the classifier may see pictures turned by quarters."""
    drop: bool = True
    """Whether the classifier's dropout and stochastic depth act."""
    classifier_learning_rate: float = 2e-3
    """Peak learning rate of the classifier."""
    initial: str | None = None
    """A Keras file of an EfficientNetB0 to start the classifier from."""
    teacher: str | None = None
    """A Keras classifier that helps the classifier and judges the autoencoder."""
    window: int = PICTURE_SIZE
    """Side of the windows that ``pretrain`` sees, pixels; 56 makes `rtss23` affordable."""
    pretrain_steps: int = 300
    """Steps of 16 pictures on squared error."""
    distill_steps: int = 1200
    """Steps of 16 pictures through the frozen classifier."""
    distill_loss: Literal["published", "features"] = "features"
    """The loss of arXiv 2310.05306 or the one with middle layers."""
    finetune_phases: tuple[Phase, ...] = (Phase(160, 1, min_area=0.5),)
    """The classifier on all undamaged pictures and some decoded ones."""
    finetune_learning_rate: float = 2.5e-4
    """Its peak learning rate."""
    finetune_pictures: int = 6000
    """Training pictures that are decoded for it."""
    report_pictures: int = 600
    """Pictures of the reported split that the card is measured on."""
    patience: int = 0
    """Evaluations (eight a stage) without a better score after which a stage stops; 0: never."""
    seed: int = 0
    """Seed of everything random."""
    notes: tuple[str, ...] = field(default=())
    """Said in the card."""
    initial_autoencoder: str | None = None
    """A folder of :meth:`training.autoencoder.Autoencoder.save` to start the autoencoder from."""


BELT = Recipe(
    name="belt",
    data="belt",
    phases=(
        Phase(64, 6, min_area=0.9, jitter=0.0),
        Phase(128, 6, min_area=0.7, jitter=0.1),
        Phase(224, 1.5, min_area=0.8, jitter=0.1),
    ),
    turn=True,
    drop=False,
    classifier_learning_rate=6e-3,
    pretrain_steps=100,
    distill_steps=500,
    finetune_pictures=4000,
    finetune_phases=(Phase(224, 0.9, min_area=0.8, jitter=0.1),),
    finetune_learning_rate=1.5e-3,
)
"""From nothing but a seed, in about an hour on two cores."""


class Pace(Protocol):
    """Keeps stages within a time, see :class:`training.budget.Budget`."""

    def scale(self, stage: str) -> float:
        """Share of the recipe's steps that a stage makes; the same whenever it is resumed."""

    def max_seconds(self, stage: str) -> float:
        """Seconds after which a stage's loop stops, over all its processes."""


class Run:
    """One recipe in one folder.

    Args:
        recipe: what to make.
        folder: where the stages leave their results.
        cache: folder of the picture cache.
        left_out: names of pictures that only ``val`` may hold.
        pace: shortens stages; none: they are as long as the recipe says.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        *,
        cache: Path = CACHE_FOLDER,
        left_out: Collection[str] = (),
        pace: Pace | None = None,
    ) -> None:
        self.recipe = recipe
        self.folder = folder
        self._cache = cache
        self._left_out = left_out
        self._pace = pace
        self._check_same_recipe()

    def _check_same_recipe(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "recipe.json"
        mine = json.loads(json.dumps(asdict(self.recipe)))
        if path.exists():
            theirs = json.loads(path.read_text(encoding="utf-8"))
            changed = [key for key, value in theirs.items() if mine.get(key, value) != value]
            if changed:
                raise ConfigError(
                    f"{self.folder} holds a run of another recipe ({', '.join(changed)} differ, "
                    "see recipe.json); give another --run folder or delete it"
                )
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(mine, indent=1), encoding="utf-8")
        temporary.replace(path)

    @cached_property
    def data(self) -> Data:
        """The pictures."""
        recipe = self.recipe
        data = open_data(
            recipe.data,
            fit=recipe.fit,
            extra=recipe.extra,
            exclude=recipe.exclude,
            folder=self._cache,
            on_progress=CountProgress(f"{recipe.name}: pictures"),
        )
        return leave_out(data, self._left_out)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, renamed as the recipe says.

        Raises:
            ConfigError: a renaming names no class.
        """
        return rename_classes(self.recipe, self.data.classes)

    def _labels(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        return self.data.labels[indices].astype(np.int64)

    @cached_property
    def _train(self) -> NDArray[np.int64]:
        """Labeled training pictures in a mixed order, so that any beginning is a sample of all."""
        return np.random.default_rng(self.recipe.seed).permutation(self.data.train)

    @cached_property
    def _all_train(self) -> Pictures:
        everything = np.concatenate([self.data.train, self.data.extra])
        return Subset(self.data, np.random.default_rng(self.recipe.seed).permutation(everything))

    @cached_property
    def _tune(self) -> Pictures:
        return Subset(
            self.data, np.random.default_rng(self.recipe.seed).permutation(self.data.tune)[:128]
        )

    @cached_property
    def _teacher(self) -> keras.Model | None:
        return load_keras(Path(self.recipe.teacher)) if self.recipe.teacher else None

    def _classifier_config(self, stage: str) -> ClassifierConfig:
        recipe = self.recipe
        config = ClassifierConfig(
            self.folder / stage,
            phases=recipe.phases,
            learning_rate=recipe.classifier_learning_rate,
            turn=recipe.turn,
            drop=recipe.drop,
            patience=recipe.patience,
            seed=recipe.seed,
        )
        if stage == "finetune":
            config = replace(
                config,
                phases=recipe.finetune_phases,
                learning_rate=recipe.finetune_learning_rate,
            )
        if self._pace:
            scale = self._pace.scale(stage)
            phases = [replace(phase, epochs=phase.epochs * scale) for phase in config.phases]
            config = replace(config, phases=phases, max_seconds=self._pace.max_seconds(stage))
        return config

    def classifier(self) -> keras.Model:
        """The classifier on undamaged pictures."""
        path = self.folder / "classifier" / "classifier.keras"
        if not path.exists():
            teacher = None
            pictures = Subset(self.data, self._train)
            if self._teacher:
                teacher = teacher_targets(self._teacher, pictures)
            model, _ = train_classifier(
                pictures,
                self._labels(self._train),
                Subset(self.data, self.data.tune),
                self._labels(self.data.tune),
                len(self.data.classes),
                self._classifier_config("classifier"),
                teacher=teacher,
                initial=Path(self.recipe.initial) if self.recipe.initial else None,
            )
            save_keras(model, path)
        return load_keras(path)

    def pretrain(self) -> Autoencoder:
        """The autoencoder on squared error."""
        folder = self.folder / "pretrain" / "weights"
        if not (folder / "autoencoder.json").exists():
            autoencoder = self._begin_autoencoder()
            if self.recipe.pretrain_steps:
                self._train_autoencoder(
                    autoencoder, "pretrain", self.recipe.pretrain_steps, "mse", None
                )
            autoencoder.save(folder)
        return Autoencoder.load(folder)

    def _begin_autoencoder(self) -> Autoencoder:
        recipe = self.recipe
        if not recipe.initial_autoencoder:
            return Autoencoder.fresh(recipe.architecture, self._all_train, recipe.seed)
        autoencoder = Autoencoder.load(Path(recipe.initial_autoencoder))
        autoencoder.order_layers(self._all_train)
        return autoencoder

    def distill(self) -> Autoencoder:
        """The autoencoder through the frozen teacher, or the classifier where there is none."""
        if not self.recipe.distill_steps:
            return self.pretrain()
        folder = self.folder / "distill" / "weights"
        if not (folder / "autoencoder.json").exists():
            autoencoder = self.pretrain()
            autoencoder.order_layers(self._all_train)
            judge = Judge(self._teacher or self.classifier())
            self._train_autoencoder(
                autoencoder, "distill", self.recipe.distill_steps, self.recipe.distill_loss, judge
            )
            autoencoder.save(folder)
        return Autoencoder.load(folder)

    def _train_autoencoder(
        self, autoencoder: Autoencoder, stage: str, steps: int, loss: Any, judge: Judge | None
    ) -> None:
        window = self.recipe.window if stage == "pretrain" else PICTURE_SIZE
        max_seconds = float("inf")
        if self._pace:
            steps = max(1, round(steps * self._pace.scale(stage)))
            max_seconds = self._pace.max_seconds(stage)
        config = AutoencoderConfig(
            self.folder / stage,
            steps,
            loss=loss,
            window=window,
            max_seconds=max_seconds,
            patience=self.recipe.patience,
            seed=self.recipe.seed,
        )
        train_autoencoder(autoencoder, self._all_train, config, judge=judge, tune_images=self._tune)

    def finetune(self) -> keras.Model:
        """The classifier on decoded and undamaged pictures (arXiv 2310.05306, stage 3)."""
        if not self.recipe.finetune_pictures:
            return self.classifier()
        path = self.folder / "finetune" / "classifier.keras"
        if not path.exists():
            start = self.folder / "classifier" / "classifier.keras"
            self.classifier()
            chosen = self._train[: self.recipe.finetune_pictures]
            decoded = decode_pictures(
                self.distill(),
                Subset(self.data, chosen),
                self.folder / "finetune" / "decoded.npy",
                self.recipe.seed,
            )
            model, _ = train_classifier(
                Joined([Subset(self.data, self._train), decoded]),
                np.concatenate([self._labels(self._train), self._labels(chosen)]),
                Subset(self.data, self.data.tune),
                self._labels(self.data.tune),
                len(self.data.classes),
                self._classifier_config("finetune"),
                initial=start,
            )
            save_keras(model, path)
        return load_keras(path)

    def export(self, out: Path) -> Parity:
        """Write the checkpoint folder and measure it on reported pictures."""
        recipe, data = self.recipe, self.data
        classifier, autoencoder = self.finetune(), self.distill()
        card = {
            "data": {
                "name": Path(data.name).name,
                "training_pictures": len(data.train),
                "unlabeled_pictures": len(data.extra),
                "skipped_pictures": len(data.skipped),
            },
            "recipe": _without_folders(recipe),
            "history": {stage: _last_evaluation(self.folder / stage) for stage in STAGES[:-1]},
            "seconds": {stage: _stage_seconds(self.folder / stage) for stage in STAGES[:-1]},
            "notes": list(recipe.notes),
        }
        parity = export_checkpoint(
            out,
            name=recipe.name,
            autoencoder=autoencoder,
            classifier=classifier,
            classes=self.class_names,
            images=self._all_train,
            fit=recipe.fit,
        )
        draw_curves([self.folder / stage for stage in STAGES[:-1]], out / "curves.png")
        reported = np.random.default_rng(recipe.seed).permutation(data.val)[
            : recipe.report_pictures
        ]
        figures = measure_checkpoint(
            Codec.load(out),
            Subset(data, reported),
            self._labels(reported),
            on_progress=CountProgress(f"{recipe.name}: measured"),
        )
        card |= {"accuracy": figures, "encoder_parity": asdict(parity)}
        seal_card(out, card)
        logger.info("%s: %s", out, figures)
        return parity


def rename_classes(recipe: Recipe, classes: Sequence[str]) -> tuple[str, ...]:
    """Names of classes, renamed as a recipe says.

    Raises:
        ConfigError: a renaming names no class.
    """
    names = dict(entry.partition("=")[::2] for entry in recipe.rename)
    unknown = sorted(set(names) - set(classes))
    if unknown:
        raise ConfigError(f"--rename {unknown[0]}: no class of {recipe.data} has this name")
    return tuple(names.get(name, name) for name in classes)


def _without_folders(recipe: Recipe) -> dict[str, Any]:
    """A recipe for publication: data and models by name, since their places are private."""
    record = asdict(recipe)
    for key in ("data", "initial", "initial_autoencoder", "teacher"):
        record[key] = record[key] and Path(record[key]).name
    return {**record, "extra": [Path(entry).name for entry in recipe.extra]}


def save_keras(model: keras.Model, path: Path) -> None:
    """Write a Keras file in one step: a kill leaves all of it or nothing."""
    temporary = path.with_name(f"part-{path.name}")
    model.save(temporary)
    temporary.replace(path)


def load_keras(path: Path) -> keras.Model:
    """A Keras model from a file.

    Raises:
        ConfigError: it is missing or no Keras file.
    """
    try:
        return keras.models.load_model(path, compile=False)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path}: not a Keras model file ({error}); give a .keras file"
        ) from error


def decode_pictures(
    autoencoder: Autoencoder, pictures: Pictures, path: Path, seed: int
) -> NDArray[np.uint8]:
    """What a server would see: every picture cut at a random byte and decoded.

    A killed process leaves a part file and the number of pictures in it; the next one goes on.

    Returns:
        uint8 ``[n, 224, 224, 3]``, a memory map of ``path``.
    """
    shape = (len(pictures), 224, 224, 3)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part, count = path.with_suffix(".part"), path.with_suffix(".count")
        done = int(count.read_text(encoding="ascii")) if part.exists() and count.exists() else 0
        out = np.lib.format.open_memmap(part, "r+" if done else "w+", np.uint8, shape)
        rng = np.random.default_rng([seed, 3])
        for start in range(0, len(pictures), 16):
            size = min(16, len(pictures) - start)
            cuts = random_cuts(autoencoder.plan_layering, size, rng)
            if start < done:
                continue
            batch = pictures[start : start + size].astype(np.float32)
            decoded = np.asarray(autoencoder.reconstruct(batch, cuts))
            out[start : start + size] = np.clip(np.rint(decoded), 0, 255).astype(np.uint8)
            temporary = count.with_suffix(".tmp")
            temporary.write_text(str(start + size), encoding="ascii")
            temporary.replace(count)
        out.flush()
        part.replace(path)
        count.unlink(missing_ok=True)
    return np.load(path, mmap_mode="r")


def _last_evaluation(folder: Path) -> dict[str, Any]:
    evaluations = [record for record in read_records(folder) if record.get("label") == "evaluation"]
    return evaluations[-1] if evaluations else {}


def _stage_seconds(folder: Path) -> float:
    records = read_records(folder)
    return float(records[-1]["seconds"]) if records else 0.0


def run_stages(run: Run, stages: Sequence[str], out: Path) -> None:
    """Run some stages in order; each is skipped where its result lies already."""
    for stage in stages:
        started = time.monotonic()
        logger.info("stage %s", stage)
        if stage == "export":
            run.export(out)
        else:
            getattr(run, stage)()
        logger.info("stage %s: %.0f s", stage, time.monotonic() - started)
