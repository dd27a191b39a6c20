"""Our own streams behind the interface of the rivals."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import pnc.codec as codec_package
from pnc.codec.codec import Codec


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
        return f"{checkpoint.name} {checkpoint.id} {_decoder_digest(self.codec)} {_code_digest()}"

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


@lru_cache(maxsize=1)
def _code_digest() -> str:
    """Return a hash of the codec's source: a change there may change streams or pictures."""
    folder = Path(codec_package.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
