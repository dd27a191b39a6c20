"""Training of the autoencoder with tail-drop.

``pretrain`` minimises squared error, ``distill`` a frozen classifier's loss.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from pnc.codec.layers import LayerPlan, plan_steps
from training.architectures import (
    ARCHITECTURES,
    PICTURE_SIZE,
    Architecture,
    start_from_transform,
)
from training.augment import crop_and_flip
from training.files import write_json
from training.layering import Layering, fit_layering
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
from training.tail_drop import TailDrop
from training.towers import in_towers

MIN_BUDGET_BYTES = 100
"""Smallest random byte budget of tail-drop: less than one packet."""
MAX_BUDGET_BYTES = 7000
"""Largest one: beyond it the picture is as good as it gets."""

LAYERING_PICTURES = 600
"""Training pictures that order the layers: 150,000 symbols a channel."""

PUBLISHED_SHIFT = 2
"""The published scheme sends six of eight bits of each feature."""


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
    """Encoder, layer order and decoder of one architecture.

    Attributes:
        architecture: what was built.
        encoder, decoder: Keras models, see :mod:`training.architectures`.
        layering: the priority order that tail-drop cuts.
    """

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture
        self.encoder, self.decoder = architecture.build()
        self.layering: Layering | None = None

    @classmethod
    def fresh(cls, name: str, images: Pictures, seed: int = 0) -> Autoencoder:
        """A new autoencoder; ``lite`` starts from the Karhunen-Loeve transform of the pictures."""
        keras.utils.set_random_seed(seed)
        autoencoder = cls(ARCHITECTURES[name])
        if name == "lite":
            start_from_transform(
                autoencoder.encoder, autoencoder.decoder, images[:LAYERING_PICTURES]
            )
        autoencoder.order_layers(images)
        return autoencoder

    def order_layers(self, images: Pictures) -> Layering:
        """Fit the priority order to what the encoder makes of some pictures."""
        symbols = self.symbols(images[:LAYERING_PICTURES])
        whole = None if self.architecture.tells_received else PUBLISHED_SHIFT
        self.layering = fit_layering(symbols, self.architecture.zero_point, whole_channels=whole)
        return self.layering

    def symbols(self, images: Pictures) -> NDArray[np.uint8]:
        """The symbols that training sees: uint8 ``[n, height, width, channels]``."""
        zero = self.architecture.zero_point
        parts = [
            np.asarray(self.encoder.predict_on_batch(images[start : start + 32].astype(np.float32)))
            for start in range(0, len(images), 32)
        ]
        return np.clip(np.round(np.concatenate(parts)) + zero, 0, 255).astype(np.uint8)

    def reconstruct(self, pictures: Any, cuts: Any, training: bool = False) -> Any:
        """Pictures through encoder, cut stream and decoder.

        Args:
            pictures: float RGB 0..255 ``[n, 224, 224, 3]``.
            cuts: float ``[n]``, see :class:`training.tail_drop.TailDrop`.
            training: as in Keras.

        Returns:
            Float ``[n, 224, 224, 3]``, not clipped.
        """
        side = self.architecture.grid[0] * pictures.shape[1] // PICTURE_SIZE
        plan = replace(self.plan_layering.plan, height=side, width=side)
        drop = TailDrop(plan, self.plan_layering.reconstruction)
        restored, received = drop(self.encoder(pictures, training=training), cuts)
        inputs = [restored, received] if self.architecture.tells_received else restored
        return self.decoder(inputs, training=training)

    @property
    def plan_layering(self) -> Layering:
        """The priority order.

        Raises:
            RuntimeError: it was not fitted yet.
        """
        if self.layering is None:
            raise RuntimeError("order_layers() comes before training")
        return self.layering

    def save(self, folder: Path) -> None:
        """Write weights to ``folder``; the order comes last and says that all is there."""
        folder.mkdir(parents=True, exist_ok=True)
        self.encoder.save_weights(folder / "encoder.weights.h5")
        self.decoder.save_weights(folder / "decoder.weights.h5")
        layering = self.plan_layering
        record = {
            "architecture": self.architecture.name,
            "steps": layering.plan.steps,
            "reconstruction": layering.reconstruction.tolist(),
            "layer_bytes": layering.layer_bytes.tolist(),
        }
        write_json(folder / "autoencoder.json", record)

    @classmethod
    def load(cls, folder: Path) -> Autoencoder:
        """Read what :meth:`save` wrote."""
        record = json.loads((folder / "autoencoder.json").read_text(encoding="utf-8"))
        autoencoder = cls(ARCHITECTURES[record["architecture"]])
        autoencoder.encoder.load_weights(folder / "encoder.weights.h5")
        autoencoder.decoder.load_weights(folder / "decoder.weights.h5")
        architecture = autoencoder.architecture
        plan = LayerPlan(*architecture.grid, architecture.zero_point, plan_steps(record["steps"]))
        autoencoder.layering = Layering(
            plan,
            np.asarray(record["reconstruction"], np.float32),
            np.asarray(record["layer_bytes"]),
        )
        return autoencoder


@keras.saving.register_keras_serializable("pnc")
class AutoencoderTrainer(keras.Model):
    """Encoder, tail-drop and decoder under one loss; its input is ``(pictures, cuts)``."""

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
        x_hat = in_towers(reconstruct, *inputs)
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
        pictures = x[0]
        if self._judge is None:
            mse = ops.mean(ops.square(pictures - y_pred))
            terms = {"loss": mse / 1000.0, "mse": mse}
        else:
            terms = getattr(self._judge, self._loss_name)(pictures, y_pred)
        for name, value in terms.items():
            if name in self.trackers:
                self.trackers[name].update_state(value)
        return terms["loss"]


def random_cuts(
    layering: Layering, num_cuts: int, rng: np.random.Generator, *, whole_layers: bool = False
) -> NDArray[np.float32]:
    """Places to cut a stream, for byte budgets that are uniform in their logarithm.

    With ``whole_layers`` the cut is uniform over layer counts, as published.

    Returns:
        float32 ``[num_cuts]``, in layers.
    """
    num_layers = len(layering.plan.steps)
    if whole_layers:
        return rng.integers(1, num_layers + 1, num_cuts).astype(np.float32)
    budgets = np.exp(rng.uniform(np.log(MIN_BUDGET_BYTES), np.log(MAX_BUDGET_BYTES), num_cuts))
    return cuts_at(layering, budgets)


def cuts_at(layering: Layering, num_bytes: NDArray[np.float64]) -> NDArray[np.float32]:
    """Layers that a mean picture's stream holds after some bytes."""
    ends = np.concatenate([[0.0], np.cumsum(layering.layer_bytes)])
    return np.interp(num_bytes, ends, np.arange(len(ends))).astype(np.float32)


