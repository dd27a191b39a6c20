"""What is declared can be installed and found: entry points, extras, versions, public face."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import typer
from packaging.requirements import Requirement

import pnc

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
COMMANDS: dict[str, str] = PROJECT["project"]["entry-points"]["pnc.commands"]
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]

PI_32 = {"platform_machine": "armv7l", "sys_platform": "linux", "python_version": "3.11"}
PI_64 = {"platform_machine": "aarch64", "sys_platform": "linux", "python_version": "3.13"}
PC = {"platform_machine": "x86_64", "sys_platform": "linux", "python_version": "3.12"}
MAC = {"platform_machine": "arm64", "sys_platform": "darwin", "python_version": "3.12"}


def names(extra: str, machine: dict[str, str]) -> set[str]:
    """Packages that base and extra ask for on a machine, the extras inside followed."""
    found: set[str] = set()
    for line in [*PROJECT["project"]["dependencies"], *EXTRAS[extra]]:
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate(machine):
            continue
        if requirement.name == "pnc":
            found |= {name for inner in requirement.extras for name in names(inner, machine)}
        else:
            found.add(requirement.name)
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_entry_point_resolves_to_a_command(name: str) -> None:
    target = EntryPoint(name, COMMANDS[name], "pnc.commands").load()
    assert isinstance(target, typer.Typer) or callable(target)


@pytest.mark.parametrize("machine", [PI_32, PI_64, PC], ids=["pi-32", "pi-64", "pc"])
def test_device_needs_no_more_than_a_pi_can_carry(machine: dict[str, str]) -> None:
    runtime = "tflite-runtime" if machine is PI_32 else "ai-edge-litert"
    core = {"numpy", "pillow", "pyserial", "rich", "typer"}
    assert names("device", machine) == core | {runtime}


def test_server_adds_the_web_and_no_tensorflow() -> None:
    assert names("server", PC) - names("device", PC) == {"fastapi", "uvicorn"}


@pytest.mark.parametrize(
    ("machine", "package"), [(PC, "tensorflow-cpu"), (PI_64, "tensorflow"), (MAC, "tensorflow")]
)
def test_training_asks_for_one_tensorflow(machine: dict[str, str], package: str) -> None:
    assert {name for name in names("train", machine) if "tensorflow" in name} == {package}


def test_every_declared_package_has_a_version_that_was_tested() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {}
    for line in lines:
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            pinned[requirement.name] = str(requirement.specifier).removeprefix("==")
    declared = [Requirement(line) for extra in EXTRAS for line in EXTRAS[extra]]
    declared += [Requirement(line) for line in PROJECT["project"]["dependencies"]]
    for requirement in declared:
        if requirement.name == "pnc" or (requirement.marker and not requirement.marker.evaluate()):
            continue
        assert requirement.name in pinned
        assert requirement.specifier.contains(pinned[requirement.name])


def test_version_is_the_one_of_the_changelog() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {pnc.__version__}" in changelog


def test_public_names_load_and_are_listed() -> None:
    for name in pnc.__all__:
        assert getattr(pnc, name) is not None
        assert name in dir(pnc)


def test_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pnc.nothing


@pytest.mark.e2e
def test_importing_pnc_and_listing_commands_load_nothing_heavy() -> None:
    program = (
        "import sys, pnc; light = set(sys.modules)\n"
        "from pnc.cli import main; main(['--help'])\n"
        "heavy = {'numpy', 'PIL', 'tensorflow', 'keras', 'fastapi', 'serial'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert 'typer' not in light\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
