"""Run the real sender and receiver over a trace on a virtual clock, and count what arrived when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pnc.config import ReceiverConfig, SenderConfig
from pnc.errors import ConfigError
from pnc.testing import VirtualLinkConfig, VirtualPair
from pnc.transport.events import PictureEnded, ResultReceived
from pnc.transport.links.channel import ChannelConfig
from pnc.transport.links.trace import RateTrace
from pnc.transport.receiver import ReceiverStatistics
from pnc.transport.sender import SenderStatistics
from pnc.transport.session import Receiver, Sender

__all__ = ["PictureOutcome", "Simulation", "simulate"]


@dataclass(frozen=True, slots=True)
class PictureOutcome:
    """What became of one picture; times in seconds of the simulation."""

    picture_id: int
    submitted_at: float
    offered_bytes: int
    packets: dict[int, bytes]
    """What arrived in time, by packet index."""
    received_bytes: int
    ended_at: float | None
    """When the receiver ended it; None if the simulation ended first."""
    result_at: float | None
    """When the device had its result."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a run came to."""

    pictures: list[PictureOutcome]
    duration_s: float
    sender: SenderStatistics = field(repr=False)
    receiver: ReceiverStatistics = field(repr=False)

    @property
    def goodput_bps(self) -> float:
        """Payload that arrived in time, bits per second."""
        return 8 * sum(one.received_bytes for one in self.pictures) / self.duration_s


def simulate(
    pictures: Iterable[Sequence[bytes]],
    trace: RateTrace,
    *,
    deadline_s: float,
    period_s: float | None = None,
    delay_s: float = 0.002,
    fifo_bytes: int = 512,
    loss: float = 0.0,
    bit_error: float = 0.0,
    seed: int = 0,
    sender: SenderConfig | None = None,
    receiver: ReceiverConfig | None = None,
) -> Simulation:
    """Send pictures one after another and see what arrives before each deadline.

    Args:
        pictures: Of each picture its packets in priority order.
        trace: The link, both ways.
        deadline_s: Time each picture has, seconds.
        period_s: Time from one picture to the next, seconds; None waits for the deadline.
        delay_s: Time every byte is on the way, seconds.
        fifo_bytes: Size of the radio's buffer.
        loss: Probability that a frame is lost.
        bit_error: Probability that a bit is flipped.
        seed: Of everything random; same seed, same run.
        sender: Settings of the device's end; ``session_id`` defaults to ``seed``.
        receiver: Settings of the server's end.

    Raises:
        ConfigError: A time is not positive, or a probability is not one.
    """
    period = deadline_s if period_s is None else period_s
    if deadline_s <= 0 or period <= 0:
        raise ConfigError(f"deadline_s {deadline_s} and period_s {period} must be positive")
    directions = [
        VirtualLinkConfig(
            channel=ChannelConfig(
                trace=trace,
                fifo_bytes=fifo_bytes,
                delay_s=delay_s,
                bit_error=bit_error,
                seed=2 * seed + side,
            ),
            loss=loss,
            seed=2 * seed + side,
        )
        for side in (0, 1)
    ]
    pair = VirtualPair(
        Sender(sender or SenderConfig(session_id=seed)),
        Receiver(receiver or ReceiverConfig(epoch_seed=seed)),
        *directions,
    )
    pair.run_until(0.0)
    submitted: list[tuple[float, int]] = []
    for packets in pictures:
        pair.sender.submit(packets, deadline=pair.now + deadline_s, now=pair.now)
        submitted.append((pair.now, sum(map(len, packets))))
        pair.run_until(pair.now + period)
    duration_s = max(pair.now, deadline_s)
    pair.run_until(pair.now + deadline_s)
    return Simulation(
        _outcomes(pair, submitted),
        duration_s,
        pair.sender.statistics,
        pair.receiver.statistics,
    )


def _outcomes(pair: VirtualPair, submitted: list[tuple[float, int]]) -> list[PictureOutcome]:
    ended = {
        event.picture_id: event
        for _, event in pair.receiver_events
        if isinstance(event, PictureEnded)
    }
    results = {
        event.picture_id: time
        for time, event in pair.sender_events
        if isinstance(event, ResultReceived)
    }
    outcomes = []
    for picture_id, (submitted_at, offered_bytes) in enumerate(submitted, 1):
        end = ended.get(picture_id)
        outcomes.append(
            PictureOutcome(
                picture_id,
                submitted_at,
                offered_bytes,
                end.packets if end else {},
                end.received_bytes if end else 0,
                end.ended_at if end else None,
                results.get(picture_id),
            )
        )
    return outcomes
