"""A paced sender on a virtual clock and a virtual link, and a reporter that remembers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from device.pacing import PacedSender
from device.pictures import EncodedPicture, PictureReport, Unanswered
from device.sources import Picture, SourceLostError
from pnc.config import ReceiverConfig, SenderConfig
from pnc.errors import ImageError, LinkError
from pnc.testing import VirtualLinkConfig, VirtualPair
from pnc.transport.events import Event, PictureStarted
from pnc.transport.links.channel import ChannelConfig
from pnc.transport.links.trace import RateTrace
from pnc.transport.session import Receiver, Sender

RESULT = b'{"top":[["gear",0.93],["bolt",0.04]],"bytes":800,"ms":12}'
SIZES = (200, 200, 200, 200)


class FakeShelf:
    """Hands out numbered pictures, each ready some time after it is due, its rest after that."""

    def __init__(
        self, clock: Callable[[], float], *, num: int, late_s: float, rest_s: float | None
    ) -> None:
        self._clock = clock
        self._num = num
        self._late_s = late_s
        self._rest_s = rest_s
        self._rest: tuple[EncodedPicture, float] | None = None
        self._ready: float | None = None
        self.requests: list[float] = []
        self.num_collected = 0

    @property
    def exhausted(self) -> bool:
        return self.num_collected >= self._num

    def request(self, due: float) -> None:
        self.requests.append(due)
        self._ready = due + self._late_s
        self._rest = None

    def collect(self) -> EncodedPicture | None:
        if self._ready is None or self._clock() < self._ready:
            return None
        self._ready = None
        self.num_collected += 1
        picture = Picture(b"", f"picture {self.num_collected}", "gear")
        packets = [bytes([self.num_collected]) * size for size in SIZES]
        whole = EncodedPicture(picture, packets, 3.0, self._clock() - 0.003)
        if self._rest_s is None:
            return whole
        self._rest = whole, self._clock() + self._rest_s
        return replace(whole, packets=packets[:1], encode_ms=1.0, whole=False)

    def collect_rest(self) -> EncodedPicture | None:
        if self._rest is None or self._clock() < self._rest[1]:
            return None
        whole, self._rest = self._rest[0], None
        return whole


class AnsweringReceiver(Receiver):
    def send_result(self, picture_id: int, payload: bytes, now: float, **which: Any) -> None:
        super().send_result(picture_id, RESULT, now, **which)


class Bench:
    """A paced sender, an answering receiver, and the reports that came."""

    def __init__(
        self,
        *,
        rate_bps: float = 100_000.0,
        num: int = 10**9,
        late_s: float = 0.0,
        rest_s: float | None = None,
        loss: float = 0.0,
        seed: int = 0,
        cuts: tuple[tuple[float, float], ...] = (),
        answers: bool = True,
        make: Callable[..., PacedSender] = PacedSender,
        **options: Any,
    ) -> None:
        channel = ChannelConfig(trace=RateTrace.constant(rate_bps))
        receiver = AnsweringReceiver(ReceiverConfig(epoch_seed=1))
        link = VirtualLinkConfig(channel=channel, loss=loss, cuts=cuts, seed=seed)
        self.sender = Sender(SenderConfig(session_id=77))
        self.pair = VirtualPair(
            self.sender, receiver, link, result_after_s=0.01 if answers else None
        )
        self.shelf = FakeShelf(self.pair.clock, num=num, late_s=late_s, rest_s=rest_s)
        settings = {"deadline_s": 0.5, "wall_clock": lambda: 1e9, **options}
        self.paced = make(self.sender, self.shelf, **settings)
        self.pair.restart_sender(cast("Sender", self.paced))

    @property
    def reports(self) -> list[PictureReport]:
        return [event for _, event in self.pair.sender_events if isinstance(event, PictureReport)]

    @property
    def data_times(self) -> list[tuple[float, int]]:
        """When the first packet of each picture arrived, and the picture's id."""
        return [
            (time, event.picture_id)
            for time, event in self.pair.receiver_events
            if isinstance(event, PictureStarted)
        ]

    def times(self, kind: type[Event]) -> list[float]:
        return [time for time, event in self.pair.sender_events if isinstance(event, kind)]


class Notes:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.pictures: list[PictureReport] = []
        self.skipped: list[str] = []
        self.losses: list[float] = []
        self.silences: list[str] = []
        self.troubles: list[str] = []
        self.num_connected = 0
        self.source: list[str] = []

    def picture(self, report: PictureReport) -> None:
        self.pictures.append(report)

    def connected(self) -> None:
        self.num_connected += 1

    def unanswered(self, event: Unanswered) -> None:
        self.silences.append(str(event))

    def lost(self, error: LinkError, retry_s: float) -> None:
        self.losses.append(retry_s)

    def broken(self, error: ImageError) -> None:
        self.skipped.append(str(error))

    def trouble(self, text: str) -> None:
        self.troubles.append(text)

    def source_lost(self, error: SourceLostError) -> None:
        self.source.append(str(error))

    def source_back(self) -> None:
        self.source.append("back")
