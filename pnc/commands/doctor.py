"""``pnc doctor``: is everything here that PNC needs, and if not, what to do.

Every check gives findings and never fails itself; a finding is ok, a warning (PNC works, but) or a
problem (something does not work). Exit status 1 if there is a problem.
"""

from __future__ import annotations

import grp
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from pnc.errors import PncError

__all__ = ["Finding", "check_all", "doctor"]

State = Literal["ok", "warning", "problem"]

RUNTIMES = {
    "ai_edge_litert": "ai-edge-litert",
    "tflite_runtime": "tflite-runtime",
    "tensorflow": "tensorflow",
}
"""Modules with a TFLite interpreter and their packages, in the order in which PNC tries them."""

NEEDED = ("numpy", "pillow", "pyserial", "typer", "rich")
EXTRAS = {"server": ("fastapi", "uvicorn"), "train": ("keras", "tensorflow")}

DEVICE_FILES = ("encoder.tflite", "plan.npz")
SERVER_FILES = ("decoder.tflite", "classifier.tflite")
"""What encoding needs, and what only decoding and classifying need."""

MIN_FREE_BYTES = 200 * 2**20
"""Less free disk space brings a warning: a day of results of one device is about this much."""

MIN_MEMORY_BYTES = 200 * 2**20
"""Less available memory brings a warning: a device needs 150 MB."""

MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    state: State
    what: str
    text: str
    """What was found; for a warning or a problem also what to do."""


