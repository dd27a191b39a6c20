"""The system's ssh: one connection, over which our own program runs on the device."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from pnc.errors import ConfigError, PncError

__all__ = ["DeployError", "Shell"]

CONNECT_TIMEOUT_S = 15
"""Until the network answers, seconds; typing a password takes as long as it takes."""

ALIVE_S, ALIVE_COUNT = 10, 3
"""A connection that is silent for this long, this often, is given up, seconds and times."""

POLL_S = 0.05

_BOOT = "import sys;exec(compile(sys.stdin.buffer.read({size}),'pnc-remote','exec'))"
"""The program comes first on standard input; what follows is for the program to read."""


class DeployError(PncError):
    """A device cannot be reached, or does not do what it is asked."""


class Shell:
    """A connection to a device; a context manager.

    Args:
        host: ``user@host``, or a name from ssh's own settings.
        command: The ssh program with its options.
        python: The Python to use there.

    Raises:
        ConfigError: The host's name is not one.
    """

    def __init__(
        self, host: str, *, command: Sequence[str] = ("ssh",), python: str = "python3"
    ) -> None:
        if not host or host.startswith("-") or any(letter.isspace() for letter in host):
            raise ConfigError(f"{host!r}: not the name of a host; give user@host")
        self.host = host
        self._command = list(command)
        self._python = python
        self._script = Path(__file__).with_name("remote.py").read_bytes()
        self._folder = tempfile.TemporaryDirectory(prefix="pnc-")
        self._control = Path(self._folder.name) / "ssh"
        self._log = Path(self._folder.name) / "log"
        self._master: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Shell:
        """Connect.

        Raises:
            DeployError: The device cannot be reached, or does not let us in.
        """
        options = [
            *("-o", f"ConnectTimeout={CONNECT_TIMEOUT_S}"),
            *("-o", f"ServerAliveInterval={ALIVE_S}", "-o", f"ServerAliveCountMax={ALIVE_COUNT}"),
            *([] if sys.stdin.isatty() else ["-o", "BatchMode=yes"]),
        ]
        try:
            with self._log.open("wb") as log:
                self._master = subprocess.Popen(
                    [*self._words(), *options, "-M", "-N", self.host],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                )
        except OSError as error:
            self.close()
            raise DeployError(
                f"{self._command[0]}: cannot be started ({error.strerror}); install OpenSSH's "
                "client, or name another with --ssh-command"
            ) from error
        try:
            while not self._control.exists():
                if self._master.poll() is not None:
                    reason = _last_line(self._log.read_bytes())
                    raise DeployError(
                        f"{self.host}: ssh cannot connect ({reason}); try it by hand: "
                        f"ssh {self.host}"
                    )
                time.sleep(POLL_S)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        if self._master is not None:
            self._master.terminate()
            self._master.wait()
        with suppress(OSError):
            self._folder.cleanup()

    def call(
        self,
        operation: str,
        *,
        say: Callable[[str], None] = lambda text: None,
        payload: Iterable[bytes] = (),
        **request: Any,
    ) -> Any:
        """Let the device do something; see :mod:`device.deploy.remote`.

        Args:
            operation: A method of its class ``Device``.
            say: Called with what the device says meanwhile.
            payload: What follows the request.
            **request: The arguments.

        Raises:
            DeployError: It refused, or the connection broke.
        """
        code = shlex.quote(_BOOT.format(size=len(self._script)))
        line = json.dumps({"operation": operation, **request}).encode() + b"\n"
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                [*self._words(), "-T", self.host, f"{shlex.quote(self._python)} -c {code}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                with suppress(BrokenPipeError):
                    for piece in (self._script, line, *payload):
                        process.stdin.write(piece)
                    process.stdin.flush()
                for answer in process.stdout:
                    found = self._parse(answer)
                    if "say" in found:
                        say(str(found["say"]))
                    elif "error" in found:
                        raise DeployError(f"{self.host}: {found['error']}")
                    elif "result" in found:
                        return found["result"]
                status = process.wait()
                errors.seek(0)
                raise self._broken(status, _last_line(errors.read()))
            finally:
                with suppress(BrokenPipeError):
                    process.stdin.close()
                if process.poll() is None:
                    process.terminate()
                process.wait()
                process.stdout.close()

    def follow(self, command: str) -> int:
        """Run a command there with our own output; return its status."""
        terminal = ["-t"] if sys.stdin.isatty() else []
        return subprocess.run(
            [*self._words(), *terminal, self.host, command], check=False
        ).returncode

    def _words(self) -> list[str]:
        return [*self._command, "-o", f"ControlPath={self._control}"]

    def _parse(self, line: bytes) -> dict[str, Any]:
        try:
            found = json.loads(line)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def _broken(self, status: int, reason: str) -> DeployError:
        if status == 127:
            return DeployError(
                f"{self.host}: has no {self._python}; install Python 3.11 or newer there, or name "
                "it with --python"
            )
        if status == 255:
            return DeployError(f"{self.host}: the connection broke ({reason}); run it again")
        return DeployError(f"{self.host}: {self._python} failed ({reason or status}); run it again")


def _last_line(text: bytes) -> str:
    lines = [line.strip() for line in text.decode(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "no reason given")
