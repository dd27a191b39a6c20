"""Child processes of the demo: started, read, watched, and ended with it, whatever happens."""

from __future__ import annotations

import ctypes
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

_PR_SET_PDEATHSIG = 1


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
        done = threading.Event()
        lines: list[str] = []

        def read() -> None:
            lines.append(self._stdout.readline())
            done.set()

        threading.Thread(target=read, name=f"first line of {self.name}", daemon=True).start()
        if not done.wait(timeout_s):
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
        line = _last_line(self.log)
        said = line.removeprefix(ERROR_PREFIX) if line else f"exit status {status}"
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
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            process_group=0,
            preexec_fn=_die_with(os.getpid()) if sys.platform == "linux" else None,
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


def _die_with(parent: int) -> Callable[[], None]:
    """Return what a new process does first: ask for SIGTERM when its parent ends (prctl(2))."""
    library = ctypes.CDLL(None, use_errno=True)

    def ask() -> None:
        library.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask


def _last_line(log: Path) -> str:
    """Return the last error in a log, or its last line."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    said = [line.strip() for line in lines if line.strip()]
    errors = [line for line in said if line.startswith(ERROR_PREFIX)]
    return (errors or said or [""])[-1]
