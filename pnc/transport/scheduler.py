"""What to send next, how much may be on the way, and how long to wait for an answer.

The window follows BBR's idea (Cardwell et al., "BBR: Congestion-Based Congestion Control", ACM
Queue 14(5), 2016) without its phases: the link is not shared, so nobody has to be made room for,
and a window of a small multiple of ``rate x round trip`` keeps it busy with little beyond recall.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from pnc.config import SenderConfig
from pnc.transport.wire import MAX_AGE_MS, wire_bytes

__all__ = ["GoodputMeter", "OutgoingPicture", "SentFrame", "WindowControl"]

RATE_HORIZON_S = 1.0
"""The fastest ack rate of this long counts, so that one short outage does not starve the link."""

RTT_HORIZON_S = 10.0
"""The shortest round trip of this long counts: long enough to see an empty queue once."""

MIN_PROBE_S = 0.03
"""A silent link is not probed sooner: a busy receiver answers this late now and then."""

LOSS_SMOOTHING = 1 / 32
"""Weight of one frame in the loss rate: a second or so of a slow link."""

LOSS_ROOM = 8.0
"""Window added per unit of loss rate: so much that a few lost frames or ACKs in a row do not stop
the flow of ACKs that clocks the sender. Of 4, 6, 8 and 10, 8 carried most at 5 to 30 % of loss."""


MAX_LOSS_ROOM = 4.0
"""The same at most: beyond, the link is cut rather than lossy."""

MAX_JITTER = 3.0
"""Reserve for late ACKs of a busy host, at most this many shortest round trips."""

GOODPUT_BIN_S = 0.25
"""Time over which one value of the goodput is taken: some packets of a slow link."""

GOODPUT_HORIZON_S = 4.0
"""Time over which those values are averaged."""

MAX_CAUTION = 0.2
"""Near a deadline the link is trusted with its mean rate less its spread, at most this share less:
without this bound a radio of 50 ms x 6 packets with 20 % loss carried a fifth less."""


class OutgoingPicture:
    """The packets of one picture and how far each has come.

    Args:
        picture_id: Number of the picture in its session.
        packets: In priority order.
        deadline: Time after which nothing of it is sent.
        max_bytes: Payload bytes that may be sent, repetitions included; None: no limit.
        more: Whether further packets will be added.
        taken_at: When the picture was taken, if it was kept since then; None: just now.
    """

    def __init__(
        self,
        picture_id: int,
        packets: Sequence[bytes],
        deadline: float,
        max_bytes: int | None = None,
        *,
        more: bool = False,
        taken_at: float | None = None,
    ) -> None:
        self.picture_id = picture_id
        self.packets = list(packets)
        self.more = more
        self.taken_at = taken_at
        self.deadline = deadline
        self.max_bytes = max_bytes
        self.bytes_sent = 0
        self._waiting = list(range(len(self.packets)))
        self._delivered: set[int] = set()

    @property
    def complete(self) -> bool:
        """Every packet is known to have arrived."""
        return not self.more and len(self._delivered) == len(self.packets)

    @property
    def num_packets(self) -> int:
        """How many there are; 0 while that is not known."""
        return 0 if self.more else len(self.packets)

    def extend(self, packets: Sequence[bytes]) -> None:
        """Add the rest of the packets."""
        for index in range(len(self.packets), len(self.packets) + len(packets)):
            heapq.heappush(self._waiting, index)
        self.packets += packets
        self.more = False

    def peek(self) -> int | None:
        """Index of the most important packet that is neither delivered nor on the way."""
        while self._waiting and self._waiting[0] in self._delivered:
            heapq.heappop(self._waiting)
        return self._waiting[0] if self._waiting else None

    def age_ms(self, now: float) -> int:
        """How old the picture is, at least 1, if it was kept; 0 if it is new."""
        if self.taken_at is None:
            return 0
        return max(1, min(int(1000 * (now - self.taken_at)), MAX_AGE_MS))

    @property
    def spent(self) -> bool:
        """Whether the packet of :meth:`peek` would be more than may be sent."""
        index = self.peek()
        if self.max_bytes is None or index is None:
            return False
        return self.bytes_sent + len(self.packets[index]) > self.max_bytes

    def take(self) -> bytes:
        """Put the packet of :meth:`peek` on the way."""
        packet = self.packets[heapq.heappop(self._waiting)]
        self.bytes_sent += len(packet)
        return packet

    def delivered(self, index: int) -> None:
        """Note that a packet arrived."""
        self._delivered.add(index)

    def lost(self, index: int) -> None:
        """Note that a packet on the way did not arrive: it waits again, in its old rank."""
        heapq.heappush(self._waiting, index)

    def restart(self) -> None:
        """The receiver has forgotten everything: every packet waits again."""
        self._waiting = list(range(len(self.packets)))
        self._delivered.clear()


@dataclass(slots=True)
class SentFrame:
    """A frame on the way. Only DATA has ``num_bytes``: the window is about pictures."""

    sent_at: float
    num_bytes: int = 0
    picture: OutgoingPicture | None = None
    index: int = 0
    ended_id: int | None = None
    delivered_before: int = 0
    delivered_at: float = 0.0
    app_limited: bool = False


class GoodputMeter:
    """Mean and spread of the rate at which a link delivers while there is more to send.

    Times in which the sender had nothing to send say nothing of the link and do not count. A link
    that became more than twice as fast is another link: the mean begins anew.
    """

    def __init__(self) -> None:
        self.mean: float | None = None
        """Bytes per second; None before the first quarter of a second."""
        self._variance = 0.0
        self._num_values = 0
        self._seen_s = 0.0
        self._bytes = 0
        self._time_s = 0.0
        self._last_at: float | None = None
        self._valued_at = 0.0
        self._paused = True

    @property
    def spread(self) -> float:
        """Standard deviation of the values, relative to their mean; 1 while there are not two."""
        if self._num_values < 2 or not self.mean:
            return 1.0
        return math.sqrt(self._variance) / self.mean

    def expected(self, now: float) -> float | None:
        """Rate to count on now: the mean less its spread; None if the last value is not recent."""
        if self.mean is None or now - self._valued_at > RATE_HORIZON_S:
            return None
        return self.mean * (1 - min(MAX_CAUTION, self.spread))

    def add(self, num_bytes: int, now: float) -> None:
        """Note that bytes were delivered."""
        if self._paused:
            return
        if self._last_at is not None:
            self._bytes += num_bytes
            self._time_s += now - self._last_at
        self._last_at = now
        if self._time_s >= GOODPUT_BIN_S:
            value = self._bytes / self._time_s
            if self.mean is not None and value > 2 * self.mean:
                self._num_values, self._seen_s = 0, 0.0
            self._average(value)
            self._valued_at = now
            self._bytes, self._time_s = 0, 0.0

    def pause(self) -> None:
        """Note that nothing more waits: from now on deliveries say nothing."""
        self._paused, self._last_at = True, None

    def resume(self) -> None:
        """Note that something was sent: the time from the next delivery on counts."""
        self._paused = False

    def _average(self, value: float) -> None:
        self._num_values += 1
        self._seen_s = min(self._seen_s + self._time_s, GOODPUT_HORIZON_S)
        weight = min(1.0, self._time_s / self._seen_s)
        off = value - (self.mean or 0.0)
        self.mean = (self.mean or 0.0) + weight * off
        self._variance = (1 - weight) * (self._variance + weight * off**2)


class WindowControl:
    """Measures ack rate and round trip; from them follow window and patience."""

    def __init__(self, config: SenderConfig) -> None:
        self._config = config
        self.in_flight_bytes = 0
        self.rate_bytes_per_s: float | None = None
        """Fastest recent ack rate, bytes on the wire per second; None before the first."""
        self.smoothed_rtt_s: float | None = None
        """Smoothed round trip (RFC 6298), seconds; None before the first."""
        self.probes = 0
        """Probes since the last sign of life."""
        self.loss_rate = 0.0
        """Smoothed share of DATA frames that did not arrive, 0 to 1."""
        self.meter = GoodputMeter()
        """Rate of the DATA frames that arrive, bytes on the wire."""
        self._rtt_variation_s = 0.0
        self._rates: deque[tuple[float, float]] = deque()
        self._rtts: deque[tuple[float, float]] = deque()
        self._delivered_bytes = 0
        self._delivered_at = 0.0
        self._app_limited_until = 0

    def window_bytes(self, granted_bytes: int) -> int:
        """Bytes that may be on the way, between the bounds of the settings and the grant.

        ``rate x (gain x shortest round trip + its variation)``, and more where frames are lost.
        """
        config = self._config
        low = max(config.window_min_bytes, 2 * wire_bytes(config.mtu_bytes))
        if self.rate_bytes_per_s is None:
            window = max(low, config.window_start_bytes)
        else:
            shortest_s = self._rtts[0][1]
            reserve_s = min(self._rtt_variation_s, MAX_JITTER * shortest_s)
            wanted = self.rate_bytes_per_s * (config.window_gain * shortest_s + reserve_s)
            window = int(max(low, wanted) * (1 + min(MAX_LOSS_ROOM, LOSS_ROOM * self.loss_rate)))
        return min(window, config.window_max_bytes, granted_bytes)

    def arrives_by(self, deadline: float, num_bytes: int, now: float) -> bool:
        """Whether a frame sent now will still arrive, at the mean recent rate less its spread.

        With nothing on the way the answer is yes: an estimate must not silence the link for good,
        and the receiver takes a packet that is late by the shortest way of any before it.
        """
        if self.in_flight_bytes == 0 or self.rate_bytes_per_s is None:
            return True
        rate = min(self.rate_bytes_per_s, self.meter.expected(now) or self.rate_bytes_per_s)
        return now + (self.in_flight_bytes + num_bytes) / rate <= deadline

    @property
    def patience_s(self) -> float:
        """How long after the last frame the receiver's silence means something was lost."""
        if self.smoothed_rtt_s is None:
            base = 2 * self._config.initial_rtt_s
        else:
            base = max(MIN_PROBE_S, self.smoothed_rtt_s + 2 * self._rtt_variation_s)
        return float(min(base * (1 + self.probes), max(base, self._config.probe_max_s)))

    def on_sent(self, frame: SentFrame) -> None:
        """Account for a frame that goes out."""
        if self.in_flight_bytes == 0:
            self._delivered_at = frame.sent_at
        frame.delivered_before = self._delivered_bytes
        frame.delivered_at = self._delivered_at
        frame.app_limited = self._delivered_bytes < self._app_limited_until
        self.in_flight_bytes += frame.num_bytes
        if frame.num_bytes:
            self.meter.resume()

    def on_idle(self) -> None:
        """The window had room but nothing was to send: the ack rate is not the link's."""
        self.meter.pause()
        self._app_limited_until = self._delivered_bytes + max(1, self.in_flight_bytes)

    def on_gone(self, frame: SentFrame, *, link_lost_it: bool) -> None:
        """A frame has left the link without arriving; only the link's own losses count as such."""
        self.in_flight_bytes -= frame.num_bytes
        if not link_lost_it:
            self.meter.pause()
        elif frame.num_bytes:
            self.loss_rate += LOSS_SMOOTHING * (1 - self.loss_rate)

    def on_delivered(self, frame: SentFrame, now: float) -> None:
        """A frame arrived: update the rate and the shortest round trip."""
        self.in_flight_bytes -= frame.num_bytes
        if not frame.num_bytes:
            return
        self.loss_rate -= LOSS_SMOOTHING * self.loss_rate
        self._delivered_bytes += frame.num_bytes
        self._delivered_at = now
        self.meter.add(frame.num_bytes, now)
        _push_best(self._rtts, now, now - frame.sent_at, RTT_HORIZON_S, smaller=True)
        elapsed = now - frame.delivered_at
        if elapsed < self._rtts[0][1] or elapsed <= 0:
            return
        rate = (self._delivered_bytes - frame.delivered_before) / elapsed
        if frame.app_limited and self.rate_bytes_per_s and rate < self.rate_bytes_per_s:
            return
        horizon = max(RATE_HORIZON_S, 4 * (self.smoothed_rtt_s or 0.0))
        _push_best(self._rates, now, rate, horizon, smaller=False)
        self.rate_bytes_per_s = self._rates[0][1]

    def on_rtt(self, rtt_s: float) -> None:
        """Smooth one measured round trip."""
        if self.smoothed_rtt_s is None:
            self.smoothed_rtt_s, self._rtt_variation_s = rtt_s, rtt_s / 2
            return
        deviation = abs(self.smoothed_rtt_s - rtt_s)
        self._rtt_variation_s += (deviation - self._rtt_variation_s) / 4
        self.smoothed_rtt_s += (rtt_s - self.smoothed_rtt_s) / 8


def _push_best(
    samples: deque[tuple[float, float]], now: float, value: float, horizon: float, *, smaller: bool
) -> None:
    """Add a sample to a queue whose head is the best one within the horizon."""
    while samples and (value <= samples[-1][1] if smaller else value >= samples[-1][1]):
        samples.pop()
    samples.append((now, value))
    while samples[0][0] < now - horizon:
        samples.popleft()
