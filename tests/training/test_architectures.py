from __future__ import annotations

import ast
from math import prod
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from pnc.codec.lapping import LAPPINGS, SPREAD
from training.architectures import (
    ARCHITECTURES,
    LAPPED_CHANNELS,
    RTSS23_CHANNELS,
    build_lapped,
    build_rtss23,
    finer_steps,
    start_published_from_transform,
)
from training.autoencoder import Autoencoder
from training.pictures import Joined
from training.projection import (
    COMPONENT_KERNEL,
    PatchProjection,
    components,
    principal_directions,
    to_patches,
)

TRAINING = Path(__file__).resolve().parents[2] / "training"


def count_macs(model: keras.Model, *shapes: tuple[int, ...]) -> int:
    """Multiply-accumulates of one run: every use of a kernel, by the positions it is used at."""
    outputs = [layer.output for layer in model.layers]
    inputs = [layer.input for layer in model.layers]
    probe = keras.Model(model.inputs, [outputs, [i for i in inputs if not isinstance(i, list)]])
    found, given = probe([np.zeros((1, *shape), np.float32) for shape in shapes])
    single = iter(given)
    total = 0
    for layer, output, taken in zip(model.layers, found, inputs, strict=True):
        entered = None if isinstance(taken, list) else next(single)
        if isinstance(layer, PatchProjection):
            total += prod(layer.directions.shape) * prod(output.shape[1:3])
            total += prod(COMPONENT_KERNEL.shape) * prod(components(entered).shape[1:3])
        elif isinstance(layer, keras.layers.Conv2DTranspose):
            assert entered is not None
            total += prod(layer.kernel.shape) * prod(entered.shape[1:3])
        elif isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            total += prod(layer.kernel.shape) * prod(output.shape[1:3])
        elif isinstance(layer, keras.layers.Dense):
            total += prod(layer.kernel.shape) * prod(output.shape[1:-1])
    return total


def test_rtss23_has_the_published_numbers_of_parameters() -> None:
    encoder, decoder = build_rtss23()
    assert encoder.count_params() == 5_354
    assert decoder.count_params() == 361_027
    assert encoder.compute_output_shape((1, 224, 224, 3)) == (1, 32, 32, 10)
    assert decoder.compute_output_shape((1, 32, 32, 10)) == (1, 224, 224, 3)
    assert 5e6 < count_macs(encoder, (224, 224, 3)) < 6e6
    assert 15e9 < count_macs(decoder, (32, 32, 10)) < 16e9


def test_lapped_is_cheap() -> None:
    encoder, decoder = build_lapped()
    grid = (16, 16, LAPPED_CHANNELS)
    assert encoder.compute_output_shape((1, 224, 224, 3)) == (1, *grid)
    lapping = LAPPINGS["lapped"]
    borders = 224 // lapping.patch - 1
    filtering = 2 * borders * 224 * 3 * len(lapping.weights) ** 2
    halving, projecting = 2 * 2 * 3 * 6 * 112**2, 7 * 7 * 6 * LAPPED_CHANNELS * 256
    assert count_macs(encoder, (224, 224, 3)) == halving + projecting <= 10e6 - filtering
    assert 0.3e9 < count_macs(decoder, grid, grid) <= 1e9


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_grids_are_what_the_models_make(name: str) -> None:
    architecture = ARCHITECTURES[name]
    encoder, decoder = architecture.build()
    assert encoder.compute_output_shape((2, 224, 224, 3)) == (2, *architecture.grid)
    assert len(decoder.inputs) == 1 + architecture.tells_received


def test_layers_survive_saving(tmp_path: Path) -> None:
    encoder, decoder = build_lapped()
    for model, shape in ((encoder, (224, 224, 3)), (decoder, (16, 16, LAPPED_CHANNELS))):
        model.save(tmp_path / "model.keras")
        again = keras.models.load_model(tmp_path / "model.keras", compile=False)
        given: Any = np.random.default_rng(0).uniform(0, 255, (1, *shape)).astype(np.float32)
        given = given if model is encoder else [given, given]
        assert np.array_equal(np.asarray(model(given)), np.asarray(again(given)))


def test_rtss23_starts_as_the_transform_and_no_feature_is_dead(
    pictures: NDArray[np.uint8],
) -> None:
    encoder, _ = build_rtss23()
    start_published_from_transform(encoder, pictures)
    x = pictures[:4].astype(np.float32)
    features = np.asarray(encoder(x)).reshape(-1, RTSS23_CHANNELS)
    patches = np.asarray(to_patches(x, 7)).reshape(-1, 147)
    everything = np.asarray(to_patches(pictures.astype(np.float32) - 127.5, 7))
    wanted = patches @ principal_directions(everything, RTSS23_CHANNELS)
    assert (features > 0).mean(0).min() > 0.9
    assert features.max() < 256
    for feature, projection in zip(features.T, wanted.T, strict=True):
        alive = feature > 0
        assert np.corrcoef(feature[alive], projection[alive])[0, 1] > 0.9999


def test_lapped_starts_as_the_transform_and_its_inverse(
    lapped: Autoencoder, pictures: NDArray[np.uint8]
) -> None:
    projection = lapped.encoder.get_layer("projection")
    synthesis = lapped.decoder.get_layer("synthesis").kernel
    assert np.array_equal(np.asarray(synthesis), SPREAD * projection.synthesis())
    everything = lapped.cuts.at(1e6, 2)
    x = pictures[:2].astype(np.float32)
    error = np.asarray(lapped.reconstruct(x, everything)) - x
    assert np.sqrt(np.mean(np.square(error))) < 25


def test_steps_are_fine_where_values_are_small() -> None:
    spreads = np.array([0.1, 5.0, 60.0], np.float32)
    values = np.random.default_rng(0).normal(0, spreads, (40_000, 3)).astype(np.float32)
    assert np.allclose(finer_steps(values), [8.0, 127 / (2.5 * 19.45), 1.0], rtol=0.05)


def test_hardly_a_symbol_leaves_its_eight_bits(
    lapped: Autoencoder, pictures: NDArray[np.uint8]
) -> None:
    steps = lapped.relative_steps
    assert steps.max() == 1
    assert steps.min() < 0.5
    symbols = lapped.symbols(pictures)
    assert np.isin(symbols, (0, 255)).mean() < 1e-5
    assert lapped.fitted.plan.grid.scale.shape == lapped.architecture.grid
    assert np.array_equal(lapped.fitted.plan.grid.scale[3, 3], steps)


def test_pictures_in_several_places(pictures: NDArray[np.uint8]) -> None:
    both = Joined([pictures[:3], pictures[3:5]])
    assert len(both) == 5
    assert np.array_equal(both[4], pictures[4])
    assert np.array_equal(both[1:5], pictures[1:5])
    with pytest.raises(IndexError, match="picture 5"):
        both[5]


def imports_of_tensorflow(tree: ast.AST, *, top: bool) -> bool:
    nodes = ast.iter_child_nodes(tree) if top else ast.walk(tree)
    for node in nodes:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        if any(name.split(".")[0] in {"tensorflow", "torch", "jax"} for name in names):
            return True
    return False


@pytest.mark.parametrize("path", sorted(TRAINING.glob("*.py")), ids=lambda path: path.stem)
def test_models_and_stages_train_on_any_backend(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not imports_of_tensorflow(tree, top=True)
    if path.stem not in {"export", "importance", "normalisation", "progress"}:
        assert not imports_of_tensorflow(tree, top=False)
