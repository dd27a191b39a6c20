"""Small synthetic pictures with their plans and tables, as ``tests/golden/streams`` keeps them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pnc.codec.bitstream import encode_stream
from pnc.codec.entropy.prior import (
    LayerPrior,
    Table,
    fit_priors,
    refinement_size,
    significance_size,
)
from pnc.codec.layers import Knowledge, LayerPlan
from pnc.codec.packetizer import packetize_knowledge

Case = dict[str, Any]
Symbols = NDArray[np.uint8]

CHECKPOINT_ID = "0badcafe"
MTUS = (32, 64, 244)


def plan_of(case: Case) -> LayerPlan:
    return LayerPlan(
        case["height"],
        case["width"],
        case["num_channels"],
        case["zero_point"],
        tuple((channel, shift) for channel, shift in case["steps"]),
    )


def priors_of(case: Case) -> tuple[LayerPrior, ...]:
    return tuple(
        LayerPrior(
            Table(tuple(entry["significance"])),
            Table(tuple(entry["refinement"])) if entry["refinement"] else None,
        )
        for entry in case["priors"]
    )


def symbols_of(case: Case) -> Symbols:
    shape = (case["height"], case["width"], case["num_channels"])
    return np.frombuffer(bytes.fromhex(case["symbols"]), np.uint8).reshape(shape)


def stream_of(case: Case) -> bytes:
    return bytes.fromhex(case["stream"])


def make_case(plan: LayerPlan, priors: tuple[LayerPrior, ...], symbols: Symbols) -> Case:
    """Everything about a picture that a golden file holds."""
    stream = encode_stream(plan, priors, CHECKPOINT_ID, symbols)
    known = Knowledge.complete(plan, symbols)
    return {
        "height": plan.height,
        "width": plan.width,
        "num_channels": plan.num_channels,
        "zero_point": plan.zero_point,
        "steps": [list(step) for step in plan.steps],
        "checkpoint_id": CHECKPOINT_ID,
        "priors": [
            {
                "significance": list(prior.significance.frequencies),
                "refinement": list(prior.refinement.frequencies) if prior.refinement else None,
            }
            for prior in priors
        ],
        "symbols": symbols.tobytes().hex(),
        "stream": stream.hex(),
        "packets": {
            str(mtu): [
                packet.hex()
                for packet in packetize_knowledge(
                    plan, priors, CHECKPOINT_ID, known, plan.num_symbols, mtu
                )
            ]
            for mtu in MTUS
        },
    }


def laplacian(plan: LayerPlan, scales: list[float], seed: int, count: int = 1) -> Symbols:
    """Pictures ``[count, height, width, channels]`` whose channels have the given spread."""
    generator = random.Random(seed)
    flat = [
        plan.zero_point + int(scale * (generator.expovariate(1.0) - generator.expovariate(1.0)))
        for _ in range(count * plan.num_positions)
        for scale in scales
    ]
    symbols: Symbols = np.clip(np.array(flat), 0, 255).astype(np.uint8)
    return symbols.reshape(count, plan.height, plan.width, plan.num_channels)


def skewed(size: int, favourite: int) -> Table:
    """A table that gives one symbol nearly all, and the others the least possible."""
    frequencies = [1] * size
    frequencies[favourite] = (1 << 16) - size + 1
    return Table(tuple(frequencies))


def skewed_priors(plan: LayerPlan) -> tuple[LayerPrior, ...]:
    """Tables that take nearly every value for 0 and nearly every low bit for 1."""
    return tuple(
        LayerPrior(
            skewed(significance_size(plan, layer), plan.offset(layer)),
            skewed(refinement_size(layer), refinement_size(layer) - 1)
            if refinement_size(layer)
            else None,
        )
        for layer in plan.layers
    )


def signed() -> Case:
    """Two-sided values, one to three bit planes a layer."""
    steps = ((0, 5), (1, 6), (0, 4), (2, 6), (1, 3), (3, 5), (0, 2), (2, 5), (3, 4), (0, 0), (1, 2))
    plan = LayerPlan(9, 7, 4, 128, steps)
    pictures = laplacian(plan, [30.0, 18.0, 12.0, 6.0], seed=1, count=12)
    return make_case(plan, fit_priors(plan, pictures[1:]), pictures[0])


def unsigned() -> Case:
    """Values that are never negative."""
    plan = LayerPlan(5, 8, 3, 0, ((0, 4), (1, 5), (2, 5), (0, 3), (1, 4), (0, 0), (2, 4)))
    pictures = laplacian(plan, [60.0, 40.0, 25.0], seed=2, count=12)
    return make_case(plan, fit_priors(plan, pictures[1:]), pictures[0])


def skew() -> Case:
    """Symbols of 16 bits each among others that cost nearly nothing."""
    plan = LayerPlan(8, 8, 2, 10, ((0, 0), (1, 7), (1, 6), (1, 0)))
    return make_case(plan, skewed_priors(plan), laplacian(plan, [3.0, 25.0], seed=3)[0])


def silence() -> Case:
    """A picture that costs no more than the words that end it."""
    plan = LayerPlan(8, 8, 2, 128, ((0, 3), (1, 3)))
    return make_case(plan, skewed_priors(plan), np.full((8, 8, 2), 128, np.uint8))


def single() -> Case:
    """One position, all bits at once."""
    plan = LayerPlan(1, 1, 1, 255, ((0, 0),))
    flat = Table((128,) * 510 + (256,))
    return make_case(plan, (LayerPrior(flat, None),), np.array([[[7]]], np.uint8))


CASES: dict[str, Callable[[], Case]] = {
    maker.__name__: maker for maker in (signed, unsigned, skew, silence, single)
}
