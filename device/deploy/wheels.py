"""The wheels that a device installs: ours, and with a bundle those it depends on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pnc
from device.deploy.ssh import DeployError
from pnc.errors import ConfigError

__all__ = ["Target", "build_wheel", "check_target", "fill_bundle"]

MIN_PYTHON = (3, 11)
MAX_PYTHON_ARMV7 = (3, 12)
"""The only interpreter for 32-bit ARM, tflite-runtime, has wheels below this."""

OLDEST_GLIBC = 17
"""manylinux2014 is glibc 2.17: no wheel for an older one is made any more."""

SUPPORTED = ("aarch64", "armv7l", "x86_64")
"""Machines that an interpreter of TFLite has wheels for."""

MIN_FREE_MB = 600
"""A release takes 250 MB of disk; pip needs as much again while it unpacks."""


@dataclass(frozen=True)
class Target:
    """What a device runs."""

    machine: str
    python: tuple[int, int]
    glibc: tuple[int, int]
    """(0, 0) where it is not glibc."""

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Target:
        """Read it from what the device said."""
        name, version = facts["libc"]
        digits = [int(part) for part in version.split(".")[:2] if part.isdigit()]
        glibc = (digits[0], digits[1]) if name == "glibc" and len(digits) == 2 else (0, 0)
        major, minor, *_ = facts["python"]
        return cls(facts["machine"], (major, minor), glibc)

    @property
    def platforms(self) -> list[str]:
        """Tags of the wheels that it takes, newest first (PEP 600)."""
        minors = range(self.glibc[1], OLDEST_GLIBC - 1, -1)
        tags = [f"manylinux_2_{minor}_{self.machine}" for minor in minors]
        return [*tags, f"manylinux2014_{self.machine}", f"linux_{self.machine}"]


def check_target(host: str, facts: dict[str, Any], *, needs_camera: bool) -> Target:
    """Say whether a device can be one.

    Args:
        host: For messages.
        facts: What it said.
        needs_camera: Whether its source is the camera of a Raspberry Pi.

    Raises:
        DeployError: It cannot; the line says what to do.
    """
    target = Target.of(facts)
    major, minor = target.python
    about = f"{host}: has Python {major}.{minor}"
    if target.python < MIN_PYTHON:
        raise DeployError(
            f"{about}, PNC needs 3.11 or newer; Raspberry Pi OS 12 has it, or name another with "
            "--python"
        )
    if target.machine not in SUPPORTED:
        raise DeployError(
            f"{host}: its processor ({target.machine}) has no TFLite interpreter; there are those "
            f"for {', '.join(SUPPORTED)}"
        )
    if target.machine == "armv7l" and target.python >= MAX_PYTHON_ARMV7:
        raise DeployError(
            f"{about} on 32-bit ARM, whose interpreter ends with 3.11; install the 64-bit system"
        )
    if target.glibc < (2, OLDEST_GLIBC):
        raise DeployError(f"{host}: its C library has no wheels; use a system with glibc")
    if not facts["has_venv"]:
        raise DeployError(
            f"{host}: cannot make virtual environments; do there: sudo apt install python3-venv"
        )
    if not facts["has_systemd"]:
        raise DeployError(f"{host}: has no systemd; start `pnc device run` there by other means")
    if not facts["may_administer"]:
        raise DeployError(
            f"{host}: {facts['user']} may not use sudo without a password; allow it there: "
            f"echo '{facts['user']} ALL=(ALL) NOPASSWD: ALL' | sudo tee /etc/sudoers.d/pnc"
        )
    if needs_camera and not facts["has_picamera2"]:
        raise DeployError(
            f"{host}: has no picamera2; do there: sudo apt install python3-picamera2, or name "
            "another --source"
        )
    if facts["free_mb"] < MIN_FREE_MB:
        raise DeployError(
            f"{host}: {facts['free_mb']} MB free at {facts['folder']}, a release needs "
            f"{MIN_FREE_MB}; free some"
        )
    return target


def build_wheel(folder: Path) -> Path:
    """Build the wheel of the source that this program runs from.

    Args:
        folder: Where to put it.

    Raises:
        ConfigError: It does not run from its source.
        DeployError: It cannot be built.
    """
    root = Path(pnc.__file__).resolve().parents[1]
    if not (root / "pyproject.toml").is_file():
        raise ConfigError(
            f"pnc {pnc.__version__} was installed from a wheel: name that wheel with --wheel"
        )
    isolation = ["--no-build-isolation"] if find_spec("hatchling") else []
    _pip("wheel", "--no-deps", *isolation, "--wheel-dir", str(folder), str(root))
    (wheel,) = folder.glob("pnc-*.whl")
    return wheel


def fill_bundle(folder: Path, wheel: Path, extras: Sequence[str], target: Target) -> None:
    """Download the wheels that a device needs, for its processor and its Python.

    Args:
        folder: The wheelhouse; made if it is missing.
        wheel: Ours.
        extras: Of ours.
        target: The device.

    Raises:
        ConfigError: The device is one for which pip here cannot choose.
        DeployError: The registry is out of reach, or lacks a wheel.
    """
    if target.machine == "armv7l":
        raise ConfigError(
            f"{folder}: a bundle for 32-bit ARM has to be made there: pip download -d {folder} "
            f"'pnc[{','.join(extras)}]', then copied here"
        )
    folder.mkdir(parents=True, exist_ok=True)
    words = [word for tag in target.platforms for word in ("--platform", tag)]
    words += ["--python-version", "{}.{}".format(*target.python), "--implementation", "cp"]
    requirement = f"pnc[{','.join(extras)}] @ {wheel.resolve().as_uri()}"
    _pip("download", "--only-binary", ":all:", "--dest", str(folder), *words, requirement)


def _pip(*words: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line.lower()]
        reason = (errors or lines or ["no reason given"])[-1].strip()
        raise DeployError(f"pip {words[0]} failed ({reason}); see to that and run it again")
