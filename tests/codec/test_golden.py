"""Golden streams: the same bytes for ever, and a second decoder that reads them the same way.

``GENERATE_EXPECTED=1`` rewrites the files; a changed stream needs a new version of the bitstream.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pnc import belt
from pnc.codec.bitstream import MAGIC, VERSION, decode_stream
from pnc.codec.checkpoint import checkpoint_id
from pnc.codec.codec import Codec
from pnc.codec.entropy.coder import code_picture
from pnc.codec.layers import Knowledge, scan_order
from pnc.codec.packetizer import decode_packet_set
from pnc.errors import BitstreamError, CorruptBitstreamError
from tests.codec import reference_decoder
from tests.codec.cases import (
    CASES,
    CHECKPOINT_ID,
    Case,
    make_case,
    plan_of,
    priors_of,
    stream_of,
    symbols_of,
)
from tests.codec.test_bitstream import mutated

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "streams"
BELT = GOLDEN / "belt.json"
GENERATE = os.environ.get("GENERATE_EXPECTED") == "1"
NUM_BELT_PICTURES = 6


def golden(name: str) -> Case:
    case: Case = json.loads((GOLDEN / f"{name}.json").read_text(encoding="ascii"))
    return case


def documented() -> Case:
    page = (ROOT / "docs" / "bitstream.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    case: Case = json.loads(block)
    return case


READ: dict[str, Callable[[], Case]] = {
    "documented": documented,
    **{name: partial(golden, name) for name in CASES},
}


@pytest.fixture(scope="module", params=sorted(READ))
def expected(request: pytest.FixtureRequest) -> Case:
    return READ[request.param]()


def assert_same(picture: reference_decoder.Picture, knowledge: Knowledge) -> None:
    assert picture.values == knowledge.values.tolist()
    assert picture.shifts == knowledge.shifts.tolist()


def outcome(function: Callable[[], Any]) -> Any:
    """What a decoder makes of bytes, or that it refuses them."""
    try:
        return function()
    except (BitstreamError, reference_decoder.NotCodedError):
        return "refused"


@pytest.mark.parametrize("name", sorted(CASES))
def test_golden_streams(name: str) -> None:
    case = CASES[name]()
    if GENERATE:
        text = json.dumps(case, separators=(",", ":")).replace('],"', '],\n"')
        (GOLDEN / f"{name}.json").write_text(text + "\n", encoding="ascii")
    assert case == golden(name)


def test_the_documented_example_is_what_the_encoder_writes() -> None:
    case = documented()
    made = make_case(plan_of(case), priors_of(case), symbols_of(case))
    assert made["stream"] == case["stream"]
    assert made["packets"]["32"] == case["packets"]["32"]


def test_the_documented_example_says_what_arrives_when() -> None:
    case = documented()
    page = (ROOT / "docs" / "bitstream.md").read_text(encoding="utf-8")
    counts = [
        len(reference_decoder.decode_stream(case, stream_of(case)[:n])[1]) for n in range(4, 9)
    ]
    assert counts == [0, 3, 10, 11, 12]
    assert "bytes\ndetermine 0, 3, 10, 11 and 12 symbols" in page
    symbols = reference_decoder.decode_stream(case, stream_of(case))[1]
    rows = re.findall(r"^\| (\d) \| [0-9a-f]{6} \|", page, re.MULTILINE)
    assert [int(row) for row in rows] == symbols
    assert f"0x{MAGIC:02X}" in page
    assert f"Bitstream version {VERSION}" in page


def test_the_second_decoder_agrees_at_every_cut(expected: Case) -> None:
    plan, priors = plan_of(expected), priors_of(expected)
    stream = stream_of(expected)
    source = Knowledge.complete(plan, symbols_of(expected))
    coded = [int(s) for layer in code_picture(plan, priors, source) for _, p in layer for s in p]
    for num_bytes in range(len(stream) + 1):
        knowledge, count = decode_stream(plan, priors, CHECKPOINT_ID, stream[:num_bytes])
        picture, symbols = reference_decoder.decode_stream(expected, stream[:num_bytes])
        assert symbols == coded[:count]
        assert_same(picture, knowledge)


def test_the_second_decoder_agrees_on_subsets_of_packets(expected: Case) -> None:
    plan, priors = plan_of(expected), priors_of(expected)
    generator = random.Random(3)
    for packets in expected["packets"].values():
        for _ in range(6):
            chosen = [bytes.fromhex(packet) for packet in packets if generator.random() < 0.7]
            generator.shuffle(chosen)
            if chosen:
                chosen[0] = chosen[0][: generator.randrange(8, 1 + max(8, len(chosen[0])))]
            knowledge = decode_packet_set(plan, priors, CHECKPOINT_ID, chosen)
            assert_same(reference_decoder.decode_packets(expected, chosen), knowledge)


def test_the_second_decoder_agrees_on_damaged_streams(expected: Case) -> None:
    plan, priors = plan_of(expected), priors_of(expected)
    generator = random.Random(4)
    for _ in range(60):
        damaged = mutated(stream_of(expected), generator)
        found = outcome(partial(decode_stream, plan, priors, CHECKPOINT_ID, damaged))
        wanted = outcome(partial(reference_decoder.decode_stream, expected, damaged))
        if found == "refused" or wanted == "refused":
            assert found == wanted
        else:
            assert found[1] == len(wanted[1])
            assert_same(wanted[0], found[0])


def test_the_second_decoder_refuses_the_same(expected: Case) -> None:
    stream = stream_of(expected)
    for refused in (stream + b"\0", b"\xc2" + stream[1:], stream[:1] + b"\0" + stream[2:]):
        with pytest.raises(reference_decoder.NotCodedError):
            reference_decoder.decode_stream(expected, refused)
        with pytest.raises(BitstreamError):
            decode_stream(plan_of(expected), priors_of(expected), CHECKPOINT_ID, refused)
    packet = b"\xd1\x0b\xad"
    for rest in (b"", b"\x80" * 4 + b"\1", b"\xff\xff\x7f"):
        refused = packet + rest
        with pytest.raises(reference_decoder.NotCodedError):
            reference_decoder.decode_packets(expected, [refused])
        with pytest.raises(BitstreamError):
            decode_packet_set(plan_of(expected), priors_of(expected), CHECKPOINT_ID, [refused])


def test_the_second_decoder_knows_the_scan_and_the_id(expected: Case) -> None:
    plan = plan_of(expected)
    assert reference_decoder.scan_order(expected) == scan_order(plan.height, plan.width).tolist()
    hashes = {
        "encoder.tflite": hashlib.sha256(b"encoder").hexdigest(),
        "priors.json": hashlib.sha256(b"tables").hexdigest(),
    }
    written = reference_decoder.checkpoint_id(expected, b"encoder", b"tables")
    assert written == checkpoint_id(plan, hashes)


def test_corrupt_is_the_only_error_of_damaged_bytes(expected: Case) -> None:
    header, generator = stream_of(expected)[:4], random.Random(5)
    for _ in range(50):
        data = header + generator.randbytes(generator.randrange(100))
        try:
            decode_stream(plan_of(expected), priors_of(expected), CHECKPOINT_ID, data)
        except CorruptBitstreamError:
            continue


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
    checkpoint, plan = codec.checkpoint, codec.checkpoint.plan
    case = {
        "height": plan.height,
        "width": plan.width,
        "num_channels": plan.num_channels,
        "zero_point": plan.zero_point,
        "steps": plan.steps,
        "checkpoint_id": checkpoint.id,
        "priors": [
            {
                "significance": prior.significance.frequencies,
                "refinement": prior.refinement and prior.refinement.frequencies,
            }
            for prior in checkpoint.priors
        ],
    }
    for num_bytes in (0, 333, 800):
        cut = stream[:num_bytes]
        knowledge, _ = decode_stream(plan, checkpoint.priors, checkpoint.id, cut)
        assert_same(reference_decoder.decode_stream(case, cut)[0], knowledge)
    packets = codec.packetize(stream[:800], 64)[::2]
    knowledge = decode_packet_set(plan, checkpoint.priors, checkpoint.id, packets)
    assert_same(reference_decoder.decode_packets(case, packets), knowledge)
