"""What arrived of a picture over a link: a contender of the benchmarks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pnc.codec.codec import Codec
from pnc.errors import BitstreamError
from pnc.replay.baselines.own import OwnStreams
from pnc.replay.loss import split_packets


@dataclass(frozen=True)
class ReceivedPackets:
    """Packets of one picture, encoded and sent before.

    Attributes:
        codec: Whose packets.
        packets: As `pnc.replay.loss.pack_packets` makes them.
    """

    codec: Codec
    packets: bytes

    @property
    def family(self) -> str:
        """Name of the checkpoint."""
        return self.codec.checkpoint.name

    @property
    def setting(self) -> str:
        """How many packets, in words."""
        return f"{len(split_packets(self.packets))} packets that arrived"

    @property
    def fingerprint(self) -> str:
        """That of the checkpoint's streams, and the packets."""
        digest = hashlib.sha256(self.packets).hexdigest()[:32]
        return f"{OwnStreams(self.codec).fingerprint} received {digest}"

    def encode_within(
        self, picture: NDArray[np.uint8], budgets: Sequence[int]
    ) -> dict[int, bytes | None]:
        """Return what arrived; None if a server has no class for it: nothing, or garbage."""
        return dict.fromkeys(budgets, self.packets if self._can_be_decoded() else None)

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        """Return the picture that packets hold."""
        return self.codec.decode_packets(split_packets(stream))

    def _can_be_decoded(self) -> bool:
        try:
            self.decode(self.packets)
        except BitstreamError:
            return False
        return bool(self.packets)
