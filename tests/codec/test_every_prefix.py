"""Every byte of a hundred streams as the place where the link went silent."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from pnc import belt
from pnc.codec.bitstream import decode_stream
from pnc.codec.codec import Codec
from pnc.codec.plane_coder import Knowledge
from tests.codec.cases import tells_the_truth

NUM_STREAMS = 100
SEED = 77


def count_prefixes(index: int) -> int:
    """Decode all prefixes of one stream; each knows the truth, and no less than the one before."""
    codec = Codec.load("belt")
    plan, identity = codec.checkpoint.plan.planes, codec.checkpoint.id
    picture = belt.render(index, seed=SEED)[0]
    stream = codec.encode(picture)
    coefficients = plan.grid.forward(plan.grid.values(codec.encoder.encode(picture)))
    coefficients = np.clip(coefficients, -plan.limits, plan.limits)
    last = Knowledge(plan).planes
    for num_bytes in range(len(stream) + 1):
        knowledge = decode_stream(plan, identity, stream[:num_bytes])
        assert (knowledge.planes <= last).all(), (index, num_bytes)
        assert tells_the_truth(knowledge, coefficients), (index, num_bytes)
        last = knowledge.planes
    assert not last.any()
    return len(stream) + 1


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_prefix_of_a_hundred_streams_tells_the_truth() -> None:
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as processes:
        counts = list(processes.map(count_prefixes, range(NUM_STREAMS)))
    assert len(counts) == NUM_STREAMS
    print(f"{sum(counts)} prefixes")  # noqa: T201 - the count is a result
