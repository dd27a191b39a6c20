"""A radio between two real pseudo-terminals that follows a link trace, for demos and tests.

Programs open ``radio.a`` and ``radio.b`` as serial ports. The radio keeps both terminals open
itself, so that a program may close its end and come back. What arrives for an end that does not
read is lost once the kernel's buffer is full, as in a UART.
"""

from __future__ import annotations

import fcntl
import os
import select
import threading
import time
import tty
from collections.abc import Callable
from pathlib import Path

from pnc.errors import LinkError
from pnc.transport.links.channel import Channel, ChannelConfig
from pnc.transport.links.radio import DirectionStatistics, Radio

__all__ = ["PtyRadio"]

WAKE_S = 0.05
"""The loop looks at ``stop`` at least this often."""


class _Direction:
    def __init__(self, source_fd: int, target_fd: int, config: ChannelConfig, now: float) -> None:
        self.source_fd = source_fd
        self.target_fd = target_fd
        self.channel = Channel(config, start_s=now)
        self.overrun = 0

    def move(self, now: float) -> None:
        if self.channel.room:
            try:
                data = os.read(self.source_fd, self.channel.room)
            except BlockingIOError:
                data = b""
            self.channel.push(data, now)
        data = self.channel.pull(now)
        if data:
            try:
                written = os.write(self.target_fd, data)
            except BlockingIOError:
                written = 0
            self.overrun += len(data) - written

    def statistics(self, now: float) -> DirectionStatistics:
        channel = self.channel
        capacity = int(channel.capacity_bytes(now))
        return DirectionStatistics(channel.bytes_in, channel.bytes_out, self.overrun, capacity)


class PtyRadio(Radio):
    """Two pseudo-terminals with a channel each way between them.

    Args:
        forward: The direction from ``a`` to ``b``.
        back: The direction from ``b`` to ``a``; like ``forward`` if None.
        link_a: A symbolic link to make to terminal a, for a stable name.
        link_b: The same for terminal b.
        clock: Seconds.

    Raises:
        LinkError: The system has no pseudo-terminals left, or a symbolic link cannot be made.
    """

    def __init__(
        self,
        forward: ChannelConfig,
        back: ChannelConfig | None = None,
        *,
        link_a: str | os.PathLike[str] | None = None,
        link_b: str | os.PathLike[str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._fds: list[int] = []
        self._symlinks: list[Path] = []
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        try:
            master_a, self.a = self._open_terminal(link_a)
            master_b, self.b = self._open_terminal(link_b)
        except OSError as error:
            self.close()
            raise LinkError(f"the radio cannot be set up: {error}") from error
        now = clock()
        self._directions = (
            _Direction(master_a, master_b, forward, now),
            _Direction(master_b, master_a, back or forward, now),
        )

    def statistics(self) -> dict[str, DirectionStatistics]:
        """What both directions have carried, by name: ``a_to_b`` and ``b_to_a``."""
        now = self._clock()
        names = ("a_to_b", "b_to_a")
        return {
            name: direction.statistics(now)
            for name, direction in zip(names, self._directions, strict=True)
        }

    def run(self, until: float | None = None) -> None:
        """Carry bytes until this time of the clock, or until :meth:`close`."""
        while not self._stop.is_set():
            now = self._clock()
            if until is not None and now >= until:
                return
            for direction in self._directions:
                direction.move(now)
            wake = now + WAKE_S if until is None else min(now + WAKE_S, until)
            for direction in self._directions:
                due = direction.channel.next_time()
                wake = wake if due is None else min(wake, due)
            readable = [one.source_fd for one in self._directions if one.channel.room]
            select.select(readable, [], [], max(0.0, wake - self._clock()))

    def start(self) -> PtyRadio:
        """Carry bytes in a thread of its own."""
        self._thread = threading.Thread(target=self.run, name="pty radio", daemon=True)
        self._thread.start()
        return self

    def close(self) -> None:
        """Take the terminals away: programs that have them open see a lost link."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()
        for link in self._symlinks:
            link.unlink(missing_ok=True)
        self._symlinks.clear()

    def _open_terminal(self, link: str | os.PathLike[str] | None) -> tuple[int, str]:
        master, slave = os.openpty()
        self._fds += [master, slave]
        tty.setraw(slave)
        fcntl.fcntl(master, fcntl.F_SETFL, fcntl.fcntl(master, fcntl.F_GETFL) | os.O_NONBLOCK)
        name = os.ttyname(slave)
        if link is None:
            return master, name
        path = Path(link)
        if path.is_symlink():
            path.unlink()
        path.symlink_to(name)
        self._symlinks.append(path)
        return master, str(path)
