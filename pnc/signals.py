"""The signals that end a program, handed to it by a thread.

A Python handler runs in the main thread, between any two of its instructions: in the middle of
another handler too, and not at all while that thread waits for a lock and the kernel gave the
signal to another one. ``Event.set`` in a handler therefore waits for itself when a second signal
comes, as it does from a parent with threads that is killed: Linux tells the child of each thread's
death. Here the handler does nothing; what C wrote to the wakeup descriptor wakes a thread, which
may take any lock (https://docs.python.org/3/library/signal.html#signal.set_wakeup_fd).
"""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["stopped_by_signals"]


@contextmanager
def stopped_by_signals(stop: threading.Event) -> Iterator[list[int]]:
    """Let SIGINT and SIGTERM set ``stop``; to be entered in the main thread.

    A second SIGINT does what it always does, so that a second Ctrl-C ends what hangs. SIGTERM may
    come as often as it likes.

    Args:
        stop: Set within some milliseconds of the first signal.

    Yields:
        The numbers of the signals that came, in order.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)
    caught: list[int] = []
    before: dict[int, Any] = {}

    def handle(number: int, _frame: object) -> None:
        if number == signal.SIGINT:
            signal.signal(number, before[number])

    def watch() -> None:
        while data := ours.recv(16):
            caught.extend(number for number in data if number in numbers)
            if caught:
                stop.set()

    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    thread = threading.Thread(target=watch, name="signals", daemon=True)
    with ours, theirs:
        wakeup = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        before.update((number, signal.signal(number, handle)) for number in numbers)
        thread.start()
        try:
            yield caught
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(wakeup)
            with contextlib.suppress(OSError):
                theirs.shutdown(socket.SHUT_WR)
            thread.join()
