"""One recipe in one folder: the stages in order, from pictures to a checkpoint folder.

    classifier -> pretrain -> distill -> finetune -> export

Every stage leaves its result in a folder of its own under the run's folder and is skipped when it
is there, so a run that was killed goes on where it stopped.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from pnc.codec.checkpoint import PLAN
from pnc.errors import ConfigError
from training.architectures import PICTURE_SIZE
from training.autoencoder import Autoencoder, AutoencoderConfig, train_autoencoder
from training.cache import CACHE_FOLDER
from training.card import seal_card
from training.classifier import ClassifierConfig, accuracy, teacher_targets, train_classifier
from training.curves import draw_curves
from training.data import Data
from training.decoded import decode_pictures
from training.export import convert_classifier, export_checkpoint
from training.files import (
    digest,
    load_keras,
    only_process,
    read_json,
    replacing,
    save_keras,
    write_json,
)
from training.importance import measure_scales
from training.losses import Judge, load_judge
from training.measure import measure_checkpoint
from training.normalisation import with_plain_normalisation
from training.pictures import Joined, Pictures
from training.progress import CountProgress, last_evaluation, stage_seconds
from training.provenance import describe_software, hash_models, hash_pictures
from training.published import export_published
from training.recipe import Recipe, without_folders
from training.run_pictures import COMPARED_PICTURES, NUM_TUNE_PICTURES, RunPictures
from training.towers import Towers

logger = logging.getLogger(__name__)

STAGES = ("classifier", "pretrain", "distill", "finetune", "export")


class Pace(Protocol):
    """Keeps stages within a time, see :class:`training.budget.pace.Budget`."""

    def scale(self, stage: str) -> float:
        """Share of the recipe's steps that a stage makes; the same whenever it is resumed."""

    def max_seconds(self, stage: str) -> float:
        """Seconds after which a stage's loop stops, over all its processes."""


