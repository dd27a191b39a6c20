"""What bytes that no encoder made cost the shipped checkpoints at most, besides the networks."""

from __future__ import annotations

import functools
import random
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import pytest

from pnc import belt
from pnc.codec.bitstream import HEADER_BYTES, decode_stream
from pnc.codec.codec import Codec
from pnc.codec.packetizer import MAX_PACKETS, MAX_PIECES, REPAIR, join_packets
from pnc.errors import BitstreamError
from tests.codec.test_bitstream import mutated

MAX_SECONDS = 0.050
MAX_BYTES = 64 << 20
NUM_ATTACKS = 100_000
NUM_TRACED = 100
"""Of each worker, those whose memory is watched, which takes twice the time."""


@dataclass
class Cost:
    """The most that one of some attacks took."""

    seconds: float = 0.0
    num_bytes: int = 0
    num_refused: int = 0


@functools.lru_cache
def known(checkpoint: str) -> tuple[Codec, bytes]:
    codec = Codec.load(checkpoint)
    return codec, codec.encode(belt.render(5, seed=9)[0])


def damaged_stream(checkpoint: str, generator: random.Random) -> list[bytes]:
    return [mutated(known(checkpoint)[1], generator)]


def random_stream(checkpoint: str, generator: random.Random) -> list[bytes]:
    """A real beginning, then anything."""
    stream = known(checkpoint)[1]
    start = stream[: generator.randrange(HEADER_BYTES, len(stream))]
    return [start + generator.randbytes(generator.randrange(8_000))]


def damaged_packets(checkpoint: str, generator: random.Random) -> list[bytes]:
    codec, stream = known(checkpoint)
    redundancy = generator.choice([0.0, 0.25, 1.0])
    packets = codec.packetize(stream, generator.choice([32, 64, 244]), redundancy=redundancy)
    arrived = generator.sample(packets, generator.randrange(len(packets) + 1))
    return [*arrived, mutated(generator.choice(packets), generator)]


def random_packets(checkpoint: str, generator: random.Random) -> list[bytes]:
    """Tiny pieces with gaps, and repairs that fill them."""
    codec, _ = known(checkpoint)
    tag = b"\xd3" + bytes.fromhex(codec.checkpoint.id)[:2]
    size, gap = generator.randrange(1, 64), generator.randrange(2, 8)
    packets = []
    for number in range(generator.randrange(MAX_PIECES)):
        header = number if number % gap else REPAIR | number
        packets.append(tag + header.to_bytes(2) + generator.randbytes(size))
    generator.shuffle(packets)
    return packets[:MAX_PACKETS]


def all_repairs(checkpoint: str, generator: random.Random) -> list[bytes]:
    """Long pieces all of which are lost, some cut off, and a repair for each."""
    codec, _ = known(checkpoint)
    tag = b"\xd3" + bytes.fromhex(codec.checkpoint.id)[:2]
    count, size = generator.randrange(1, MAX_PIECES), generator.randrange(100, 129)
    numbers = [*(REPAIR | number for number in range(count)), *range(count)]
    num_cut = generator.choice([0, count])
    packets = [
        tag + number.to_bytes(2) + generator.randbytes(size if number & REPAIR else size - 1)
        for number in numbers[: count + num_cut]
    ]
    generator.shuffle(packets)
    return packets


ATTACKS: dict[str, Callable[[str, random.Random], list[bytes]]] = {
    kind.__name__: kind
    for kind in (damaged_stream, random_stream, damaged_packets, random_packets, all_repairs)
}


def decode(codec: Codec, parts: list[bytes], *, is_stream: bool) -> None:
    checkpoint = codec.checkpoint
    stream = parts[0] if is_stream else join_packets(checkpoint.id, parts)
    decode_stream(checkpoint.plan.planes, checkpoint.id, stream).restore(checkpoint.plan.points)


def is_refused(codec: Codec, parts: list[bytes], *, is_stream: bool) -> bool:
    try:
        decode(codec, parts, is_stream=is_stream)
    except BitstreamError:
        return True
    return False


def attack(checkpoint: str, kind: str, seed: int, count: int) -> Cost:
    codec, stream = known(checkpoint)
    decode(codec, [stream], is_stream=True)  # tables that are made once
    generator = random.Random(seed)
    cost = Cost()
    for index in range(count):
        parts = ATTACKS[kind](checkpoint, generator)
        run = functools.partial(is_refused, codec, parts, is_stream="stream" in kind)
        seconds: list[float] = []
        while not seconds or (seconds[-1] > MAX_SECONDS and len(seconds) < 3):
            start = time.thread_time()
            refused = run()
            seconds.append(time.thread_time() - start)
        cost.num_refused += refused
        cost.seconds = max(cost.seconds, min(seconds))
        if index < NUM_TRACED:
            tracemalloc.start()
            run()
            cost.num_bytes = max(cost.num_bytes, tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    return cost


@pytest.mark.parametrize("kind", ATTACKS)
def test_a_few_attacks_end_soon(kind: str) -> None:
    check(attack("belt", kind, 1, 20), 20, slowdown=4)  # coverage watches every line


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("checkpoint", ["belt", "photo"])
@pytest.mark.parametrize("kind", ATTACKS)
def test_a_hundred_thousand_attacks_end_soon(kind: str, checkpoint: str) -> None:
    """So many of streams and as many of packets at least, by all kinds and both checkpoints."""
    parts = 8
    each = NUM_ATTACKS // 4 // parts
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as processes:
        jobs = [processes.submit(attack, checkpoint, kind, seed, each) for seed in range(parts)]
        costs = [job.result() for job in jobs]
    worst = Cost(
        max(cost.seconds for cost in costs),
        max(cost.num_bytes for cost in costs),
        sum(cost.num_refused for cost in costs),
    )
    check(worst, parts * each)


def check(cost: Cost, count: int, slowdown: int = 1) -> None:
    print(f"{count} attacks: {cost}")  # noqa: T201 - the cost is a result
    assert cost.seconds < slowdown * MAX_SECONDS
    assert cost.num_bytes < MAX_BYTES
    assert cost.num_refused <= count
