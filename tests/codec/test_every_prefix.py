"""Every byte of a hundred streams as the place where the link went silent."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from pnc import belt
from pnc.codec.bitstream import decode_stream
from pnc.codec.codec import Codec

NUM_STREAMS = 100
SEED = 77


def count_prefixes(index: int) -> int:
    """Decode all prefixes of one stream; each knows what the one before knew, or more."""
    codec = Codec.load("belt")
    checkpoint = codec.checkpoint
    stream = codec.encode(belt.render(index, seed=SEED)[0])
    last = -1
    for num_bytes in range(len(stream) + 1):
        _, count = decode_stream(
            checkpoint.plan, checkpoint.priors, checkpoint.id, stream[:num_bytes]
        )
        assert count >= last, (index, num_bytes)
        last = count
    assert last == checkpoint.plan.num_symbols
    return len(stream) + 1


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_prefix_of_a_hundred_streams_decodes() -> None:
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as processes:
        counts = list(processes.map(count_prefixes, range(NUM_STREAMS)))
    assert len(counts) == NUM_STREAMS
    print(f"{sum(counts)} prefixes")  # noqa: T201 - the count is a result