class Run:
    """One recipe in one folder.

    Args:
        recipe: what to make.
        folder: where the stages leave their results.
        data: its pictures, some left out perhaps; opened when they are needed if absent.
        cache: folder of the picture cache.
        pace: shortens stages; none: they are as long as the recipe says.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        *,
        data: Data | None = None,
        cache: Path = CACHE_FOLDER,
        pace: Pace | None = None,
    ) -> None:
        self.recipe = recipe
        self.folder = folder
        self.pictures = RunPictures(recipe, folder, data, cache)
        self._pace = pace

    def begin(self) -> None:
        """Look at what the recipe names, then leave the recipe in the folder.

        Raises:
            ConfigError: the folder holds a run of another recipe, or pictures or models cannot be
                used.
        """
        path = self.folder / "recipe.json"
        mine = json.loads(json.dumps(asdict(self.recipe)))
        if path.exists():
            theirs = read_json(path, "delete the run's folder")
            changed = [key for key, value in theirs.items() if mine.get(key, value) != value]
            if changed:
                raise ConfigError(
                    f"{self.folder} holds a run of another recipe ({', '.join(changed)} differ, "
                    "see recipe.json); give another --run folder or delete it"
                )
        recipe = self.recipe
        for file in (recipe.teacher, recipe.initial, *recipe.judges):
            if file and not Path(file).is_file():
                raise ConfigError(f"{file}: no such file; give a .keras file")
        _ = self._teacher, self._judges, self.pictures.data
        write_json(path, mine)

    @cached_property
    def _teacher(self) -> keras.Model | None:
        return load_judge(Path(self.recipe.teacher)) if self.recipe.teacher else None

    @cached_property
    def _judges(self) -> list[keras.Model]:
        return [load_judge(Path(file)) for file in self.recipe.judges]

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
            pictures, data = self.pictures, self.pictures.data
            train = pictures.subset(pictures.train)
            if self._teacher:
                teacher = self._teacher_targets(train)
            model, _ = train_classifier(
                train,
                pictures.labels(pictures.train),
                pictures.subset(data.tune),
                pictures.labels(data.tune),
                len(data.classes),
                self._classifier_config("classifier"),
                teacher=teacher,
                initial=Path(self.recipe.initial) if self.recipe.initial else None,
            )
            save_keras(with_plain_normalisation(model), path)
        return load_keras(path)

    def _teacher_targets(self, train: Pictures) -> NDArray[np.float32]:
        """What the teacher says of the training pictures, kept for a run that goes on."""
        names = [self.pictures.data.names[index] for index in self.pictures.train]
        identity = digest([Path(self.recipe.teacher or ""), *names])
        path = self.folder / "classifier" / f"teacher-{identity}.npy"
        if not path.exists():
            targets = teacher_targets(self._teacher, train)
            with replacing(path) as temporary, temporary.open("wb") as file:
                np.save(file, targets)
        return np.asarray(np.load(path), np.float32)

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
            return Autoencoder.fresh(recipe.architecture, self.pictures.all_train, recipe.seed)
        autoencoder = Autoencoder.load(Path(recipe.initial_autoencoder))
        autoencoder.fit_plan(self.pictures.all_train)
        return autoencoder

    def distill(self) -> Autoencoder:
        """The autoencoder through the frozen teacher, or the classifier where there is none."""
        if not self.recipe.distill_steps:
            return self.pretrain()
        folder = self.folder / "distill" / "weights"
        if not (folder / "autoencoder.json").exists():
            autoencoder = self.pretrain()
            judge = Judge(self._teacher or self.classifier(), *self._judges)
            images = self.pictures.all_train
            if autoencoder.architecture.tells_received:
                scales = measure_scales(autoencoder, judge, images, self.recipe.seed)
                autoencoder.fit_plan_within(images, scales, self.recipe.stream_bytes)
            else:
                autoencoder.fit_plan(images)
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
            batch_size=self.recipe.batch_size,
            loss=loss,
            window=window,
            max_seconds=max_seconds,
            patience=self.recipe.patience,
            seed=self.recipe.seed,
        )
        train_autoencoder(
            autoencoder,
            self.pictures.all_train,
            config,
            judge=judge,
            tune_images=self.pictures.subset(self.pictures.tune[:NUM_TUNE_PICTURES]),
        )

    def finetune(self) -> keras.Model:
        """The classifier on decoded and undamaged pictures (arXiv 2310.05306, stage 3)."""
        if not self.recipe.finetune_pictures:
            return self.classifier()
        path = self.folder / "finetune" / "classifier.keras"
        if not path.exists():
            start = self.folder / "classifier" / "classifier.keras"
            self.classifier()
            pictures, data = self.pictures, self.pictures.data
            chosen = pictures.train[: self.recipe.finetune_pictures]
            names = (data.names[index] for index in chosen)
            decoded = decode_pictures(
                self.distill(),
                pictures.subset(chosen),
                self.folder / "finetune" / "decoded.npy",
                seed=self.recipe.seed,
                identity=digest([*names, *self.results()[1:]]),
            )
            model, _ = train_classifier(
                Joined([pictures.subset(pictures.train), decoded]),
                np.concatenate([pictures.labels(pictures.train), pictures.labels(chosen)]),
                pictures.subset(data.tune),
                pictures.labels(data.tune),
                len(data.classes),
                self._classifier_config("finetune"),
                initial=start,
            )
            save_keras(self._better(with_plain_normalisation(model), load_keras(start)), path)
        return load_keras(path)

    def _better(self, tuned: keras.Model, start: keras.Model) -> keras.Model:
        """Whichever knows more decoded tuning pictures: tuning a classifier again can harm it."""
        pictures, data = self.pictures, self.pictures.data
        chosen = pictures.tune[:COMPARED_PICTURES]
        decoded = decode_pictures(
            self.distill(),
            pictures.subset(chosen),
            self.folder / "finetune" / "compared.npy",
            seed=self.recipe.seed,
            identity=digest([*(data.names[index] for index in chosen), *self.results()[1:]]),
        )
        labels = pictures.labels(chosen)
        before, after = (
            accuracy(Towers(model).predict_on_batch, decoded, labels) for model in (start, tuned)
        )
        kept, word = (start, "the one before stays") if before > after else (tuned, "kept")
        logger.info(
            "finetune: %.3f of %d decoded tuning pictures right, %.3f before: %s",
            after,
            len(chosen),
            before,
            word,
        )
        return kept

    def results(self) -> tuple[Path, ...]:
        """The files that :meth:`export` exports: the classifier, then the autoencoder's."""
        classifier = "finetune" if self.recipe.finetune_pictures else "classifier"
        weights = self.folder / ("distill" if self.recipe.distill_steps else "pretrain") / "weights"
        return (
            self.folder / classifier / "classifier.keras",
            weights / "autoencoder.json",
            weights / PLAN,
            weights / "encoder.weights.h5",
            weights / "decoder.weights.h5",
        )

    def export(self, out: Path) -> None:
        """Write the checkpoint folder and measure it on reported pictures."""
        recipe = self.recipe
        indices = self.pictures.reported[: recipe.report_pictures]
        reported = self.pictures.subset(indices)
        stages = [self.folder / stage for stage in STAGES[:-1]]
        if recipe.architecture == "rtss23":
            export_published(
                out,
                self.distill(),
                images=self.pictures.all_train,
                reported=reported,
                card=self._card(),
            )
            draw_curves(stages, out / "curves.png")
            return
        classifier, autoencoder = self.finetune(), self.distill()
        parity = export_checkpoint(
            out,
            name=recipe.name,
            autoencoder=autoencoder,
            classifier=classifier,
            classes=self.pictures.class_names,
            images=self.pictures.all_train,
            fit=recipe.fit,
        )
        draw_curves(stages, out / "curves.png")
        before = [convert_classifier(self.classifier())] if recipe.finetune_pictures else []
        figures = measure_checkpoint(
            out,
            reported,
            self.pictures.labels(indices),
            others=before,
            on_progress=CountProgress(f"{recipe.name}: measured"),
        )
        titles = ("accuracy", "accuracy_without_finetune")
        accuracies = dict(zip(titles, figures, strict=False))
        seal_card(out, {**self._card(), **accuracies, "encoder_parity": asdict(parity)})
        logger.info("%s: %s", out, figures[0])

    def _card(self) -> dict[str, Any]:
        """What is known of the training."""
        data = self.pictures.data
        return {
            "data": {
                "name": Path(data.name).name,
                "training_pictures": len(data.train),
                "unlabeled_pictures": len(data.extra),
                "skipped_pictures": len(data.skipped),
                "sha256": hash_pictures(data),
            },
            "models": hash_models(self.recipe),
            "software": describe_software(),
            "recipe": without_folders(self.recipe),
            "history": {stage: last_evaluation(self.folder / stage) for stage in STAGES[:-1]},
            "seconds": {stage: stage_seconds(self.folder / stage) for stage in STAGES[:-1]},
            "notes": list(self.recipe.notes),
        }


def run_stages(run: Run, stages: Sequence[str], out: Path) -> None:
    """Run some stages in order; each is skipped where its result lies already.

    Raises:
        ConfigError: another process is at work in the run's folder, or see :meth:`Run.begin`.
    """
    with only_process(run.folder):
        run.begin()
        for stage in stages:
            started = time.monotonic()
            logger.info("stage %s", stage)
            if stage == "export":
                run.export(out)
            else:
                getattr(run, stage)()
            logger.info("stage %s: %.0f s", stage, time.monotonic() - started)
