"""What surrounds the loop of ``pnc device run``: turns of threads, reports, the machine's name."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from device.report import JsonReporter, LineReporter, LiveReporter, LogReporter
from pnc.config import MAX_DEVICE_NAME_BYTES

__all__ = ["host_name", "reporting", "switching_fast"]

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
