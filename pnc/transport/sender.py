"""The device's end of the protocol, sans-I/O."""

from __future__ import annotations

import math
import secrets
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pnc.config import SenderConfig
from pnc.errors import LocalProtocolError, RemoteProtocolError
from pnc.transport.events import (
    Connected,
    Event,
    PictureExpired,
    PictureStopped,
    ResultReceived,
)
from pnc.transport.scheduler import OutgoingPicture
from pnc.transport.window import SentFrame, WindowControl
from pnc.transport.wire import (
    ACK_SPAN,
    MAX_NUM_PACKETS,
    MAX_REMAINING_MS,
    MAX_SKIPPED_PICTURES,
    PROTOCOL_VERSION,
    Ack,
    Data,
    End,
    Foreign,
    Frame,
    FrameParser,
    Hello,
    Ping,
    Result,
    Welcome,
    Who,
    encode_frame,
    seq_ahead,
)

__all__ = ["Goodput", "Sender", "SenderStatistics"]

MAX_ENDED = 56
"""The results of so many newest pictures are waited for: receivers keep 64, and 64 END frames can
be out at once."""

MAX_SILENT_PROBES = 32
"""Probes without an answer after which a sender begins anew with HELLO."""

QUIET_PROBES = 5
"""Probes without an answer after which a receiver is not counted on: 0.5 s or some round trips."""

MAX_HELLOS = 8
"""HELLO frames whose WELCOME counts: an answer to an older one is too old to tell the time."""


MAX_TOLD = MAX_SKIPPED_PICTURES - 64
"""Pictures that one HELLO brings up at most. The rest of what a receiver lets pass in one step is
for those that are submitted before its WELCOME is here: a device that was away for longer would
never get in."""


@dataclass(frozen=True, slots=True)
class Goodput:
    """What a link delivers while there is more to send."""

    bytes_per_s: float
    """Payload, mean of the last seconds."""
    spread: float
    """Standard deviation of the single quarters of a second, relative to the mean: how far the
    next one will be off. 1 while there are not two of them."""


@dataclass(slots=True)
class SenderStatistics:
    """Counts of a sender since it was made; bytes and frames unless the name says otherwise."""

    bytes_sent: int = 0
    bytes_received: int = 0
    data_frames_sent: int = 0
    data_bytes_sent: int = 0
    payload_bytes_sent: int = 0
    data_frames_lost: int = 0
    bad_frames: int = 0
    pictures_submitted: int = 0
    pictures_expired: int = 0
    pictures_stopped: int = 0
    results_received: int = 0
    connections: int = 0
    in_flight_bytes: int = 0
    window_bytes: int = 0
    ack_rate_bytes_per_s: float = 0.0
    goodput_bytes_per_s: float = 0.0
    goodput_spread: float = 1.0
    rtt_s: float = 0.0


@dataclass(slots=True)
class _EndedPicture:
    """A picture of which nothing more is sent, until its result is here."""

    picture_id: int
    num_packets: int
    due: float
    wait_s: float
    asked_at: float = -math.inf
    arrived: bool = False

    @property
    def order(self) -> tuple[float, int]:
        """Sorts by when the result was asked for, which is the order of the answers."""
        return self.asked_at, self.picture_id


