"""Facts that a result is worth nothing without: command, machine, versions. No commit, no paths."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from PIL import features

import pnc
from pnc.codec.interpreter import find_runtime
from pnc.replay.baselines.whole_files import JPEG_XL_PLUGIN

_ABSOLUTE = re.compile(r"(?<![\w./])/(?:[^\s/#=,]+/)*([^\s/#=,]+)")
_MODEL_NUMBER = re.compile(r"\(.*?\)|@.*|\b\w*\d[\w-]*\b|\b(CPU|Processor|\w+-Core)\b")


def describe_run(schema: str) -> dict[str, Any]:
    """Return what all results begin with: schema, command, machine, versions."""
    return {
        "schema": schema,
        "command": describe_command(),
        "machine": describe_machine(),
        "versions": describe_versions(),
    }


def describe_command(arguments: list[str] | None = None) -> str:
    """Return the command line with absolute paths cut down to their last part."""
    given = sys.argv[1:] if arguments is None else arguments
    return " ".join(["python -m benchmarks", *(_ABSOLUTE.sub(r".../\1", word) for word in given)])


def describe_machine() -> dict[str, Any]:
    """Return the class of the machine: processor family, cores in use, architecture, system."""
    return {
        "processor": _processor_family(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "architecture": platform.machine(),
        "system": platform.system(),
    }


def describe_versions() -> dict[str, str]:
    """Return versions of all that decides a figure."""
    libraries = {
        name: str(features.version(feature))
        for name, feature in (
            ("libjpeg-turbo", "libjpeg_turbo"),
            ("libwebp", "webp"),
            ("libavif", "avif"),
            ("openjpeg", "jpg_2000"),
        )
        if features.check(feature)
    }
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        libraries[JPEG_XL_PLUGIN] = importlib.metadata.version(JPEG_XL_PLUGIN)
    return {
        "pnc": pnc.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pillow": PIL.__version__,
        "interpreter": find_runtime()[1],
        **libraries,
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write results so that a reader sees the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def _processor_family() -> str:
    model = platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith(("model name", "Model")):
            model = line.partition(":")[2].strip()
            break
    return " ".join(_MODEL_NUMBER.sub(" ", model).split()) or "unknown"
