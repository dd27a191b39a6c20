from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pnc.errors import CheckpointError, ConfigError
from pnc.replay.klt import Klt, read_transform, symbol_step, to_patches
from training.klt import fit_klt


@pytest.fixture(scope="module")
def klt(pictures: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Klt:
    path = tmp_path_factory.mktemp("klt") / "klt.npz"
    path.write_bytes(fit_klt(pictures, 14, 12).to_bytes())
    return Klt(path)


def test_more_bytes_are_less_error(klt: Klt, pictures: NDArray[np.uint8]) -> None:
    picture = pictures[0]
    streams = klt.encode_within(picture, (0, 64, 256, 100_000))
    errors = []
    for budget, stream in streams.items():
        assert stream is not None
        assert len(stream) <= budget
        decoded = klt.decode(stream)
        assert decoded.shape == picture.shape
        errors.append(np.square(decoded.astype(float) - picture).mean())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 4


def test_whole_streams_are_the_rounded_projection(klt: Klt, pictures: NDArray[np.uint8]) -> None:
    stream = klt.encode_within(pictures[1], [100_000])[100_000]
    assert stream is not None
    rows = read_transform(klt.path).rows
    projected = to_patches(pictures[1:2], 14) @ rows @ rows.T
    decoded = to_patches(klt.decode(stream)[None], 14)
    assert np.abs(decoded - projected).mean() < symbol_step(14) / 14


def test_it_is_named_by_its_patches(klt: Klt) -> None:
    assert klt.family == "klt-14"
    assert klt.setting == "12 channels, cut at the budget"
    assert klt.fingerprint.startswith("klt ")


@pytest.mark.parametrize(("patch", "channels"), [(9, 4), (2, 4), (8, 193)])
def test_impossible_patches_are_refused(
    pictures: NDArray[np.uint8], patch: int, channels: int
) -> None:
    with pytest.raises(ConfigError, match="patch"):
        fit_klt(pictures, patch, channels)


def test_a_file_that_is_no_transform_is_refused(tmp_path: Path, klt: Klt) -> None:
    (tmp_path / "torn.npz").write_bytes(klt.path.read_bytes()[:300])
    for name in ("missing.npz", "torn.npz"):
        with pytest.raises(CheckpointError, match=f"{name}.*pnc train klt"):
            read_transform(tmp_path / name)
    transform = read_transform(klt.path)
    other = replace(transform, rows=transform.rows[:-3])
    (tmp_path / "other.npz").write_bytes(other.to_bytes())
    with pytest.raises(CheckpointError, match="do not fit"):
        read_transform(tmp_path / "other.npz")
