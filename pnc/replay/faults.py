"""The real sender and receiver over a link that damages what both of them send.

    packets of pictures  ->  Sender  ->  link with faults  ->  Receiver  ->  what arrived in time
                             result  <-  link with faults  <-  one end of each picture

A lost packet is a frame that took its air time and did not come, as a datagram or a notification.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from pnc.config import ReceiverConfig, SenderConfig
from pnc.errors import ConfigError, RemoteProtocolError
from pnc.testing import VirtualLinkConfig, VirtualPair
from pnc.transport.events import Event, PictureEnded, ResultReceived
from pnc.transport.links.channel import ChannelConfig
from pnc.transport.links.trace import RateTrace
from pnc.transport.session import Receiver, Sender
from pnc.transport.wire import MAX_FRAME_BYTES, Data, FrameParser, decode_frame

__all__ = ["Fault", "FaultRun", "longest_skip", "resent_share", "send_through"]

RESULT = b'{"top":[["gear",0.93],["washer",0.04],["bearing",0.01]],"bytes":2196,"ms":41}'
"""Stands for a result: as long as one is."""

RESULT_AFTER_S = 0.03
"""From a picture's end to its result: decode, classify, commit."""

SETTLE_S = 600.0
"""After the last deadline both ends have so long until every picture has its result."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong in each direction."""

    loss: float = 0.0
    """Probability that a frame is lost, 0 to 1."""
    bit_error: float = 0.0
    """Probability that a bit is flipped, 0 to 1."""


@dataclass(frozen=True, slots=True)
class FaultRun:
    """What became of pictures; lists have one value for each."""

    arrived: list[list[bytes]]
    """Packets that arrived in time, in priority order."""
    num_ends: list[int]
    """How often the server ended it; 1 is right."""
    num_results: list[int]
    """How often the device had its result; 1 is right."""
    result_after_s: list[float]
    """From its deadline to its result at the device, seconds; infinite if there was none."""
    goodput_bps: float
    """Payload that arrived in time, bits per second."""
    resent_share: float
    """Of the DATA frames that were sent, those sent before."""
    longest_skip_bytes: int
    """Longest intact frame that a reader passed over because of damage before it."""
    longest_frame_bytes: int
    """Longest frame sent."""
    num_forged: int
    """Damaged frames whose checksum was right by chance."""


