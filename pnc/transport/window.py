"""How much may be on the way, what still arrives by a deadline, how long to wait for an answer.

The window follows BBR's idea (Cardwell et al., "BBR: Congestion-Based Congestion Control", ACM
Queue 14(5), 2016) without its phases: the link is not shared, so nobody has to be made room for,
and a window of a small multiple of ``rate x round trip`` keeps it busy with little beyond recall.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from pnc.config import SenderConfig
from pnc.transport.scheduler import OutgoingPicture
from pnc.transport.wire import ACK_SPAN, wire_bytes

__all__ = ["GoodputMeter", "SentFrame", "WindowControl"]

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

EMPTY_SHARE = 0.75
"""Of the mean round trip on an all but empty link: half of its frames waited for another."""

STALL_S = 1.0
"""A frame on an all but empty link that took longer stood still, and is no round trip."""

POLLED = 1.15
"""A link whose mean round trip of a frame alone is so many times the shortest is polled. A line
of 1 kB/s came to 1.11, where an END went before the frame; a radio of 100 ms x 1 to 1.25."""

SHORT_ROUND = 0.9
"""A rate is taken over such a share of a round trip at least: over less it is that of a burst."""

PEAK = 1.5
"""The fastest rate counts up to so many times the mean: polls that all succeed are no rate."""

MAX_JITTER = 3.0
"""Reserve for late ACKs of a busy host, at most this many shortest round trips."""

GOODPUT_BIN_S = 0.25
"""Time over which one value of the goodput is taken: some packets of a slow link."""

GOODPUT_HORIZON_S = 8.0
"""Time over which those values are averaged."""

CHANCE = 4.0
"""So many standard deviations above the mean are no chance: a quarter of a second in which a lossy
radio loses nothing is twice the mean."""

FEW_VALUES = 4
"""From fewer values the deviation is not known: a link that is just filling up looks like two."""

MAX_LATE_FRAMES = 2
"""Frames that may come after a deadline when the link has one of its worst moments."""

USUAL_SPREAD = 0.35
"""Spread of the goodput of a radio that loses a fifth; with a larger one in its sums, caution would
keep a sender so quiet that it could not measure."""

WORST = 2.4
"""Such a moment: so many standard deviations below what the link delivers in the time left."""


@dataclass(slots=True)
class SentFrame:
    """A frame on the way. Only DATA has ``num_bytes``: the window is about pictures."""

    sent_at: float
    num_bytes: int = 0
    picture: OutgoingPicture | None = None
    index: int = 0
    ended_id: int | None = None
    before_bytes: int = 0
    delivered_before: int = 0
    delivered_at: float = 0.0
    app_limited: bool = False


class GoodputMeter:
    """Mean and spread of the rate at which a link delivers while there is more to send.

    Times in which the sender had nothing to send say nothing of the link and do not count. A link
    that became more than twice as fast, and faster than chance explains, is another link: the mean
    begins anew.
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

    def is_recent(self, now: float) -> bool:
        """Whether there is a mean, and its last value is not from before a pause."""
        return self.mean is not None and now - self._valued_at <= GOODPUT_HORIZON_S

    def deviation_bytes(self, time_s: float) -> float:
        """Standard deviation of the bytes that arrive in a time, if no value depends on another.

        Larger while there are few values, but never more than :data:`USUAL_SPREAD` makes it.
        """
        if not self.mean:
            return 0.0
        usual = (USUAL_SPREAD * self.mean) ** 2
        # A first value is worth three of what is usual.
        weight = self._num_values**2 / (self._num_values**2 + 0.3)
        variance = weight * self._variance + (1 - weight) * usual
        return math.sqrt(min(variance, usual) * GOODPUT_BIN_S * time_s)

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
            if self.mean is not None and value > self._other_link_bytes_per_s(self.mean):
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

    def _other_link_bytes_per_s(self, mean: float) -> float:
        chance = CHANCE if self._num_values >= FEW_VALUES else 0.0
        return max(2 * mean, mean + chance * math.sqrt(self._variance))

    def _average(self, value: float) -> None:
        self._num_values += 1
        self._seen_s = min(self._seen_s + self._time_s, GOODPUT_HORIZON_S)
        weight = min(1.0, self._time_s / self._seen_s)
        off = value - (self.mean or 0.0)
        self.mean = (self.mean or 0.0) + weight * off
        self._variance = (1 - weight) * (self._variance + weight * off**2)


