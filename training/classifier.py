"""EfficientNetB0 for the user's classes: progressive resizing, augmentation, EMA, a teacher.

Source of the network: Tan, Le, "EfficientNet" (ICML 2019), as in Keras Applications.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from pnc.errors import ConfigError
from training.augment import crop_and_flip, jitter_colour
from training.files import load_keras
from training.loop import (
    JIT_COMPILE,
    Batch,
    LoopConfig,
    LoopState,
    averaging_momentum,
    fit,
    shuffled_indices,
)
from training.normalisation import refresh_input_scaling, with_fused_normalisation
from training.pictures import Pictures
from training.towers import Towers, in_towers


@dataclass(frozen=True)
class Phase:
    """One resolution of progressive resizing."""

    size: int
    """Side of the training crop, pixels."""
    epochs: float
    """Passes over the training set at this size."""
    batch_size: int = 32
    """Pictures a step."""
    min_area: float = 0.35
    """Smallest part of the picture that a crop keeps."""
    jitter: float = 0.3
    """Brightness, contrast and saturation each change by up to this share."""


@dataclass(frozen=True)
class ClassifierConfig:
    """Settings of the classifier stage."""

    run_dir: Path
    """Folder for state and metrics."""
    phases: Sequence[Phase] = ()
    """The resolutions, in order; none where single steps are made."""
    learning_rate: float = 2e-3
    """Peak of the schedule at 32 pictures a step."""
    weight_decay: float = 2e-2
    """Decoupled weight decay of AdamW."""
    label_smoothing: float = 0.1
    """Share of the target spread over all classes."""
    teacher_weight: float = 1.0
    """Weight of the teacher's term beside the labels' cross-entropy."""
    turn: bool = False
    """Whether pictures may be turned by quarters: for things that lie at any angle."""
    drop: bool = True
    """Whether dropout and stochastic depth act: runs of few epochs learn faster without."""
    seed: int = 0
    """Seed of initial weights, order and augmentation."""
    patience: int = 0
    """Evaluations (eight a run) without a better score after which it stops early; 0: never, and
    two evaluations."""
    max_seconds: float = float("inf")
    """Wall-clock budget, seconds."""


@keras.saving.register_keras_serializable("pnc")
class CosineOverWork(keras.optimizers.schedules.LearningRateSchedule):
    """Rises in a twentieth of the steps, then falls as a cosine of the work done, not the steps.

    A step on large pictures counts as much more as it costs, so that the few steps at full size
    still learn.

    Args:
        peak: highest learning rate.
        steps: number of steps in each phase.
        work: cost of one step in each phase, in any unit.
    """

    def __init__(self, peak: float, steps: Sequence[int], work: Sequence[float]) -> None:
        super().__init__()
        self._peak, self._steps, self._work = peak, list(steps), list(work)

    def __call__(self, step: Any) -> Any:
        """Learning rate of a step, a scalar."""
        step = ops.cast(step, "float32")
        done, start = 0.0, 0
        for count, cost in zip(self._steps, self._work, strict=True):
            done = done + cost * ops.clip(step - start, 0, count)
            start += count
        total = sum(c * w for c, w in zip(self._steps, self._work, strict=True))
        fall = 0.505 + 0.495 * ops.cos(np.pi * done / total)
        rise = ops.minimum((step + 1) / max(1, start // 20), 1.0)
        return self._peak * rise * fall

    def get_config(self) -> dict[str, Any]:
        """What the schedule is made of."""
        return {"peak": self._peak, "steps": self._steps, "work": self._work}


STEM = "stem_conv_pad"
"""EfficientNetB0's first layer after those that scale the pixels."""


def build_classifier(num_classes: int) -> keras.Model:
    """EfficientNetB0 with fresh weights.

    Returns:
        Float RGB 0..255 ``[n, h, w, 3]`` -> probabilities ``[n, num_classes]``.
    """
    trunk = keras.applications.EfficientNetB0(
        include_top=False, weights=None, input_shape=(None, None, 3)
    )
    pooled = keras.layers.GlobalAveragePooling2D(name="avg_pool")(trunk.output)
    x = keras.layers.Dropout(0.2, name="top_dropout")(pooled)
    probabilities = keras.layers.Dense(num_classes, activation="softmax", name="predictions")(x)
    classifier = keras.Model(trunk.input, probabilities, name="efficientnetb0")
    return with_fused_normalisation(classifier)


