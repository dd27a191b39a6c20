"""Our own streams behind the interface of the rivals."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

import pnc.codec as codec_package
from pnc.codec.codec import Codec
from pnc.replay.source_digest import source_digest


@dataclass(frozen=True)
class OwnStreams:
    """A checkpoint of ours: the stream cut at the budget, to the byte."""

    codec: Codec

    @property
    def family(self) -> str:
        """Name of the checkpoint."""
        return self.codec.checkpoint.name

    @property
    def setting(self) -> str:
        """How the budget is met."""
        return "cut at the budget"

    @property
    def fingerprint(self) -> str:
        """The checkpoint's id, which covers encoder and tables; its decoder; the codec's code."""
        checkpoint = self.codec.checkpoint
        code = source_digest(codec_package.__file__)
        return f"{checkpoint.name} {checkpoint.id} {_decoder_digest(self.codec)} {code}"

    def encode_within(
        self, picture: NDArray[np.uint8], budgets: Sequence[int]
    ) -> dict[int, bytes | None]:
        """Return for each budget the stream cut there; always fits."""
        stream = self.codec.encode(picture)
        return {budget: stream[:budget] for budget in budgets}

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        """Return the picture that a prefix holds."""
        return self.codec.decode(stream)


@lru_cache(maxsize=8)
def _decoder_digest(codec: Codec) -> str:
    return hashlib.sha256(codec.checkpoint.read("decoder.tflite")).hexdigest()[:16]
