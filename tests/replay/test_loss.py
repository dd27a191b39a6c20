from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from pnc.codec.codec import Codec
from pnc.replay.loss import LossyPackets, split_packets


class FakeCodec:
    """Packets carry their place; a picture shows how many came."""

    def __init__(self) -> None:
        self.checkpoint = SimpleNamespace(name="fake", id="01234567", read=lambda file: b"decoder")
        self.calls: list[tuple[int, int, float]] = []

    def encode_packets(
        self, picture: Any, mtu_bytes: int, *, max_bytes: int, redundancy: float
    ) -> list[bytes]:
        self.calls.append((mtu_bytes, max_bytes, redundancy))
        return [bytes([place]) * mtu_bytes for place in range(max_bytes // mtu_bytes)]

    def decode_packets(self, packets: list[bytes]) -> NDArray[np.uint8]:
        return np.full((224, 224, 3), len(packets), np.uint8)


PICTURE = np.full((224, 224, 3), 9, np.uint8)


@pytest.fixture
def codec() -> FakeCodec:
    return FakeCodec()


def arrived(codec: FakeCodec, loss: float, *, seed: int = 0, picture: Any = PICTURE) -> set[int]:
    lossy = LossyPackets(cast("Codec", codec), 64, 0.25, loss, seed)
    stream = lossy.encode_within(picture, [6400])[6400]
    assert stream is not None
    packets = split_packets(stream)
    assert all(len(packet) == 64 for packet in packets)
    assert (lossy.decode(stream) == len(packets)).all()
    return {packet[0] for packet in packets}


def test_nothing_and_everything_can_be_lost(codec: FakeCodec) -> None:
    assert arrived(codec, 0.0) == set(range(100))
    assert arrived(codec, 1.0) == set()


def test_what_little_loss_loses_more_loses_too(codec: FakeCodec) -> None:
    kept = [arrived(codec, loss) for loss in (0.05, 0.2, 0.5)]
    assert kept[0] > kept[1] > kept[2]
    assert 35 <= len(kept[2]) <= 65


def test_draw_follows_seed_and_picture(codec: FakeCodec) -> None:
    other = np.full((224, 224, 3), 10, np.uint8)
    draws = [
        arrived(codec, 0.5),
        arrived(codec, 0.5, seed=1),
        arrived(codec, 0.5, picture=other),
    ]
    assert arrived(codec, 0.5) == draws[0]
    assert len({tuple(sorted(draw)) for draw in draws}) == 3


def test_packets_are_made_once_for_all_losses(codec: FakeCodec) -> None:
    for loss in (0.0, 0.1, 0.5):
        arrived(codec, loss)
    assert codec.calls == [(64, 6400, 0.25)]


def test_setting_and_fingerprint_tell_them_apart(codec: FakeCodec) -> None:
    kinds = [(64, 0, 0.1, 0), (244, 0, 0.1, 0), (64, 0.5, 0.1, 0), (64, 0, 0.2, 0), (64, 0, 0.1, 1)]
    all_of_them = [LossyPackets(cast("Codec", codec), *kind) for kind in kinds]
    assert len({lossy.fingerprint for lossy in all_of_them}) == 5
    assert len({lossy.setting for lossy in all_of_them}) == 5
    assert {lossy.family for lossy in all_of_them} == {"fake"}
