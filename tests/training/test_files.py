from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from pnc.errors import ConfigError
from training.files import (
    digest,
    load_keras,
    only_process,
    read_json,
    replacing,
    reserve,
    save_keras,
    write_json,
    write_text,
)


def test_a_file_that_is_not_finished_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "new" / "plan.json"
    write_json(path, {"a": 1})

    def be_killed() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        be_killed()
    assert read_json(path, "") == {"a": 1}
    write_text(path, '{"a": 2}')
    assert read_json(path, "") == {"a": 2}
    assert [file.name for file in path.parent.iterdir()] == ["plan.json"]


def test_a_full_disk_is_one_line_and_harms_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    path.write_text("old")

    def fill_the_disk() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(ConfigError, match=r"No space left.*free some space") as caught:
        fill_the_disk()
    assert "\n" not in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == ["state.npz"]
    assert path.read_text() == "old"


@pytest.mark.parametrize("content", ["{", "[]", "\xff"])
def test_damaged_json_is_one_line_with_advice(content: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(ConfigError, match=r"damaged .*; delete it") as caught:
        read_json(path, "delete it")
    assert "\n" not in str(caught.value)


def test_a_model_file_is_whole_or_not_there(small_classifier: Any, tmp_path: Path) -> None:
    save_keras(small_classifier, tmp_path / "model.keras")
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]
    assert load_keras(tmp_path / "model.keras").output_shape == (None, 3)
    (tmp_path / "bad.keras").write_bytes(b"no model")
    for name in ("bad.keras", "missing.keras"):
        with pytest.raises(ConfigError, match="not a Keras model file") as caught:
            load_keras(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_room_is_reserved_or_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve(tmp_path / "a", 5000)
    assert (tmp_path / "a").stat().st_size == 5000

    def full(*_arguments: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(OSError, match="full"):
        reserve(tmp_path / "a", 9000)
    assert list(tmp_path.iterdir()) == []


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    with only_process(tmp_path / "run"):
        second = only_process(tmp_path / "run")
        with pytest.raises(ConfigError, match="another process") as caught:
            second.__enter__()
        assert "\n" not in str(caught.value)
    with only_process(tmp_path / "run"):
        pass


def test_a_digest_stands_for_order_texts_and_contents(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("1")
    first = digest(["x", "y", file])
    assert first == digest(["x", "y", file])
    assert len({first, digest(["y", "x", file]), digest(["xy", file])}) == 3
    file.write_text("2")
    assert digest(["x", "y", file]) != first