def ease_start(classifier: keras.Model) -> None:
    """Make a fresh EfficientNetB0 nearly linear, so that it learns from its first step.

    Every residual branch starts at zero (Goyal et al., arXiv 1706.02677, section 5.1), and every
    squeeze-and-excitation gate nearly open.
    """
    names = {layer.name for layer in classifier.layers}
    for layer in classifier.layers:
        is_last = layer.name.endswith("project_bn")
        if is_last and layer.name.replace("project_bn", "add") in names:
            layer.gamma.assign(ops.zeros_like(layer.gamma))
        elif layer.name.endswith("se_expand"):
            layer.bias.assign(ops.full_like(layer.bias, 2.0))


def start_from(classifier: keras.Model, file: Path) -> int:
    """Copy every weight whose layer name and shape fit from a Keras file of an EfficientNetB0.

    Returns:
        The number of weights copied.

    Raises:
        ConfigError: the file cannot be read, or nothing in it fits.
    """
    source = load_keras(file)
    weights = {weight.path: weight for weight in source.weights}
    copied = 0
    for weight in classifier.weights:
        if weight.path in weights and weights[weight.path].shape == weight.shape:
            weight.assign(weights[weight.path])
            copied += 1
    if not copied:
        raise ConfigError(f"initial weights {file}: no layer of it is one of EfficientNetB0's")
    _scale_input_alike(classifier, source)
    return copied


def _scale_input_alike(classifier: keras.Model, source: keras.Model) -> None:
    """Set the layer that scales pixels to what all layers before ``source``'s stem do together.

    Keras' ImageNet weights come with a second scaling, and no name tells such layers apart.
    """
    scalings = [x for x in classifier.layers if isinstance(x, keras.layers.Normalization)]
    if not scalings or all(layer.name != STEM for layer in source.layers):
        return
    before = keras.Model(source.input, source.get_layer(STEM).input)
    extremes = np.stack([np.full((32, 32, 3), level, np.float32) for level in (0, 255)])
    black, white = np.asarray(before(extremes))[:, 0, 0]
    scale = white - black
    (scaling,) = scalings
    scaling.adapt_mean.assign(-black / scale)
    scaling.adapt_variance.assign(scale**-2.0)
    refresh_input_scaling(classifier)


