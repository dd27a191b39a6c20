"""A virtual clock and a virtual link, to test devices and servers without waiting.

Two sessions, or whatever has their methods, run at full speed on a clock that jumps from one thing
that happens to the next; the same seeds give the same run, byte for byte::

    pair = VirtualPair(Sender(SenderConfig()), Receiver(ReceiverConfig(epoch_seed=1)))
    pair.sender.submit([b"most important", b"less"], deadline=1.0, now=pair.now)
    pair.run_until_idle()
    ended = [event for _, event in pair.receiver_events if isinstance(event, PictureEnded)]
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Literal

from pnc.errors import ConfigError
from pnc.transport.events import Event, PictureEnded
from pnc.transport.links.channel import Channel, ChannelConfig
from pnc.transport.session import Receiver, Sender

__all__ = ["End", "VirtualClock", "VirtualLinkConfig", "VirtualPair"]

End = Literal["sender", "receiver"]
"""One end of a :class:`VirtualPair`."""

REORDER_S = 0.05
"""A frame held back to come after the next one waits this long for it."""

MAX_STEPS = 10_000_000
"""Steps of one run; more means that the sessions chatter without end."""


@dataclass(slots=True)
class VirtualClock:
    """A clock that stands still until it is set. Call it to read it, as ``time.monotonic``."""

    now: float = 0.0

    def __call__(self) -> float:
        """Read the clock, seconds."""
        return self.now


@dataclass(frozen=True, slots=True)
class VirtualLinkConfig:
    """One direction: what a channel is like, and what happens to whole frames before it.

    Raises:
        ConfigError: A probability is not one; the message names it.
    """

    channel: ChannelConfig = field(default_factory=ChannelConfig)
    """Rate, FIFO, delay, bit errors."""
    loss: float = 0.0
    """Probability that a frame is lost, 0 to 1."""
    duplicate: float = 0.0
    """Probability that a frame comes twice, 0 to 1."""
    reorder: float = 0.0
    """Probability that a frame comes after the next one, 0 to 1."""
    cuts: tuple[tuple[float, float], ...] = ()
    """Times between which everything written is lost, seconds."""
    one_byte_at_a_time: bool = False
    """Whether the other side is handed every byte alone."""
    write_timeout_s: float = math.inf
    """How long a writer waits for room; then what found none is lost, as on real links, seconds."""
    seed: int = 0
    """Seed of what happens to frames."""

    def __post_init__(self) -> None:
        for name in ("loss", "duplicate", "reorder"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}: {getattr(self, name)} is not a probability, 0 to 1")


class _Direction:
    """Frames in, through faults and a channel, bytes out."""

    def __init__(self, config: VirtualLinkConfig) -> None:
        self.config = config
        self.channel = Channel(config.channel)
        self._random = random.Random(config.seed)
        self._waiting: deque[bytes] = deque()
        self._waiting_since = 0.0
        self._held: tuple[float, bytes] | None = None

    @property
    def accepts(self) -> bool:
        """A writer is not blocked."""
        return not self._waiting

    @property
    def idle(self) -> bool:
        return not self._waiting and self._held is None and self.channel.idle

    def change(self, config: VirtualLinkConfig, now: float) -> None:
        self.config = config
        self.channel.change(config.channel, now)

    def clear(self) -> None:
        self._waiting.clear()
        self._held = None
        self.channel.clear()

    def write(self, data: bytes, now: float) -> None:
        self._waiting_since = now
        if any(start <= now < end for start, end in self.config.cuts):
            return
        *frames, rest = data.split(b"\0")
        for frame in [*(piece + b"\0" for piece in frames), rest]:
            if frame and self._random.random() >= self.config.loss:
                copies = 1 + (self._random.random() < self.config.duplicate)
                for _ in range(copies):
                    self._order(frame, now)

    def _order(self, frame: bytes, now: float) -> None:
        if self._held is not None:
            self._waiting += [frame, self._held[1]]
            self._held = None
        elif self._random.random() < self.config.reorder:
            self._held = (now + REORDER_S, frame)
        else:
            self._waiting.append(frame)

    def read(self, now: float) -> bytes:
        self.fill(now)
        return self.channel.pull(now)

    def fill(self, now: float) -> None:
        """Move what waits into the channel as far as it has room."""
        if self._held is not None and self._held[0] <= now:
            self._waiting.append(self._held[1])
            self._held = None
        while self._waiting:
            taken = self.channel.push(self._waiting[0], now)
            if taken < len(self._waiting[0]):
                self._waiting[0] = self._waiting[0][taken:]
                break
            self._waiting.popleft()
        if now >= self._waiting_since + self.config.write_timeout_s:
            self._waiting.clear()

    def next_time(self) -> float | None:
        times = [time for time in (self.channel.next_time(),) if time is not None]
        if self._held is not None:
            times.append(self._held[0])
        if self._waiting:
            times.append(self._waiting_since + self.config.write_timeout_s)
        return min(times, default=None)


def _with_other_seeds(config: VirtualLinkConfig) -> VirtualLinkConfig:
    channel = replace(config.channel, seed=config.channel.seed + 1)
    return replace(config, channel=channel, seed=config.seed + 1)


class VirtualPair:
    """A sender and a receiver joined by a virtual link.

    Args:
        sender: The device's end.
        receiver: The edge server's end.
        forward: From sender to receiver.
        back: From receiver to sender; as ``forward`` with other seeds if None.
        result_after_s: Seconds from a picture's end to its result; None sends no results.
        result: What is sent as a result.
    """

    def __init__(
        self,
        sender: Sender,
        receiver: Receiver,
        forward: VirtualLinkConfig | None = None,
        back: VirtualLinkConfig | None = None,
        *,
        result_after_s: float | None = 0.01,
        result: bytes = b"ok",
    ) -> None:
        forward = forward or VirtualLinkConfig()
        self.clock = VirtualClock()
        self.sender = sender
        self.receiver = receiver
        self.sender_events: list[tuple[float, Event]] = []
        self.receiver_events: list[tuple[float, Event]] = []
        self.on_sent: Callable[[float, bytes], None] = lambda now, data: None
        """Called with the time and every portion of bytes the sender writes."""
        self.on_sender_event: Callable[[float, Event], None] = self._keep_sender_event
        """Called with the time and every event of the sender; keeps it unless replaced."""
        self.on_receiver_event: Callable[[float, Event], None] = self._keep_receiver_event
        """The same of the receiver."""
        self._forward = _Direction(forward)
        self._back = _Direction(back or _with_other_seeds(forward))
        self._result_after_s = result_after_s
        self._result = result
        self._actions: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._unplugged: set[End] = set()

    @property
    def now(self) -> float:
        """The time, seconds."""
        return self.clock.now

    @property
    def forward_channel(self) -> Channel:
        """What carries the bytes from sender to receiver, with its counts."""
        return self._forward.channel

    def at(self, time_s: float, action: Callable[[], None]) -> None:
        """Do something at a time, such as ``submit`` or a restart."""
        heapq.heappush(self._actions, (time_s, next(self._order), action))

    def restart_sender(self, sender: Sender) -> None:
        """Put another sender in the place of the present one, as after a reboot."""
        self.sender = sender

    def restart_receiver(self, receiver: Receiver) -> None:
        """Put another receiver in the place of the present one."""
        self.receiver = receiver

    def change_link(self, forward: VirtualLinkConfig, back: VirtualLinkConfig) -> None:
        """Let the link be like this from now on; what is on the way stays."""
        self._forward.change(forward, self.now)
        self._back.change(back, self.now)

    def unplug(self, *ends: End) -> None:
        """Take the link away: these ends stand still, and what is on the way is lost."""
        self._unplugged.update(ends)
        self._forward.clear()
        self._back.clear()

    def plug_in(self, end: End) -> None:
        """Give an end its link back, as a driver does that has opened it again."""
        self._unplugged.discard(end)
        session = self.sender if end == "sender" else self.receiver
        session.link_opened(self.now)

    def run_until(self, end_s: float) -> None:
        """Let everything happen until this time."""
        for _ in range(MAX_STEPS):
            self._settle()
            due = self._next_time()
            if due is None or due > end_s:
                self.clock.now = max(self.now, end_s)
                return
            self.clock.now = max(self.now, due)
        raise RuntimeError(f"not done after {MAX_STEPS} steps")

    def run_until_idle(self, limit_s: float = 3600.0) -> None:
        """Let everything happen until nothing more will, or for this many seconds."""
        end_s = self.now + limit_s
        for _ in range(MAX_STEPS):
            self._settle()
            due = self._next_time()
            if due is None or due > end_s:
                return
            self.clock.now = max(self.now, due)
        raise RuntimeError(f"not idle after {MAX_STEPS} steps")

    def _next_time(self) -> float | None:
        times = [self._forward.next_time(), self._back.next_time()]
        if self._forward.accepts and "sender" not in self._unplugged:
            times.append(self.sender.next_timer())
        if "receiver" not in self._unplugged:
            times.append(self.receiver.next_timer())
        if self._actions:
            times.append(self._actions[0][0])
        return min((time for time in times if time is not None), default=None)

    def _settle(self) -> None:
        """Do everything that happens now."""
        now = self.now
        while self._actions and self._actions[0][0] <= now:
            heapq.heappop(self._actions)[2]()
        arrived, came_back = self._portions(self._forward), self._portions(self._back)
        if "receiver" not in self._unplugged:
            for portion in arrived:
                self._note_receiver(self.receiver.receive_data(portion, now))
        if "sender" not in self._unplugged:
            for portion in came_back:
                self._note_sender(self.sender.receive_data(portion, now))
            self._note_sender(self.sender.handle_timer(now))
            if self._forward.accepts:
                data = self.sender.data_to_send(now)
                if data:
                    self.on_sent(now, data)
                    self._forward.write(data, now)
        if "receiver" not in self._unplugged:
            self._note_receiver(self.receiver.handle_timer(now))
            if self._back.accepts:
                self._back.write(self.receiver.data_to_send(now), now)
        self._forward.fill(now)
        self._back.fill(now)

    def _portions(self, direction: _Direction) -> list[bytes]:
        data = direction.read(self.now)
        if direction.config.one_byte_at_a_time:
            return [data[index : index + 1] for index in range(len(data))]
        return [data] if data else []

    def _keep_sender_event(self, now: float, event: Event) -> None:
        self.sender_events.append((now, event))

    def _keep_receiver_event(self, now: float, event: Event) -> None:
        self.receiver_events.append((now, event))

    def _note_sender(self, events: list[Event]) -> None:
        for event in events:
            self.on_sender_event(self.now, event)

    def _note_receiver(self, events: list[Event]) -> None:
        for event in events:
            self.on_receiver_event(self.now, event)
            if isinstance(event, PictureEnded) and self._result_after_s is not None:
                self._send_result_later(event.picture_id, self._result_after_s)

    def _send_result_later(self, picture_id: int, after_s: float) -> None:
        receiver, session_id = self.receiver, self.receiver.session_id

        def send() -> None:
            receiver.send_result(picture_id, self._result, self.now, session_id=session_id)

        self.at(self.now + after_s, send)
