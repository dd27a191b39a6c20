"""What a checkpoint was made of, so that it can be made again: source, libraries, pictures."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import subprocess
from pathlib import Path

import keras
import numpy as np

from training.data import Data
from training.recipe import Recipe

LIBRARIES = ("keras", "tensorflow", "tensorflow-cpu", "numpy", "pillow")
"""Distributions that decide a result; those that are installed are named."""


def describe_source(folder: Path = Path(__file__).parent) -> str:
    """The commit of the source, ``+`` behind it if files differ from it; the version elsewhere."""
    try:
        _git(folder, "ls-files", "--error-unmatch", ".")  # else some other project's repository
        commit = _git(folder, "rev-parse", "--short=12", "HEAD")
        return commit + "+" * bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return importlib.metadata.version("pnc")


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    return ended.stdout.strip()


def describe_software() -> dict[str, str]:
    """Source, Python, backend, and the versions of what decides a result."""
    found = {
        "source": describe_source(),
        "python": platform.python_version(),
        "backend": keras.backend.backend(),
    }
    installed = {
        str(each.name).lower(): each.version for each in importlib.metadata.distributions()
    }
    return found | {name: installed[name] for name in LIBRARIES if name in installed}


def hash_models(recipe: Recipe) -> dict[str, str]:
    """The first 32 hex digits of the sha256 of each model that a recipe starts from or asks.

    Of a folder, those of its files together; what is no longer there is left out.
    """
    named = {
        "initial": recipe.initial,
        "initial_autoencoder": recipe.initial_autoencoder,
        "teacher": recipe.teacher,
        **{f"judge {number}": file for number, file in enumerate(recipe.judges, 1)},
    }
    hashes = {}
    for use, given in named.items():
        path = Path(given or "")
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        if given and path.exists():
            digest = hashlib.sha256()
            for file in files:
                digest.update(file.read_bytes())
            hashes[use] = digest.hexdigest()[:32]
    return hashes


def hash_pictures(data: Data) -> str:
    """The first 32 hex digits of the sha256 of all pictures as they are trained on, and labels."""
    digest = hashlib.sha256(np.ascontiguousarray(data.labels).tobytes())
    for index in range(len(data)):
        digest.update(data.load(index).tobytes())
    return digest.hexdigest()[:32]
