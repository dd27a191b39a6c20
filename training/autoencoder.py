"""Training of the autoencoder with tail-drop.

``pretrain`` minimises squared error, ``distill`` a frozen classifier's loss.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from pnc.codec.checkpoint import PLAN
from pnc.codec.plan import plan_from_bytes, plan_to_bytes
from pnc.errors import ConfigError, PncError
from training.architectures import (
    ARCHITECTURES,
    PICTURE_SIZE,
    Architecture,
    start_from_transform,
    start_published_from_transform,
)
from training.augment import crop_and_flip
from training.cuts import Cuts, FeatureCuts, StreamCuts
from training.files import read_json, replacing, write_json
from training.lapping import lap, lapped, unlap
from training.loop import (
    JIT_COMPILE,
    Batch,
    LoopConfig,
    LoopState,
    averaging_momentum,
    fit,
    shuffled_indices,
)
from training.losses import Judge
from training.pictures import Pictures
from training.plan import FittedPlan, fit_plan, scale_within
from training.towers import in_towers
from training.views import random_views

TRANSFORM_PICTURES = 600
"""Training pictures whose patches give the transform that encoders start from."""

TAIL_DROP_PICTURES = 200
"""Training pictures that tail-drop's plan is fitted to: 51,200 symbols a channel."""


@dataclass(frozen=True)
class AutoencoderConfig:
    """Settings of one stage."""

    run_dir: Path
    """Folder for state and metrics."""
    num_steps: int
    """Optimizer steps."""
    batch_size: int = 16
    """Pictures a step."""
    learning_rate: float = 8e-4
    """Peak of the cosine schedule."""
    weight_decay: float = 1e-2
    """Decoupled weight decay of AdamW."""
    loss: Literal["mse", "published", "features"] = "mse"
    """What is minimised; all but ``mse`` need a judge."""
    window: int = PICTURE_SIZE
    """Side of the random window of each picture that is trained on, pixels; below 224 only for
    ``rtss23``."""
    seed: int = 0
    """Seed of order, crops and budgets."""
    patience: int = 0
    """Evaluations (eight a run) without a better score after which it stops early; 0: never."""
    max_seconds: float = float("inf")
    """Wall-clock budget, seconds."""


