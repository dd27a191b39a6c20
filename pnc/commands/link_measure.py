"""Measuring a link from its near end: sessions as pure as those of ``pnc.transport``."""

from __future__ import annotations

import math
import random
import statistics
from collections import deque
from dataclasses import dataclass, field

from pnc.commands.link_echo import ANSWER, ASK, LOAD, QUESTION, SAID, Deframer, encode_frame
from pnc.commands.link_figures import (
    LOAD_BYTES,
    OVERHEAD_BYTES,
    LinkFigures,
    WindowFigure,
    percentile,
    propose_mtu,
)
from pnc.errors import LinkError
from pnc.transport.events import Event

__all__ = ["LinkProbe", "LinkRecorder", "ProbeFinished"]

LOAD_FRAME_BYTES = LOAD_BYTES + OVERHEAD_BYTES
"""About what a LOAD frame takes on the wire."""

CONTACT_S = 5.0
"""Whoever has not answered by then is not there."""

SILENCE_S = 3.0
"""What was sent and not answered for so long is lost."""

PATIENCE_S = 0.5
"""Silence before the first question is repeated; later, a few round trips."""

MIN_PATIENCE_S = 0.25
"""A busy machine answers this late now and then."""

NUM_ROUND_TRIPS = 30
"""Enough for a 95th percentile, and a few seconds on the slowest link."""

WINDOWS_BYTES = (600, 1200, 2400, 4800, 9600, 19_200)
"""Windows that are tried, two frames to more than any session uses."""

GOOD_ENOUGH = 0.9
"""The smallest window that reaches this share of the best goodput is proposed."""

FLOOD_S = 5.0
"""A flood is at most what the link carries in this time: it has to drain again."""

FLOOD_BYTES = (4096, 512 * 1024)
"""Least and most bytes of a flood."""

BLOCKED_S = 0.4
"""A write that took longer is about to lose bytes: the layer is full."""

RECORD_AHEAD_S = 0.25
"""While recording, as much is on the way as the link carried in this time, so that it never idles
and yet a link that stops has not swallowed much."""


@dataclass(frozen=True, slots=True)
class ProbeFinished(Event):
    """The probe has its figures, or the recorder its time."""


@dataclass(slots=True)
class _Stage:
    """One run of frames under one rule."""

    run: int
    is_load: bool = True
    window_bytes: float = 1.0
    """Bytes on the way; one frame may always be."""
    max_frames: float = math.inf
    max_bytes: float = math.inf
    max_s: float = math.inf
    seq: int = 0
    sent_bytes: int = 0
    started_at: float | None = None
    stopped_at: float | None = None
    touched_at: float = 0.0
    heard_at: float | None = None
    peak_bytes: int = 0
    received_frames: int = 0
    on_the_way: deque[tuple[int, int, float]] = field(default_factory=deque)
    """Number, size and time of every frame that is neither answered nor passed over."""
    on_the_way_bytes: int = 0
    round_trips_s: list[float] = field(default_factory=list)
    answers: list[tuple[float, int, int]] = field(default_factory=list)
    """Time here, time there in milliseconds, bytes that had come."""

    def stop_if_over(self, now: float, *, blocked: bool = False) -> None:
        begun = now if self.started_at is None else self.started_at
        over = self.seq >= self.max_frames or self.sent_bytes >= self.max_bytes
        if self.stopped_at is None and (over or blocked or now - begun >= self.max_s):
            self.stopped_at = now

    def is_done(self, now: float) -> bool:
        if self.stopped_at is None:
            return False
        since = max(self.stopped_at, self.heard_at or 0.0)
        return not self.on_the_way or now - since >= SILENCE_S

    def wants(self) -> bool:
        room = self.on_the_way_bytes + LOAD_FRAME_BYTES <= self.window_bytes
        return self.stopped_at is None and (room or not self.on_the_way)

    def send(self, now: float, *, ask: bool) -> bytes:
        self.seq += 1
        kind = LOAD if self.is_load and not ask else ASK
        body = QUESTION.pack(kind, self.run, self.seq)
        if kind == LOAD:
            body += bytes((self.seq + index) % 255 + 1 for index in range(LOAD_BYTES))
        frame = encode_frame(body)
        if self.started_at is None:
            self.started_at = now
        self.sent_bytes += len(frame)
        self.touched_at = now
        self.on_the_way.append((self.seq, len(frame), now))
        self.on_the_way_bytes += len(frame)
        return frame

    def hear(self, answer: tuple[int, ...], now: float) -> None:
        _, run, highest, frames, num_bytes, time_ms = answer
        if run != self.run or highest > self.seq:
            return
        self.heard_at = self.touched_at = now
        self.received_frames = max(self.received_frames, frames)
        if not self.answers or num_bytes > self.answers[-1][2]:
            self.answers.append((now, time_ms, num_bytes))
        while self.on_the_way and self.on_the_way[0][0] <= highest:
            seq, size, sent_at = self.on_the_way.popleft()
            self.on_the_way_bytes -= size
            if seq == highest:
                self.round_trips_s.append(now - sent_at)

    @property
    def rate_bytes_per_s(self) -> float:
        """Bytes on the wire that arrived, by when their answers came."""
        if not self.answers or self.started_at is None:
            return 0.0
        first, last = self.answers[0], self.answers[-1]
        if len(self.answers) < 4:
            elapsed = last[0] - self.started_at
            return last[2] / elapsed if elapsed > 0 else 0.0
        elapsed = last[0] - first[0]
        return (last[2] - first[2]) / elapsed if elapsed > 0 else 0.0

    @property
    def goodput_bps(self) -> float:
        return 8 * self.rate_bytes_per_s * LOAD_BYTES / LOAD_FRAME_BYTES