def doctor(
    checkpoints: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CHECKPOINTS...]", help="Checkpoints to check; default: those shipped."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Check runtimes, checkpoints, ports, permissions, disk and memory, and say what to do.

    Exit status 1 if there is a problem; a warning does not count as one.
    """
    findings = list(check_all(checkpoints))
    states = [finding.state for finding in findings]
    if as_json:
        record = {"ok": "problem" not in states, "findings": [asdict(f) for f in findings]}
        typer.echo(json.dumps(record))
    else:
        _print(findings)
    if "problem" in states:
        raise typer.Exit(1)


def check_all(checkpoints: list[str] | None = None) -> Iterator[Finding]:
    """Run every check.

    Args:
        checkpoints: Names or folders; None: all that are shipped.
    """
    yield _check_python()
    yield from _check_packages()
    yield from _check_runtimes()
    yield from _check_checkpoints(checkpoints)
    yield from _check_ports()
    yield _check_disk()
    yield from _check_memory()


def _check_python() -> Finding:
    release = platform.python_version()
    where = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return Finding("ok", "python", f"{release} on {where}")


def _check_packages() -> Iterator[Finding]:
    yield Finding("ok", "pnc", _version("pnc") or "run from a folder, not installed")
    for name in NEEDED:
        found = _version(name)
        if found is None:
            yield Finding("problem", name, "not installed; install it with: pip install pnc")
        else:
            yield Finding("ok", name, found)
    for extra, names in EXTRAS.items():
        missing = [name for name in names if _version(name) is None and not _has_variant(name)]
        if missing:
            lacking = ", ".join(missing)
            text = f"not installed ({lacking}); if wanted: pip install 'pnc[{extra}]'"
        else:
            text = ", ".join(f"{name} {_version(name) or _has_variant(name)}" for name in names)
        yield Finding("ok", f"extra {extra}", text)


def _check_runtimes() -> Iterator[Finding]:
    found = {
        package: _version(package) or _has_variant(package)
        for package in RUNTIMES.values()
        if _version(package) or _has_variant(package)
    }
    if not found:
        todo = "no TFLite interpreter; install one with: pip install 'pnc[device]'"
        yield Finding("problem", "runtime", todo)
        return
    for index, (package, release) in enumerate(found.items()):
        use = "used" if index == 0 else "also there"
        yield Finding("ok", "runtime", f"{package} {release} ({use})")


def _check_checkpoints(names: list[str] | None) -> Iterator[Finding]:
    wanted = names or _shipped_checkpoints()
    if not wanted:
        yield Finding("problem", "checkpoints", "none is shipped here; install pnc again")
    for name in wanted:
        yield _check_checkpoint(name)


def _check_checkpoint(name: str) -> Finding:
    """Compare all hashes of a checkpoint, and send a picture through what is there."""
    what = f"checkpoint {name}"
    try:
        from pnc.codec.codec import Codec

        codec = Codec.load(name)
        checkpoint = codec.checkpoint
        there = [file for file in checkpoint.files if (checkpoint.folder / file).exists()]
        for file in {*there, *DEVICE_FILES}:
            checkpoint.read(file)
        codec.encode(_grey_picture())
        begin = time.perf_counter()
        stream = codec.encode(_grey_picture())
        milliseconds = 1e3 * (time.perf_counter() - begin)
        missing = sorted({*SERVER_FILES}.difference(there))
        if not missing:
            codec.classify(codec.decode(stream), top=1)
    except (PncError, ImportError) as error:
        return Finding("problem", what, str(error))
    text = (
        f"{checkpoint.id}, {len(checkpoint.classes)} classes, {len(there)} hashes match, "
        f"encodes in {milliseconds:.1f} ms"
    )
    if missing:
        todo = f"no {' and no '.join(missing)}: enough for a device; copy them to decode here"
        return Finding("warning", what, f"{text}; {todo}")
    return Finding("ok", what, text)


def _check_ports() -> Iterator[Finding]:
    from serial.tools import list_ports

    ports = sorted(list_ports.comports(), key=lambda port: port.device)
    ports = [port for port in ports if port.hwid not in ("n/a", None)]
    if not ports:
        yield Finding("ok", "serial ports", "none found; plug in the radio if one is to be used")
    for port in ports:
        what = f"port {port.device}"
        if os.access(port.device, os.R_OK | os.W_OK):
            yield Finding("ok", what, port.description)
            continue
        group = _group_of(port.device)
        todo = f"sudo usermod -a -G {group} $USER, then log in again"
        yield Finding("problem", what, f"{port.description}: not permitted; do: {todo}")


def _group_of(device: str) -> str:
    try:
        return grp.getgrgid(Path(device).stat().st_gid).gr_name
    except (KeyError, OSError):
        return "dialout"


def _check_disk() -> Finding:
    folder = Path.cwd()
    free = shutil.disk_usage(folder).free
    text = f"{_size(free)} free at {folder}"
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        return Finding("warning", "disk", f"{folder} cannot be written ({reason}); use another one")
    if free < MIN_FREE_BYTES:
        return Finding("warning", "disk", f"{text}; free some space before storing results")
    return Finding("ok", "disk", text)


def _check_memory() -> Iterator[Finding]:
    try:
        lines = MEMINFO.read_text("ascii").splitlines()
        sizes = {line.partition(":")[0]: int(line.split()[1]) * 1024 for line in lines}
        available, total = sizes["MemAvailable"], sizes["MemTotal"]
    except (OSError, KeyError, ValueError, IndexError):
        return
    text = f"{_size(available)} of {_size(total)} available"
    if available < MIN_MEMORY_BYTES:
        yield Finding("warning", "memory", f"{text}; a device needs 150 MB: end other programs")
    else:
        yield Finding("ok", "memory", text)


def _shipped_checkpoints() -> list[str]:
    """Return the names of the checkpoints that can be found by name."""
    from pnc.codec.checkpoint import MANIFEST, search_folders

    found = {
        path.parent.name for folder in search_folders() for path in folder.glob(f"*/{MANIFEST}")
    }
    return sorted(found)


def _grey_picture() -> Any:
    import numpy as np

    return np.full((224, 224, 3), 128, np.uint8)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _has_variant(package: str) -> str | None:
    """Return the version of TensorFlow where it is installed under its other name."""
    return _version("tensorflow-cpu") if package == "tensorflow" else None


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.1f} GB" if num_bytes >= 2**30 else f"{num_bytes / 2**20:.0f} MB"


def _print(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    colours = {"ok": "green", "warning": "yellow", "problem": "bold red"}
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        state = (f"{finding.state:<8}", colours[finding.state])
        console.print(Text.assemble(state, f" {finding.what:<{width}}  {finding.text}"))
    num_problems = sum(finding.state == "problem" for finding in findings)
    num_warnings = sum(finding.state == "warning" for finding in findings)
    console.print(
        f"{num_problems} problem{'' if num_problems == 1 else 's'}, "
        f"{num_warnings} warning{'' if num_warnings == 1 else 's'}"
    )
