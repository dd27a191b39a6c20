"""One direction of an imagined radio: a bounded FIFO drained at a trace's rate, with faults.

Pure: bytes and ``now`` in, bytes out. The emulated link, the pseudo-terminal radio and the virtual
link of :mod:`pnc.testing` all carry their bytes through this.
"""

from __future__ import annotations

import math
import random
from collections import deque
from dataclasses import dataclass, field

from pnc.errors import ConfigError
from pnc.transport.links.trace import RateTrace

__all__ = ["Channel", "ChannelConfig"]

QUANTUM_BYTES = 32
"""Bytes after which :meth:`Channel.next_time` wants a call: finer costs time and shows nothing."""

QUANTUM_S = 0.001
"""The same as a time: a fast channel is not called more often."""


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """What one direction of a link is like.

    Raises:
        ConfigError: A field is outside its range; the message names it.
    """

    trace: RateTrace = field(default_factory=lambda: RateTrace.constant(100_000))
    """Rate over time; time 0 of the trace is ``start_s`` of the channel."""
    fifo_bytes: int = 512
    """Bytes that wait for the radio at most; then whoever writes waits too."""
    delay_s: float = 0.0
    """Time every byte spends on the way after it left the FIFO, seconds."""
    loss: float = 0.0
    """Probability that a radio packet is lost, 0 to 1."""
    bit_error: float = 0.0
    """Probability that a bit is flipped, 0 to 1."""
    packet_bytes: int = 63
    """Bytes of a radio packet; the published test bed cut its stream into pieces of 63."""
    seed: int = 0
    """Seed of loss and bit errors."""

    def __post_init__(self) -> None:
        for name in ("loss", "bit_error"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}: {getattr(self, name)} is not a probability, 0 to 1")
        if not 0 <= self.delay_s < math.inf:
            raise ConfigError(f"delay_s: {self.delay_s} is not a time of 0 or more seconds")
        for name in ("fifo_bytes", "packet_bytes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: {getattr(self, name)} is not 1 or more bytes")


class Channel:
    """Carries bytes one way.

    Args:
        config: What the direction is like.
        start_s: When the trace begins, in the time of ``now``.
    """

    def __init__(self, config: ChannelConfig, *, start_s: float = 0.0) -> None:
        self.config = config
        self.bytes_in = 0
        self.bytes_out = 0
        self._start_s = start_s
        self._quantum_bytes = max(QUANTUM_BYTES, int(config.trace.mean_bps / 8 * QUANTUM_S))
        self._random = random.Random(config.seed)
        self._fifo = bytearray()
        self._busy_since = 0.0
        self._served_bytes = 0
        self._on_the_way: deque[tuple[float, bytes]] = deque()
        self._packet_left = 0
        self._packet_lost = False
        self._good_bits = self._draw_good_bits()

    @property
    def room(self) -> int:
        """Bytes that the FIFO still takes."""
        return self.config.fifo_bytes - len(self._fifo)

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is on the way."""
        return not self._fifo and not self._on_the_way

    def push(self, data: bytes, now: float) -> int:
        """Put bytes into the FIFO and return how many of them fitted."""
        self._serve(now)
        taken = data[: self.room]
        if taken and not self._fifo:
            self._busy_since, self._served_bytes = now - self._start_s, 0
        self._fifo += taken
        self.bytes_in += len(taken)
        return len(taken)

    def pull(self, now: float) -> bytes:
        """Take what has arrived by now."""
        self._serve(now)
        out = bytearray()
        while self._on_the_way and self._on_the_way[0][0] <= now:
            out += self._on_the_way.popleft()[1]
        self.bytes_out += len(out)
        return bytes(out)

    def next_time(self) -> float | None:
        """When to call :meth:`pull` again; None if nothing waits and nothing is on the way."""
        times = [self._on_the_way[0][0]] if self._on_the_way else []
        if self._fifo:
            wanted = self._served_bytes + min(self._quantum_bytes, len(self._fifo))
            served = self.config.trace.time_after(self._busy_since, wanted - 1e-6)
            times.append(self._start_s + served + 1e-9)
        return min(times, default=None)

    def capacity_bytes(self, now: float) -> float:
        """Bytes that the trace has allowed since the start."""
        return self.config.trace.bytes_between(0.0, max(0.0, now - self._start_s))

    def _serve(self, now: float) -> None:
        if not self._fifo:
            return
        allowed = self.config.trace.bytes_between(self._busy_since, now - self._start_s)
        count = min(int(allowed + 1e-3) - self._served_bytes, len(self._fifo))
        if count < min(self._quantum_bytes, len(self._fifo)):
            return
        served = bytes(self._fifo[:count])
        del self._fifo[:count]
        self._served_bytes += count
        damaged = self._damage(served)
        if damaged:
            self._on_the_way.append((now + self.config.delay_s, damaged))
        if not self._fifo:
            self._packet_left = 0

    def _damage(self, data: bytes) -> bytes:
        if self.config.loss:
            data = self._lose_packets(data)
        if not self.config.bit_error:
            return data
        out = bytearray(data)
        position = self._good_bits
        while position < 8 * len(out):
            out[position // 8] ^= 1 << position % 8
            position += 1 + self._draw_good_bits()
        self._good_bits = position - 8 * len(out)
        return bytes(out)

    def _lose_packets(self, data: bytes) -> bytes:
        kept = bytearray()
        start = 0
        while start < len(data):
            if self._packet_left == 0:
                self._packet_left = self.config.packet_bytes
                self._packet_lost = self._random.random() < self.config.loss
            end = start + self._packet_left
            piece = data[start:end]
            if not self._packet_lost:
                kept += piece
            self._packet_left -= len(piece)
            start = end
        return bytes(kept)

    def _draw_good_bits(self) -> int:
        """Bits until the next wrong one, geometrically distributed."""
        chance = self.config.bit_error
        if chance in (0, 1):
            return 0
        return int(math.log(1 - self._random.random()) / math.log1p(-chance))
