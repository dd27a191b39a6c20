"""Child processes of the demo: started, read, watched, and ended with it, whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from pnc.errors import PncError

__all__ = ["Child", "ChildDiedError", "start_child", "stop_children"]

STOP_TIMEOUT_S = 8.0
"""A child that has not ended this long after SIGTERM is killed."""

ERROR_PREFIX = "pnc: error: "
"""How the ``pnc`` command begins the line that says why it ended."""

_LAUNCHER = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the demo ended before its child began")
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Asks for SIGTERM when the parent ends, then becomes the program: prctl(2) outlives execve(2)."""


class ChildDiedError(PncError):
    """A process of the demo ended with an error, or did not start."""


class Child:
    """A process whose stdout is read here and whose stderr goes to a log.

    Args:
        name: How messages call it.
        process: With stdout as a text pipe.
        log: Where its stderr goes.
    """

    def __init__(self, name: str, process: subprocess.Popen[str], log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process
        self._reader: threading.Thread | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def first_line(self, timeout_s: float) -> str:
        """Wait for the first line of its stdout.

        Raises:
            ChildDiedError: It ended first, or took too long.
        """
        lines: list[str] = []
        reader = threading.Thread(
            target=lambda: lines.append(self._stdout.readline()),
            name=f"first line of {self.name}",
            daemon=True,
        )
        reader.start()
        reader.join(timeout_s)
        if not lines:
            raise ChildDiedError(f"the {self.name} did not start within {timeout_s:.0f} s")
        if not lines[0]:
            self._process.wait(STOP_TIMEOUT_S)
            raise self._explain()
        return lines[0]

    def drain(self, on_line: Callable[[str], None] = lambda _line: None) -> None:
        """Read the rest of its stdout in a thread, so that it never waits for us."""

        def read() -> None:
            for line in self._stdout:
                on_line(line)

        self._reader = threading.Thread(target=read, name=f"read {self.name}", daemon=True)
        self._reader.start()

    def wait(self, timeout_s: float) -> None:
        """Wait until it ends, at most this long."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return

    def check(self) -> None:
        """Raise if it has ended with an error.

        Raises:
            ChildDiedError: With its last line.
        """
        if not self.is_running and (self.name != "device" or self._process.returncode != 0):
            raise self._explain()

    def check_success(self) -> None:
        """Raise unless it ended with status 0.

        Raises:
            ChildDiedError: With its last line.
        """
        if self._process.returncode != 0:
            raise self._explain()

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """End it: SIGTERM, then SIGKILL; close its pipe."""
        if self.is_running:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._reader is not None:
            self._reader.join(1.0)
        self._stdout.close()

    @property
    def _stdout(self) -> IO[str]:
        assert self._process.stdout is not None, "opened with a pipe"
        return self._process.stdout

    def _explain(self) -> ChildDiedError:
        status = self._process.returncode
        said = _last_line(self.log)
        if status is not None and status < 0:
            said = f"killed by signal {-status}"
        said = said.removeprefix(ERROR_PREFIX) or f"exit status {status}"
        return ChildDiedError(f"the {self.name} ended: {said}", name=self.name, status=status)


def start_child(name: str, command: Sequence[str], log: Path) -> Child:
    """Start a process that ends when this one does, even by ``kill -9`` (Linux).

    It gets a process group of its own, so that Ctrl-C reaches only the demo, which then ends its
    children in order.

    Args:
        name: How messages call it.
        command: Program and arguments.
        log: Its stderr; written anew.
    """
    if sys.platform == "linux":
        launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid())]
        command = [*launcher, *command]
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            process_group=0,
        )
    return Child(name, process, log)


def stop_children(children: Sequence[Child]) -> None:
    """End all, the last started first; a Ctrl-C meanwhile does not leave any behind."""
    waiting = list(reversed(children))
    while waiting:
        try:
            waiting[0].stop()
            waiting.pop(0)
        except KeyboardInterrupt:
            continue


def _last_line(log: Path) -> str:
    """Return the last error in a log, or its last line."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    said = [line.strip() for line in lines if line.strip()]
    errors = [line for line in said if line.startswith(ERROR_PREFIX)]
    return (errors or said or [""])[-1]
