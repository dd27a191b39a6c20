"""Training speed of the architectures, interleaved so that a busy machine slows both alike."""

from __future__ import annotations

import os
import platform
import statistics
import time
from typing import Any

import keras
import numpy as np

from training.architectures import ARCHITECTURES
from training.autoencoder import Autoencoder, AutoencoderTrainer
from training.loop import JIT_COMPILE

NUM_WARM_UP_STEPS = 2
"""Rounds that are not timed: TensorFlow traces a step anew once the other model is there, too."""


def measure_speed(num_steps: int, batch_size: int) -> dict[str, Any]:
    """Time single optimizer steps on squared error at 224 x 224.

    Returns:
        ``{"pictures_per_second": {name: median}, "ratio": lapped over rtss23,
        "ratio_lowest", "ratio_highest": of the paired steps, ...}``.
    """
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (32, 224, 224, 3), np.uint8)
    pictures = images[:batch_size].astype(np.float32)
    trainers, cuts = {}, {}
    for name in ARCHITECTURES:
        autoencoder = Autoencoder.fresh(name, images)
        trainer = AutoencoderTrainer(autoencoder, "mse", None)
        trainer.compile(keras.optimizers.AdamW(1e-4), jit_compile=JIT_COMPILE)
        trainers[name] = trainer
        cuts[name] = autoencoder.cuts.at(1024, batch_size)
    seconds: dict[str, list[float]] = {name: [] for name in trainers}
    for step in range(NUM_WARM_UP_STEPS + num_steps):
        for name, trainer in trainers.items():
            started = time.perf_counter()
            trainer.train_on_batch((pictures, cuts[name]), pictures[:, 0, 0, 0])
            if step >= NUM_WARM_UP_STEPS:
                seconds[name].append(time.perf_counter() - started)
    speeds = {name: batch_size / statistics.median(times) for name, times in seconds.items()}
    paired = [slow / fast for fast, slow in zip(seconds["lapped"], seconds["rtss23"], strict=True)]
    return {
        "command": f"pnc train speed --steps {num_steps} --batch-size {batch_size}",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "backend": keras.backend.backend(),
        "n": num_steps,
        "seconds_per_step": seconds,
        "pictures_per_second": speeds,
        "ratio": speeds["lapped"] / speeds["rtss23"],
        "ratio_lowest": min(paired),
        "ratio_highest": max(paired),
    }