def batches(
    images: Pictures, layering: Layering, config: AutoencoderConfig, *, whole_layers: bool
) -> Callable[[int], Batch]:
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
        cuts = random_cuts(layering, config.batch_size, rng, whole_layers=whole_layers)
        pictures = crops.astype(np.float32)
        return (pictures, cuts), pictures[:, 0, 0, 0]

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
    whole_layers = not autoencoder.architecture.tells_received
    layering = autoencoder.plan_layering

    def evaluate() -> dict[str, float]:
        if tune_images is None:
            return {}
        figures = {}
        for num_bytes in (512, 1024, 2048):
            cut = cuts_at(layering, np.full(1, float(num_bytes)))
            losses = []
            for start in range(0, len(tune_images), 16):
                x = tune_images[start : start + 16].astype(np.float32)
                y = trainer.compute_loss((x,), y_pred=trainer((x, np.repeat(cut, len(x)))))
                losses.append(float(y))
            figures[f"loss_at_{num_bytes}"] = float(np.mean(losses))
        return {"score": -sum(figures.values()), **figures}

    return fit(
        trainer,
        batches(images, layering, config, whole_layers=whole_layers),
        LoopConfig(
            config.num_steps,
            config.run_dir,
            max_seconds=config.max_seconds,
            patience=config.patience,
            evaluate_every=max(1, config.num_steps // 8) if config.patience else 0,
        ),
        evaluate=evaluate,
    )
