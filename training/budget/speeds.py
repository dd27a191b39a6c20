"""What a step of each kind costs on this machine."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from training import classifier as classifiers
from training.architectures import ARCHITECTURES
from training.autoencoder import Autoencoder, AutoencoderTrainer
from training.classifier import ClassifierConfig, ClassifierTrainer
from training.loop import JIT_COMPILE
from training.losses import Judge, load_judge
from training.pictures import Pictures
from training.recipe import Recipe
from training.views import random_views

FORWARD_SHARE = 0.4
"""A look at a picture costs so much of a training step on it."""

SIZES = (96, 160)
"""Sides at which the classifier's steps are timed."""


@dataclass(frozen=True)
class Speeds:
    """Seconds of work on this machine."""

    classifier_fixed_s: float
    """A training step of the classifier: the part that does not depend on the pictures' size."""
    classifier_pixel_s: float
    """The other part, for each pixel of one picture."""
    autoencoder_s: float
    """A step of 16 pictures on squared error."""
    distill_s: float
    """The same through the judge."""
    begin_s: float
    """Building and tracing what a stage trains."""

    def classifier_step(self, size: int, batch_size: int = 32) -> float:
        """A training step of the classifier, seconds."""
        return self.classifier_fixed_s + self.classifier_pixel_s * size**2 * batch_size

    @property
    def look_s(self) -> float:
        """The classifier's answer to one whole picture."""
        return FORWARD_SHARE * self.classifier_step(224) / 32

    @property
    def decode_s(self) -> float:
        """One picture through encoder, cut stream and decoder."""
        return FORWARD_SHARE * self.autoencoder_s / 16


def measure_speeds(recipe: Recipe, images: Pictures, num_classes: int) -> Speeds:
    """Time single steps of each kind on some pictures of the run.

    Args:
        recipe: what will be trained.
        images: training pictures; 32 are used.
        num_classes: of the classifier.
    """
    pictures = images[:32].astype(np.float32)
    pictures = np.resize(pictures, (32, *pictures.shape[1:]))
    labels = np.arange(32) % num_classes
    started = time.perf_counter()
    model = classifiers.build_classifier(num_classes)
    trainer = ClassifierTrainer(model, 0, ClassifierConfig(Path()))
    trainer.compile(keras.optimizers.AdamW(1e-5, use_ema=True), jit_compile=JIT_COMPILE)
    trainer(pictures[:1, :64, :64])
    steps = {}
    begin = 0.0
    for size in SIZES:
        crops = pictures[:, :size, :size]
        trainer.train_on_batch(crops, (labels,))
        begin = begin or time.perf_counter() - started
        steps[size] = _median_seconds(functools.partial(trainer.train_on_batch, crops, (labels,)))
    small, large = (steps[size] for size in SIZES)
    per_pixel = max(large - small, 0.1 * large) / ((SIZES[1] ** 2 - SIZES[0] ** 2) * 32)
    fixed = max(0.0, small - per_pixel * SIZES[0] ** 2 * 32)
    autoencoder = Autoencoder(ARCHITECTURES[recipe.architecture])
    autoencoder.fit_plan(images[:32])
    cuts = autoencoder.cuts.at(1024, 16)
    teacher = load_judge(Path(recipe.teacher)) if recipe.teacher else model
    judge = Judge(teacher, *(load_judge(Path(file)) for file in recipe.judges))
    x: tuple[NDArray[np.float32], ...] = (pictures[:16], cuts)
    mse = _step_seconds(AutoencoderTrainer(autoencoder, "mse", None), x)
    if recipe.distill_loss == "features":
        x = (*x, random_views(16, np.random.default_rng(0)))
    distill = _step_seconds(AutoencoderTrainer(autoencoder, recipe.distill_loss, judge), x)
    return Speeds(fixed, per_pixel, mse, distill, begin)


def _step_seconds(trainer: AutoencoderTrainer, x: tuple[NDArray[np.float32], ...]) -> float:
    trainer.compile(keras.optimizers.AdamW(1e-5, use_ema=True), jit_compile=JIT_COMPILE)
    step = functools.partial(trainer.train_on_batch, x, x[0][:, 0, 0, 0])
    step()
    return _median_seconds(step)


def _median_seconds(step: Callable[[], Any], *, least: int = 2, at_most_s: float = 3.0) -> float:
    times: list[float] = []
    while len(times) < least or (sum(times) < at_most_s and len(times) < 8):
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    return statistics.median(times)
