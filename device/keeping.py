"""A paced sender that keeps pictures while nobody answers, and sends them when the link is idle.

A kept picture never holds up a new one. It is sent when all of it should get through before the
next picture is due, or while the source has none; a new picture that comes sooner cuts it off. What
of it has arrived by then is its result: it is sent once. Only if nothing arrived is it tried again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from device.pacing import OpenPicture, PacedSender
from device.pictures import PictureReport, parse_result
from device.spool import KeptPicture, Spool
from pnc.transport.events import Event, ResultReceived
from pnc.transport.sender import Sender

__all__ = ["Keeper", "KeepingSender"]

KEEP_S = 0.05
"""How often it is looked whether a picture is to be kept, seconds: small against any deadline."""

IDLE_S = 60.0
"""How long a kept picture may take while the source has no new one, seconds."""

MARGIN = 1.25
"""A kept picture is begun only if the measured goodput leaves it this much more than its size."""


MIN_AGE_S = 0.001
"""Age of a picture from the future: the clock was set back since."""


class KeepingSender(PacedSender):
    """A :class:`PacedSender` with a spool; whoever pumps it also runs a :class:`Keeper`.

    Args:
        sender, options: As there.
        spool: Where pictures are kept.
    """

    def __init__(self, sender: Sender, *args: Any, spool: Spool, **options: Any) -> None:
        super().__init__(sender, *args, **options)
        self._spool = spool
        self._linked = False
        self._away = False
        self._keep_due = 0.0
        self._partly = False
        self._sent: dict[int, str] = {}

    def link_opened(self, now: float) -> None:
        """Begin anew on a fresh link."""
        self._linked = True
        super().link_opened(now)

    def link_closed(self) -> None:
        """Note that the link is gone: from now on pictures are kept."""
        self._linked = False
        super().link_closed()

    def handle_timer(self, now: float) -> list[Event]:
        """Note that time has passed; submit a new picture if one is due, or else a kept one.

        Raises:
            PncError: The source is of no use any more, or the manifest cannot be written.
        """
        self._switch(now)
        events = super().handle_timer(now)
        self._submit_kept(now)
        return events

    def keep(self, now: float) -> None:
        """Keep a picture if nobody answers and it is time for one.

        Raises:
            PncError: The source is of no use any more.
        """
        self._switch(now)
        if not self._away or not self._more:
            return
        if not self._asked:
            self._asked = True
            self._shelf.request(self._keep_due)
        encoded = self._shelf.collect_rest() if self._partly else self._shelf.collect()
        if encoded is None:
            return
        self._partly = not encoded.whole
        if self._partly:
            return
        self._asked = False
        self._num_taken += 1
        self._keep_due = max(now, self._keep_due) + self._deadline_s
        self._spool.add(
            KeptPicture(
                encoded.picture.name,
                encoded.picture.label,
                self._wall_clock() - (now - encoded.taken_at),
                encoded.encode_ms,
                tuple(encoded.packets),
            )
        )

    @property
    def _answered(self) -> bool:
        return self._linked and self.sender.answering

    @property
    def _paused(self) -> bool:
        return super()._paused or self._away

    @property
    def _sending_new(self) -> bool:
        newest = self.sender.next_picture_id - 1
        return super()._sending_new and newest not in self._sent

    @property
    def _kept_back(self) -> bool:
        return len(self._spool) > 0

    def _switch(self, now: float) -> None:
        """Begin to keep pictures when nobody answers any more, and to send them when one does."""
        if self._answered:
            if self._away:
                self._away = False
                self._begin(now)
        elif not self._away:
            self._away, self._keep_due = True, now + self._deadline_s
            self._due, self._growing = None, None
            self._asked = self._partly = False

    def _submit_kept(self, now: float) -> None:
        if self._away or self.sender.sending or self._growing is not None:
            return
        found = self._spool.oldest()
        if found is None:
            return
        key, picture = found
        num_bytes = sum(map(len, picture.packets))
        room_s = self._room_s(now)
        if self._needed_s(num_bytes) > room_s:
            return
        self._spool.sent(key)
        age_s = max(MIN_AGE_S, self._wall_clock() - picture.captured_at)
        deadline = now + room_s
        picture_id = self.sender.submit(
            picture.packets, deadline=deadline, now=now, taken_at=now - age_s
        )
        self._sent[picture_id] = key
        report = PictureReport(
            picture_id,
            picture.name,
            picture.label,
            num_bytes,
            num_bytes,
            picture.encode_ms,
            age_s=age_s,
        )
        self._open[picture_id] = OpenPicture(report, now - age_s, now, deadline)

    def _room_s(self, now: float) -> float:
        """How long the link has nothing else to do."""
        if not self._more:
            return IDLE_S
        if self._due is None:
            return 0.0
        if now < self._due:
            return self._due - now
        return IDLE_S if now > self._due + self._deadline_s else 0.0

    def _needed_s(self, num_bytes: int) -> float:
        goodput = self.sender.goodput
        if goodput is None:
            return self._deadline_s / 2
        return min(IDLE_S, MARGIN * num_bytes / goodput.bytes_per_s)

    def _note(self, events: list[Event], now: float) -> list[Event]:
        for event in events:
            if isinstance(event, ResultReceived) and event.picture_id in self._sent:
                key = self._sent.pop(event.picture_id)
                if parse_result(event.payload)[0] == 0:
                    self._spool.put_back(key)
                else:
                    self._spool.remove(key)
        return super()._note(events, now)


class Keeper:
    """The thread that keeps pictures, whatever holds up the one that opens the link.

    Args:
        sender: Whose pictures.
        changed: Held while the sender is used.
        on_error: Called when there is no use in going on.
        clock: The clock of the sender.
    """

    def __init__(
        self,
        sender: KeepingSender,
        changed: threading.Condition,
        *,
        on_error: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sender = sender
        self._changed = changed
        self._clock = clock
        self._on_error = on_error
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()

    def check(self) -> None:
        """Raise what ended the thread, if anything did."""
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while not self._stop.wait(KEEP_S):
                with self._changed:
                    self._sender.keep(self._clock())
        except Exception as error:  # noqa: BLE001 - the top of a thread; check() raises it again
            self._error = error
            self._on_error()
