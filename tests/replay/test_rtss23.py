from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pnc import belt
from pnc.errors import CheckpointError, ConfigError
from pnc.replay.huffman import HuffmanCode
from pnc.replay.rtss23 import (
    NUM_LEVELS,
    PublishedFeatures,
    dequantise,
    fit_codes,
    quantise,
    read_tables,
    write_tables,
)
from pnc.replay.rtss23_network import (
    WEIGHTS,
    Network,
    convolve,
    convolve_transposed,
    open_network,
)

SHAPES = {
    "encoder_0": (9, 9, 3, 4),
    "encoder_1": (3, 3, 4, 3),
    "decoder_0": (9, 9, 4, 3),
    "decoder_1": (5, 5, 4, 4),
    "decoder_2": (5, 5, 4, 4),
    "decoder_3": (5, 5, 4, 4),
    "decoder_4": (3, 3, 4, 3),
}


def weights() -> dict[str, NDArray[Any]]:
    """Random weights of the published layers with few channels."""
    rng = np.random.default_rng(5)
    arrays: dict[str, NDArray[Any]] = {}
    for name, shape in SHAPES.items():
        spread = 2 / np.sqrt(np.prod(shape[:3]))
        arrays[f"{name}_kernel"] = rng.normal(scale=spread, size=shape).astype(np.float32)
        num_outputs = shape[2] if name == "decoder_0" else shape[3]
        arrays[f"{name}_bias"] = np.full(num_outputs, 0.05, np.float32)
    return arrays


def save(path: Path, **changes: Any) -> Path:
    arrays = {k: v for k, v in {**weights(), **changes}.items() if v is not None}
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    return Network(save(tmp_path_factory.mktemp("npz") / "tiny.npz"))


@pytest.fixture(scope="module")
def contender(network: Network) -> PublishedFeatures:
    pictures = [belt.render(index, seed=1)[0] for index in range(3)]
    lengths = fit_codes(map(network.encode, pictures))
    return PublishedFeatures(network, tuple(HuffmanCode(row) for row in lengths))


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    return belt.render(0, seed=3)[0]


def test_quantiser_is_the_published_one() -> None:
    assert quantise(np.array([0, 1, 4, 5, 254, 255], np.uint8)).tolist() == [0, 1, 1, 2, 63, 63]
    assert len(set(quantise(np.arange(256, dtype=np.uint8)).tolist())) == NUM_LEVELS
    assert dequantise(np.array([0, 32, 63], np.uint8)).tolist() == [0.0, 127.5, 251.015625]


def test_whole_features_fit_or_nothing(
    contender: PublishedFeatures, picture: NDArray[np.uint8]
) -> None:
    whole = contender.encode_within(picture, [10**5])[10**5]
    assert whole is not None
    levels = quantise(contender.network.encode(picture))
    sizes = [
        len(code.encode(levels[..., channel].reshape(-1)))
        for channel, code in enumerate(contender.codes)
    ]
    assert len(whole) == sum(sizes)
    first, two = sizes[0], sizes[0] + sizes[1]
    streams = contender.encode_within(picture, [first - 1, first, two - 1, two])
    assert streams == {
        first - 1: None,
        first: whole[:first],
        two - 1: whole[:first],
        two: whole[:two],
    }


def test_receiver_sees_the_whole_features(
    contender: PublishedFeatures, picture: NDArray[np.uint8]
) -> None:
    whole = contender.encode_within(picture, [10**5])[10**5]
    assert whole is not None
    values = dequantise(quantise(contender.network.encode(picture)))
    assert np.array_equal(contender.decode(whole), contender.network.decode(values))
    values[..., 2] = 0
    assert np.array_equal(contender.decode(whole[:-1]), contender.network.decode(values))


def test_fingerprint_follows_network_and_tables(
    contender: PublishedFeatures, network: Network
) -> None:
    flat = PublishedFeatures(network, (HuffmanCode([6] * NUM_LEVELS),) * 3)
    assert contender.fingerprint != flat.fingerprint
    assert contender.family == flat.family == "rtss23-huffman"
    assert contender.setting


def test_tables_are_kept(tmp_path: Path, contender: PublishedFeatures) -> None:
    lengths = tuple(code.lengths for code in contender.codes)
    path = tmp_path / "new" / "tables.json"
    write_tables(path, lengths)
    assert read_tables(path) == lengths
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigError, match="delete it"):
        read_tables(path)


def test_tables_need_pictures() -> None:
    with pytest.raises(ConfigError, match="needs pictures"):
        fit_codes([])


@pytest.mark.parametrize(("stride", "shape"), [(1, (9, 12)), (7, (14, 21)), (2, (9, 9))])
def test_convolution_is_that_of_tensorflow(stride: int, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(*shape, 2)).astype(np.float32)
    kernel = rng.normal(size=(5, 5, 2, 3)).astype(np.float32)
    out = convolve(x, kernel, stride)
    height, width = (-(-side // stride) for side in shape)
    assert out.shape == (height, width, 3)
    before = max((height - 1) * stride + 5 - shape[0], 0) // 2
    window = np.zeros((5, 5, 2), np.float32)
    for row in range(5):
        for column in range(5):
            y, x_place = row - before, column - max((width - 1) * stride + 5 - shape[1], 0) // 2
            if 0 <= y < shape[0] and 0 <= x_place < shape[1]:
                window[row, column] = x[y, x_place]
    assert out[0, 0] == pytest.approx(np.einsum("ijc,ijco->o", window, kernel), rel=1e-4)


def test_transposed_convolution_is_the_adjoint() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(28, 35, 2)).astype(np.float32)
    y = rng.normal(size=(4, 5, 3)).astype(np.float32)
    kernel = rng.normal(size=(9, 9, 2, 3)).astype(np.float32)
    back = convolve_transposed(y, kernel, 7)
    assert back.shape == x.shape
    there = float((convolve(x, kernel, 7) * y).sum())
    assert float((x * back).sum()) == pytest.approx(there, rel=1e-4)


def test_tables_may_come_with_the_weights(tmp_path: Path) -> None:
    lengths = np.full((3, NUM_LEVELS), 6)
    network = open_network(str(save(tmp_path / "n.npz", huffman_lengths=lengths, scale=0.01)))
    assert network.huffman_lengths == ((6,) * NUM_LEVELS,) * 3


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"decoder_2_bias": None}, "lacks the array"),
        ({"decoder_2_kernel": np.zeros((5, 5, 3, 4))}, "do not follow"),
        ({"decoder_2_kernel": np.zeros(5)}, "no convolution"),
        ({"huffman_lengths": np.zeros((1, 64))}, "a row for each"),
    ],
)
def test_other_weights_are_refused(tmp_path: Path, changes: dict[str, Any], line: str) -> None:
    with pytest.raises(CheckpointError, match=line):
        open_network(str(save(tmp_path / "n.npz", **changes)))


def test_file_that_is_no_npz_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "n.npz"
    path.write_bytes(b"PK no archive")
    with pytest.raises(CheckpointError, match=r"no readable \.npz"):
        open_network(str(path))


def test_weights_are_found_in_folders_and_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PNC_CHECKPOINTS", str(tmp_path))
    (tmp_path / "mine").mkdir()
    with pytest.raises(CheckpointError, match=f"mine: no checkpoint .* holds {WEIGHTS}"):
        open_network("mine")
    path = save(tmp_path / "mine" / WEIGHTS)
    found = {open_network(source).fingerprint for source in ("mine", str(path.parent), str(path))}
    assert len(found) == 1
