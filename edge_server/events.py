"""Live events for the page: any thread publishes, every open page gets its own bounded queue.

A page that reads too slowly loses the oldest events and never holds anybody up: everything it shows
can be asked for again through the API.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any

__all__ = ["Broadcaster"]

MAX_QUEUED_EVENTS = 256
"""Events one page may lie behind: some ten seconds of a busy server."""

HEARTBEAT_S = 10.0
"""A comment line at least this often, so that both ends notice a dead connection."""


class _Subscriber:
    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.queue: deque[str] = deque(maxlen=MAX_QUEUED_EVENTS)
        self.wake = asyncio.Event()


class Broadcaster:
    """Hands events to all subscribers, in the text form of server-sent events."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._subscribers: set[_Subscriber] = set()
        self._closed = False

    @property
    def num_subscribers(self) -> int:
        """How many pages are watching; work done only for them can be left out at 0."""
        return len(self._subscribers)

    def publish(self, kind: str, data: dict[str, Any]) -> None:
        """Queue an event for every subscriber. From any thread; never blocks on a reader."""
        if not self._subscribers:
            return
        text = encode_event(kind, data)
        with self._lock:
            for subscriber in self._subscribers:
                subscriber.queue.append(text)
                _wake(subscriber)

    def close(self) -> None:
        """End every subscription, now and later."""
        with self._lock:
            self._closed = True
            for subscriber in self._subscribers:
                _wake(subscriber)

    async def subscribe(
        self, greet: Callable[[], str] = lambda: ": welcome\n\n"
    ) -> AsyncGenerator[str, None]:
        """Yield events as text until the broadcaster closes; a comment when it is quiet.

        Args:
            greet: Makes the first text, when no later event can be missed any more.
        """
        subscriber = _Subscriber()
        with self._lock:
            self._subscribers.add(subscriber)
        try:
            yield greet()
            while not self._closed:
                while subscriber.queue:
                    yield subscriber.queue.popleft()
                subscriber.wake.clear()
                if subscriber.queue or self._closed:
                    continue
                try:
                    async with asyncio.timeout(HEARTBEAT_S):
                        await subscriber.wake.wait()
                except TimeoutError:
                    yield ": quiet\n\n"
        finally:
            with self._lock:
                self._subscribers.discard(subscriber)


def encode_event(kind: str, data: dict[str, Any]) -> str:
    """Return one server-sent event (WHATWG HTML, section 9.2)."""
    return f"event: {kind}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"


def _wake(subscriber: _Subscriber) -> None:
    try:
        subscriber.loop.call_soon_threadsafe(subscriber.wake.set)
    except RuntimeError:
        # The loop of a page that is going away may close between the look and the call.
        subscriber.queue.clear()
