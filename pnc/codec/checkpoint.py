"""Checkpoints: a folder whose manifest names every file with its sha256.

=====================  =================================================================
``manifest.json``      name, id, architecture, fit, classes, hashes
``encoder.tflite``     picture uint8 ``[1, 224, 224, 3]`` -> symbols uint8
``decoder.tflite``     values, received float32 -> picture float32 0..255
``classifier.tflite``  picture float32 0..255 -> probabilities float32
``plan.npz``           how symbols are coded, see :mod:`pnc.codec.plan`
``card.json``          how it was trained and what it measured; ``README.md`` shows it
=====================  =================================================================

A device needs the first two and the plan.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast, get_args

from pnc.codec.image import Fit
from pnc.codec.lapping import LAPPINGS, Lapping
from pnc.codec.plan import CodingPlan, plan_from_bytes
from pnc.errors import CheckpointError

MANIFEST = "manifest.json"
PLAN = "plan.npz"
FORMAT = 3
"""Version of the folder's layout."""

MAX_FILE_BYTES = 256 << 20
"""A file beyond this is not read: EfficientNetB0 has 21 MB in full precision."""

SEARCH_ENVIRONMENT = "PNC_CHECKPOINTS"
"""Environment variable: a folder of checkpoint folders that is searched first."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder, read and checked.

    Attributes:
        folder: where it lies.
        name: what users call it.
        id: eight hexadecimal digits that all streams carry in part.
        architecture: of the autoencoder.
        fit: how pictures are brought to 224 x 224, in training and on the device alike.
        classes: names in the order of the classifier's outputs.
    """

    folder: Path
    name: str
    id: str
    architecture: str
    fit: Fit
    classes: tuple[str, ...]
    _hashes: Mapping[str, str]

    @classmethod
    def load(cls, name_or_folder: str | os.PathLike[str]) -> Checkpoint:
        """Read a checkpoint by folder or by name.

        Raises:
            CheckpointError: it is missing, incomplete, or not what its manifest says.
        """
        folder = find_folder(name_or_folder)
        manifest = _read_json(folder / MANIFEST)
        if manifest.get("format") != FORMAT:
            raise CheckpointError(
                f"{folder / MANIFEST}: format {manifest.get('format')!r}, this PNC reads {FORMAT}; "
                "use the release that wrote it"
            )
        try:
            checkpoint = cls(
                folder=folder,
                name=str(manifest["name"]),
                id=str(manifest["id"]),
                architecture=str(manifest["architecture"]),
                fit=cast("Fit", manifest["fit"]),
                classes=tuple(str(c) for c in manifest["classes"]),
                _hashes=dict(manifest["files"]),
            )
            identity = checkpoint_id(checkpoint._hashes)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CheckpointError(
                f"{folder / MANIFEST}: incomplete or of wrong type ({error})"
            ) from error
        if checkpoint.fit not in get_args(Fit):
            raise CheckpointError(
                f"{folder / MANIFEST}: fit {checkpoint.fit!r} is none of {get_args(Fit)}"
            )
        if checkpoint.id != identity:
            raise CheckpointError(
                f"{folder / MANIFEST}: its id does not belong to its files; export it again"
            )
        return checkpoint

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all files that the manifest lists."""
        return tuple(self._hashes)

    def read(self, file: str) -> bytes:
        """Content of one file, checked against its hash.

        Raises:
            CheckpointError: it is missing, unreadable, too large or altered.
        """
        path = self.folder / file
        try:
            wanted = self._hashes[file]
            if path.stat().st_size > MAX_FILE_BYTES:
                raise CheckpointError(
                    f"{path}: larger than {MAX_FILE_BYTES >> 20} MB; this is no checkpoint's file"
                )
            content = path.read_bytes()
        except KeyError as error:
            raise CheckpointError(
                f"{self.folder / MANIFEST}: does not list {file}; export it again"
            ) from error
        except OSError as error:
            raise CheckpointError(
                f"{path}: cannot be read ({error.strerror}); copy the whole checkpoint folder again"
            ) from error
        if hashlib.sha256(content).hexdigest() != wanted:
            raise CheckpointError(
                f"{path}: altered (its sha256 is not the manifest's); copy it again"
            )
        return content

    @cached_property
    def card(self) -> dict[str, Any]:
        """How it was trained and what it measured; empty where there is no card.

        Raises:
            CheckpointError: the card is damaged.
        """
        if "card.json" not in self._hashes:
            return {}
        return _parse_json(self.folder / "card.json", self.read("card.json"))

    @property
    def lapping(self) -> Lapping | None:
        """What is done to pictures before the encoder and undone after the decoder."""
        return LAPPINGS.get(self.architecture)

    @cached_property
    def plan(self) -> CodingPlan:
        """How symbols are coded.

        Raises:
            CheckpointError: it is damaged.
        """
        content = self.read(PLAN)
        try:
            return plan_from_bytes(content)
        except CheckpointError as error:
            raise CheckpointError(f"{self.folder / PLAN}: {error}; export it again") from error


def checkpoint_id(hashes: Mapping[str, str]) -> str:
    """Eight hexadecimal digits over what decides a stream's bytes: encoder and plan.

    Raises:
        KeyError: the hash of one of them is missing.
    """
    text = json.dumps([hashes["encoder.tflite"], hashes[PLAN]])
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def search_folders() -> list[Path]:
    """Folders of checkpoint folders: the environment's, the source tree's, the package's own."""
    package = Path(__file__).resolve().parents[1]
    own = os.environ.get(SEARCH_ENVIRONMENT)
    return [*([Path(own)] if own else []), package.parent / "checkpoints", package / "_checkpoints"]


def find_folder(name_or_folder: str | os.PathLike[str]) -> Path:
    """The folder of a checkpoint given by path or by name.

    Raises:
        CheckpointError: there is none; the message lists those that exist.
    """
    given = Path(name_or_folder)
    candidates = [given, *(folder / given for folder in search_folders())]
    for folder in candidates:
        with contextlib.suppress(OSError):  # a name longer than names can be
            if (folder / MANIFEST).is_file():
                return folder
    known = sorted(
        {path.parent.name for folder in search_folders() for path in folder.glob(f"*/{MANIFEST}")}
    )
    raise CheckpointError(
        f"checkpoint {os.fspath(name_or_folder)!r}: no such folder or name; "
        f"known are: {', '.join(known) or 'none'}",
        known=tuple(known),
    )


def write_manifest(
    folder: Path,
    *,
    name: str,
    architecture: str,
    fit: Fit,
    classes: Sequence[str],
    files: Sequence[str],
) -> str:
    """Seal a folder: hash its files and write the manifest.

    Args:
        folder: holds all of ``files``.
        name, architecture, fit, classes: see :class:`Checkpoint`.
        files: names of the files that belong to the checkpoint.

    Returns:
        The checkpoint's id.
    """
    hashes = {file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in files}
    identity = checkpoint_id(hashes)
    manifest = {
        "format": FORMAT,
        "name": name,
        "id": identity,
        "architecture": architecture,
        "fit": fit,
        "classes": list(classes),
        "files": hashes,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return identity


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return _parse_json(path, path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error


def _parse_json(path: Path, content: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not JSON ({error}); copy it again") from error
    if not isinstance(parsed, dict):
        raise CheckpointError(f"{path}: not a JSON object; copy it again")
    return parsed
