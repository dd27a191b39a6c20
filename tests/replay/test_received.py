from __future__ import annotations

import numpy as np

from pnc import belt
from pnc.codec.codec import Codec
from pnc.replay.loss import pack_packets
from pnc.replay.received import ReceivedPackets


def test_what_arrived_is_decoded_as_it_is() -> None:
    codec = Codec.load("belt")
    picture, _ = belt.render(0, seed=3)
    packets = codec.encode_packets(picture, 64, max_bytes=600, redundancy=0.0)
    some = ReceivedPackets(codec, pack_packets(packets[:4]))
    stream = some.encode_within(picture, [0])[0]
    assert stream == pack_packets(packets[:4])
    np.testing.assert_array_equal(some.decode(stream), codec.decode_packets(packets[:4]))
    assert some.family == "belt"
    assert some.setting == "4 packets that arrived"
    assert some.fingerprint != ReceivedPackets(codec, pack_packets(packets)).fingerprint


def test_nothing_and_garbage_have_no_class() -> None:
    codec = Codec.load("belt")
    picture, _ = belt.render(0, seed=3)
    for packets in ([], [b"garbage"]):
        arrived = ReceivedPackets(codec, pack_packets(packets))
        assert arrived.encode_within(picture, [0]) == {0: None}