class _Tap:
    """What was written into one direction and what came out of it."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.read = bytearray()


class _Tapped:
    """A session that keeps what it writes and what it reads."""

    def __init__(self, session: Sender | Receiver, out: _Tap, into: _Tap) -> None:
        self._session, self._out, self._in = session, out, into

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        self._in.read += data
        return self._session.receive_data(data, now)

    def data_to_send(self, now: float) -> bytes:
        data = self._session.data_to_send(now)
        self._out.written += data
        return data


def send_through(
    pictures: Sequence[Sequence[bytes]],
    fault: Fault,
    *,
    rate_bps: float,
    deadline_s: float,
    mtu_bytes: int = 244,
    delay_s: float = 0.002,
    seed: int = 0,
) -> FaultRun:
    """Send pictures one after another, each until its deadline, and wait for all results.

    Args:
        pictures: Of each picture its packets in priority order.
        fault: Of both directions, drawn separately.
        rate_bps: Of each direction, bits per second.
        deadline_s: Time each picture has, and from one to the next, seconds.
        mtu_bytes: Largest packet.
        delay_s: Time every byte is on the way, seconds.
        seed: Of the faults.

    Raises:
        ConfigError: A probability is not one, or a time or rate is not positive.
    """
    if deadline_s <= 0 or rate_bps <= 0:
        raise ConfigError(f"deadline_s {deadline_s} and rate_bps {rate_bps} must be positive")
    forward, back = (
        VirtualLinkConfig(
            ChannelConfig(
                trace=RateTrace.constant(rate_bps),
                delay_s=delay_s,
                loss=fault.loss,
                bit_error=fault.bit_error,
                packet_bytes=MAX_FRAME_BYTES,
                framed=True,
                seed=2 * seed + side,
            )
        )
        for side in (0, 1)
    )
    taps = there, back_again = _Tap(), _Tap()
    sender = Sender(SenderConfig(session_id=seed, mtu_bytes=mtu_bytes))
    receiver = Receiver(ReceiverConfig(epoch_seed=seed))
    pair = VirtualPair(
        cast("Sender", _Tapped(sender, there, back_again)),
        cast("Receiver", _Tapped(receiver, back_again, there)),
        forward,
        back,
        result_after_s=RESULT_AFTER_S,
        result=RESULT,
    )
    for number, packets in enumerate(pictures):
        pair.run_until(number * deadline_s)
        pair.sender.submit(packets, deadline=pair.now + deadline_s, now=pair.now)
    pair.run_until(len(pictures) * deadline_s)
    pair.run_until_idle(SETTLE_S)
    ends = [event for _, event in pair.receiver_events if isinstance(event, PictureEnded)]
    first = {event.picture_id: event for event in reversed(ends)}
    results = [
        (event.picture_id, time)
        for time, event in pair.sender_events
        if isinstance(event, ResultReceived)
    ]
    result_at = dict(reversed(results))
    num_ends = Counter(event.picture_id for event in ends)
    num_results = Counter(picture_id for picture_id, _ in results)
    ids = range(1, len(pictures) + 1)
    arrived = [_in_order(first[one].packets) if one in first else [] for one in ids]
    heard = [_hear(tap) for tap in taps]
    return FaultRun(
        arrived,
        [num_ends[one] for one in ids],
        [num_results[one] for one in ids],
        [result_at.get(one, float("inf")) - one * deadline_s for one in ids],
        8
        * sum(len(packet) for packets in arrived for packet in packets)
        / (len(pictures) * deadline_s),
        resent_share(bytes(taps[0].written)),
        max(skip for skip, _, _ in heard),
        max(longest for _, longest, _ in heard),
        sum(forged for _, _, forged in heard),
    )


def resent_share(written: bytes) -> float:
    """Return which share of the DATA frames in what a sender wrote had been sent before."""
    sent = [
        (frame.picture_id, frame.index)
        for frame in FrameParser().feed(written)
        if isinstance(frame, Data)
    ]
    return 1 - len(set(sent)) / len(sent) if sent else 0.0


def longest_skip(written: bytes, read: bytes) -> int:
    """Return the longest intact frame that damage before it swallowed, bytes with its delimiter.

    What stands between two delimiters and is no frame ends with at most one: a frame is intact only
    with its delimiter.

    Args:
        written: Frames as they went out.
        read: The same after faults of any kind.
    """
    frames = set(written.split(b"\0")) - {b""}
    lengths = sorted({len(frame) for frame in frames}, reverse=True)
    longest = 0
    for piece in read.split(b"\0")[:-1]:
        if piece and piece not in frames:
            found = (size for size in lengths if size < len(piece) and piece[-size:] in frames)
            longest = max(longest, 1 + next(found, -1))
    return longest


def _hear(tap: _Tap) -> tuple[int, int, int]:
    """Return the longest frame that was skipped, the longest written, and how many were forged."""
    written, read = bytes(tap.written), bytes(tap.read)
    frames = set(written.split(b"\0"))
    forged = sum(_is_frame(piece) for piece in read.split(b"\0")[:-1] if piece not in frames)
    return longest_skip(written, read), 1 + max(map(len, frames)), forged


def _is_frame(piece: bytes) -> bool:
    try:
        decode_frame(piece)
    except RemoteProtocolError:
        return False
    return True


def _in_order(packets: dict[int, bytes]) -> list[bytes]:
    return [packets[index] for index in sorted(packets)]
