from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pnc.errors import ConfigError
from training.decoded import decode_pictures
from training.files import read_json


class KilledError(Exception):
    """Stands for a kill."""


class Decoder:
    """Stands for the autoencoder: darkens pictures; dies before one batch if told to."""

    def __init__(self, *, dies_at: int = -1) -> None:
        self.num_batches = 0
        self._dies_at = dies_at
        self.cuts = self

    def random(self, count: int, rng: np.random.Generator) -> NDArray[np.float32]:
        return rng.uniform(0, 9, count).astype(np.float32)

    def compiled(self) -> Any:
        return self._reconstruct

    def _reconstruct(self, batch: NDArray[np.float32], cuts: NDArray[np.float32]) -> Any:
        if self.num_batches == self._dies_at:
            raise KilledError
        self.num_batches += 1
        return batch - cuts[:, None, None, None]


def decode(decoder: Decoder, path: Path, count: int = 40, identity: str = "a") -> Any:
    pictures = np.full((count, 224, 224, 3), 100, np.uint8)
    autoencoder: Any = decoder
    return decode_pictures(autoencoder, pictures, path, seed=1, identity=identity)


def test_a_killed_process_goes_on_where_it_stopped(tmp_path: Path) -> None:
    whole = decode(Decoder(), tmp_path / "a" / "decoded.npy")
    path = tmp_path / "b" / "decoded.npy"
    with pytest.raises(KilledError):
        decode(Decoder(dies_at=2), path)
    assert not path.exists()
    assert read_json(path.with_suffix(".json"), "")["done"] == 32
    second = Decoder()
    assert np.array_equal(decode(second, path), whole)
    assert second.num_batches == 1
    third = Decoder()
    assert np.array_equal(decode(third, path), whole)
    assert third.num_batches == 0


def test_what_was_decoded_of_other_pictures_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "decoded.npy"
    decode(Decoder(), path)
    with pytest.raises(KilledError):
        decode(Decoder(dies_at=1), path, count=20, identity="b")
    assert not path.exists()
    assert decode(Decoder(), path, count=20, identity="b").shape == (20, 224, 224, 3)
    again = Decoder()
    assert len(decode(again, path, count=40, identity="a")) == 40
    assert again.num_batches == 3


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(ConfigError, match="no room for 40 decoded pictures") as caught:
        decode(Decoder(), tmp_path / "decoded.npy")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
