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

QUANTUM_S = 0.001
"""A fast channel is not called more often than this."""

REORDER_S = 0.05
"""A radio packet that is to come after the next one waits this long for it."""


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
    """Share of the radio packets that are lost, 0 to 1."""
    bit_error: float = 0.0
    """Probability that a bit is flipped, 0 to 1."""
    packet_bytes: int = 63
    """Bytes of a radio packet; the published test bed cut its stream into pieces of 63."""
    seed: int = 0
    """Seed of everything that goes wrong."""
    burst_packets: float = 1.0
    """Mean number of radio packets in a bad stretch; 1: each is lost by itself."""
    burst_loss: float = 1.0
    """Probability that a radio packet in a bad stretch is lost, 0 to 1."""
    duplicate: float = 0.0
    """Probability that a radio packet comes twice, 0 to 1."""
    reorder: float = 0.0
    """Probability that a radio packet comes after the next one, 0 to 1."""
    framed: bool = False
    """Whether a radio packet also ends with a frame, at a zero byte, as datagrams do."""
    quantum_bytes: int = 32
    """Bytes after which :meth:`Channel.next_time` wants a call: finer costs time, shows nothing."""

    def __post_init__(self) -> None:
        for name in ("loss", "bit_error", "burst_loss", "duplicate", "reorder"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}: {getattr(self, name)} is not a probability, 0 to 1")
        if not 0 <= self.delay_s < math.inf:
            raise ConfigError(f"delay_s: {self.delay_s} is not a time of 0 or more seconds")
        for name in ("fifo_bytes", "packet_bytes", "quantum_bytes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: {getattr(self, name)} is not 1 or more bytes")
        if not 1 <= self.burst_packets < math.inf:
            raise ConfigError(f"burst_packets: {self.burst_packets} is not 1 or more packets")
        most = self.burst_loss * self.burst_packets / (1 + self.burst_packets)
        if self.burst_packets > 1 and self.loss > most:
            raise ConfigError(f"loss: bursts of this kind lose {most:.3g} at most, not {self.loss}")


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
        self._quantum_bytes = _quantum_bytes(config)
        self._random = random.Random(config.seed)
        self._fifo = bytearray()
        self._busy_since = 0.0
        self._served_bytes = 0
        self._on_the_way: deque[tuple[float, bytes]] = deque()
        self._packets = PacketFaults(config, self._random)
        self._good_bits = self._draw_good_bits()

    @property
    def room(self) -> int:
        """Bytes that the FIFO still takes."""
        return self.config.fifo_bytes - len(self._fifo)

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is on the way."""
        return not self._fifo and not self._on_the_way and self._packets.due is None

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
        if not self._on_the_way:
            return b""
        out = bytearray()
        while self._on_the_way and self._on_the_way[0][0] <= now:
            out += self._on_the_way.popleft()[1]
        self.bytes_out += len(out)
        return bytes(out)

    def next_time(self) -> float | None:
        """When to call :meth:`pull` again; None if nothing waits and nothing is on the way."""
        times = [self._on_the_way[0][0]] if self._on_the_way else []
        if self._packets.due is not None:
            times.append(self._packets.due)
        if self._fifo:
            wanted = self._served_bytes + min(self._quantum_bytes, len(self._fifo))
            served = self.config.trace.time_after(self._busy_since, wanted - 1e-6)
            times.append(self._start_s + served + 1e-9)
        return min(times, default=None)

    def change(self, config: ChannelConfig, now: float) -> None:
        """Be like this from now on; what waits and what is on the way stays."""
        self._serve(now)
        self._deliver(self._packets.flush(), now)
        self.config = config
        self._quantum_bytes = _quantum_bytes(config)
        self._busy_since, self._served_bytes = now - self._start_s, 0
        self._packets = PacketFaults(config, self._random)
        self._good_bits = self._draw_good_bits()

    def clear(self) -> None:
        """Lose what waits and what is on the way."""
        self._packets.flush()
        self._fifo.clear()
        self._on_the_way.clear()

    def capacity_bytes(self, now: float) -> float:
        """Bytes that the trace has allowed since the start."""
        return self.config.trace.bytes_between(0.0, max(0.0, now - self._start_s))

    def _serve(self, now: float) -> None:
        if self._packets.due is not None:
            self._deliver(self._packets.release(now), now)
        if not self._fifo:
            return
        allowed = self.config.trace.bytes_between(self._busy_since, now - self._start_s)
        count = min(int(allowed + 1e-3) - self._served_bytes, len(self._fifo))
        if count < min(self._quantum_bytes, len(self._fifo)):
            return
        served = bytes(self._fifo[:count])
        del self._fifo[:count]
        self._served_bytes += count
        self._deliver(self._packets.feed(served, now, is_last=not self._fifo), now)

    def _deliver(self, data: bytes, now: float) -> None:
        if data:
            self._on_the_way.append((now + self.config.delay_s, self._flip_bits(data)))

    def _flip_bits(self, data: bytes) -> bytes:
        if not self.config.bit_error:
            return data
        out = bytearray(data)
        position = self._good_bits
        while position < 8 * len(out):
            out[position // 8] ^= 1 << position % 8
            position += 1 + self._draw_good_bits()
        self._good_bits = position - 8 * len(out)
        return bytes(out)

    def _draw_good_bits(self) -> int:
        """Bits until the next wrong one, geometrically distributed."""
        chance = self.config.bit_error
        if chance in (0, 1):
            return 0
        return int(math.log(1 - self._random.random()) / math.log1p(-chance))


def _quantum_bytes(config: ChannelConfig) -> int:
    return max(config.quantum_bytes, int(config.trace.mean_bps / 8 * QUANTUM_S))


class PacketFaults:
    """Cuts a stream into radio packets, and loses, repeats and swaps them.

    Loss in bursts is a chain of two states (Gilbert, "Capacity of a Burst-Noise Channel", 1960;
    Elliott, "Estimates of Error Rates for Codes on Burst-Noise Channels", 1963): none is lost in
    the good one, ``burst_loss`` in the bad one.

    Args:
        config: Of the channel.
        source: Where chance comes from.
    """

    def __init__(self, config: ChannelConfig, source: random.Random) -> None:
        self.due: float | None = None
        """When to call :meth:`release`, if a packet is held back."""
        self._config = config
        self._random = source
        self._changes_order = config.reorder > 0 or config.duplicate > 0
        self._left = 0
        self._lost = False
        self._packet = bytearray()
        self._held = b""
        share = config.loss / config.burst_loss if config.burst_loss else 0.0
        self._leave = 1 / config.burst_packets
        self._enter = share * self._leave / (1 - share) if config.burst_packets > 1 else 0.0
        self._bad = config.burst_packets > 1 and source.random() < share

    def feed(self, data: bytes, now: float, *, is_last: bool) -> bytes:
        """Take what the radio sends, and return what comes of it now.

        Args:
            data: The next bytes of the stream.
            now: Seconds.
            is_last: Whether nothing more waits: the packet ends here.
        """
        if not (self._config.loss or self._changes_order):
            return data
        out = bytearray()
        start = 0
        while start < len(data):
            if self._left == 0:
                self._left = self._config.packet_bytes
                self._lost = self._draw_loss()
            end = start + self._left
            if self._config.framed:
                end = data.find(b"\0", start, end) + 1 or end
            piece = data[start:end]
            ends = len(piece) == self._left or (self._config.framed and piece.endswith(b"\0"))
            self._left = 0 if ends else self._left - len(piece)
            start = end
            if not self._lost:
                self._packet += piece
            if ends or not self._changes_order:
                out += self._finish(now)
        if is_last:
            self._left = 0
            out += self._finish(now)
        return bytes(out)

    def release(self, now: float) -> bytes:
        """Return the packet that was held back, if none came after it for long enough."""
        if self.due is None or now < self.due:
            return b""
        held, self._held, self.due = self._held, b"", None
        return held

    def flush(self) -> bytes:
        """Return all that is held back."""
        held, self._held, self.due = self._held, b"", None
        packet = bytes(self._packet)
        self._packet.clear()
        return held + packet

    def _finish(self, now: float) -> bytes:
        packet = bytes(self._packet)
        self._packet.clear()
        if not packet or not self._changes_order:
            return packet
        if self._random.random() < self._config.duplicate:
            packet *= 2
        if self.due is not None:
            held, self._held, self.due = self._held, b"", None
            return packet + held
        if self._random.random() < self._config.reorder:
            self._held, self.due = packet, now + REORDER_S
            return b""
        return packet

    def _draw_loss(self) -> bool:
        config = self._config
        if config.burst_packets == 1:
            return self._random.random() < config.loss
        if self._random.random() < (self._leave if self._bad else self._enter):
            self._bad = not self._bad
        return self._bad and self._random.random() < config.burst_loss
