from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import codecs
from benchmarks.codecs import fit_codec, is_rival, open_codec
from benchmarks.klt import CHANNELS, PatchTransform, fit_transforms, read_transforms
from benchmarks.pictures import open_set
from pnc import belt
from pnc.errors import ConfigError
from pnc.replay.metrics import psnr_db

TUNING = [open_set("belt#tune", limit=6)]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> str:
    return fit_codec("klt", TUNING, "crop", tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize("variant", range(len(CHANNELS)))
def test_more_bytes_are_more_alike(fitted: str, variant: int) -> None:
    contender = open_codec(fitted)[variant]
    picture = belt.render(1, seed=5)[0]
    streams = contender.encode_within(picture, [16, 256, 1024, 1 << 20])
    assert [len(stream or b"") for stream in streams.values()][:3] == [16, 256, 1024]
    quality = [psnr_db(picture, contender.decode(stream or b"")) for stream in streams.values()]
    assert quality == sorted(quality)
    assert quality[-1] > 30


def test_transforms_are_orthonormal_and_told_apart(fitted: str) -> None:
    variants = open_codec(fitted)
    for contender, (side, channels) in zip(variants, CHANNELS.items(), strict=True):
        assert isinstance(contender, PatchTransform)
        gram = contender.directions.T @ contender.directions
        np.testing.assert_allclose(gram, np.eye(channels), atol=1e-4)
        assert contender.family == "klt"
        assert contender.setting == f"{channels} projections of {side}x{side}"
    assert len({contender.fingerprint for contender in variants}) == len(variants)


def test_transforms_are_fitted_once(
    fitted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert is_rival("klt")
    assert is_rival(fitted)
    assert fit_codec(fitted, [], "crop", tmp_path) == fitted
    cache = Path(fitted.partition("=")[2]).parent
    monkeypatch.setattr(codecs, "fit_transforms", lambda _: pytest.fail("fitted again"))
    assert fit_codec("klt", TUNING, "crop", cache) == fitted


def test_what_cannot_be_used_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not fitted"):
        open_codec("klt")
    with pytest.raises(ConfigError, match="--train"):
        fit_transforms(np.zeros((0, 224, 224, 3), np.uint8))
    damaged = tmp_path / "klt.npz"
    damaged.write_bytes(b"no archive")
    with pytest.raises(ConfigError, match="delete it"):
        read_transforms(damaged)
