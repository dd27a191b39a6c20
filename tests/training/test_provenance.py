from __future__ import annotations

import hashlib
import importlib.metadata
import subprocess
from pathlib import Path
from typing import Any

import keras

from training.provenance import (
    describe_software,
    describe_source,
    hash_models,
    hash_pictures,
)
from training.recipe import Recipe


def test_source_is_the_commit_and_whether_files_differ(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        who = ["-c", "user.name=n", "-c", "user.email=e"]
        subprocess.run(["git", "-C", str(tmp_path), *who, *words], check=True, capture_output=True)

    git("init")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-m", "one")
    commit = describe_source(tmp_path)
    assert len(commit) == 12
    (tmp_path / "file").write_text("2")
    assert describe_source(tmp_path) == commit + "+"


def test_source_outside_of_its_repository_is_the_version(tmp_path: Path) -> None:
    assert describe_source(tmp_path) == importlib.metadata.version("pnc")
    subprocess.run(["git", "init", str(tmp_path)], check=True, capture_output=True)
    installed = tmp_path / "venv"
    installed.mkdir()
    (installed / "module.py").write_text("")
    assert describe_source(installed) == importlib.metadata.version("pnc")
    assert describe_source(tmp_path / "missing") == importlib.metadata.version("pnc")


def test_software_names_what_decides() -> None:
    software = describe_software()
    assert software["keras"] == keras.__version__
    assert software["backend"] == keras.backend.backend()


def test_models_have_a_hash_while_they_are_there(tmp_path: Path) -> None:
    teacher, folder = tmp_path / "teacher.keras", tmp_path / "weights"
    teacher.write_bytes(b"teacher")
    folder.mkdir()
    (folder / "a").write_bytes(b"tea")
    (folder / "b").write_bytes(b"cher")
    recipe = Recipe(
        "name",
        "data",
        teacher=str(teacher),
        judges=(str(teacher), str(tmp_path / "gone")),
        initial_autoencoder=str(folder),
    )
    found = hash_models(recipe)
    assert found.keys() == {"teacher", "judge 1", "initial_autoencoder"}
    assert set(found.values()) == {hashlib.sha256(b"teacher").hexdigest()[:32]}
    assert hash_models(Recipe("name", "data")) == {}


def test_pictures_have_a_hash(tiny_run: Any) -> None:
    with tiny_run.with_its_models():
        data = tiny_run.open().pictures.data
    again = hash_pictures(data)
    assert len(again) == 32
    assert hash_pictures(data) == again
    data.labels[0] += 1
    assert hash_pictures(data) != again
