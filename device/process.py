"""What surrounds the loop of ``pnc device run``: signals, reports, the name of the machine."""

from __future__ import annotations

import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from device.report import JsonReporter, LineReporter, LiveReporter, LogReporter
from pnc.config import MAX_DEVICE_NAME_BYTES

__all__ = ["ending_cleanly", "host_name", "reporting", "switching_fast"]

SWITCH_INTERVAL_S = 0.0002
"""How long the thread that codes may keep the one that sends from Python, seconds: a first packet
should not wait for Python's 5 ms."""


@contextmanager
def switching_fast() -> Iterator[None]:
    """Let threads take turns often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@contextmanager
def ending_cleanly(stop: threading.Event) -> Iterator[None]:
    """Let the first SIGINT or SIGTERM set ``stop``; a second one does what it always does."""

    def end(number: int, _frame: object) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def reporting(as_json: bool, log_json: bool) -> Iterator[LineReporter]:
    """Give what tells the user what happens, in the form asked for; it tells the counts at the end.

    Args:
        as_json: One JSON object a line on stdout.
        log_json: One JSON object a line on stderr, for a journal.
    """
    reporter: LineReporter
    if log_json:
        reporter = LogReporter()
    elif as_json:
        reporter = JsonReporter()
    elif sys.stdout.isatty():
        from rich.console import Console

        reporter = LiveReporter(Console())
    else:
        reporter = LineReporter()
    try:
        yield reporter
    finally:
        reporter.close()


def host_name() -> str:
    """Return the host's name, cut to what a HELLO holds."""
    name = socket.gethostname().partition(".")[0] or "device"
    return name.encode()[:MAX_DEVICE_NAME_BYTES].decode(errors="ignore")