class LinkProbe:
    """The near end: round trips first, then window by window, then a flood.

    Args:
        url: For messages.
        seconds: Time for the windows together; round trips and the flood come on top.
        seed: Tells this run from an earlier one whose frames may still be on the way.
    """

    def __init__(self, url: str, *, seconds: float = 10.0, seed: int | None = None) -> None:
        self.closed = False
        self.figures: LinkFigures | None = None
        """The result, once there is one."""
        self._url = url
        self._step_s = seconds / len(WINDOWS_BYTES)
        self._deframer = Deframer()
        self._foreign_bytes = 0
        self._opened_at = 0.0
        self._next_run = random.Random(seed).randrange(2**31)
        self._ready_at: float | None = None
        self._ping = self._stage = self._begin(
            is_load=False, max_frames=NUM_ROUND_TRIPS, max_s=max(CONTACT_S, seconds / 2)
        )
        self._streams: list[_Stage] = []
        self._flood: _Stage | None = None

    def link_opened(self, now: float) -> None:
        """Begin: the time to answer runs from here."""
        self._opened_at = now

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Take answers."""
        bodies = self._deframer.feed(data)
        for body in bodies:
            if body[0] == SAID and len(body) == ANSWER.size:
                self._stage.hear(ANSWER.unpack(body), now)
        if not bodies:
            self._foreign_bytes += len(data)
        return self._advance(now)

    def handle_timer(self, now: float) -> list[Event]:
        """Note that time has passed.

        Raises:
            LinkError: Nobody answers.
        """
        if self._ping.heard_at is None and now - self._opened_at >= CONTACT_S:
            raise LinkError(self._why_silent(), url=self._url, reason="silent")
        return self._advance(now)

    def data_to_send(self, now: float) -> bytes:
        """Give the next frame. That it is asked for says that the link took the one before."""
        stage = self._stage
        if self.closed:
            return b""
        stage.peak_bytes = max(stage.peak_bytes, stage.on_the_way_bytes)
        blocked = self._ready_at is not None and now - self._ready_at > BLOCKED_S
        stage.stop_if_over(now, blocked=blocked and stage is self._flood)
        self._ready_at = None
        if stage.wants():
            self._ready_at = now
            return stage.send(now, ask=False)
        if now >= stage.touched_at + self._patience_s and not stage.is_done(now):
            return stage.send(now, ask=True)
        return b""

    def next_timer(self) -> float | None:
        """When to call again."""
        stage = self._stage
        if self.closed:
            return None
        if stage.wants():
            return stage.touched_at
        return stage.touched_at + self._patience_s

    def _begin(self, **rule: float) -> _Stage:
        self._next_run += 1
        return _Stage(self._next_run, **rule)  # type: ignore[arg-type]

    @property
    def _patience_s(self) -> float:
        known = self._ping.round_trips_s
        return max(MIN_PATIENCE_S, 4 * max(known)) if known else PATIENCE_S

    def _advance(self, now: float) -> list[Event]:
        self._stage.stop_if_over(now)
        if self.closed or not self._stage.is_done(now):
            return []
        following = self._following()
        if following is None:
            self.closed = True
            return [ProbeFinished()]
        following.touched_at = now
        self._stage = following
        return []

    def _following(self) -> _Stage | None:
        """Choose what to do after a stage that is done."""
        streams = self._streams
        rates = [stream.rate_bytes_per_s for stream in streams]
        best = max(rates, default=0.0)
        settled = len(rates) > 2 and rates[-1] < 1.05 * max(rates[:-2])
        if len(streams) < len(WINDOWS_BYTES) and not settled:
            window = WINDOWS_BYTES[len(streams)]
            stage = self._begin(window_bytes=window, max_s=self._step_s)
            streams.append(stage)
            return stage
        if self._flood is None:
            low, high = FLOOD_BYTES
            limit = min(high, max(low, FLOOD_S * best))
            self._flood = self._begin(window_bytes=math.inf, max_bytes=limit, max_s=FLOOD_S)
            return self._flood
        self.figures = self._conclude(self._flood, best)
        return None

    def _conclude(self, flood: _Stage, best: float) -> LinkFigures:
        chosen = next(one for one in self._streams if one.rate_bytes_per_s >= GOOD_ENOUGH * best)
        sent = sum(stream.seq for stream in self._streams)
        loss = 1 - sum(stream.received_frames for stream in self._streams) / sent
        return LinkFigures(
            round_trip_s=statistics.median(self._ping.round_trips_s),
            round_trip_p95_s=percentile(self._ping.round_trips_s, 0.95),
            goodput_bps=chosen.goodput_bps,
            loss=loss,
            hidden_bytes=flood.peak_bytes,
            hidden_unbounded=flood.peak_bytes >= 0.9 * flood.max_bytes,
            window_bytes=int(chosen.window_bytes),
            mtu_bytes=propose_mtu(loss, chosen.rate_bytes_per_s),
            windows=tuple(
                WindowFigure(
                    int(stream.window_bytes),
                    stream.goodput_bps,
                    statistics.median(stream.round_trips_s or [math.nan]),
                )
                for stream in self._streams
            ),
        )

    def _why_silent(self) -> str:
        if self._foreign_bytes:
            return (
                f"{self._url}: {self._foreign_bytes} bytes came, none of them an answer; another "
                "program is there, or the rates differ: run `pnc link test URL --echo` there"
            )
        return (
            f"{self._url}: nobody answers; run `pnc link test URL --echo` on the other side, with "
            "the link's address there"
        )


class LinkRecorder(LinkProbe):
    """The near end of a recording: keeps the link busy and notes what arrives when.

    Args:
        url: For messages.
        seconds: How long.
        seed: As for :class:`LinkProbe`.
    """

    def __init__(self, url: str, *, seconds: float, seed: int | None = None) -> None:
        super().__init__(url, seconds=1.0, seed=seed)
        self._ping.max_frames = 5
        self._seconds = seconds
        self._recording: _Stage | None = None

    @property
    def arrivals(self) -> list[tuple[float, int]]:
        """When the far end had how many bytes: seconds of its clock from the first, and bytes."""
        answers = self._recording.answers if self._recording else []
        return [
            (((there - answers[0][1]) & 0xFFFFFFFF) / 1000, num_bytes)
            for _, there, num_bytes in answers
        ]

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Take answers, and keep a quarter of a second of bytes on the way."""
        events = super().receive_data(data, now)
        stage = self._recording
        if stage is not None and stage.answers:
            recent = [one for one in stage.answers[-64:] if one[0] >= now - 1.0]
            if len(recent) > 1 and recent[-1][0] > recent[0][0]:
                rate = (recent[-1][2] - recent[0][2]) / (recent[-1][0] - recent[0][0])
                ahead_s = max(RECORD_AHEAD_S, 2 * max(self._ping.round_trips_s, default=0.0))
                low, high = WINDOWS_BYTES[1], FLOOD_BYTES[1]
                stage.window_bytes = max(low, min(high, rate * ahead_s))
        return events

    def _following(self) -> _Stage | None:
        if self._recording is not None:
            return None
        self._recording = self._begin(window_bytes=WINDOWS_BYTES[2], max_s=self._seconds)
        return self._recording
