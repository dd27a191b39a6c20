"""Checkpoints: what is read from a folder, and every way in which a folder can be wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pnc.codec import checkpoint as module
from pnc.codec.checkpoint import (
    MANIFEST,
    SEARCH_ENVIRONMENT,
    Checkpoint,
    find_folder,
    search_folders,
    write_manifest,
)
from pnc.codec.entropy.prior import fit_priors
from pnc.codec.layers import LayerPlan
from pnc.errors import CheckpointError
from tests.codec.cases import laplacian

PLAN = LayerPlan(3, 4, 2, 128, ((0, 6), (1, 5), (0, 3)))
FILES = ("encoder.tflite", "decoder.tflite", "classifier.tflite", "priors.json", "card.json")
Change = Callable[[dict[str, Any]], None]


def tables() -> dict[str, Any]:
    priors = fit_priors(PLAN, laplacian(PLAN, [40.0, 20.0], seed=1, count=20))
    return {
        "layers": [
            {
                "significance": prior.significance.frequencies,
                "refinement": prior.refinement.frequencies if prior.refinement else None,
            }
            for prior in priors
        ],
        "reconstruction": [[0.5] * 8, [0.25] * 8],
    }


def seal(folder: Path) -> str:
    return write_manifest(
        folder,
        name="small",
        architecture="none",
        fit="pad",
        classes=("yes", "no"),
        plan=PLAN,
        files=[file for file in FILES if (folder / file).exists()],
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "small"
    path.mkdir()
    for file in FILES[:3]:
        (path / file).write_bytes(file.encode())
    (path / "priors.json").write_text(json.dumps(tables()))
    (path / "card.json").write_text('{"accuracy": 0.9}')
    seal(path)
    return path


def change_manifest(folder: Path, change: Change) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def change_tables(folder: Path, change: Change) -> Checkpoint:
    """Alter the tables and seal the folder anew, so that only their content is wrong."""
    content = tables()
    change(content)
    (folder / "priors.json").write_text(json.dumps(content))
    seal(folder)
    return Checkpoint.load(folder)


def test_a_sealed_folder_is_read(folder: Path) -> None:
    checkpoint = Checkpoint.load(folder)
    assert checkpoint.id == seal(folder)
    assert (checkpoint.name, checkpoint.architecture, checkpoint.fit) == ("small", "none", "pad")
    assert checkpoint.classes == ("yes", "no")
    assert checkpoint.plan == PLAN
    assert checkpoint.files == FILES
    assert checkpoint.folder == folder
    assert checkpoint.card == {"accuracy": 0.9}
    assert checkpoint.read("encoder.tflite") == b"encoder.tflite"
    assert checkpoint.priors == fit_priors(PLAN, laplacian(PLAN, [40.0, 20.0], seed=1, count=20))
    assert checkpoint.reconstruction.dtype == np.float32
    assert checkpoint.reconstruction.tolist() == [[0.5] * 8, [0.25] * 8]


@pytest.mark.parametrize("file", ["encoder.tflite", "priors.json"])
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


def test_an_unknown_format_is_refused(folder: Path) -> None:
    change_manifest(folder, lambda manifest: manifest.update(format=2))
    with pytest.raises(CheckpointError, match="format 2, this PNC reads 1"):
        Checkpoint.load(folder)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe\xfd", b"[" * 100_000, b'{"format": 1', b"nul"]
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


@pytest.mark.parametrize(
    "key", ["name", "id", "architecture", "fit", "classes", "grid", "zero_point", "steps", "files"]
)
def test_a_manifest_without_an_entry_is_refused(folder: Path, key: str) -> None:
    change_manifest(folder, lambda manifest: manifest.pop(key))
    with pytest.raises(CheckpointError, match=f"incomplete.*{key}"):
        Checkpoint.load(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("grid", [3, 4]),
        ("grid", [3, 4, 2, 1]),
        ("grid", "abc"),
        ("grid", [3, 4, None]),
        ("grid", [3, 4, float("inf")]),
        ("grid", [0, 4, 2]),
        ("grid", [3, 4, 10**9]),
        ("zero_point", None),
        ("zero_point", 500),
        ("steps", 7),
        ("steps", [[0, 6], [1]]),
        ("steps", [[0, 6], [0, 7]]),
        ("classes", 12),
        ("files", 3),
        ("files", {}),
        ("files", {"encoder.tflite": "00"}),
        ("fit", "stretch"),
        ("fit", ["crop"]),
        ("id", "00000000"),
        ("id", None),
        ("grid", [4, 3, 2]),
        ("zero_point", 127),
        ("steps", [[1, 5], [0, 6], [0, 3]]),
    ],
)
def test_a_wrong_manifest_is_refused(folder: Path, key: str, value: object) -> None:
    change_manifest(folder, lambda manifest: manifest.update({key: value}))
    with pytest.raises(CheckpointError):
        Checkpoint.load(folder)


def test_an_id_of_other_files_is_refused(folder: Path) -> None:
    change_manifest(folder, lambda manifest: manifest["files"].update({"priors.json": "0" * 64}))
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.pop("layers"), "not a list of tables"),
        (lambda content: content.update(layers=3), "not a list of tables"),
        (lambda content: content["layers"][0].pop("refinement"), "not a list of tables"),
        (lambda content: content["layers"].__setitem__(0, 5), "not a list of tables"),
        (lambda content: content["layers"][0].update(significance=["x"]), "not a list of tables"),
        (lambda content: content["layers"][0].update(significance=[1e999]), "not a list"),
        (lambda content: content["layers"][0].update(significance=[1, 2]), "sum to 65536"),
        (lambda content: content["layers"].pop(), "2 layers, the plan has 3"),
        (lambda content: content["layers"].reverse(), "layer 0 has alphabets"),
        (lambda content: content["layers"][2].update(refinement=[]), "layer 2 has alphabets"),
    ],
)
def test_wrong_tables_are_refused(folder: Path, change: Change, message: str) -> None:
    checkpoint = change_tables(folder, change)
    with pytest.raises(CheckpointError, match=message):
        _ = checkpoint.priors


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("reconstruction"),
        lambda content: content.update(reconstruction=[[0.5] * 8]),
        lambda content: content.update(reconstruction=[[0.5] * 8, [0.5] * 7]),
        lambda content: content.update(reconstruction=[["x"] * 8] * 2),
        lambda content: content.update(reconstruction=[[float("nan")] * 8] * 2),
        lambda content: content.update(reconstruction=None),
    ],
)
def test_wrong_reconstruction_points_are_refused(folder: Path, change: Change) -> None:
    checkpoint = change_tables(folder, change)
    with pytest.raises(CheckpointError, match="reconstruction"):
        _ = checkpoint.reconstruction


def test_tables_that_are_not_json_are_refused(folder: Path) -> None:
    (folder / "priors.json").write_bytes(b"\x00")
    seal(folder)
    with pytest.raises(CheckpointError, match=r"priors\.json: not JSON"):
        _ = Checkpoint.load(folder).priors
