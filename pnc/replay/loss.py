"""Our packets over a link that loses some: a contender of the benchmarks.

A picture's packets within the budget, repairs among them, each lost with the same probability,
independent of the others. The draw depends on the seed, the picture and the packet's place alone:
what is lost at 5 % is also lost at 20 %, so that differences between losses are not noise.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pnc.codec.codec import Codec
from pnc.replay.baselines.own import OwnStreams

_LENGTH = struct.Struct(">H")


@dataclass(frozen=True)
class LossyPackets:
    """A checkpoint's packets at one size, redundancy and loss.

    Attributes:
        codec: Whose packets.
        mtu_bytes: Largest packet.
        redundancy: Repairs for each piece of a stream.
        loss: Probability that a packet is lost.
        seed: Of the draw.
    """

    codec: Codec
    mtu_bytes: int
    redundancy: float
    loss: float
    seed: int

    @property
    def family(self) -> str:
        """Name of the checkpoint."""
        return self.codec.checkpoint.name

    @property
    def setting(self) -> str:
        """Size, redundancy, loss and seed, in words."""
        return (
            f"packets of {self.mtu_bytes} bytes, {self.redundancy:g} repairs a piece, "
            f"{self.loss:.0%} lost, seed {self.seed}"
        )

    @property
    def fingerprint(self) -> str:
        """That of the checkpoint's streams, and the setting."""
        numbers = f"{self.mtu_bytes} {self.redundancy} {self.loss} {self.seed}"
        return f"{OwnStreams(self.codec).fingerprint} {numbers}"

    def encode_within(
        self, picture: NDArray[np.uint8], budgets: Sequence[int]
    ) -> dict[int, bytes | None]:
        """Return for each budget the packets that arrive of those that fit, their lengths before.

        The lengths are the benchmark's own; a link tells them anyway.
        """
        raw = np.ascontiguousarray(picture).tobytes()
        entropy = int.from_bytes(hashlib.sha256(raw).digest()[:8])
        streams: dict[int, bytes | None] = {}
        for budget in budgets:
            packets = _packetize(
                self.codec, self.mtu_bytes, self.redundancy, budget, raw, picture.shape
            )
            draws = np.random.default_rng([self.seed, entropy]).random(len(packets))
            arrived = [p for p, draw in zip(packets, draws, strict=True) if draw >= self.loss]
            streams[budget] = pack_packets(arrived)
        return streams

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        """Return the picture that packets hold."""
        return self.codec.decode_packets(split_packets(stream))


def pack_packets(packets: Sequence[bytes]) -> bytes:
    """Return packets one after another, their lengths before them."""
    return b"".join(_LENGTH.pack(len(packet)) + packet for packet in packets)


def split_packets(stream: bytes) -> list[bytes]:
    """Return the packets of what `pack_packets` made."""
    packets, start = [], 0
    while start < len(stream):
        (length,) = _LENGTH.unpack_from(stream, start)
        start += _LENGTH.size + length
        packets.append(stream[start - length : start])
    return packets


@lru_cache(maxsize=64)
def _packetize(
    codec: Codec,
    mtu_bytes: int,
    redundancy: float,
    budget: int,
    raw: bytes,
    shape: tuple[int, ...],
) -> tuple[bytes, ...]:
    """Return a picture's packets; remembered, since all losses ask for the same ones."""
    picture = np.frombuffer(raw, np.uint8).reshape(shape)
    return tuple(codec.encode_packets(picture, mtu_bytes, max_bytes=budget, redundancy=redundancy))
