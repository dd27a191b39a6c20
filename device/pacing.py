"""A sender that helps itself to the next picture at each deadline, sans-I/O."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from device.manifest import Manifest
from device.pictures import Finished, PictureReport, Shelf, Unanswered, parse_result
from device.policy import Policy
from pnc.transport.events import (
    Connected,
    Event,
    PictureExpired,
    PictureStopped,
    ResultReceived,
)
from pnc.transport.sender import Sender

__all__ = ["RESULT_WAIT_S", "OpenPicture", "PacedSender"]

RESULT_WAIT_S = 10.0
"""How long after its deadline a picture's result is waited for, seconds: several repeated ENDs."""

SILENCE_S = 5.0
"""After this without an edge server the user is told, seconds: several HELLOs on any link."""

DEADLINE = Policy()

POLL_S = 0.005
"""How often a late picture is looked for, seconds: small against any deadline."""

MAX_POLL_S, POLL_SHARE = 0.1, 0.05
"""A picture that is later still is looked for less often, by this share of its lateness: a source
without pictures, such as a folder that is watched at night, must not cost a processor."""


@dataclass
class OpenPicture:
    """A picture that was submitted and not yet reported."""

    report: PictureReport
    taken_at: float
    submitted: float
    deadline: float


@dataclass(frozen=True)
class _Growing:
    """A picture of which the first packets were submitted."""

    picture_id: int
    num_packets: int


