from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from pnc.codec.codec import Codec
from pnc.replay.baselines.own import OwnStreams

BUDGETS = (512, 1024, 2048)


@dataclass(eq=False)
class FakeCodec:
    """Streams are the picture's bytes; a prefix shows what it holds on black."""

    checkpoint: Any = field(
        default_factory=lambda: SimpleNamespace(
            name="fake", id="01234567", folder=Path(), read=lambda file: b"decoder"
        )
    )

    def encode(self, picture: NDArray[np.uint8]) -> bytes:
        return picture.tobytes()

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        size = 224 * 224 * 3
        return np.frombuffer(stream.ljust(size, b"\0"), np.uint8).reshape(224, 224, 3)


def test_own_streams_are_cut_to_the_byte(picture: NDArray[np.uint8]) -> None:
    own = OwnStreams(cast("Codec", FakeCodec()))
    streams = own.encode_within(picture, BUDGETS)
    assert {budget: len(stream or b"") for budget, stream in streams.items()} == {
        budget: budget for budget in BUDGETS
    }
    longest = streams[max(BUDGETS)]
    assert longest is not None
    assert all(longest.startswith(stream or b"-") for stream in streams.values())
    assert np.array_equal(own.decode(picture.tobytes()), picture)
    assert own.family == "fake"
    assert own.setting
    assert own.fingerprint.startswith("fake 01234567")
