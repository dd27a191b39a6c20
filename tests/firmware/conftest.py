"""MicroPython, where it is."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.firmware.fakes import FIRMWARE

HERE = Path(__file__).parent
PACKAGE = Path("@micropython", "micropython-webassembly-pyscript", "micropython.mjs")


def find_interpreter() -> Path | None:
    """MicroPython's module: below ``$PNC_NODE_MODULES`` or ``tests/firmware/node_modules``."""
    folder = Path(os.environ.get("PNC_NODE_MODULES") or HERE / "node_modules")
    return folder / PACKAGE if (folder / PACKAGE).is_file() else None


@pytest.fixture(scope="session")
def micropython(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Runs statements in MicroPython, firmware and exercise at hand; gives what they print."""
    node, interpreter = shutil.which("node"), find_interpreter()
    if node is None:
        pytest.skip("node is not installed, and MicroPython runs in it")
    if interpreter is None:
        pytest.skip("no MicroPython: npm install --prefix tests/firmware")
    folder = tmp_path_factory.mktemp("micropython")
    for file in (*FIRMWARE.glob("*.py"), HERE / "exercise.py"):
        shutil.copy(file, folder)

    def run(statement: str) -> str:
        command = [node, str(HERE / "run.mjs"), str(interpreter), str(folder), statement]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return str(done.stdout)

    return run
