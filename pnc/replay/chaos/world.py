"""A device, a link, a server and everything that goes wrong between them, in virtual time."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pnc.config import ReceiverConfig, SenderConfig
from pnc.replay.chaos.faults import DURATIONS_S, Fault, Kind, draw_faults, link_under
from pnc.replay.chaos.ledger import Key, Ledger
from pnc.replay.chaos.servers import LedgerServer, Server, Surroundings, make_payload
from pnc.testing import End, VirtualLinkConfig, VirtualPair
from pnc.transport.driver import RETRY_MAX_S, RETRY_S
from pnc.transport.events import (
    DeviceConnected,
    Event,
    PacketReceived,
    PictureEnded,
    ResultReceived,
)
from pnc.transport.session import Receiver, Sender

__all__ = ["ChaosWorld", "Tally"]

PERIOD_S = 0.5
"""From one picture to the next, and the time each has: 172,800 of them a day."""

CALM_S = 60.0
"""Nothing goes wrong in the last minute, so that what was owed can be told."""

MAX_PACKETS, MAX_PACKET_BYTES = 8, 244
"""Of an ordinary picture; every fiftieth is too large for its deadline."""

LARGE_PACKETS, LARGE_EVERY = 60, 50

NOISE_BYTES = 65_536
"""What pictures are cut from."""

LINK_KINDS = frozenset(DURATIONS_S) - {"unplug", "restart-device", "restart-server", "clock"}

MAX_WORK_S = 0.3
"""Longest time a picture takes in the server; a quarter of it is the mean."""

MAX_CLOCK_JUMP_S = 86_400.0

_ENDS: tuple[tuple[End, ...], ...] = (("sender",), ("receiver",), ("sender", "receiver"))


@dataclass(slots=True)
class Tally:
    """What was counted on the way; pictures unless the name says otherwise."""

    submitted: int = 0
    ended: int = 0
    """Reported by a receiver; one that was restarted may report a picture again."""
    ended_again: int = 0
    """Reported by one receiver, in one session, a second time: must not be."""
    ended_in_gaps: int = 0
    """Passed over by a receiver between two that it reported: must not be."""
    damaged: int = 0
    """With a packet that is not the one that was sent: as rare as a checksum of 16 bits misses."""
    heard: int = 0
    """Whose result the device got."""
    heard_again: int = 0
    """Whose result the device was told twice: must not be."""
    packets: int = 0
    """Packets that arrived."""
    late_packets: int = 0
    """Packets of pictures that had ended, or after their deadline."""
    faults: dict[Kind, int] = field(default_factory=dict)


class ChaosWorld:
    """Runs a real sender and a real receiver through what draws from a seed.

    Args:
        seed: Same seed, same run, to the last line of the log.
        folder: For the files that keep results.
        make_server: What stands behind the receiver.
        mean_gap_s: Between the beginnings of two faults, seconds.
        on_line: Called with every line of the log.
    """

    def __init__(
        self,
        seed: int,
        folder: Path,
        *,
        make_server: Callable[[Path, Surroundings], Server] | None = None,
        mean_gap_s: float = 45.0,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self.tally = Tally()
        self.submitted: dict[int, int] = {}
        """Pictures that each session of the device submitted, in the order of the sessions."""
        self.heard = Ledger(folder / "heard.sqlite")
        """What the device was told."""
        self._seed = seed
        self._mean_gap_s = mean_gap_s
        self._on_line = on_line
        self._hash = hashlib.sha256()
        self._random = random.Random(f"world {seed}")
        self._active: Counter[Kind] = Counter()
        self._missing: Counter[End] = Counter()
        self._dead: Counter[End] = Counter()
        self._noise = self._random.randbytes(NOISE_BYTES)
        self._wall_offset_s = 1.8e9
        self._last_ended = Key(0, 0)
        self._pair = VirtualPair(
            self._new_sender(), self._new_receiver(), *self._links(), result_after_s=None
        )
        self._pair.on_sender_event = self._at_device
        self._pair.on_receiver_event = self._at_server
        around = Surroundings(
            lambda delay_s, action: self._pair.at(self._pair.now + delay_s, action),
            self._send_result,
            lambda: min(MAX_WORK_S, self._random.expovariate(4 / MAX_WORK_S)),
        )
        self.server = (make_server or _ledger_server)(folder, around)

    @property
    def log_sha256(self) -> str:
        """Hash of all lines of the log so far."""
        return self._hash.hexdigest()

    def run(
        self,
        duration_s: float,
        *,
        step_s: float = 900.0,
        on_step: Callable[[float], None] = lambda now: None,
    ) -> None:
        """Let a time pass, the last minute of it calm. Once.

        Args:
            duration_s: Seconds of virtual time.
            step_s: Between two calls of ``on_step``, seconds.
            on_step: Called with the time.
        """
        pair = self._pair
        self._submit_until(duration_s - CALM_S / 2)
        self._await(draw_faults(duration_s - CALM_S, self._seed, self._mean_gap_s))
        while pair.now < duration_s:
            pair.run_until(min(duration_s, (pair.now // step_s + 1) * step_s))
            on_step(pair.now)
        self._count_packets()

    def close(self) -> None:
        """Close all files."""
        self.server.close()
        self.heard.close()

    def packets_of(self, key: Key) -> list[bytes]:
        """Return what the device sends of a picture."""
        start = (key.session_id * 7919 + key.picture_id * 104_729) % (len(self._noise) // 2)
        count = 1 + self._noise[start] % MAX_PACKETS
        if key.picture_id % LARGE_EVERY == 0:
            count = LARGE_PACKETS
        at = range(start + 1, start + 1 + count * MAX_PACKET_BYTES, MAX_PACKET_BYTES)
        return [self._noise[place : place + 1 + self._noise[place] % 244] for place in at]

    def _log(self, line: str) -> None:
        line = f"{self._pair.now:.6f} {line}"
        self._hash.update(line.encode() + b"\n")
        if self._on_line is not None:
            self._on_line(line)

    def _new_sender(self) -> Sender:
        session_id = self._random.getrandbits(32)
        self.submitted[session_id] = 0
        return Sender(SenderConfig(session_id=session_id))

    def _new_receiver(self) -> Receiver:
        return Receiver(ReceiverConfig(epoch_seed=self._random.getrandbits(32)))

    def _links(self) -> tuple[VirtualLinkConfig, VirtualLinkConfig]:
        kinds = frozenset(self._active) & LINK_KINDS
        return link_under(kinds, 2 * self._seed), link_under(kinds, 2 * self._seed + 1)

    def _submit_until(self, end_s: float) -> None:
        pair = self._pair
        if pair.now >= end_s:
            return
        pair.at(pair.now + PERIOD_S, lambda: self._submit_until(end_s))
        if self._dead["sender"]:
            return
        session_id = pair.sender.session_id
        key = Key(session_id, self.submitted[session_id] + 1)
        pair.sender.submit(self.packets_of(key), deadline=pair.now + PERIOD_S, now=pair.now)
        self.submitted[session_id] += 1
        self.tally.submitted += 1

    def _await(self, faults: Iterator[Fault]) -> None:
        """Let the next fault happen in its time, and await the one after it."""

        def begin() -> None:
            assert fault is not None
            self.tally.faults[fault.kind] = self.tally.faults.get(fault.kind, 0) + 1
            self._log(f"{fault.kind} for {fault.duration_s:.3f} s")
            self._begin(fault)
            self._await(faults)

        fault = next(faults, None)
        if fault is not None:
            self._pair.at(fault.start_s, begin)

    def _begin(self, fault: Fault) -> None:
        match fault.kind:
            case "unplug":
                ends = self._random.choice(_ENDS)
                self._take_away(*ends)
                after_s = reopened_after(fault.duration_s)
                self._later(after_s, lambda: self._give_back(*ends))
            case "restart-device":
                self._kill("sender")
                self._later(fault.duration_s, lambda: self._restart("sender"))
            case "restart-server":
                self.server.kill()
                self._kill("receiver")
                self._later(fault.duration_s, lambda: self._restart("receiver"))
            case "clock":
                self._wall_offset_s += self._random.uniform(-MAX_CLOCK_JUMP_S, MAX_CLOCK_JUMP_S)
            case kind:
                self._active[kind] += 1
                self._pair.change_link(*self._links())
                self._later(fault.duration_s, lambda: self._end(kind))

    def _end(self, kind: Kind) -> None:
        self._active[kind] -= 1
        self._active += Counter()
        self._pair.change_link(*self._links())

    def _later(self, delay_s: float, action: Callable[[], None]) -> None:
        self._pair.at(self._pair.now + delay_s, action)

    def _take_away(self, *ends: End) -> None:
        self._missing.update(ends)
        self._pair.unplug(*ends)

    def _give_back(self, *ends: End) -> None:
        for end in ends:
            self._missing[end] -= 1
            if not self._missing[end]:
                self._pair.plug_in(end)
                self._log(f"{end} is on the link")

    def _kill(self, end: End) -> None:
        self._dead[end] += 1
        self._take_away(end)

    def _restart(self, end: End) -> None:
        self._dead[end] -= 1
        if not self._dead[end]:
            if end == "sender":
                self._pair.restart_sender(self._new_sender())
            else:
                self._count_packets()
                self._pair.restart_receiver(self._new_receiver())
            self._log(f"{end} begins anew")
        self._give_back(end)

    def _count_packets(self) -> None:
        statistics = self._pair.receiver.statistics
        self.tally.packets += statistics.data_frames
        self.tally.late_packets += statistics.late_frames

    def _send_result(self, key: Key, payload: bytes) -> None:
        now = self._pair.now
        self._pair.receiver.send_result(key.picture_id, payload, now, session_id=key.session_id)

    def _at_device(self, now: float, event: Event) -> None:
        self._log(f"device {event}")
        if isinstance(event, ResultReceived):
            key = Key(self._pair.sender.session_id, event.picture_id)
            if self.heard.add(key, event.payload):
                self.tally.heard += 1
            else:
                self.tally.heard_again += 1

    def _at_server(self, now: float, event: Event) -> None:
        if isinstance(event, DeviceConnected):
            self._last_ended = Key(event.session_id, 0)
        if isinstance(event, PictureEnded):
            self._check(event)
            self._log(f"server ended {event.picture_id} {make_payload(event.packets)!r}")
        elif not isinstance(event, PacketReceived):
            self._log(f"server {event}")
        self.server.handle(event, self._wall_offset_s)

    def _check(self, event: PictureEnded) -> None:
        """Compare a picture with the one before it, and with what was sent."""
        self.tally.ended += 1
        last = self._last_ended
        self._last_ended = key = Key(last.session_id, event.picture_id)
        if last.picture_id:
            self.tally.ended_again += key.picture_id <= last.picture_id
            self.tally.ended_in_gaps += max(0, key.picture_id - last.picture_id - 1)
        if event.packets:
            sent = self.packets_of(key)
            self.tally.damaged += any(sent[i : i + 1] != [p] for i, p in event.packets.items())


def reopened_after(away_s: float) -> float:
    """When a driver has a link again that was lost and comes back after ``away_s`` seconds."""
    waited_s = pause_s = RETRY_S
    while waited_s < away_s:
        pause_s = min(2 * pause_s, RETRY_MAX_S)
        waited_s += pause_s
    return waited_s


def _ledger_server(folder: Path, around: Surroundings) -> Server:
    return LedgerServer(Ledger(folder / "stored.sqlite"), around)
