"""Golden streams: the same bytes for ever, and a second decoder that reads them the same way.

``GENERATE_EXPECTED=1`` rewrites the files; a changed stream needs a new version of the bitstream.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pnc import belt
from pnc.codec.bitstream import MAGIC, MAX_STREAM_BYTES, VERSION, decode_stream
from pnc.codec.codec import Codec
from pnc.codec.packetizer import MIN_MTU_BYTES, PACKET_MAGIC, REPAIR, join_packets, packetize
from pnc.codec.plane_coder import Knowledge
from pnc.errors import BitstreamError
from tests.codec import reference_decoder
from tests.codec.cases import (
    CASES,
    CHECKPOINT_ID,
    MTUS,
    Case,
    bits_read,
    packets_of,
    plan_of,
    planes_record,
    stream_of,
)
from tests.codec.test_bitstream import mutated

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "streams"
BELT = GOLDEN / "belt.json"
GENERATE = os.environ.get("GENERATE_EXPECTED") == "1"
NUM_BELT_PICTURES = 6

Known = list[tuple[int, int]]


def golden(name: str) -> Case:
    case: Case = json.loads((GOLDEN / f"{name}.json").read_text(encoding="ascii"))
    return case


@pytest.fixture(scope="module", params=sorted(CASES))
def expected(request: pytest.FixtureRequest) -> Case:
    return golden(request.param)


def listed(knowledge: Knowledge) -> Known:
    """Value and lowest known plane of each coefficient, in raster order."""
    values = knowledge.signs * knowledge.magnitudes
    return list(zip(values.ravel().tolist(), knowledge.planes.ravel().tolist(), strict=True))


def ours(case: Case, stream: bytes) -> Known:
    return listed(decode_stream(plan_of(case).planes, case["id"], stream))


def ours_of_packets(case: Case, packets: list[bytes]) -> Known:
    return ours(case, join_packets(case["id"], packets))


def number_of(packet: bytes) -> int:
    return int.from_bytes(packet[3:5])


def outcome(function: Callable[[], Any]) -> Any:
    """What a decoder makes of bytes, or how it refuses them."""
    try:
        return function()
    except BitstreamError as error:
        return type(error)


@pytest.mark.parametrize("name", sorted(CASES))
def test_golden_streams(name: str) -> None:
    case = CASES[name]()
    if GENERATE:
        text = json.dumps(case, separators=(",", ":")).replace('],"', '],\n"')
        (GOLDEN / f"{name}.json").write_text(text + "\n", encoding="ascii")
    assert case == golden(name)


def test_every_golden_file_is_tested() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} - {BELT.stem} == set(CASES)


def test_the_second_decoder_agrees_at_many_cuts(expected: Case) -> None:
    """At every one where the stream is short, at every eighth where it is long."""
    stream = stream_of(expected)
    assert_agreement(expected, range(0, len(stream) + 1, 1 if len(stream) < 200 else 8))


@pytest.mark.slow
def test_the_second_decoder_agrees_at_every_cut(expected: Case) -> None:
    assert_agreement(expected, range(len(stream_of(expected)) + 1))


def assert_agreement(case: Case, cuts: Iterable[int]) -> None:
    for num_bytes in cuts:
        cut = stream_of(case)[:num_bytes]
        assert reference_decoder.decode_stream(case, cut) == ours(case, cut)


def test_the_second_decoder_knows_everything_at_the_end(expected: Case) -> None:
    whole = [(value, 0) for value in expected["coefficients"]]
    assert reference_decoder.decode_stream(expected, stream_of(expected)) == whole
    assert ours(expected, stream_of(expected)) == whole
    for mtu_bytes in MTUS:
        packets = packets_of(expected, mtu_bytes)
        assert reference_decoder.decode_packets(expected, packets) == whole
        assert ours_of_packets(expected, packets) == whole


@pytest.mark.parametrize("mtu_bytes", MTUS)
def test_the_second_decoder_agrees_on_subsets_of_packets(expected: Case, mtu_bytes: int) -> None:
    generator = random.Random(mtu_bytes)
    packets = packets_of(expected, mtu_bytes)
    for share in (0.2, 0.5, 0.7, 0.8, 0.9, 0.95):
        chosen = [packet for packet in packets if generator.random() < share]
        generator.shuffle(chosen)
        if chosen and number_of(chosen[0]) < REPAIR:
            chosen[0] = chosen[0][: generator.randrange(7, 1 + max(7, len(chosen[0])))]
        chosen += chosen[1:3]
        assert outcome(partial(reference_decoder.decode_packets, expected, chosen)) == outcome(
            partial(ours_of_packets, expected, chosen)
        )


@pytest.mark.parametrize("loss", [0.05, 0.2, 0.35])
def test_the_second_decoder_joins_long_streams(loss: float) -> None:
    """Many windows of repairs; what is in the pieces does not matter."""
    generator = random.Random(int(100 * loss))
    case = {"id": CHECKPOINT_ID}
    stream = bytes([MAGIC, *bytes.fromhex(CHECKPOINT_ID)[:3]]) + generator.randbytes(6000)
    for redundancy in (0.2, 0.5, 1.0):
        packets = packetize(stream, MIN_MTU_BYTES, redundancy=redundancy)
        arrived = [packet for packet in packets if generator.random() >= loss]
        generator.shuffle(arrived)
        joined = join_packets(CHECKPOINT_ID, arrived)
        assert reference_decoder.join_packets(case, arrived) == joined
        assert stream.startswith(joined)


def test_the_second_decoder_agrees_on_damaged_streams(expected: Case) -> None:
    generator = random.Random(4)
    for _ in range(40):
        damaged = mutated(stream_of(expected), generator)
        wanted = outcome(partial(reference_decoder.decode_stream, expected, damaged))
        assert outcome(partial(ours, expected, damaged)) == wanted


def test_the_second_decoder_agrees_on_damaged_packets(expected: Case) -> None:
    generator = random.Random(5)
    packets = packets_of(expected, MIN_MTU_BYTES)
    for _ in range(40):
        damaged = mutated(generator.choice(packets), generator)
        wanted = outcome(partial(reference_decoder.decode_packets, expected, [damaged]))
        assert outcome(partial(ours_of_packets, expected, [damaged])) == wanted


def test_the_second_decoder_refuses_the_same(expected: Case) -> None:
    stream = stream_of(expected)
    streams = [
        stream + b"\0",
        b"\xc1" + stream[1:],
        b"\xd3" + stream[1:],
        stream[:1] + b"\0" + stream[2:],
        stream[:4] + bytes(MAX_STREAM_BYTES),
    ]
    for refused in streams:
        wanted = outcome(partial(reference_decoder.decode_stream, expected, refused))
        assert isinstance(wanted, type)
        assert outcome(partial(ours, expected, refused)) == wanted
    tag, first = b"\xd3\x0b\xad", packets_of(expected, MIN_MTU_BYTES)[0]
    packets = [
        [b"\xd1" + first[1:]],
        [b"\xc3" + first[1:]],
        [first[:2] + b"\0" + first[3:]],
        [tag],
        [tag + b"\x00"],
        [tag + b"\x7f\xff" + bytes(20)],
        [tag + b"\x00\x03" + bytes(MAX_STREAM_BYTES)],
        [tag + b"\x00\x01" + bytes(9), tag + b"\x80\x01" + bytes(8)],
    ]
    for several in packets:
        wanted = outcome(partial(reference_decoder.decode_packets, expected, several))
        assert isinstance(wanted, type)
        assert outcome(partial(ours_of_packets, expected, several)) == wanted


def test_the_page_names_the_magic_bytes_and_the_version() -> None:
    page = (ROOT / "docs" / "bitstream.md").read_text(encoding="utf-8")
    assert f"# Bitstream version {VERSION}" in page
    assert f"`0x{MAGIC:02X}`" in page
    assert f"`0x{PACKET_MAGIC:02X}`" in page


@pytest.mark.skipif(not (BELT.exists() or GENERATE), reason="no golden streams of the belt yet")
def test_golden_streams_of_the_belt(codec: Codec) -> None:
    made: dict[str, Any] = {"checkpoint_id": codec.checkpoint.id, "streams": []}
    for index in range(NUM_BELT_PICTURES):
        stream = codec.encode(belt.render(index)[0])
        packets = b"".join(codec.packetize(stream, 64))
        made["streams"].append(
            {
                "index": index,
                "num_bytes": len(stream),
                "stream": hashlib.sha256(stream).hexdigest(),
                "packets": hashlib.sha256(packets).hexdigest(),
            }
        )
    if GENERATE:
        BELT.write_text(json.dumps(made, indent=1) + "\n", encoding="ascii")
    assert made == json.loads(BELT.read_text(encoding="ascii"))


def test_the_second_decoder_agrees_on_the_belt(codec: Codec, stream: bytes) -> None:
    plan = codec.checkpoint.plan
    case = {
        "height": plan.grid.height,
        "width": plan.grid.width,
        "channels": plan.grid.num_channels,
        "id": codec.checkpoint.id,
        **planes_record(plan.planes),
    }
    knowledge = decode_stream(plan.planes, codec.checkpoint.id, stream[:400])
    assert reference_decoder.decode_stream(case, stream[:400]) == listed(knowledge)
    packets = codec.packetize(stream[:600], 64, redundancy=0.5)[2:]
    joined = decode_stream(
        plan.planes, codec.checkpoint.id, join_packets(codec.checkpoint.id, packets)
    )
    assert bits_read(joined) > 0
    assert reference_decoder.decode_packets(case, packets) == listed(joined)
