"""Seconds that a run has used, over all its processes."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from pnc.errors import ConfigError
from training.files import write_json

HEARTBEAT_S = 2.0
"""A kill hides at most so many seconds from the clock."""


class Clock:
    """Seconds that a run has used, over all its processes.

    Used as a context: a thread writes the time down every other second.

    Args:
        path: the file.
        now: any monotonic clock, seconds.
        began: where that clock stood when the process began; now if absent.

    Raises:
        ConfigError: the file is damaged.
    """

    def __init__(
        self,
        path: Path,
        *,
        now: Callable[[], float] = time.monotonic,
        began: float | None = None,
    ) -> None:
        self._path = path
        self._now = now
        self._before = _read_seconds(path)
        self._started = now() if began is None else began
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="clock", daemon=True)

    def used(self) -> float:
        """Seconds so far."""
        return self._before + self._now() - self._started

    def forget(self) -> None:
        """Count from zero again: what went by belongs to no run."""
        self._before, self._started = 0.0, self._now()

    def beat(self) -> None:
        """Write the time down, in one step."""
        write_json(self._path, {"used_s": round(self.used(), 2)})

    def _run(self) -> None:
        while not self._stop.wait(HEARTBEAT_S):
            with contextlib.suppress(ConfigError):
                self.beat()

    def __enter__(self) -> Clock:
        self.beat()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        with contextlib.suppress(ConfigError):
            self.beat()


def _read_seconds(path: Path) -> float:
    try:
        return float(json.loads(path.read_text(encoding="utf-8"))["used_s"])
    except FileNotFoundError:
        return 0.0
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: damaged ({error}); delete it to count from zero") from error
