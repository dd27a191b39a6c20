"""The arrows of the house: who may import whom, read from the source without running it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

ROOMS_OF_PACKAGE: dict[str, set[str]] = {
    "pnc": {"pnc"},
    "device": {"device", "pnc"},
    "edge_server": {"edge_server", "pnc"},
    "training": {"training", "pnc"},
    "benchmarks": {"benchmarks", "pnc"},
}

ROOMS_OF_CORE: dict[str, set[str]] = {
    "pnc": {"errors"},
    "errors": set(),
    "config": {"errors"},
    "signals": set(),
    "splits": set(),
    "belt": {"errors"},
    "codec": {"errors", "config"},
    "transport": {"errors", "config"},
    "replay": {"pnc", "errors", "config", "belt", "codec", "transport", "testing"},
    "testing": {"errors", "config", "codec", "transport", "replay"},
    "commands": {
        "pnc",
        "errors",
        "config",
        "signals",
        "belt",
        "codec",
        "transport",
        "replay",
        "testing",
    },
    "cli": {"pnc", "errors"},
    "__main__": {"cli"},
}

DEVICE_PACKAGES = {
    "PIL",
    "ai_edge_litert",
    "numpy",
    "rich",
    "serial",
    "tflite_runtime",
    "typer",
}
SERVER_PACKAGES = DEVICE_PACKAGES | {"fastapi", "pydantic", "starlette", "uvicorn"}

PACKAGES_OF_PACKAGE: dict[str, set[str]] = {
    "pnc": DEVICE_PACKAGES,
    "device": DEVICE_PACKAGES,
    "edge_server": SERVER_PACKAGES,
    "training": DEVICE_PACKAGES
    | {"keras", "matplotlib", "tensorboard", "tensorflow", "threadpoolctl"},
    "benchmarks": SERVER_PACKAGES | {"httpx", "keras", "matplotlib", "tensorflow"},
}

CIRCUITPYTHON = {
    "_bleio",
    "board",
    "digitalio",
    "microcontroller",
    "supervisor",
    "usb_cdc",
    "usb_hid",
    "usb_midi",
    "watchdog",
}

PACKAGES_OF_MODULE = {
    "benchmarks.radio.bleak_backend": {"bleak", "bumble"},
    "benchmarks.radio.controller": {"bumble"},
    "benchmarks.radio.world": {"bumble"},
    "device.firmware.boot": CIRCUITPYTHON,
    "device.firmware.code": CIRCUITPYTHON | {"bridge_core"},
    "device.sources.picamera": {"picamera2"},
    "device.sources.v4l2": {"linuxpy"},
    "device.sources.video": {"av"},
    "pnc.codec.interpreter": {"tensorflow"},
    "pnc.commands.link_list": {"bleak"},
    "pnc.replay.baselines.whole_files": {"pillow_jxl"},
    "pnc.transport.links.ble": {"bleak"},
    "pnc.transport.links.ble_peripheral": {"bumble"},
    "pnc.transport.links.websocket": {"websockets"},
}
"""Packages that only one module may know, since only a few machines have them: tf.lite is the third
choice of the interpreter's face, JPEG XL is a rival where its package is, links and cameras have
extras of their own, the virtual radio is bumble's, and the firmware runs on CircuitPython."""

CLOCKS_AND_WIRES = {"asyncio", "sched", "select", "selectors", "serial", "socket", "time"}
MAY_WAIT = (
    "pnc.transport.links",
    "pnc.transport.driver",
    "pnc.commands",
    "pnc.signals",
    "pnc.cli",
)


