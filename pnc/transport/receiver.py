"""The edge server's end of the protocol, sans-I/O."""

from __future__ import annotations

import random
import secrets
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from pnc.config import ReceiverConfig
from pnc.errors import LocalProtocolError, RemoteProtocolError
from pnc.transport.events import (
    DeviceConnected,
    Event,
    PacketReceived,
    PictureEnded,
    PictureStarted,
)
from pnc.transport.wire import (
    ACK_SPAN,
    MAX_RESULT_BYTES,
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

__all__ = ["Receiver", "ReceiverStatistics"]

RESULT_REPEAT_S = 0.2
"""Pause before a device that goes on with a picture that was stopped is told its result again."""


@dataclass(slots=True)
class ReceiverStatistics:
    """Counts of a receiver since it was made; bytes of payload unless the name says otherwise."""

    wire_bytes_received: int = 0
    wire_bytes_sent: int = 0
    bad_frames: int = 0
    contradictions: int = 0
    data_frames: int = 0
    used_bytes: int = 0
    duplicate_bytes: int = 0
    late_frames: int = 0
    late_bytes: int = 0
    unneeded_bytes: int = 0
    pictures_ended: int = 0
    pictures_stopped: int = 0
    results_sent: int = 0
    sessions: int = 0


@dataclass(slots=True)
class _IncomingPicture:
    picture_id: int
    num_packets: int
    started_at: float
    deadline: float
    age_s: float
    late_bytes: int = 0
    packets: dict[int, bytes] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return len(self.packets) == self.num_packets

    def agrees(self, data: Data) -> bool:
        """Whether a packet can be of this picture; the first that knows their number tells it."""
        if not self.num_packets and data.num_packets > max(self.packets, default=-1):
            self.num_packets = data.num_packets
        if not data.num_packets:
            return not self.num_packets or data.index < self.num_packets
        return data.num_packets == self.num_packets


@dataclass(slots=True)
class _Session:
    """What a receiver knows of the device it is connected to."""

    session_id: int
    epoch: int
    next_picture_id: int
    highest: int
    missing: int = 0
    last_complete: bool = False
    stopped_id: int | None = None
    told_at: float = 0.0
    results: OrderedDict[int, bytes] = field(default_factory=OrderedDict)

    def note(self, seq: int) -> None:
        """Enter an arrived frame in what the next ACK reports."""
        ahead = seq_ahead(seq, self.highest)
        if ahead > 0:
            gap = min(ahead, ACK_SPAN + 1)
            self.missing = (self.missing << gap | (1 << (gap - 1)) - 1) & (1 << ACK_SPAN) - 1
            self.highest = seq
        elif -ACK_SPAN <= ahead < 0:
            self.missing &= ~(1 << (-ahead - 1))


class Receiver:
    """The edge server's end: collects packets, ends every picture once, answers with results.

    Args:
        config: The grant, and how long to wait for what.
    """

    def __init__(self, config: ReceiverConfig) -> None:
        self.config = config
        self.statistics = ReceiverStatistics()
        self._random = random.Random(
            secrets.randbits(64) if config.epoch_seed is None else config.epoch_seed
        )
        self._parser = FrameParser()
        self._events: list[Event] = []
        self._session: _Session | None = None
        self._picture: _IncomingPicture | None = None
        self._control_frames: deque[Frame] = deque(maxlen=2)
        self._ask = True
        self._ack_due = False
        self._results_due: OrderedDict[int, bytes] = OrderedDict()

    @property
    def session_id(self) -> int | None:
        """The session of the device that is connected; None before the first HELLO."""
        return self._session.session_id if self._session else None

    @property
    def closed(self) -> bool:
        """Never: a receiver goes on with the next device."""
        return False

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Take bytes from the link; garbage costs the frames it hits and nothing else.

        Raises:
            RemoteProtocolError: The device speaks another version. It has been told (call
                ``data_to_send``) and its session is over; the receiver can go on with another.
        """
        self.statistics.wire_bytes_received += len(data)
        try:
            for frame in self._parser.feed(data):
                self._handle(frame, now)
        finally:
            self.statistics.bad_frames = self._parser.num_bad
        return self._take_events()

    def handle_timer(self, now: float) -> list[Event]:
        """End the picture whose deadline has passed without an END."""
        if self._picture is not None and now >= self._picture.deadline + self.config.end_grace_s:
            self._end_before(self._picture.picture_id + 1, now)
        return self._take_events()

    def next_timer(self) -> float | None:
        """When to call ``handle_timer`` again at the latest; None: never."""
        return None if self._picture is None else self._picture.deadline + self.config.end_grace_s

    def stop_picture(self, picture_id: int, now: float, *, session_id: int | None = None) -> bool:
        """End the open picture early: enough of it is here. Its result tells the device to stop.

        The next call of ``receive_data`` or ``handle_timer`` returns its :class:`PictureEnded`.

        Args:
            picture_id: As in its :class:`PictureStarted`.
            now: The time, seconds.
            session_id: The session the picture belongs to; None takes it for the present one.

        Returns:
            Whether the picture was still open; if not, it has ended in another way, and nothing
            happens.
        """
        session, picture = self._session, self._picture
        if session is None or session_id not in (None, session.session_id):
            return False
        if picture is None or picture.picture_id != picture_id:
            return False
        self._end_before(picture_id + 1, now, stopped_early=True)
        return True

    def send_result(
        self, picture_id: int, payload: bytes, now: float, *, session_id: int | None = None
    ) -> None:
        """Tell the device that the result of an ended picture is stored.

        A result of a picture that this session has not ended is dropped: the device began another
        session meanwhile.

        Args:
            picture_id: As in its :class:`PictureEnded`.
            payload: Opaque to the protocol; at most 200 bytes.
            now: The time, seconds.
            session_id: The session the picture belongs to; None takes it for the present one.

        Raises:
            LocalProtocolError: The payload is too long.
        """
        if len(payload) > MAX_RESULT_BYTES:
            raise LocalProtocolError(
                f"a result of {len(payload)} bytes is over the limit of {MAX_RESULT_BYTES}"
            )
        session = self._session
        if session is None or session_id not in (None, session.session_id):
            return
        if picture_id >= session.next_picture_id:
            return
        session.results[picture_id] = payload
        self._results_due[picture_id] = payload
        if picture_id == session.stopped_id:
            session.told_at = now
        if len(session.results) > self.config.num_results_kept:
            self._results_due.pop(session.results.popitem(last=False)[0], None)

    def data_to_send(self, now: float) -> bytes:
        """Return what is to go out now, b"" if nothing."""
        frames: list[Frame] = list(self._control_frames)
        self._control_frames.clear()
        if self._ask:
            frames.append(Who())
        session = self._session
        if session is not None:
            tag = session.epoch & 0xFF
            if self._ack_due:
                window = self.config.window_bytes
                frames.append(Ack(tag, session.highest, window, session.missing))
            frames += [Result(tag, *item) for item in self._results_due.items()]
            self.statistics.results_sent += len(self._results_due)
        self._ask = self._ack_due = False
        self._results_due.clear()
        data = b"".join(map(encode_frame, frames))
        self.statistics.wire_bytes_sent += len(data)
        return data

    def link_opened(self, now: float) -> None:
        """Ask who is there because the link was opened (again); a picture in progress stays."""
        self._parser = FrameParser()
        self._ask = True

    def _take_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _handle(self, frame: Frame, now: float) -> None:
        session = self._session
        match frame:
            case Foreign():
                self._close_session(now)
                self._ask = True
                raise RemoteProtocolError(
                    f"the device speaks wire protocol {frame.version}, this server "
                    f"{PROTOCOL_VERSION}: install the same version of pnc on both",
                    local_version=PROTOCOL_VERSION,
                    remote_version=frame.version,
                )
            case Hello():
                self._handle_hello(frame, now)
            case Data() | End() | Ping():
                if session is None or frame.tag != session.epoch & 0xFF:
                    self._ask = True
                    return
                if not isinstance(frame, Ping) and (
                    frame.picture_id - session.next_picture_id > MAX_SKIPPED_PICTURES
                ):
                    self._ask = True
                    return
                session.note(frame.seq)
                self._ack_due = True
                if isinstance(frame, Data):
                    self._handle_data(frame, session, now)
                elif isinstance(frame, End):
                    self._handle_end(frame, session, now)
            case _:
                pass

    def _close_session(self, now: float) -> None:
        if self._picture is not None:
            self._end_before(self._picture.picture_id + 1, now)
        self._session = None
        self._results_due.clear()
        self._ack_due = False

    def _handle_hello(self, hello: Hello, now: float) -> None:
        session = self._session
        if session is None or session.session_id != hello.session_id:
            self._close_session(now)
            before = None if session is None else session.epoch & 0xFF
            epoch = self._random.getrandbits(32)
            if epoch & 0xFF == before:
                epoch ^= 1
            session = _Session(hello.session_id, epoch, hello.first_picture_id, hello.seq)
            self._session = session
            self.statistics.sessions += 1
            self._events.append(
                DeviceConnected(hello.device_name, hello.checkpoint_id, hello.session_id)
            )
        session.highest, session.missing = hello.seq, 0
        if hello.first_picture_id > session.next_picture_id:
            self._end_before(hello.first_picture_id, now)
        self._ask = False
        self._control_frames.append(
            Welcome(session.epoch, session.session_id, hello.seq, self.config.window_bytes)
        )

    def _handle_data(self, data: Data, session: _Session, now: float) -> None:
        self.statistics.data_frames += 1
        num_bytes = len(data.packet)
        if data.picture_id < session.next_picture_id:
            if data.picture_id == session.stopped_id:
                self.statistics.unneeded_bytes += num_bytes
                self._tell_again(data.picture_id, session, now)
            elif data.picture_id == session.next_picture_id - 1 and session.last_complete:
                self.statistics.duplicate_bytes += num_bytes
            else:
                self._note_late(num_bytes)
            return
        picture = self._picture
        if picture is None or picture.picture_id != data.picture_id:
            self._end_before(data.picture_id, now)
            remaining_s = data.remaining_ms / 1000
            picture = _IncomingPicture(
                data.picture_id, data.num_packets, now, now + remaining_s, data.age_ms / 1000
            )
            self._picture = picture
            self._events.append(PictureStarted(data.picture_id, remaining_s, data.num_packets))
        picture.deadline = min(picture.deadline, now + data.remaining_ms / 1000)
        if now > picture.deadline:
            picture.late_bytes += num_bytes
            self._note_late(num_bytes)
        elif not picture.agrees(data):
            self.statistics.contradictions += 1
        elif data.index in picture.packets:
            self.statistics.duplicate_bytes += num_bytes
        else:
            picture.packets[data.index] = data.packet
            self.statistics.used_bytes += num_bytes
            self._events.append(PacketReceived(data.picture_id, data.index, data.packet))
            if picture.complete:
                self._end_before(data.picture_id + 1, now)

    def _note_late(self, num_bytes: int) -> None:
        self.statistics.late_frames += 1
        self.statistics.late_bytes += num_bytes

    def _tell_again(self, picture_id: int, session: _Session, now: float) -> None:
        """Repeat a result that seems to have been lost: the device has not stopped."""
        if picture_id in session.results and now - session.told_at >= RESULT_REPEAT_S:
            self._results_due[picture_id] = session.results[picture_id]
            session.told_at = now

    def _handle_end(self, end: End, session: _Session, now: float) -> None:
        if end.picture_id >= session.next_picture_id:
            self._end_before(end.picture_id + 1, now, num_packets=end.num_packets)
        elif end.picture_id in session.results:
            self._results_due[end.picture_id] = session.results[end.picture_id]

    def _end_before(
        self, picture_id: int, now: float, *, num_packets: int = 0, stopped_early: bool = False
    ) -> None:
        """End every picture before ``picture_id``, each once, oldest first.

        ``num_packets`` is what the device said of the last of them.
        """
        session = self._session
        assert session is not None
        first = max(session.next_picture_id, picture_id - MAX_SKIPPED_PICTURES)
        session.next_picture_id = picture_id
        session.last_complete = False
        picture, self._picture = self._picture, None
        if picture is not None:
            first = max(first, picture.picture_id + 1)
            if picture.picture_id == picture_id - 1:
                picture.num_packets = picture.num_packets or num_packets
            session.last_complete = picture.complete
            if stopped_early:
                session.stopped_id = picture.picture_id
                self.statistics.pictures_stopped += 1
            self.statistics.pictures_ended += 1
            self._events.append(
                PictureEnded(
                    picture.picture_id,
                    picture.packets,
                    picture.num_packets,
                    sum(map(len, picture.packets.values())),
                    picture.started_at,
                    now,
                    picture.late_bytes,
                    stopped_early,
                    picture.age_s,
                )
            )
        for ended_id in range(first, picture_id):
            session.last_complete = False
            total = num_packets if ended_id == picture_id - 1 else 0
            self.statistics.pictures_ended += 1
            self._events.append(PictureEnded(ended_id, {}, total, 0, now, now, 0))