class Sender:
    """The device's end: sends the newest picture, best packets first, until its deadline.

    Args:
        config: Name, checkpoint, packet size and the bounds of what adapts.
        control: What decides how much may be on the way; None: the window of docs/wire.md.
    """

    def __init__(self, config: SenderConfig, control: WindowControl | None = None) -> None:
        self.config = config
        self.session_id = secrets.randbits(32) if config.session_id is None else config.session_id
        self.statistics = SenderStatistics()
        self._parser = FrameParser()
        self._control = control or WindowControl(config)
        self._events: list[Event] = []
        self._picture: OutgoingPicture | None = None
        self._next_picture_id = 1
        self._answered_id = 0
        self._ended: OrderedDict[int, _EndedPicture] = OrderedDict()
        self._in_flight: OrderedDict[int, SentFrame] = OrderedDict()
        self._next_seq = 0
        self._last_sent_at = 0.0
        self._closed = False
        self._connected = False
        self._epoch: int | None = None
        self._granted_bytes = 0
        self._hellos: deque[tuple[int, float]] = deque(maxlen=MAX_HELLOS)
        self._hello_due = 0.0
        self._hello_wait_s = config.hello_interval_s

    @property
    def connected(self) -> bool:
        """Whether the receiver has answered and nothing since says that it is gone."""
        return self._connected

    @property
    def closed(self) -> bool:
        """Whether the session is over for good: the receiver speaks another protocol version."""
        return self._closed

    @property
    def answering(self) -> bool:
        """Whether the receiver is connected and not silent for more than a few probes."""
        return self._connected and self._control.probes < QUIET_PROBES

    @property
    def next_picture_id(self) -> int:
        """The id that the next submitted picture gets."""
        return self._next_picture_id

    @property
    def goodput(self) -> Goodput | None:
        """Estimate of the link's goodput; None before a quarter of a second was measured."""
        mean, sent = self._control.meter.mean, self.statistics
        if mean is None:
            return None
        share = sent.payload_bytes_sent / sent.data_bytes_sent
        return Goodput(mean * share, self._control.meter.spread)

    @property
    def sending(self) -> bool:
        """Whether a picture is open: neither complete, nor at its deadline, nor stopped."""
        return self._picture is not None

    def submit(
        self,
        packets: Sequence[bytes],
        *,
        deadline: float,
        now: float,
        max_bytes: int | None = None,
        more: bool = False,
        taken_at: float | None = None,
    ) -> int:
        """Send these packets until the deadline; whatever is left of an older picture is dropped.

        Args:
            packets: In priority order, each 1 to ``config.mtu_bytes`` bytes.
            deadline: Time of the clock of ``now``; nothing of the picture is sent after it.
            now: The time, seconds.
            max_bytes: The picture ends when a next packet would make it more payload than this,
                repetitions included; None: no limit.
            more: Whether :meth:`extend` will bring the rest of the packets: the first ones go out
                while the others are being coded.
            taken_at: When a picture was taken that was kept since then, by the clock of ``now``;
                None: it is new.

        Returns:
            The picture id, one more than the last; the first is 1.

        Raises:
            LocalProtocolError: More packets than a picture may have, or one of a wrong size.
        """
        self._check(packets, 0)
        if self._picture is not None:
            self._end_picture(self._picture, now)
        picture = OutgoingPicture(
            self._next_picture_id, packets, deadline, max_bytes, more=more, taken_at=taken_at
        )
        self._next_picture_id += 1
        self.statistics.pictures_submitted += 1
        self._picture = picture
        if picture.complete or now >= deadline:
            self._end_picture(picture, now)
        return picture.picture_id

    def extend(self, picture_id: int, packets: Sequence[bytes], now: float) -> bool:
        """Add the rest of the packets of a picture that was submitted with ``more``.

        Returns:
            Whether they will be sent; not if the picture is over already.

        Raises:
            LocalProtocolError: More packets than a picture may have, or one of a wrong size.
        """
        picture = self._picture
        if picture is None or picture.picture_id != picture_id:
            return False
        self._check(packets, len(picture.packets))
        picture.extend(packets)
        if picture.complete:
            self._end_picture(picture, now)
        return True

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Take bytes from the link; garbage costs the frames it hits and nothing else.

        Raises:
            RemoteProtocolError: The other side speaks another version; the session is over.
        """
        self.statistics.bytes_received += len(data)
        for frame in self._parser.feed(data):
            if not self._closed:
                self._handle(frame, now)
        self.statistics.bad_frames = self._parser.num_bad
        self._note_statistics()
        return self._take_events()

    def handle_timer(self, now: float) -> list[Event]:
        """Note that time has passed and return what that, or ``submit``, brought about."""
        self._expire(now)
        return self._take_events()

    def data_to_send(self, now: float) -> bytes:
        """Return what may go out now, b"" if nothing: at most what the window allows."""
        self._expire(now)
        if self._closed:
            return b""
        frames = self._connected_frames(now) if self._connected else self._hello_frames(now)
        data = b"".join(frames)
        if data:
            self._last_sent_at = now
            self.statistics.bytes_sent += len(data)
            self._note_statistics()
        return data

    def next_timer(self) -> float | None:
        """When to call ``handle_timer`` and ``data_to_send`` again at the latest; None: never."""
        if self._closed:
            return None
        times = [self._picture.deadline] if self._picture else []
        if not self._connected:
            times.append(self._hello_due)
        else:
            times += [ended.due for ended in self._ended.values()]
            if self._in_flight:
                times.append(self._last_sent_at + self._control.patience_s)
        return min(times, default=None)

    def link_opened(self, now: float) -> None:
        """Begin anew with HELLO: the link was opened (again), what was on the way is gone."""
        self._parser = FrameParser()
        self._disconnect(now)

    def _check(self, packets: Sequence[bytes], num_before: int) -> None:
        if num_before + len(packets) > MAX_NUM_PACKETS:
            raise LocalProtocolError(
                f"{num_before + len(packets)} packets are more than the {MAX_NUM_PACKETS} a "
                "picture may have"
            )
        for packet in packets:
            if not 1 <= len(packet) <= self.config.mtu_bytes:
                raise LocalProtocolError(
                    f"a packet of {len(packet)} bytes is not 1 to {self.config.mtu_bytes} bytes"
                )

    def _take_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _note_statistics(self) -> None:
        control, statistics = self._control, self.statistics
        statistics.in_flight_bytes = control.in_flight_bytes
        statistics.window_bytes = control.window_bytes(self._granted_bytes)
        statistics.ack_rate_bytes_per_s = control.rate_bytes_per_s or 0.0
        statistics.rtt_s = control.smoothed_rtt_s or 0.0
        if (goodput := self.goodput) is not None:
            statistics.goodput_bytes_per_s = goodput.bytes_per_s
            statistics.goodput_spread = goodput.spread

    def _expire(self, now: float) -> None:
        if self._picture is not None and now >= self._picture.deadline:
            self._end_picture(self._picture, now)

    def _end_picture(self, picture: OutgoingPicture, now: float) -> None:
        self._picture = None
        self._ended[picture.picture_id] = _EndedPicture(
            picture.picture_id, picture.num_packets, now, self.config.result_wait_s
        )
        while next(iter(self._ended)) <= picture.picture_id - MAX_ENDED:
            self._ended.popitem(last=False)
        if not picture.complete:
            self.statistics.pictures_expired += 1
            self._events.append(PictureExpired(picture.picture_id, picture.bytes_sent))

    def _disconnect(self, now: float) -> None:
        self._connected = False
        self._hellos.clear()
        self._hello_due = now
        self._hello_wait_s = self.config.hello_interval_s

    def _register(self, frame: SentFrame) -> int:
        seq = self._next_seq
        self._next_seq = (seq + 1) & 0xFFFF
        self._control.on_sent(frame)
        self._in_flight[seq] = frame
        return seq

    def _hello_frames(self, now: float) -> Iterator[bytes]:
        if now < self._hello_due:
            return
        seq = self._next_seq
        self._next_seq = (seq + 1) & 0xFFFF
        self._hellos.append((seq, now))
        self._hello_due = now + self._hello_wait_s
        self._hello_wait_s = min(2 * self._hello_wait_s, self.config.hello_interval_max_s)
        first = max(min([self._answered_id + 1, *self._ended]), self._next_picture_id - MAX_TOLD)
        hello = Hello(
            self.session_id,
            seq,
            first,
            self.config.mtu_bytes,
            self.config.checkpoint_id,
            self.config.device_name,
        )
        yield b"\0" + encode_frame(hello)

    def _connected_frames(self, now: float) -> Iterator[bytes]:
        for ended in self._ended.values():
            if now >= ended.due:
                yield self._ask_for_result(ended, now)
        if self._in_flight and now >= self._last_sent_at + self._control.patience_s:
            self._control.probes += 1
            if self._control.probes > MAX_SILENT_PROBES:
                self._disconnect(now)
                yield from self._hello_frames(now)
                return
            yield encode_frame(Ping(self._tag, self._register(SentFrame(now))))
        yield from self._data_frames(now)

    @property
    def _tag(self) -> int:
        return (self._epoch or 0) & 0xFF

    def _ask_for_result(self, ended: _EndedPicture, now: float) -> bytes:
        ended.asked_at = now
        ended.due = now + ended.wait_s
        ended.wait_s = min(2 * ended.wait_s, self.config.result_wait_max_s)
        seq = self._register(SentFrame(now, ended_id=ended.picture_id))
        return encode_frame(End(self._tag, seq, ended.picture_id, ended.num_packets))

    def _data_frames(self, now: float) -> Iterator[bytes]:
        picture, control = self._picture, self._control
        if picture is None:
            control.meter.pause()
            return
        remaining_ms = min(int(1000 * (picture.deadline - now)), MAX_REMAINING_MS)
        while (index := picture.peek()) is not None:
            if picture.spent:
                self._end_picture(picture, now)
                break
            data = Data(
                self._tag,
                self._next_seq,
                picture.picture_id,
                index,
                picture.num_packets,
                remaining_ms,
                picture.packets[index],
                picture.age_ms(now),
            )
            encoded = encode_frame(data)
            window = control.window_bytes(self._granted_bytes)
            full = control.in_flight_bytes + len(encoded) > window
            if (full and control.in_flight_bytes) or len(self._in_flight) >= control.max_frames:
                return
            # An estimate must not silence the link for good: a first frame alone always goes.
            is_try = picture.bytes_sent == 0 and control.in_flight_bytes == 0
            if not (is_try or control.arrives_by(picture.deadline, len(encoded), now)):
                break
            picture.take()
            self._register(SentFrame(now, len(encoded), picture, index))
            self.statistics.data_frames_sent += 1
            self.statistics.data_bytes_sent += len(encoded)
            self.statistics.payload_bytes_sent += len(data.packet)
            yield encoded
        control.on_idle()

    def _handle(self, frame: Frame, now: float) -> None:
        match frame:
            case Foreign():
                self._closed = True
                raise RemoteProtocolError(
                    f"the edge server speaks wire protocol {frame.version}, this device "
                    f"{PROTOCOL_VERSION}: install the same version of pnc on both",
                    local_version=PROTOCOL_VERSION,
                    remote_version=frame.version,
                )
            case Who():
                if self._connected:
                    self._disconnect(now)
                elif not self._hellos or now - self._hellos[-1][1] >= self._control.patience_s:
                    self._hello_due = now
            case Welcome(session_id=self.session_id) if not self._connected:
                self._handle_welcome(frame, now)
            case Ack(tag=tag) if self._connected and tag == self._tag:
                self._handle_ack(frame, now)
            case Result(tag=tag) if self._connected and tag == self._tag:
                self._handle_result(frame, now)
            case _:
                pass

    def _handle_welcome(self, welcome: Welcome, now: float) -> None:
        sent_at = dict(self._hellos).get(welcome.seq)
        if sent_at is None:
            return
        self._control.on_rtt(now - sent_at)
        self._control.probes = 0
        while self._in_flight:
            self._lost(self._in_flight.popitem(last=False)[1], now, link_lost_it=False)
        if welcome.epoch != self._epoch:
            if self._picture is not None:
                self._picture.restart()
            for ended in self._ended.values():
                ended.due, ended.arrived = now, False
                ended.wait_s = self.config.result_wait_s
        self._connected = True
        self._epoch = welcome.epoch
        self._granted_bytes = welcome.window_bytes
        self.statistics.connections += 1
        self._events.append(Connected(welcome.window_bytes))

    def _handle_ack(self, ack: Ack, now: float) -> None:
        if seq_ahead(ack.highest, self._next_seq) >= 0:
            self._disconnect(now)
            return
        self._granted_bytes = ack.window_bytes
        for seq in list(self._in_flight):
            behind = seq_ahead(ack.highest, seq)
            if behind < 0:
                continue
            self._control.probes = 0
            frame = self._in_flight.pop(seq)
            if behind == 0:
                self._control.on_rtt(now - frame.sent_at)
            if behind == 0 or (behind <= ACK_SPAN and not ack.missing >> (behind - 1) & 1):
                self._delivered(frame, now)
            else:
                self._lost(frame, now, link_lost_it=True)

    def _delivered(self, frame: SentFrame, now: float) -> None:
        self._control.on_delivered(frame, now)
        if frame.ended_id is not None:
            if frame.ended_id in self._ended:
                self._ended[frame.ended_id].arrived = True
        elif frame.picture is not None:
            frame.picture.delivered(frame.index)
            if frame.picture is self._picture and frame.picture.complete:
                self._end_picture(frame.picture, now)

    def _lost(self, frame: SentFrame, now: float, *, link_lost_it: bool) -> None:
        self._control.on_gone(frame, link_lost_it=link_lost_it)
        if frame.picture is not None:
            self.statistics.data_frames_lost += 1
            frame.picture.lost(frame.index)
            return
        ended = self._ended.get(frame.ended_id or 0)
        if ended is not None and not ended.arrived:
            ended.due = now

    def _handle_result(self, result: Result, now: float) -> None:
        picture = self._picture
        if picture is not None and picture.picture_id == result.picture_id:
            if picture.more or picture.peek() is not None:
                self.statistics.pictures_stopped += 1
                self._events.append(PictureStopped(picture.picture_id, picture.bytes_sent))
            picture.extend(())
            for index in range(len(picture.packets)):
                picture.delivered(index)
            self._end_picture(picture, now)
        answered = self._ended.pop(result.picture_id, None)
        if answered is None:
            return
        for ended in self._ended.values():
            if ended.order < answered.order:
                ended.due, ended.wait_s = now, self._control.patience_s
        self._answered_id = max(self._answered_id, result.picture_id)
        self.statistics.results_received += 1
        self._events.append(ResultReceived(result.picture_id, result.payload))
