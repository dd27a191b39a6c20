"""Settings of a session: frozen, checked when made, one line with its unit per field."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pnc.errors import ConfigError

__all__ = ["ReceiverConfig", "SenderConfig"]

MAX_DEVICE_NAME_BYTES = 32
"""A name is shown in one column of a table, and a HELLO has to fit one radio packet."""

MAX_MTU_BYTES = 1024
"""Two attribute values of BLE; a longer frame would hold a slow link for seconds."""

MIN_MTU_BYTES = 32
"""Below, headers outweigh what they carry; the codec cuts no smaller packets."""


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(
            f"{name}: {value} is outside {low} to {high}",
            name=name,
            value=value,
            low=low,
            high=high,
        )


@dataclass(frozen=True, slots=True)
class SenderConfig:
    """How a device sends. Every field has a default that suits a link of 1 to 100 kB/s.

    Raises:
        ConfigError: A field is outside its range; the message names it.
    """

    device_name: str = "pnc"
    """Name shown by the edge server and part of a picture's identity; 1 to 32 bytes of UTF-8."""
    checkpoint_id: str = "00000000"
    """Identity of the encoder's checkpoint; 8 lower-case hexadecimal digits."""
    mtu_bytes: int = 244
    """Largest packet, bytes of payload in one DATA frame; 32 to 1024."""
    session_id: int | None = None
    """Identity of this run, 32 bits; None draws one at random."""
    window_min_bytes: int = 512
    """The window never adapts below this, bytes on the wire; two frames are always allowed."""
    window_max_bytes: int = 16384
    """The window never adapts above this, bytes on the wire; the receiver may grant less."""
    window_start_bytes: int = 1024
    """The window before anything was measured, bytes on the wire."""
    window_gain: float = 2.0
    """The window as a multiple of ack rate times round trip; 2 keeps one round trip in reserve."""
    initial_rtt_s: float = 0.2
    """Round trip assumed before one was measured, seconds."""
    probe_max_s: float = 0.2
    """Longest pause between two probes of a link that is silent, seconds."""
    hello_interval_s: float = 0.25
    """Pause after the first HELLO; doubles up to hello_interval_max_s, seconds."""
    hello_interval_max_s: float = 1.0
    """Longest pause between two HELLO frames, seconds."""
    result_wait_s: float = 1.0
    """Pause before an END that arrived is repeated to ask for its RESULT; doubles, seconds."""
    result_wait_max_s: float = 4.0
    """Longest pause between two END frames of one picture, seconds."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.device_name.encode()) <= MAX_DEVICE_NAME_BYTES:
            raise ConfigError(
                f"device_name: {self.device_name!r} is not 1 to {MAX_DEVICE_NAME_BYTES} bytes long",
                name="device_name",
                value=self.device_name,
            )
        if not re.fullmatch("[0-9a-f]{8}", self.checkpoint_id):
            raise ConfigError(
                f"checkpoint_id: {self.checkpoint_id!r} is not 8 lower-case hexadecimal digits",
                name="checkpoint_id",
                value=self.checkpoint_id,
            )
        _check("mtu_bytes", self.mtu_bytes, MIN_MTU_BYTES, MAX_MTU_BYTES)
        if self.session_id is not None:
            _check("session_id", self.session_id, 0, 2**32 - 1)
        _check("window_min_bytes", self.window_min_bytes, 64, 2**24)
        _check("window_max_bytes", self.window_max_bytes, self.window_min_bytes, 2**24)
        _check(
            "window_start_bytes",
            self.window_start_bytes,
            self.window_min_bytes,
            self.window_max_bytes,
        )
        _check("window_gain", self.window_gain, 1, 16)
        _check("initial_rtt_s", self.initial_rtt_s, 0.001, 60)
        _check("probe_max_s", self.probe_max_s, 0.01, 60)
        _check("hello_interval_s", self.hello_interval_s, 0.01, 60)
        _check("hello_interval_max_s", self.hello_interval_max_s, self.hello_interval_s, 3600)
        _check("result_wait_s", self.result_wait_s, 0.01, 3600)
        _check("result_wait_max_s", self.result_wait_max_s, self.result_wait_s, 3600)


@dataclass(frozen=True, slots=True)
class ReceiverConfig:
    """How an edge server receives.

    Raises:
        ConfigError: A field is outside its range; the message names it.
    """

    window_bytes: int = 16384
    """Grant: bytes of DATA frames a device may have on the way; it uses less on a slow link."""
    end_grace_s: float = 0.1
    """How long after its deadline a picture waits for its END before it ends alone, seconds."""
    num_results_kept: int = 64
    """Results kept to be sent again when a device repeats its END."""
    epoch_seed: int | None = None
    """Seed of the numbers that tell one connection from the next; None draws at random."""

    def __post_init__(self) -> None:
        _check("window_bytes", self.window_bytes, 64, 2**24)
        _check("end_grace_s", self.end_grace_s, 0, 60)
        _check("num_results_kept", self.num_results_kept, 1, 65536)
