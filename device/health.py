"""How a running device is: counters, a socket that tells them, and the service manager's watchdog.

Whoever connects to the socket gets one JSON object and a line feed, and is hung up on::

    pnc device run --health /run/pnc-device/health.sock ...
    pnc device health /run/pnc-device/health.sock
"""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from device.pictures import PictureReport, Unanswered
from device.report import Tally, describe
from device.sources import SourceLostError
from pnc.errors import ConfigError, ImageError, LinkError

__all__ = ["Health", "HealthServer", "Notifier", "read_health"]

NUM_LINES = 5
"""Lines about the last pictures that are kept: what one look takes in."""

ANSWER_TIMEOUT_S = 2.0
"""How long one asker may hold up the next, seconds."""

MAX_ANSWER_BYTES = 1 << 20
"""Longest answer that is read, bytes."""


class Health:
    """Collects facts; a :class:`device.pictures.Reporter`.

    Args:
        facts: What does not change: name, version, checkpoint, source, link.
        clock: Seconds.
    """

    def __init__(
        self, facts: Mapping[str, Any], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._facts = dict(facts)
        self._clock = clock
        self._lock = threading.Lock()
        self._begin = clock()
        self._tally = Tally()
        self._state = "waiting"
        self._link_error: str | None = None
        self._source_error: str | None = None
        self._trouble: str | None = None
        self._num_connections = 0
        self._num_link_losses = 0
        self._num_source_losses = 0
        self._picture_at: float | None = None
        self._result_at: float | None = None
        self._last: PictureReport | None = None
        self._lines: deque[str] = deque(maxlen=NUM_LINES)

    def picture(self, report: PictureReport) -> None:
        """Count a picture."""
        with self._lock:
            self._tally.add(report)
            self._last = report
            self._picture_at = self._clock()
            if report.result_ms is not None:
                self._result_at = self._picture_at
            self._lines.append(describe(report))

    def connected(self) -> None:
        """Note that the edge server answered."""
        with self._lock:
            self._state, self._link_error = "connected", None
            self._num_connections += 1

    def unanswered(self, event: Unanswered) -> None:
        """Note that no edge server answers."""
        with self._lock:
            self._state, self._link_error = "waiting", str(event)

    def lost(self, error: LinkError, retry_s: float) -> None:
        """Note that the link is gone; a further try to open it counts for nothing."""
        with self._lock:
            self._num_link_losses += self._state != "lost"
            self._state, self._link_error = "lost", str(error)

    def broken(self, error: ImageError) -> None:
        """Count a picture that cannot be read."""
        with self._lock:
            self._tally.num_broken += 1

    def trouble(self, text: str) -> None:
        """Note what went wrong last."""
        with self._lock:
            self._trouble = text

    def source_lost(self, error: SourceLostError) -> None:
        """Note that the source gives nothing."""
        with self._lock:
            self._num_source_losses += self._source_error is None
            self._source_error = str(error)

    def source_back(self) -> None:
        """Note that the source gives pictures again."""
        with self._lock:
            self._source_error = None

    def snapshot(self) -> dict[str, Any]:
        """Return everything, ready for JSON; ``state`` is waiting, connected or lost."""
        now = self._clock()

        def age(at: float | None) -> float | None:
            return None if at is None else round(now - at, 3)

        with self._lock:
            last = self._last
            return {
                **self._facts,
                "state": self._state,
                "pid": os.getpid(),
                "uptime_s": age(self._begin),
                "link_error": self._link_error,
                "source_error": self._source_error,
                "trouble": self._trouble,
                "connections": self._num_connections,
                "link_losses": self._num_link_losses,
                "source_losses": self._num_source_losses,
                "pictures": self._tally.num_pictures,
                "results": self._tally.num_results,
                "skipped": self._tally.num_broken,
                "bytes_sent": self._tally.bytes_sent,
                "last_picture_age_s": age(self._picture_at),
                "last_result_age_s": age(self._result_at),
                "encode_ms": None if last is None else round(last.encode_ms, 2),
                "result_ms": None if last is None or last.result_ms is None else last.result_ms,
                "last_pictures": list(self._lines),
                "memory_mb": _resident_mb(),
            }


class HealthServer:
    """Answers on a unix socket until it is closed.

    Args:
        path: The socket; one that nobody answers on any more is replaced.
        snapshot: Gives the answer; called from another thread.

    Raises:
        ConfigError: The socket cannot be made, or another device answers on it.
    """

    def __init__(self, path: Path, snapshot: Callable[[], Mapping[str, Any]]) -> None:
        self._path = path
        self._snapshot = snapshot
        self._closed = False
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._clear()
            self._socket.bind(str(path))
            path.chmod(0o660)
            self._socket.listen()
        except OSError as error:
            self._socket.close()
            reason = (error.strerror or str(error)).lower()
            raise ConfigError(
                f"{path}: no health socket can be made there ({reason}); choose another --health"
            ) from error
        except ConfigError:
            self._socket.close()
            raise
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer no more, and remove the socket."""
        self._closed = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(ANSWER_TIMEOUT_S)
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _clear(self) -> None:
        """Remove what an agent that was killed left there."""
        try:
            mode = self._path.lstat().st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise ConfigError(f"{self._path}: is no socket; choose another --health")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(ANSWER_TIMEOUT_S)
            try:
                probe.connect(str(self._path))
            except OSError:
                self._path.unlink()
                return
        raise ConfigError(f"{self._path}: another device answers there; end it or choose another")

    def _run(self) -> None:
        while not self._closed:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                if self._closed:
                    return
                continue
            with connection, suppress(OSError):
                connection.settimeout(ANSWER_TIMEOUT_S)
                connection.sendall(json.dumps(self._snapshot()).encode() + b"\n")


def read_health(path: Path) -> dict[str, Any]:
    """Ask a running device how it is.

    Raises:
        ConfigError: Nobody answers there, or with something else.
    """
    answer = b""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asker:
            asker.settimeout(ANSWER_TIMEOUT_S)
            asker.connect(str(path))
            while (data := asker.recv(1 << 16)) and len(answer) < MAX_ANSWER_BYTES:
                answer += data
        found = json.loads(answer)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(
            f"{path}: no device answers ({reason}); start one with --health {path}"
        ) from error
    except ValueError as error:
        raise ConfigError(f"{path}: what answers there is no device") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: what answers there is no device")
    return found


class Notifier:
    """Tells systemd that the service is ready and alive (sd_notify(3)); else does nothing.

    Args:
        environment: Where ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID`` are read.
        clock: Seconds.
    """

    def __init__(
        self,
        environment: Mapping[str, str] = os.environ,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._address = environment.get("NOTIFY_SOCKET", "")
        usec = environment.get("WATCHDOG_USEC", "")
        mine = environment.get("WATCHDOG_PID", "") in ("", str(os.getpid()))
        # Half of what is allowed, as sd_watchdog_enabled(3) recommends.
        self._interval_s = int(usec) / 2e6 if usec.isdigit() and mine and int(usec) else None
        self._due = float("-inf")

    def ready(self, status: str) -> None:
        """Tell that the service has started."""
        self._send(f"READY=1\nSTATUS={status}")

    def alive(self) -> None:
        """Tell that the loop turns, as often as the watchdog asks; cheap to call."""
        if self._interval_s is None:
            return
        now = self._clock()
        if now >= self._due:
            self._due = now + self._interval_s
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Tell that the service is about to end."""
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            # A manager that does not read must not hold the device up.
            manager.setblocking(False)
            manager.sendto(text.encode(), address)


def _resident_mb() -> float | None:
    with suppress(OSError):
        found = re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text("ascii"))
        return round(int(found[1]) / 1024, 1) if found else None
    return None