@dataclass(frozen=True)
class Arrow:
    source: str
    target: str
    line: int
    for_types_only: bool


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def find_modules(root: Path) -> dict[str, Path]:
    return {
        module_name(path, root): path
        for package in ROOMS_OF_PACKAGE
        for path in sorted((root / package).rglob("*.py"))
    }


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def walk(node: ast.AST, for_types_only: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    for child in ast.iter_child_nodes(node):
        inside = for_types_only or is_type_checking(node)
        yield child, inside
        yield from walk(child, inside)


def imported_literal(node: ast.AST) -> str | None:
    """The module in import_module("x") and __import__("x")."""
    if not (isinstance(node, ast.Call) and node.args):
        return None
    function = ast.unparse(node.func)
    argument = node.args[0]
    if function not in ("import_module", "importlib.import_module", "__import__"):
        return None
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        return argument.value
    return None


def find_arrows(modules: dict[str, Path]) -> list[Arrow]:
    arrows = []
    for source, path in modules.items():
        for node, for_types_only in walk(ast.parse(path.read_text(encoding="utf-8"))):
            targets: list[str] = []
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    here = source.split(".")
                    if path.name != "__init__.py":
                        here = here[:-1]
                    here = here[: len(here) - node.level + 1]
                    base = ".".join([*here, base] if base else here)
                for alias in node.names:
                    inner = f"{base}.{alias.name}"
                    targets.append(inner if inner in modules else base)
            elif (literal := imported_literal(node)) is not None:
                targets = [literal]
            line = getattr(node, "lineno", 0)
            arrows += [Arrow(source, target, line, for_types_only) for target in targets]
    return arrows


def core_room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "pnc"


def is_inside(module: str, places: tuple[str, ...]) -> bool:
    return any(module == place or module.startswith(place + ".") for place in places)


def judge(arrow: Arrow) -> str | None:
    """Why the arrow is forbidden, or None."""
    package, target = arrow.source.partition(".")[0], arrow.target.partition(".")[0]
    if target in ROOMS_OF_PACKAGE:
        if target not in ROOMS_OF_PACKAGE[package]:
            return f"{package}/ may not import {target}/"
        if package != "pnc" or (arrow.source == "pnc" and arrow.for_types_only):
            return None
        here, there = core_room(arrow.source), core_room(arrow.target)
        if here not in ROOMS_OF_CORE:
            return f"{here} is no room of ARCHITECTURE.md"
        if here != there and there not in ROOMS_OF_CORE[here]:
            return f"pnc/{here} may not import pnc/{there}"
        return None
    may_wait = package != "pnc" or is_inside(arrow.source, MAY_WAIT)
    if target in CLOCKS_AND_WIRES and not may_wait:
        return f"no clock, no sleep, no sockets here, so no {target}"
    if target in sys.stdlib_module_names:
        return None
    allowed = PACKAGES_OF_PACKAGE[package] | PACKAGES_OF_MODULE.get(arrow.source, set())
    if target not in allowed:
        return f"{package}/ does without the package {target}"
    return None


def find_violations(root: Path) -> list[str]:
    modules = find_modules(root)
    arrows = find_arrows(modules)
    violations = [
        f"{arrow.source}:{arrow.line} imports {arrow.target}: {reason}"
        for arrow in arrows
        if (reason := judge(arrow)) is not None
    ]
    graph: dict[str, set[str]] = {module: set() for module in modules}
    for arrow in arrows:
        if not arrow.for_types_only and arrow.target in modules and arrow.target != arrow.source:
            graph[arrow.source].add(arrow.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        violations.append("circle: " + " -> ".join(reversed(error.args[1])))
    return violations


def plant(root: Path, path: str, source: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source, encoding="utf-8")


def test_house_has_no_forbidden_arrow() -> None:
    assert find_violations(ROOT) == []


def test_every_package_of_the_house_is_there() -> None:
    assert all(package in find_modules(ROOT) for package in ROOMS_OF_PACKAGE)


@pytest.mark.parametrize(
    ("path", "source", "reason"),
    [
        ("pnc/codec/codec.py", "import device.agent", "pnc/ may not import device/"),
        ("pnc/cli.py", "def f():\n    from training import cli", "may not import training/"),
        ("device/agent.py", "from edge_server.store import Store", "may not import edge_server/"),
        ("edge_server/demo.py", "import device", "edge_server/ may not import device/"),
        ("benchmarks/rate.py", "import training.data", "benchmarks/ may not import training/"),
        ("pnc/codec/codec.py", "from pnc.transport import wire", "may not import pnc/transport"),
        ("pnc/transport/session.py", "import pnc.codec.codec", "may not import pnc/codec"),
        ("pnc/transport/session.py", "from ..codec import codec", "may not import pnc/codec"),
        ("pnc/codec/codec.py", "from pnc.replay import metrics", "may not import pnc/replay"),
        ("pnc/errors.py", "import pnc.config", "may not import pnc/config"),
        ("pnc/codec/codec.py", "from pnc import Receiver", "may not import pnc/pnc"),
        ("pnc/attic/old.py", "import pnc.errors", "no room of ARCHITECTURE.md"),
        ("pnc/codec/codec.py", "import tensorflow as tf", "does without the package tensorflow"),
        ("pnc/codec/codec.py", 'import_module("keras")', "does without the package keras"),
        ("device/agent.py", "from fastapi import FastAPI", "does without the package fastapi"),
        ("edge_server/app.py", "import keras", "does without the package keras"),
        ("pnc/codec/codec.py", "import time", "no clock"),
        ("pnc/transport/session.py", "from time import sleep", "no clock"),
        ("pnc/transport/wire.py", "import asyncio", "no clock"),
        ("pnc/replay/simulate.py", "import socket", "no clock"),
    ],
)
def test_checker_catches_a_planted_violation(
    tmp_path: Path, path: str, source: str, reason: str
) -> None:
    for name in ("pnc/transport/wire.py", "pnc/codec/codec.py", "pnc/config.py"):
        plant(tmp_path, name, "")
    plant(tmp_path, path, source)
    violations = find_violations(tmp_path)
    assert len(violations) == 1
    assert reason in violations[0]


def test_checker_catches_a_circle_hidden_in_functions(tmp_path: Path) -> None:
    plant(tmp_path, "pnc/codec/a.py", "from pnc.codec import b")
    plant(tmp_path, "pnc/codec/b.py", "def f():\n    from pnc.codec.c import x")
    plant(tmp_path, "pnc/codec/c.py", "import pnc.codec.a")
    (violation,) = find_violations(tmp_path)
    assert violation.startswith("circle: ")
    assert "pnc.codec.b -> pnc.codec.c" in violation


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("pnc/transport/links/serial.py", "import time, serial, socket"),
        ("pnc/transport/driver.py", "import time, threading"),
        ("pnc/replay/simulate.py", "from pnc.codec import codec\nimport pnc.transport.wire"),
        ("pnc/codec/interpreter.py", "def f():\n    import tensorflow"),
        ("edge_server/app.py", "import fastapi, time\nfrom pnc import Codec"),
        ("training/loop.py", "import keras, tensorflow, time"),
        ("pnc/__init__.py", "if TYPE_CHECKING:\n    from pnc.codec.codec import Codec"),
    ],
)
def test_checker_lets_an_allowed_arrow_pass(tmp_path: Path, path: str, source: str) -> None:
    plant(tmp_path, "pnc/codec/codec.py", "")
    plant(tmp_path, "pnc/transport/wire.py", "")
    plant(tmp_path, path, source)
    assert find_violations(tmp_path) == []