class Autoencoder:
    """Encoder, coding plan and decoder of one architecture.

    Only the decoder is trained, the encoder stays the transform that it starts as. Trained through
    the decoder it sends what helps the judges and pays in bytes, which no loss counts (experiment
    0016); and the last features of ``rtss23`` would die out (their ReLU gives 0, and then no
    gradient).

    Attributes:
        architecture: what was built.
        encoder, decoder: Keras models, see :mod:`training.architectures`.
    """

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture
        self.encoder, self.decoder = architecture.build()
        self.encoder.trainable = False
        self._fitted: FittedPlan | None = None
        self._cuts: Cuts | None = None

    @classmethod
    def fresh(cls, name: str, images: Pictures, seed: int = 0) -> Autoencoder:
        """A new autoencoder that starts from the Karhunen-Loeve transform of the pictures."""
        keras.utils.set_random_seed(seed)
        autoencoder = cls(ARCHITECTURES[name])
        sample = lapped(images[:TRANSFORM_PICTURES], autoencoder.architecture.lapping)
        if autoencoder.architecture.tells_received:
            start_from_transform(autoencoder.encoder, autoencoder.decoder, sample)
        else:
            start_published_from_transform(autoencoder.encoder, sample)
        autoencoder.fit_plan(images)
        return autoencoder

    @property
    def relative_steps(self) -> NDArray[np.float32]:
        """One symbol of each channel in the largest of them, float32 ``[channels]``."""
        if not self.architecture.tells_received:
            return np.ones(self.architecture.grid[2], np.float32)
        projection = self.encoder.get_layer("projection")
        steps: NDArray[np.float32] = np.asarray(projection.steps, np.float32)
        return steps / np.float32(projection.step)

    def fit_plan(self, images: Pictures, scale: NDArray[np.float32] | None = None) -> None:
        """Fit the plan that tail-drop cuts to what the encoder makes of some pictures.

        Args:
            images: training pictures.
            scale: of each coefficient, ``[height, width, channels]``; that of the plan before, or
                one that makes up for the steps of channels, if absent.
        """
        symbols = self.symbols(images[:TAIL_DROP_PICTURES])
        if scale is None and self._fitted is not None:
            scale = self._fitted.plan.grid.scale
        elif scale is None:
            scale = np.broadcast_to(self.relative_steps, self.architecture.grid)
        self._set_plan(fit_plan(symbols, self.architecture.zero_point, scale))

    def fit_plan_within(
        self, images: Pictures, scale: NDArray[np.float32], num_bytes: float
    ) -> None:
        """:meth:`fit_plan`, the scale smaller where whole streams would be longer on average."""
        self.fit_plan(images, scale)
        self.fit_plan(images, scale_within(self.fitted, num_bytes))

    def _set_plan(self, fitted: FittedPlan) -> None:
        self._fitted = fitted
        channels = self.architecture.grid[2]
        self._cuts = (
            StreamCuts(fitted)
            if self.architecture.tells_received
            else FeatureCuts(channels, fitted.segment_bytes.sum() / channels)
        )

    @property
    def fitted(self) -> FittedPlan:
        """The coding plan and its sizes.

        Raises:
            RuntimeError: it was not fitted yet.
        """
        if self._fitted is None:
            raise RuntimeError("fit_plan() comes before training")
        return self._fitted

    @property
    def cuts(self) -> Cuts:
        """How training cuts what the encoder makes.

        Raises:
            RuntimeError: the plan was not fitted yet.
        """
        if self._cuts is None:
            raise RuntimeError("fit_plan() comes before training")
        return self._cuts

    def symbols(self, images: Pictures) -> NDArray[np.uint8]:
        """The symbols that training sees: uint8 ``[n, height, width, channels]``."""
        zero, lapping = self.architecture.zero_point, self.architecture.lapping
        batches = (
            lapped(images[start : start + 32], lapping) for start in range(0, len(images), 32)
        )
        parts = [
            np.asarray(self.encoder.predict_on_batch(batch.astype(np.float32))) for batch in batches
        ]
        return np.clip(np.round(np.concatenate(parts)) + zero, 0, 255).astype(np.uint8)

    def reconstruct(self, pictures: Any, cuts: Any, training: bool = False) -> Any:
        """Pictures through encoder, cut stream and decoder.

        Args:
            pictures: float RGB 0..255 ``[n, 224, 224, 3]``.
            cuts: float ``[n, ...]``, see :class:`training.cuts.Cuts`.
            training: as in Keras.

        Returns:
            Float ``[n, 224, 224, 3]``, not clipped.
        """
        return self.synthesise(*self.cuts.drop(self.analyse(pictures), cuts), training=training)

    def analyse(self, pictures: Any) -> Any:
        """The encoder's values of pictures, float RGB 0..255 ``[n, 224, 224, 3]``."""
        return self.encoder(lap(pictures, self.architecture.lapping))

    def synthesise(self, restored: Any, received: Any, training: bool = False) -> Any:
        """Pictures, not clipped, from what is left of values and how much of each arrived."""
        inputs = [restored, received] if self.architecture.tells_received else restored
        return unlap(self.decoder(inputs, training=training), self.architecture.lapping)

    def compiled(self) -> Callable[[Any, Any], NDArray[np.float32]]:
        """:meth:`reconstruct` for many batches with the plan of now: one graph, on all cores.

        Clipped to 0..255, softly, as in training.
        """
        trainer = AutoencoderTrainer(self, "mse", None)
        trainer.compile(jit_compile=JIT_COMPILE)
        return lambda pictures, cuts: trainer.predict_on_batch((pictures, cuts))

    def save(self, folder: Path) -> None:
        """Write weights and plan to ``folder``; a record comes last and says that all is there."""
        folder.mkdir(parents=True, exist_ok=True)
        self.encoder.save_weights(folder / "encoder.weights.h5")
        self.decoder.save_weights(folder / "decoder.weights.h5")
        fitted = self.fitted
        with replacing(folder / PLAN) as path:
            path.write_bytes(plan_to_bytes(fitted.plan))
        write_json(
            folder / "autoencoder.json",
            {
                "architecture": self.architecture.name,
                "segment_bytes": fitted.segment_bytes.tolist(),
            },
        )

    @classmethod
    def load(cls, folder: Path) -> Autoencoder:
        """Read what :meth:`save` wrote.

        Raises:
            ConfigError: it is damaged, or of a version whose networks were others.
        """
        record = read_json(folder / "autoencoder.json", "delete the folder")
        try:
            autoencoder = cls(ARCHITECTURES[record["architecture"]])
            autoencoder.encoder.load_weights(folder / "encoder.weights.h5")
            autoencoder.decoder.load_weights(folder / "decoder.weights.h5")
            plan = plan_from_bytes((folder / PLAN).read_bytes())
            autoencoder._set_plan(FittedPlan(plan, np.asarray(record["segment_bytes"])))
        except (OSError, ValueError, KeyError, PncError) as error:
            reason = str(error).partition("\n")[0]
            raise ConfigError(
                f"{folder}: damaged or of another version ({reason}); delete the folder and train "
                "it again",
                path=folder,
            ) from error
        return autoencoder