@keras.saving.register_keras_serializable("pnc")
class ClassifierTrainer(keras.Model):
    """A classifier with an auxiliary head that imitates a teacher on the same pooled features."""

    def __init__(
        self, classifier: keras.Model, num_teacher_outputs: int, config: ClassifierConfig
    ) -> None:
        super().__init__()
        self.classifier = classifier
        pooled = classifier.get_layer("avg_pool").output
        self.trunk = keras.Model(classifier.input, [pooled, classifier.output])
        self.imitate = keras.layers.Dense(num_teacher_outputs) if num_teacher_outputs else None
        self._smoothing = config.label_smoothing
        self._teacher_weight = config.teacher_weight

    def call(self, pictures: Any, training: bool = False) -> tuple[Any, ...]:
        """Float RGB ``[n, h, w, 3]`` -> probabilities and, with a teacher, its imitated logits."""

        def tower(part: Any) -> tuple[Any, ...]:
            pooled, probabilities = self.trunk(part, training=training)
            return (probabilities, self.imitate(pooled)) if self.imitate else (probabilities,)

        return in_towers(tower, pictures)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Cross-entropy with smoothed labels; with a teacher, plus that with its outputs."""
        labels = y[0]
        num_classes = y_pred[0].shape[-1]
        target = (
            ops.one_hot(labels, num_classes) * (1 - self._smoothing) + self._smoothing / num_classes
        )
        loss = ops.mean(keras.losses.categorical_crossentropy(target, y_pred[0]))
        if self.imitate:
            soft = ops.sum(-y[1] * ops.log_softmax(y_pred[1]), axis=-1)
            loss = loss + self._teacher_weight * ops.mean(soft)
        return loss


def batches(
    images: Pictures,
    labels: NDArray[np.int64],
    teacher: NDArray[np.float32] | None,
    config: ClassifierConfig,
) -> tuple[Callable[[int], Batch], list[int]]:
    """The pure batch function of the whole schedule, and the step at which each phase ends."""
    ends: list[int] = []
    for phase in config.phases:
        ends.append(
            (ends[-1] if ends else 0) + max(1, round(phase.epochs * len(images) / phase.batch_size))
        )

    def make(step: int) -> Batch:
        index = next(i for i, end in enumerate(ends) if step < end)
        phase = config.phases[index]
        rng = np.random.default_rng([config.seed, 1, step])
        picked = shuffled_indices(
            len(images),
            phase.batch_size,
            step - (ends[index - 1] if index else 0),
            config.seed + index,
        )
        crops = np.stack(
            [
                crop_and_flip(images[i], phase.size, rng, phase.min_area, turn=config.turn)
                for i in picked
            ]
        )
        x = jitter_colour(crops.astype(np.float32), rng, phase.jitter)
        y = (labels[picked],) if teacher is None else (labels[picked], teacher[picked])
        return x, y

    return make, ends


def accuracy(
    predict: Callable[[NDArray[np.float32]], Any], images: Pictures, labels: NDArray[np.int64]
) -> float:
    """Top-1 accuracy on whole pictures at their full size.

    Args:
        predict: float RGB ``[n, h, w, 3]`` -> probabilities ``[n, classes]``.
        images: the pictures.
        labels: their classes, ``[n]``.
    """
    right = 0
    for start in range(0, len(images), 32):
        probabilities = np.asarray(predict(images[start : start + 32].astype(np.float32)))
        right += int((np.argmax(probabilities, -1) == labels[start : start + 32]).sum())
    return right / len(images)


def teacher_targets(
    teacher: keras.Model, images: Pictures, temperature: float = 2.0
) -> NDArray[np.float32]:
    """The teacher's probabilities on whole pictures, softened: ``[n, k]``."""
    towers = Towers(teacher)
    parts = [
        np.asarray(towers.predict_on_batch(images[start : start + 32].astype(np.float32)))
        for start in range(0, len(images), 32)
    ]
    soft = np.concatenate(parts) ** (1 / temperature)
    return (soft / soft.sum(-1, keepdims=True)).astype(np.float32)


def train_classifier(
    images: Pictures,
    labels: NDArray[np.int64],
    tune_images: Pictures,
    tune_labels: NDArray[np.int64],
    num_classes: int,
    config: ClassifierConfig,
    *,
    teacher: NDArray[np.float32] | None = None,
    initial: Path | None = None,
) -> tuple[keras.Model, LoopState]:
    """Train EfficientNetB0 from nothing or from ``initial``, or resume.

    Returns:
        The classifier, with averaged weights, and the final state.
    """
    keras.utils.set_random_seed(config.seed)
    classifier = build_classifier(num_classes)
    if initial:
        start_from(classifier, initial)
    else:
        ease_start(classifier)
    if not config.drop:
        for layer in classifier.layers:
            if isinstance(layer, keras.layers.Dropout):
                layer.rate = 0.0
    trainer = ClassifierTrainer(classifier, 0 if teacher is None else teacher.shape[-1], config)
    make, ends = batches(images, labels, teacher, config)
    num_steps = ends[-1]
    schedule = CosineOverWork(
        config.learning_rate,
        np.diff(ends, prepend=0).tolist(),
        [phase.size**2 * phase.batch_size for phase in config.phases],
    )
    trainer.compile(
        keras.optimizers.AdamW(
            schedule,
            weight_decay=config.weight_decay,
            clipnorm=1.0,
            use_ema=True,
            ema_momentum=averaging_momentum(num_steps),
        ),
        jit_compile=JIT_COMPILE,
    )
    trainer(np.zeros((1, 64, 64, 3), np.float32))
    state = fit(
        trainer,
        make,
        LoopConfig(
            num_steps,
            config.run_dir,
            max_seconds=config.max_seconds,
            patience=config.patience,
            evaluate_every=math.ceil(num_steps / (8 if config.patience else 2)),
        ),
        evaluate=lambda: {
            "score": accuracy(
                lambda batch: trainer.predict_on_batch(batch)[0], tune_images, tune_labels
            )
        },
    )
    return classifier, state
