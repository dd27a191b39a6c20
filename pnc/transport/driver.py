"""Sessions on real links and a real clock.

A reader thread hands what arrives to the session; the pumping thread keeps its timers and writes.
A write that blocks therefore delays only the next write: time keeps running in the session, and
what it has not handed out it can still decide not to send.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Generic, Literal, Protocol, TypeVar

from pnc.errors import LinkError, LinkLostError, PncError, RemoteProtocolError
from pnc.transport.events import Event
from pnc.transport.links.base import Link, open_link

__all__ = ["Driver", "LinkState", "Session", "pump"]

READ_TIMEOUT_S = 0.1
"""How long the reader waits for bytes before it looks whether to stop."""

WAKE_S = 0.2
"""How long the pump waits at most before it looks whether to stop."""

RETRY_S = 0.25
"""Pause before a lost link is opened again; doubles up to RETRY_MAX_S."""

RETRY_MAX_S = 1.0
"""A radio that is plugged in again is noticed within this; looking costs some milliseconds."""

STOP_TIMEOUT_S = 5.0
"""Longest wait for the end: a write of half a second, a read, and the closing of any link."""

LinkState = Literal["open", "lost", "refused", "closed"]
"""``lost``: it will be opened again. ``refused``: a peer of another protocol version."""

S = TypeVar("S", bound="Session")
T = TypeVar("T")


class Session(Protocol):
    """What a :class:`Sender` and a :class:`Receiver` have in common."""

    @property
    def closed(self) -> bool:
        """Whether the session is over for good."""
        ...

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Take bytes."""
        ...

    def handle_timer(self, now: float) -> list[Event]:
        """Note that time has passed."""
        ...

    def data_to_send(self, now: float) -> bytes:
        """Give bytes."""
        ...

    def next_timer(self) -> float | None:
        """Say when to call again."""
        ...

    def link_opened(self, now: float) -> None:
        """Begin anew on a link."""
        ...


class _Pump:
    """One session on one link."""

    def __init__(
        self,
        session: Session,
        link: Link,
        changed: threading.Condition,
        clock: Callable[[], float],
        on_event: Callable[[Event], None],
        on_refused: Callable[[RemoteProtocolError], None],
        stop: threading.Event,
    ) -> None:
        self._session = session
        self._link = link
        self._changed = changed
        self._clock = clock
        self._on_event = on_event
        self._on_refused = on_refused
        self._stop = stop
        self._error: BaseException | None = None
        self._over = False
        self._events: deque[Event] = deque()
        self._dispatching = threading.Lock()

    def run(self) -> None:
        with self._changed:
            self._session.link_opened(self._clock())
        reader = threading.Thread(target=self._read, name=f"read {self._link.url}", daemon=True)
        reader.start()
        try:
            while not self._stop.is_set():
                with self._changed:
                    if self._error is not None:
                        break
                    now = self._clock()
                    self._events.extend(self._session.handle_timer(now))
                    data = self._session.data_to_send(now)
                    if not data and not self._events:
                        self._changed.wait(self._pause(now))
                self._dispatch()
                if data:
                    self._link.write(data)
        finally:
            self._over = True
            reader.join()
        if self._error is not None:
            raise self._error

    def _pause(self, now: float) -> float:
        due = self._session.next_timer()
        return WAKE_S if due is None else max(0.0, min(due - now, WAKE_S))

    def _read(self) -> None:
        try:
            while not self._over:
                data = self._link.read(READ_TIMEOUT_S)
                if data:
                    self._take(data)
        except BaseException as error:  # noqa: BLE001 - raised again in the pumping thread
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _take(self, data: bytes) -> None:
        refusal = None
        with self._changed:
            try:
                self._events.extend(self._session.receive_data(data, self._clock()))
            except RemoteProtocolError as error:
                if self._session.closed:
                    raise
                refusal = error
            self._changed.notify_all()
        if refusal is not None:
            self._on_refused(refusal)
        self._dispatch()

    def _dispatch(self) -> None:
        """Deliver events in order, from whichever thread is first, without the session's lock."""
        while self._events and self._dispatching.acquire(blocking=False):
            try:
                while self._events:
                    self._on_event(self._events.popleft())
            finally:
                self._dispatching.release()