class WindowControl:
    """Measures ack rate and round trip; from them follow window and patience."""

    max_frames = ACK_SPAN
    """Frames that may be on the way: an ACK speaks of no more."""

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
        self._alone_rtt_s = 0.0
        self._empty_rtt_s = 0.0
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
            reserve_s = min(self._rtt_variation_s, MAX_JITTER * self._rtts[0][1])
            wanted = self._peak_bytes_per_s * (config.window_gain * self._round_s + reserve_s)
            window = int(max(low, wanted) * (1 + min(MAX_LOSS_ROOM, LOSS_ROOM * self.loss_rate)))
        return min(window, config.window_max_bytes, granted_bytes)

    def arrives_by(self, deadline: float, num_bytes: int, now: float) -> bool:
        """Whether a frame sent now will arrive in time as a rule, and few be late at worst.

        With nothing on the way the answer is yes, unless the link is polled: an estimate must not
        silence it for good, and the receiver takes a packet that is late by the shortest way of
        any before it, which is next to nothing where a first packet may just catch a poll.
        """
        if self.rate_bytes_per_s is None or (self.in_flight_bytes == 0 and not self._is_polled):
            return True
        sent_bytes, time_s = self.in_flight_bytes + num_bytes, max(0.0, deadline - now)
        if not self.meter.is_recent(now):
            return sent_bytes <= self._peak_bytes_per_s * time_s
        rate = min(self.rate_bytes_per_s, self.meter.mean or 0.0)
        missing_bytes = max(rate * self._poll_s, WORST * self.meter.deviation_bytes(time_s))
        # Frames come whole: half a one is the correction for continuity.
        worst_bytes = max(0.0, rate * time_s - missing_bytes - num_bytes / 2)
        few_bytes = MAX_LATE_FRAMES * wire_bytes(self._config.mtu_bytes)
        return sent_bytes <= min(rate * time_s, worst_bytes + few_bytes)

    @property
    def _peak_bytes_per_s(self) -> float:
        return min(self.rate_bytes_per_s or 0.0, PEAK * (self.meter.mean or math.inf))

    @property
    def _is_polled(self) -> bool:
        """Whether frames that find nothing before them take differently long."""
        return self._alone_rtt_s > POLLED * self._rtts[0][1]

    @property
    def _round_s(self) -> float:
        """Round trip of a frame that finds the link all but empty: the shortest, or the mean.

        A radio that is polled every 50 ms answers the frame that just caught a poll within 4 ms.
        """
        return max(self._rtts[0][1], EMPTY_SHARE * self._empty_rtt_s)

    @property
    def _poll_s(self) -> float:
        """How long a radio may let nothing through: a frame finds it in the middle in the mean."""
        return 2 * max(0.0, self._empty_rtt_s - self._rtts[0][1])

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
        frame.before_bytes = self.in_flight_bytes
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
        rtt_s = now - frame.sent_at
        _push_best(self._rtts, now, rtt_s, RTT_HORIZON_S, smaller=True)
        if rtt_s <= STALL_S and frame.before_bytes == 0:
            self._alone_rtt_s = _smooth(self._alone_rtt_s, rtt_s)
        if rtt_s <= STALL_S and frame.before_bytes <= frame.num_bytes:
            self._empty_rtt_s = _smooth(self._empty_rtt_s, rtt_s)
        elapsed = now - frame.delivered_at
        if elapsed < SHORT_ROUND * self._round_s or elapsed <= 0:
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


def _smooth(usual_s: float, rtt_s: float) -> float:
    """Move a mean towards a round trip, to twice the mean at most; 0 was none."""
    usual_s = usual_s or rtt_s
    return usual_s + (min(rtt_s, 2 * usual_s) - usual_s) / 8


def _push_best(
    samples: deque[tuple[float, float]], now: float, value: float, horizon: float, *, smaller: bool
) -> None:
    """Add a sample to a queue whose head is the best one within the horizon."""
    while samples and (value <= samples[-1][1] if smaller else value >= samples[-1][1]):
        samples.pop()
    samples.append((now, value))
    while samples[0][0] < now - horizon:
        samples.popleft()