class PacedSender:
    """A :class:`Sender` that helps itself to the next picture at each deadline; sans-I/O.

    It has the sender's own face, so whatever pumps a sender pumps this, and its events, together
    with one :class:`PictureReport` per picture and :class:`Finished` at the end. The pace begins
    when the edge server first answers: no picture is spent before anybody listens.

    Args:
        sender: The sender; this object owns it.
        shelf: Where the pictures come from.
        deadline_s: Time from a picture's submission to its deadline, seconds.
        policy: When a picture is over.
        count: How many pictures to send; None: until the source ends.
        manifest: Written before each submission.
        wall_clock: Unix time, for the manifest.
        on_tick: Called often for as long as the loop is alive.
    """

    def __init__(
        self,
        sender: Sender,
        shelf: Shelf,
        *,
        deadline_s: float,
        policy: Policy = DEADLINE,
        count: int | None = None,
        manifest: Manifest | None = None,
        wall_clock: Callable[[], float] = time.time,
        on_tick: Callable[[], None] = lambda: None,
    ) -> None:
        self.sender = sender
        self._shelf = shelf
        self._deadline_s = deadline_s
        self._policy = policy
        self._asked = False
        self._count = count
        self._manifest = manifest
        self._wall_clock = wall_clock
        self.tick = on_tick
        self._num_taken = 0
        self._due: float | None = None
        self._look_at = 0.0
        self._open: dict[int, OpenPicture] = {}
        self._growing: _Growing | None = None
        self._fresh: int | None = None
        self._finished = False
        self._silent_since: float | None = None
        self._heard_bytes = 0

    @property
    def closed(self) -> bool:
        """Whether the session is over for good."""
        return self.sender.closed

    def link_opened(self, now: float) -> None:
        """Begin anew on a fresh link; the next picture goes out once it is answered."""
        self._due = None
        self._silent_since = None
        self.sender.link_opened(now)

    def link_closed(self) -> None:
        """Note that the link is gone."""

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Take bytes from the link.

        Raises:
            RemoteProtocolError: The other side speaks another version.
        """
        return self._note(self.sender.receive_data(data, now), now)

    def handle_timer(self, now: float) -> list[Event]:
        """Note that time has passed, and submit the next picture if it is due.

        Raises:
            PncError: The source is of no use any more, or the manifest cannot be written.
        """
        self.tick()
        self._ask(now)
        self._extend(now)
        self._submit(now)
        events = self._note(self.sender.handle_timer(now), now) + self._give_up(now)
        events += self._listen(now)
        if not (self._more or self._open or self._finished or self._kept_back):
            self._finished = True
            events.append(Finished())
        return events

    def data_to_send(self, now: float) -> bytes:
        """Return what may go out now."""
        before = self.sender.statistics.data_frames_sent
        data = self.sender.data_to_send(now)
        if self._fresh is not None and self.sender.statistics.data_frames_sent > before:
            if (entry := self._open.get(self._fresh)) is not None:
                age_ms = 1e3 * (now - entry.taken_at)
                entry.report = replace(entry.report, first_packet_ms=age_ms)
            self._fresh = None
        return data

    def next_timer(self) -> float | None:
        """When to call again at the latest."""
        times = [entry.deadline + RESULT_WAIT_S for entry in self._open.values()]
        if self._growing is not None:
            times.append(self._look_at)
        elif self._due is not None and not self._paused and self._more and not self._busy:
            times.append(max(self._due, self._look_at))
        if (timer := self.sender.next_timer()) is not None:
            times.append(timer)
        return min(times, default=None)

    def abandon(self) -> list[PictureReport]:
        """Wait for no further result; return the reports of the pictures that wait for one."""
        reports = [entry.report for entry in self._open.values()]
        self._open.clear()
        return reports

    @property
    def _more(self) -> bool:
        if self._count is not None and self._num_taken >= self._count:
            return False
        return not self._shelf.exhausted

    @property
    def _busy(self) -> bool:
        """Whether the next picture has to wait, however long it has been due."""
        return self._policy.waits and self._sending_new

    @property
    def _sending_new(self) -> bool:
        """Whether a new picture is being sent."""
        return self.sender.sending

    @property
    def _paused(self) -> bool:
        """Whether no picture is to be submitted now."""
        return self._due is None

    @property
    def _kept_back(self) -> bool:
        """Whether there is something to send besides new pictures."""
        return False

    def _begin(self, now: float) -> None:
        """Let the pace begin: the next picture is due now."""
        self._due = now
        self._asked = False
        self._growing = None
        self._ask(now)

    def _ask(self, now: float) -> None:
        """Ask for the next picture, once, as soon as it is known when its turn comes."""
        if self._paused or self._asked or self._growing or self._busy or not self._more:
            return
        assert self._due is not None, "a pace that has not begun is paused"
        self._asked = True
        self._shelf.request(max(self._due, now))

    def _submit(self, now: float) -> None:
        if self._paused or self._busy or not self._more or self._growing is not None:
            return
        assert self._due is not None, "a pace that has not begun is paused"
        if now < self._due and self.sender.sending:
            return
        encoded = self._shelf.collect()
        if encoded is None:
            late_s = max(0.0, now - self._due)
            self._look_at = now + min(max(POLL_S, POLL_SHARE * late_s), MAX_POLL_S)
            return
        self._num_taken += 1
        if self._manifest is not None:
            self._manifest.add(
                self.sender.session_id, self.sender.next_picture_id, encoded, self._wall_clock()
            )
        self._due = max(now, self._due) + self._deadline_s
        deadline = now + self._deadline_s + self._policy.grace_s
        picture_id = self.sender.submit(
            encoded.packets,
            deadline=deadline,
            now=now,
            max_bytes=self._policy.max_bytes,
            more=not encoded.whole,
        )
        report = PictureReport(
            picture_id,
            encoded.picture.name,
            encoded.picture.label,
            encoded.num_bytes,
            encoded.num_bytes,
            encoded.encode_ms,
        )
        self._open[picture_id] = OpenPicture(report, encoded.taken_at, now, deadline)
        self._fresh = picture_id
        self._asked = False
        if encoded.whole:
            self._ask(now)
        else:
            self._growing = _Growing(picture_id, len(encoded.packets))
            self._look_at = now + POLL_S

    def _extend(self, now: float) -> None:
        """Submit the rest of a picture as soon as it is coded, and ask for the next one."""
        growing = self._growing
        if growing is None:
            return
        encoded = self._shelf.collect_rest()
        if encoded is None:
            self._look_at = now + POLL_S
            return
        self._growing = None
        goes = self.sender.extend(growing.picture_id, encoded.packets[growing.num_packets :], now)
        if (entry := self._open.get(growing.picture_id)) is not None:
            report = replace(
                entry.report, encoded_bytes=encoded.num_bytes, encode_ms=encoded.encode_ms
            )
            entry.report = replace(report, sent_bytes=encoded.num_bytes) if goes else report
        self._ask(now)

    def _note(self, events: list[Event], now: float) -> list[Event]:
        reports: list[Event] = []
        for event in events:
            match event:
                case Connected() if self._due is None:
                    self._begin(now)
                case PictureExpired(picture_id, bytes_sent) | PictureStopped(
                    picture_id, bytes_sent
                ) if picture_id in self._open:
                    entry = self._open[picture_id]
                    entry.report = replace(entry.report, sent_bytes=bytes_sent)
                case ResultReceived(picture_id, payload) if picture_id in self._open:
                    entry = self._open.pop(picture_id)
                    received_bytes, top = parse_result(payload)
                    reports.append(
                        replace(
                            entry.report,
                            result_ms=1e3 * (now - entry.submitted),
                            received_bytes=received_bytes,
                            top=top,
                        )
                    )
                case _:
                    pass
        return events + reports

    def _listen(self, now: float) -> list[Event]:
        """Tell, once, that nobody answers."""
        if self.sender.connected:
            self._silent_since = None
            return []
        heard_bytes = self.sender.statistics.bytes_received
        if self._silent_since is None:
            self._silent_since, self._heard_bytes = now, heard_bytes
        if now < self._silent_since + SILENCE_S:
            return []
        self._silent_since = math.inf
        return [Unanswered(heard_bytes - self._heard_bytes)]

    def _give_up(self, now: float) -> list[Event]:
        late = [key for key, entry in self._open.items() if now >= entry.deadline + RESULT_WAIT_S]
        return [self._open.pop(picture_id).report for picture_id in late]
