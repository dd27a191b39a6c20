"""Checkpoints: what is read from a folder, and every way in which a folder can be wrong."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pnc.codec import checkpoint as module
from pnc.codec.checkpoint import (
    MANIFEST,
    PLAN,
    SEARCH_ENVIRONMENT,
    Checkpoint,
    find_folder,
    search_folders,
    write_manifest,
)
from pnc.codec.plan import plan_to_bytes
from pnc.errors import CheckpointError
from tests.codec.cases import CASES, plan_of

CODING_PLAN = plan_of(CASES["smooth"]())
FILES = ("encoder.tflite", "decoder.tflite", "classifier.tflite", PLAN, "card.json")
Change = Callable[[dict[str, Any]], None]


def seal(folder: Path) -> str:
    return write_manifest(
        folder,
        name="small",
        architecture="none",
        fit="pad",
        classes=("yes", "no"),
        files=[file for file in FILES if (folder / file).exists()],
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "small"
    path.mkdir()
    for file in FILES[:3]:
        (path / file).write_bytes(file.encode())
    (path / PLAN).write_bytes(plan_to_bytes(CODING_PLAN))
    (path / "card.json").write_text('{"accuracy": 0.9}')
    seal(path)
    return path


def change_manifest(folder: Path, change: Change) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def test_a_sealed_folder_is_read(folder: Path) -> None:
    checkpoint = Checkpoint.load(folder)
    assert checkpoint.id == seal(folder)
    assert (checkpoint.name, checkpoint.architecture, checkpoint.fit) == ("small", "none", "pad")
    assert checkpoint.classes == ("yes", "no")
    assert checkpoint.files == FILES
    assert checkpoint.folder == folder
    assert checkpoint.card == {"accuracy": 0.9}
    assert checkpoint.read("encoder.tflite") == b"encoder.tflite"
    assert plan_to_bytes(checkpoint.plan) == checkpoint.read(PLAN)


def test_the_id_is_that_of_the_page(folder: Path) -> None:
    hashes = [
        hashlib.sha256((folder / file).read_bytes()).hexdigest()
        for file in ("encoder.tflite", PLAN)
    ]
    text = f'["{hashes[0]}", "{hashes[1]}"]'
    assert seal(folder) == hashlib.sha256(text.encode("ascii")).hexdigest()[:8]


@pytest.mark.parametrize("file", ["encoder.tflite", PLAN])
def test_the_id_follows_what_decides_the_bytes_of_a_stream(folder: Path, file: str) -> None:
    before = seal(folder)
    (folder / file).write_bytes((folder / file).read_bytes() + b" ")
    assert seal(folder) != before


def test_the_id_does_not_follow_the_decoder(folder: Path) -> None:
    before = seal(folder)
    (folder / "decoder.tflite").write_bytes(b"better")
    assert seal(folder) == before


def test_a_name_is_searched_in_the_folder_of_the_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SEARCH_ENVIRONMENT, str(folder.parent))
    assert search_folders()[0] == folder.parent
    assert find_folder("small") == folder
    assert Checkpoint.load("small").name == "small"


def test_the_belt_comes_with_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SEARCH_ENVIRONMENT, raising=False)
    assert find_folder("belt").parent == search_folders()[0]
    assert [path.name for path in search_folders()] == ["checkpoints", "_checkpoints"]


def test_an_unknown_name_lists_the_known_ones(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SEARCH_ENVIRONMENT, str(folder.parent))
    with pytest.raises(CheckpointError, match="'smal': no such folder or name; known") as caught:
        Checkpoint.load("smal")
    assert "small" in caught.value.known
    monkeypatch.setattr(module, "search_folders", lambda: [folder / "nothing"])
    with pytest.raises(CheckpointError, match="known are: none"):
        Checkpoint.load("smal")


def test_a_name_longer_than_names_can_be_is_unknown() -> None:
    with pytest.raises(CheckpointError, match="no such folder or name"):
        Checkpoint.load("a" * 300)


def test_an_unknown_format_is_refused(folder: Path) -> None:
    change_manifest(folder, lambda manifest: manifest.update(format=1))
    with pytest.raises(CheckpointError, match="format 1, this PNC reads 3"):
        Checkpoint.load(folder)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe\xfd", b"[" * 100_000, b'{"format": 2', b"nul"]
)
def test_a_manifest_that_is_not_json_is_refused(folder: Path, content: bytes) -> None:
    (folder / MANIFEST).write_bytes(content)
    with pytest.raises(CheckpointError, match="not JSON"):
        Checkpoint.load(folder)


def test_a_manifest_that_is_no_object_is_refused(folder: Path) -> None:
    (folder / MANIFEST).write_text("[1]")
    with pytest.raises(CheckpointError, match="not a JSON object"):
        Checkpoint.load(folder)


def test_a_manifest_that_cannot_be_read_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / MANIFEST).unlink()
    monkeypatch.setattr(module, "find_folder", lambda name: folder)
    with pytest.raises(CheckpointError, match="cannot be read"):
        Checkpoint.load(folder)


@pytest.mark.parametrize("key", ["name", "id", "architecture", "fit", "classes", "files"])
def test_a_manifest_without_an_entry_is_refused(folder: Path, key: str) -> None:
    change_manifest(folder, lambda manifest: manifest.pop(key))
    with pytest.raises(CheckpointError, match=f"incomplete.*{key}"):
        Checkpoint.load(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("classes", 12),
        ("files", 3),
        ("files", {}),
        ("files", {"encoder.tflite": "00"}),
        ("fit", "stretch"),
        ("fit", ["crop"]),
        ("id", "00000000"),
        ("id", None),
    ],
)
def test_a_wrong_manifest_is_refused(folder: Path, key: str, value: object) -> None:
    change_manifest(folder, lambda manifest: manifest.update({key: value}))
    with pytest.raises(CheckpointError):
        Checkpoint.load(folder)


def test_an_id_of_other_files_is_refused(folder: Path) -> None:
    change_manifest(folder, lambda manifest: manifest["files"].update({PLAN: "0" * 64}))
    with pytest.raises(CheckpointError, match="does not belong"):
        Checkpoint.load(folder)


def test_a_checkpoint_without_a_card_has_an_empty_one(folder: Path) -> None:
    (folder / "card.json").unlink()
    seal(folder)
    assert Checkpoint.load(folder).card == {}


def test_a_missing_file_is_named(folder: Path) -> None:
    checkpoint = Checkpoint.load(folder)
    (folder / "decoder.tflite").unlink()
    with pytest.raises(CheckpointError, match=r"decoder\.tflite: cannot be read"):
        checkpoint.read("decoder.tflite")


def test_a_file_that_the_manifest_does_not_list_is_refused(folder: Path) -> None:
    (folder / "extra.bin").write_bytes(b"extra")
    with pytest.raises(CheckpointError, match=r"does not list extra\.bin"):
        Checkpoint.load(folder).read("extra.bin")


def test_an_altered_file_is_refused(folder: Path) -> None:
    (folder / "decoder.tflite").write_bytes(b"altered")
    with pytest.raises(CheckpointError, match=r"decoder\.tflite: altered"):
        Checkpoint.load(folder).read("decoder.tflite")


def test_a_huge_file_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 3)
    with pytest.raises(CheckpointError, match="larger than"):
        Checkpoint.load(folder).read("decoder.tflite")


@pytest.mark.parametrize("content", [b"", b"\0", b"{}", plan_to_bytes(CODING_PLAN)[:-100]])
def test_a_damaged_plan_is_refused_in_one_line(folder: Path, content: bytes) -> None:
    (folder / PLAN).write_bytes(content)
    seal(folder)
    with pytest.raises(CheckpointError, match=r"plan\.npz: .*; export it again") as caught:
        _ = Checkpoint.load(folder).plan
    assert len(str(caught.value).splitlines()) == 1


def test_a_plan_that_is_not_the_manifests_is_refused(folder: Path) -> None:
    (folder / PLAN).write_bytes(plan_to_bytes(plan_of(CASES["signed"]())))
    with pytest.raises(CheckpointError, match=r"plan\.npz: altered \(.*; copy it again$"):
        _ = Checkpoint.load(folder).plan


@pytest.mark.parametrize("name", ["belt", "photo"])
def test_shipped_plans_fit_their_encoders(name: str) -> None:
    plan = Checkpoint.load(name).plan
    height, width, num_channels = plan.grid.shape
    assert height * width * num_channels > 10_000
    assert plan.grid.smooth


@pytest.mark.parametrize("name", ["belt", "photo"])
def test_shipped_cards_are_of_the_files_beside_them(name: str) -> None:
    checkpoint = Checkpoint.load(name)
    sizes = json.loads(checkpoint.read("card.json"))["sizes"]
    assert sizes == {file: len(checkpoint.read(file)) for file in sizes}
