from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import codecs
from benchmarks.codecs import fit_tables, is_rival, name_lossy, open_codec
from benchmarks.pictures import open_set
from pnc.errors import CheckpointError, ConfigError
from pnc.replay.loss import LossyPackets
from tests.replay.test_rtss23 import save


def test_rivals_are_told_from_checkpoints() -> None:
    assert is_rival("webp")
    assert is_rival("rtss23-huffman")
    assert is_rival("rtss23-huffman=some/file.npz")
    assert is_rival("klt=some/file.npz")
    assert not is_rival("rtss23")
    assert not is_rival("belt")


def test_a_transform_is_fitted_beforehand() -> None:
    with pytest.raises(CheckpointError, match=r"missing\.npz.*pnc train klt"):
        open_codec("klt=missing.npz")


def test_tables_are_fitted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"rtss23-huffman={save(tmp_path / 'n.npz')}"
    with pytest.raises(ConfigError, match="no Huffman tables"):
        open_codec(text)
    sets = [open_set("belt#tune", limit=2)]
    fitted = fit_tables(text, sets, "crop", tmp_path)
    (contender,) = open_codec(fitted)
    assert contender.family == "rtss23-huffman"
    monkeypatch.setattr(codecs, "fit_codes", lambda *_: pytest.fail("fitted again"))
    assert fit_tables(text, sets, "crop", tmp_path) == fitted
    assert fit_tables(fitted, sets, "crop", tmp_path) == fitted
    assert fit_tables("webp", [], "crop", tmp_path) == "webp"


@pytest.mark.parametrize("options", ["mtu=64&loss=0.2", "mtu=x", "received=abc", ""])
def test_packets_described_otherwise_are_refused(options: str) -> None:
    with pytest.raises(ConfigError, match=r"describes no packets.*mtu=64&redundancy="):
        open_codec(f"belt?{options}")


def test_lossy_packets_are_named() -> None:
    (contender,) = open_codec(name_lossy("belt", 64, 0.25, 0.05, 3))
    assert isinstance(contender, LossyPackets)
    assert (contender.mtu_bytes, contender.redundancy) == (64, 0.25)
    assert (contender.loss, contender.seed) == (0.05, 3)