@keras.saving.register_keras_serializable("pnc")
class AutoencoderTrainer(keras.Model):
    """Encoder, tail-drop and decoder under one loss.

    Its input is ``(pictures, cuts)`` or, with views for the judge, ``(pictures, cuts, views)``.
    """

    def __init__(self, autoencoder: Autoencoder, loss: str, judge: Judge | None) -> None:
        super().__init__()
        self.encoder, self.decoder = autoencoder.encoder, autoencoder.decoder
        self._autoencoder = autoencoder
        self._judge = judge
        self._loss_name = loss
        self.trackers = {name: keras.metrics.Mean(name=name) for name in ("kl", "features", "mse")}

    def call(self, inputs: Sequence[Any], training: bool = False) -> Any:
        """Decoded pictures; values outside 0..255 keep a faint gradient."""
        reconstruct = functools.partial(self._autoencoder.reconstruct, training=training)
        x_hat = in_towers(reconstruct, *inputs[:2])
        clipped = ops.clip(x_hat, 0.0, 255.0)
        return clipped + 0.01 * (x_hat - clipped)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Squared error over 1,000, or the judge's loss."""
        pictures, views = x[0], x[2:]
        if self._judge is None:
            mse = ops.mean(ops.square(pictures - y_pred))
            terms = {"loss": mse / 1000.0, "mse": mse}
        else:
            terms = getattr(self._judge, self._loss_name)(pictures, y_pred, *views)
        for name, value in terms.items():
            if name in self.trackers:
                self.trackers[name].update_state(value)
        return terms["loss"]


def batches(images: Pictures, cuts: Cuts, config: AutoencoderConfig) -> Callable[[int], Batch]:
    """The pure batch function: crops of the pictures and random cuts."""

    def make(step: int) -> Batch:
        rng = np.random.default_rng([config.seed, 2, step])
        picked = shuffled_indices(len(images), config.batch_size, step, config.seed)
        crops = np.stack(
            [crop_and_flip(images[i], PICTURE_SIZE, rng, min_area=0.6) for i in picked]
        )
        if config.window < PICTURE_SIZE:
            top, left = rng.integers(0, PICTURE_SIZE - config.window + 1, 2)
            crops = crops[:, top : top + config.window, left : left + config.window]
        pictures = crops.astype(np.float32)
        x: tuple[NDArray[np.float32], ...] = (pictures, cuts.random(config.batch_size, rng))
        if config.loss == "features":
            x = (*x, random_views(config.batch_size, rng))
        return x, pictures[:, 0, 0, 0]

    return make


def train_autoencoder(
    autoencoder: Autoencoder,
    images: Pictures,
    config: AutoencoderConfig,
    *,
    judge: Judge | None = None,
    tune_images: Pictures | None = None,
) -> LoopState:
    """Run (or resume) one stage; afterwards the autoencoder carries the averaged weights."""
    trainer = AutoencoderTrainer(autoencoder, config.loss, judge)
    warmup = min(200, config.num_steps // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        config.learning_rate / 50,
        config.num_steps - warmup,
        0.02,
        warmup_target=config.learning_rate,
        warmup_steps=warmup,
    )
    trainer.compile(
        keras.optimizers.AdamW(
            schedule,
            weight_decay=config.weight_decay,
            clipnorm=1.0,
            use_ema=True,
            ema_momentum=averaging_momentum(config.num_steps),
        ),
        jit_compile=JIT_COMPILE,
    )

    def evaluate() -> dict[str, float]:
        if tune_images is None:
            return {}
        figures = {}
        for num_bytes in (512, 1024, 2048):
            trainer.reset_metrics()
            for start in range(0, len(tune_images), 16):
                x = tune_images[start : start + 16].astype(np.float32)
                means = trainer.test_on_batch(
                    (x, autoencoder.cuts.at(num_bytes, len(x))), x[:, 0, 0, 0], return_dict=True
                )
            figures[f"loss_at_{num_bytes}"] = float(means["loss"])
        trainer.reset_metrics()
        return {"score": -sum(figures.values()), **figures}

    return fit(
        trainer,
        batches(images, autoencoder.cuts, config),
        LoopConfig(
            config.num_steps,
            config.run_dir,
            max_seconds=config.max_seconds,
            patience=config.patience,
            evaluate_every=math.ceil(config.num_steps / 8) if config.patience else 0,
        ),
        evaluate=evaluate,
    )
