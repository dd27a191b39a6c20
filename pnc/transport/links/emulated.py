"""``emu://NAME?side=a``: both ends of an imagined radio inside one process, in real time."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping

from pnc.errors import ConfigError, LinkError, LinkLostError
from pnc.transport.links.channel import Channel, ChannelConfig
from pnc.transport.links.options import check_options, take_option
from pnc.transport.links.trace import RateTrace

__all__ = ["EmulatedLink", "open_emulated"]

WRITE_TIMEOUT_S = 0.5
"""A write gives up after this, as on a serial port."""

NUMBERS: dict[str, Callable[[str], float]] = {
    "fifo_bytes": int,
    "delay_s": float,
    "loss": float,
    "burst_packets": float,
    "burst_loss": float,
    "duplicate": float,
    "reorder": float,
    "bit_error": float,
    "packet_bytes": int,
    "framed": int,
    "seed": int,
}
"""Options that are fields of :class:`ChannelConfig`."""

OPTIONS = ("side", "rate_bps", "trace", "cut_s", "away_s", *NUMBERS)

_registry_lock = threading.Lock()
_pairs: dict[str, _Pair] = {}
_away: dict[tuple[str, str], tuple[float, float]] = {}
"""From when to when an end that was cut cannot be opened again, by name and side."""


class _Pair:
    """The two directions of one name, by the side that writes."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.sides: dict[str, EmulatedLink] = {}
        self.channels: dict[str, Channel] = {}


class EmulatedLink:
    """One end. Bytes for an end that nobody has open are lost, as on a radio.

    Args:
        url: The address.
        name: Of both ends.
        side: Of this one, ``a`` or ``b``.
        pair: Both ends.
        cut_at: When this end is lost, in the time of ``time.monotonic``.
    """

    def __init__(self, url: str, name: str, side: str, pair: _Pair, cut_at: float) -> None:
        self.url = url
        self._name = name
        self._side = side
        self._other = "b" if side == "a" else "a"
        self._pair = pair
        self._cut_at = cut_at
        self._closed = False

    def read(self, timeout_s: float) -> bytes:
        """Wait for bytes; see :class:`pnc.transport.links.base.Link`."""
        end = min(time.monotonic() + timeout_s, self._cut_at)
        with self._pair.changed:
            while True:
                self._check_open()
                channel = self._pair.channels.get(self._other)
                now = time.monotonic()
                data = channel.pull(now) if channel else b""
                if data:
                    self._pair.changed.notify_all()
                if data or now >= end:
                    return data
                due = channel.next_time() if channel else None
                self._pair.changed.wait(max(0.0, min(end, end if due is None else due) - now))

    def write(self, data: bytes) -> None:
        """Hand bytes over; what the radio does not take in half a second is lost."""
        end = min(time.monotonic() + WRITE_TIMEOUT_S, self._cut_at)
        with self._pair.changed:
            channel = self._pair.channels[self._side]
            while data:
                self._check_open()
                now = time.monotonic()
                if self._other not in self._pair.sides:
                    channel.pull(now)
                data = data[channel.push(data, now) :]
                self._pair.changed.notify_all()
                if not data or now >= end:
                    return
                due = channel.next_time()
                self._pair.changed.wait(max(0.0, min(end, end if due is None else due) - now))

    def close(self) -> None:
        """Close this end; the other stays open."""
        with _registry_lock, self._pair.changed:
            if not self._closed:
                self._closed = True
                del self._pair.sides[self._side]
                if not self._pair.sides:
                    _pairs.pop(self._name, None)
                self._pair.changed.notify_all()

    def _check_open(self) -> None:
        if self._closed:
            raise LinkLostError(f"{self.url}: the link was closed", url=self.url)
        if time.monotonic() >= self._cut_at:
            raise LinkLostError(f"{self.url}: the link was cut", url=self.url)


def open_emulated(url: str, name: str, settings: Mapping[str, str]) -> EmulatedLink:
    """Open one end; the options describe the direction in which it writes.

    Args:
        url: For messages.
        name: Both ends give the same.
        settings: See :data:`OPTIONS`; ``rate_bps`` in bits per second, ``trace`` a CSV file,
            ``cut_s`` after how many seconds this end is lost, ``away_s`` for how long.

    Raises:
        ConfigError: No name, no side, or an option is not understood.
        LinkError: That side is open already, or was cut and is not back yet.
    """
    check_options(url, settings, OPTIONS)
    side = settings.get("side", "")
    if not name or side not in ("a", "b"):
        raise ConfigError(f"{url}: use emu://NAME?side=a, and side=b for the other end", url=url)
    if "trace" in settings:
        trace = RateTrace.from_file(settings["trace"])
    else:
        trace = RateTrace.constant(take_option(url, settings, "rate_bps", float, 100_000.0))
    given = {
        field: take_option(url, settings, field, convert, 0.0)
        for field, convert in NUMBERS.items()
        if field in settings
    }
    config = ChannelConfig(trace=trace, **given)  # type: ignore[arg-type]
    cut_s = take_option(url, settings, "cut_s", float, math.inf)
    away_s = take_option(url, settings, "away_s", float, 0.0)
    if not (cut_s > 0 and 0 <= away_s < math.inf):
        raise ConfigError(f"{url}: cut_s and away_s are times in seconds", url=url)
    with _registry_lock:
        now = time.monotonic()
        gone_at, back_at = _away.pop((name, side), (math.inf, 0.0))
        if gone_at <= now < back_at:
            _away[name, side] = gone_at, back_at
            raise LinkError(f"{url}: not there; it was cut", url=url, reason="missing")
        pair = _pairs.setdefault(name, _Pair())
        with pair.changed:
            if side in pair.sides:
                raise LinkError(
                    f"{url}: in use; side {side} is open already", url=url, reason="busy"
                )
            if cut_s < math.inf:
                _away[name, side] = now + cut_s, now + cut_s + away_s
            link = EmulatedLink(url, name, side, pair, now + cut_s)
            pair.sides[side] = link
            pair.channels[side] = Channel(config, start_s=now)
            other = pair.channels.get(link._other)
            if other is not None:
                other.pull(now)
            pair.changed.notify_all()
            return link
