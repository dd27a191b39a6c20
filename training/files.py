"""A run's files: each is the old one, the new one, or not there, whatever ends the process."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pnc.errors import ConfigError

if TYPE_CHECKING:
    import keras


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write, which takes the place of another one when all of it is there.

    Args:
        path: what is replaced; its folder is made if missing.

    Raises:
        ConfigError: the disk is full or the folder is not writable; what was there stays.
    """
    temporary = path.with_name(f"part-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise ConfigError(
            f"{path}: cannot be written ({error.strerror or error}); free some space or make the "
            "folder writable, and give the same command again",
            path=path,
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file in one step."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def read_json(path: Path, advice: str) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: the file.
        advice: what to do where it is damaged.

    Raises:
        ConfigError: it is missing or damaged.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("not a JSON object")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: damaged ({error}); {advice}", path=path) from error
    return found


def save_keras(model: keras.Model, path: Path) -> None:
    """Write a Keras file in one step."""
    with replacing(path) as temporary:
        model.save(temporary)


def load_keras(path: Path) -> keras.Model:
    """A Keras model from a file.

    Raises:
        ConfigError: it is missing or no Keras file.
    """
    import keras

    try:
        return keras.models.load_model(path, compile=False)
    except (OSError, ValueError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            f"{path}: not a Keras model file ({reason}); give a .keras file"
        ) from error


def reserve(path: Path, num_bytes: int) -> None:
    """Make a file at least so long on the disk itself.

    A memory map of a file with holes ends its process by SIGBUS once the disk is full.

    Raises:
        OSError: there is no room; the file is gone then.
    """
    try:
        with path.open("a+b") as file:
            os.posix_fallocate(file.fileno(), 0, num_bytes)
    except OSError:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


@contextlib.contextmanager
def only_process(folder: Path) -> Iterator[None]:
    """Keep other processes out of a run's folder; the lock goes away with its holder.

    Raises:
        ConfigError: another process is at work there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"{folder}: another process trains in this folder; wait for it or give another "
                "--run folder"
            ) from error
        yield


def digest(parts: Iterable[str | Path]) -> str:
    """Sixteen hexadecimal digits that stand for texts and the contents of files, in order.

    Raises:
        OSError: a file cannot be read.
    """
    whole = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else part.encode()
        whole.update(hashlib.sha256(content).digest())
    return whole.hexdigest()[:16]
