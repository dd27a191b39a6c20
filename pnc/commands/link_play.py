"""An imagined radio between any two links: what comes in at one goes out at the other, later."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pnc.errors import LinkError, LinkLostError
from pnc.transport.links.base import Link
from pnc.transport.links.channel import Channel, ChannelConfig
from pnc.transport.links.radio import DirectionStatistics, Radio

__all__ = ["LinkRadio"]

WAKE_S = 0.05
"""Every thread looks this often whether to stop."""

REOPEN_S = 0.25
"""Pause before a lost link is opened again."""


class _Direction:
    """A channel between the thread that reads one link and the thread that writes the other."""

    def __init__(self, config: ChannelConfig) -> None:
        self._channel = Channel(config, start_s=time.monotonic())
        self._changed = threading.Condition()

    def take_from(self, link: Link, over: threading.Event) -> None:
        """Read a link into the channel; while that is full, the link has to wait."""
        waiting = b""
        while not over.is_set():
            if not waiting:
                waiting = link.read(WAKE_S)
            with self._changed:
                now = time.monotonic()
                waiting = waiting[self._channel.push(waiting, now) :]
                self._changed.notify_all()
                if waiting:
                    self._wait(now)

    def give_to(self, link: Link, over: threading.Event) -> None:
        """Write to a link what comes out of the channel."""
        while not over.is_set():
            with self._changed:
                now = time.monotonic()
                data = self._channel.pull(now)
                self._changed.notify_all()
                if not data:
                    self._wait(now)
            if data:
                link.write(data)

    def statistics(self) -> DirectionStatistics:
        with self._changed:
            channel = self._channel
            capacity = int(channel.capacity_bytes(time.monotonic()))
            return DirectionStatistics(channel.bytes_in, channel.bytes_out, 0, capacity)

    def _wait(self, now: float) -> None:
        due = self._channel.next_time()
        self._changed.wait(WAKE_S if due is None else max(0.0, min(due - now, WAKE_S)))


class LinkRadio(Radio):
    """Two links with a channel each way between them; a link that is lost is opened again.

    Args:
        open_a: Opens the one link.
        open_b: Opens the other.
        forward: The direction from a to b.
        back: The direction from b to a.

    Raises:
        LinkError: A link cannot be opened now.
    """

    def __init__(
        self,
        open_a: Callable[[], Link],
        open_b: Callable[[], Link],
        forward: ChannelConfig,
        back: ChannelConfig,
    ) -> None:
        self._stop = threading.Event()
        self._forward, self._back = _Direction(forward), _Direction(back)
        link_a = open_a()
        try:
            link_b = open_b()
        except BaseException:
            link_a.close()
            raise
        self._threads = [
            threading.Thread(
                target=self._serve, args=(link_a, open_a, self._forward, self._back), daemon=True
            ),
            threading.Thread(
                target=self._serve, args=(link_b, open_b, self._back, self._forward), daemon=True
            ),
        ]
        for thread in self._threads:
            thread.start()

    def run(self, until: float) -> None:
        """Wait until this time of ``time.monotonic``; the bytes move by themselves."""
        self._stop.wait(max(0.0, until - time.monotonic()))

    def statistics(self) -> dict[str, DirectionStatistics]:
        """What both directions have carried, by name: ``a_to_b`` and ``b_to_a``."""
        return {"a_to_b": self._forward.statistics(), "b_to_a": self._back.statistics()}

    def close(self) -> None:
        """Close both links."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _serve(
        self, first: Link, reopen: Callable[[], Link], away: _Direction, here: _Direction
    ) -> None:
        """Carry the bytes of one link, whatever becomes of it."""
        link: Link | None = first
        while not self._stop.is_set():
            if link is None:
                try:
                    link = reopen()
                except LinkError:
                    self._stop.wait(REOPEN_S)
                    continue
            self._carry(link, away, here)
            link.close()
            link = None
        if link is not None:
            link.close()

    def _carry(self, link: Link, away: _Direction, here: _Direction) -> None:
        over = threading.Event()

        def run(carry: Callable[[Link, threading.Event], None]) -> None:
            try:
                carry(link, over)
            except LinkLostError:
                over.set()

        threads = [
            threading.Thread(target=run, args=(carry,), daemon=True)
            for carry in (away.take_from, here.give_to)
        ]
        for thread in threads:
            thread.start()
        while not over.is_set() and not self._stop.wait(WAKE_S):
            pass
        over.set()
        for thread in threads:
            thread.join()