def pump(
    session: Session,
    link: Link,
    *,
    on_event: Callable[[Event], None],
    stop: threading.Event,
    clock: Callable[[], float] = time.monotonic,
    changed: threading.Condition | None = None,
    on_refused: Callable[[RemoteProtocolError], None] = lambda error: None,
) -> None:
    """Run a session over a link until ``stop`` is set; the link stays open.

    Args:
        session: A :class:`Sender` or :class:`Receiver`.
        link: An open link; nothing else may read or write it.
        on_event: Called with every event, in order, from one thread at a time; returns quickly.
        stop: Set it to end; noticed within 0.2 s.
        clock: Seconds.
        changed: Whoever else calls the session holds this and notifies it.
        on_refused: Called when a receiver met a device of another protocol version.

    Raises:
        LinkLostError: The link went away.
        RemoteProtocolError: The edge server speaks another protocol version.
    """
    changed = changed or threading.Condition()
    _Pump(session, link, changed, clock, on_event, on_refused, stop).run()


class Driver(Generic[S]):
    """Keeps a session running over a link in a thread, and opens the link again when it is lost.

    Args:
        session: A :class:`Sender` or :class:`Receiver`; from now on only :meth:`call` touches it.
        link: A URL, or a function that opens the link.
        on_event: Called with every event, in order, from one thread at a time; returns quickly and
            may use :meth:`call`.
        on_state: Called with what became of the link, and the error where there is one.
        clock: Seconds.
    """

    def __init__(
        self,
        session: S,
        link: str | Callable[[], Link],
        *,
        on_event: Callable[[Event], None],
        on_state: Callable[[LinkState, PncError | None], None] = lambda state, error: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._open: Callable[[], Link] = (
            (lambda: open_link(link)) if isinstance(link, str) else link
        )
        self._on_event = on_event
        self._on_state = on_state
        self._clock = clock
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def start(self) -> None:
        """Open the link and begin.

        Raises:
            ConfigError: The URL is not understood.
            LinkError: The link cannot be opened now; once it was open, that is tried for ever.
        """
        link = self._open()
        self._thread = threading.Thread(target=self._run, args=(link,), name=link.url, daemon=True)
        self._thread.start()

    def call(self, action: Callable[[S, float], T]) -> T:
        """Do something with the session and let its consequences happen at once.

        Example::

            picture_id = driver.call(lambda s, now: s.submit(packets, deadline=now + 0.5, now=now))
        """
        with self._changed:
            result = action(self._session, self._clock())
            self._changed.notify_all()
            return result

    def check(self) -> None:
        """Raise what ended the driver, if anything did.

        Raises:
            RemoteProtocolError: The edge server speaks another protocol version.
        """
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """End and close the link.

        A link that is just being opened again, which takes up to 20 s over Bluetooth, is left to
        itself: it is closed as soon as it is open.
        """
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(STOP_TIMEOUT_S)

    def __enter__(self) -> Driver[S]:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _run(self, first: Link) -> None:
        link: Link | None = first
        try:
            while link is not None:
                self._on_state("open", None)
                try:
                    pump(
                        self._session,
                        link,
                        on_event=self._on_event,
                        stop=self._stop,
                        clock=self._clock,
                        changed=self._changed,
                        on_refused=lambda error: self._on_state("refused", error),
                    )
                    return
                except LinkLostError as error:
                    self._on_state("lost", error)
                finally:
                    link.close()
                link = self._reopen()
        except RemoteProtocolError as error:
            self._error = error
            self._on_state("refused", error)
        except BaseException as error:
            self._error = error
            raise
        finally:
            self._on_state("closed", None)

    def _reopen(self) -> Link | None:
        pause_s = RETRY_S
        while not self._stop.wait(pause_s):
            pause_s = min(2 * pause_s, RETRY_MAX_S)
            try:
                return self._open()
            except LinkError:
                continue
        return None
