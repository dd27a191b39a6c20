"""Small synthetic pictures with their plans, as ``tests/golden/streams`` keeps them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pnc.codec.bitstream import encode_stream
from pnc.codec.coefficients import TOP_PLANE, CoefficientGrid
from pnc.codec.context import Context
from pnc.codec.packetizer import packetize
from pnc.codec.plan import CodingPlan
from pnc.codec.plane_coder import Knowledge
from pnc.codec.planes import NUM_CLASSES, PlanePlan, PlanePrior
from pnc.codec.runs import DENSE, MAX_ORDER

Case = dict[str, Any]
Values = NDArray[np.float32]

CHECKPOINT_ID = "0badcafe"
LARGEST = 32_767
HIDDEN = 3
MTUS = (32, 64, 244)
REDUNDANCY = 0.4


def planes_record(planes: PlanePlan) -> dict[str, Any]:
    return {
        "first": list(planes.first_planes),
        "inner": [prior.context.inner.tolist() for prior in planes.priors],
        "inner_bias": [prior.context.inner_bias.tolist() for prior in planes.priors],
        "outer": [prior.context.outer.tolist() for prior in planes.priors],
        "neighbours": [prior.context.neighbours.tolist() for prior in planes.priors],
        "bias": [prior.context.bias.ravel().tolist() for prior in planes.priors],
        "orders": [list(prior.orders) for prior in planes.priors],
        "refined": [prior.refined_after for prior in planes.priors],
    }


def planes_of(record: dict[str, Any], grid: CoefficientGrid) -> PlanePlan:
    fields = ("inner", "inner_bias", "outer", "neighbours", "bias", "orders", "refined")
    priors = tuple(
        PlanePrior(
            Context(
                np.array(inner, np.int16),
                np.array(inner_bias, np.int32),
                np.array(outer, np.int16),
                np.array(neighbours, np.int16),
                np.array(bias, np.int16).reshape(grid.shape),
            ),
            tuple(orders),
            refined,
        )
        for inner, inner_bias, outer, neighbours, bias, orders, refined in zip(
            *(record[field] for field in fields), strict=True
        )
    )
    return PlanePlan(grid, tuple(record["first"]), priors)


def plan_of(case: Case) -> CodingPlan:
    height, width, channels = (case[name] for name in ("height", "width", "channels"))
    scale = np.array(case["scale"], np.float32).reshape(height, width, channels)
    grid = CoefficientGrid(
        height, width, channels, case["zero_point"], tuple(case["smooth"]), scale
    )
    points = np.full((channels, TOP_PLANE + 1), 0.5, np.float32)
    return CodingPlan(planes_of(case, grid), points)


def coefficients_of(case: Case) -> NDArray[np.int16]:
    shape = (case["height"], case["width"], case["channels"])
    return np.array(case["coefficients"], np.int16).reshape(shape)


def stream_of(case: Case) -> bytes:
    return bytes.fromhex(case["stream"])


def packets_of(case: Case, mtu_bytes: int) -> list[bytes]:
    return [bytes.fromhex(packet) for packet in case["packets"][str(mtu_bytes)]]


def bits_read(knowledge: Knowledge) -> int:
    return sum(segment.num_bits for segment in knowledge.segments)


def tells_the_truth(knowledge: Knowledge, coefficients: NDArray[np.int16]) -> bool:
    """Whether what is known is what planes down to the known ones tell of the true coefficients.

    Args:
        coefficients: clipped, int16 ``[height, width, channels]``.
    """
    magnitudes = np.abs(coefficients) >> knowledge.planes << knowledge.planes
    signs = np.sign(coefficients) * (magnitudes > 0)
    return bool((knowledge.magnitudes == magnitudes).all() and (knowledge.signs == signs).all())


def make_case(plan: CodingPlan, values: Values) -> Case:
    """Everything about a picture that a golden file holds."""
    grid = plan.grid
    stream = encode_stream(plan.planes, CHECKPOINT_ID, values)
    clip = plan.planes.limits
    return {
        "height": grid.height,
        "width": grid.width,
        "channels": grid.num_channels,
        "zero_point": grid.zero_point,
        "smooth": list(grid.smooth),
        "scale": [round(float(number), 6) for number in grid.scale.ravel()],
        **planes_record(plan.planes),
        "id": CHECKPOINT_ID,
        "coefficients": np.clip(grid.forward(values), -clip, clip).ravel().tolist(),
        "stream": stream.hex(),
        "packets": {
            str(mtu): [packet.hex() for packet in packetize(stream, mtu, redundancy=REDUNDANCY)]
            for mtu in MTUS
        },
    }


def random_planes(grid: CoefficientGrid, first: tuple[int, ...], seed: int) -> PlanePlan:
    """Priors that predict something and are good for nothing."""
    rng = np.random.default_rng(seed)
    channels = grid.num_channels
    priors = tuple(
        PlanePrior(
            Context(
                rng.integers(-50, 90, (2, channels, HIDDEN)).astype(np.int16),
                rng.integers(-200, 900, HIDDEN).astype(np.int32),
                rng.integers(-60, 90, (HIDDEN, channels)).astype(np.int16),
                rng.integers(-90, 300, channels).astype(np.int16),
                rng.integers(-12_000, 3_000, grid.shape).astype(np.int16),
            ),
            tuple(int(order) for order in rng.integers(-1, 6, NUM_CLASSES)),
            int(rng.integers(0, NUM_CLASSES + 1)),
        )
        for _ in range(max(first) + 1)
    )
    return PlanePlan(grid, first, priors)


def make_grid(height: int, width: int, num_channels: int) -> CoefficientGrid:
    scale = np.ones((height, width, num_channels), np.float32)
    return CoefficientGrid(height, width, num_channels, 128, (), scale)


def loud_plan(grid: CoefficientGrid, first: tuple[int, ...], seed: int) -> PlanePlan:
    """Priors with numbers as large as they can be."""
    rng = np.random.default_rng(seed)
    channels = grid.num_channels

    def numbers(*shape: int) -> NDArray[np.int16]:
        size = int(rng.choice([3, 100, LARGEST]))
        return rng.integers(-size, size, shape, endpoint=True).astype(np.int16)

    priors = tuple(
        PlanePrior(
            Context(
                numbers(2, channels, HIDDEN),
                numbers(HIDDEN).astype(np.int32) * 1000,
                numbers(HIDDEN, channels),
                numbers(channels),
                numbers(*grid.shape),
            ),
            tuple(rng.integers(DENSE, MAX_ORDER, NUM_CLASSES, endpoint=True).tolist()),
            int(rng.integers(0, NUM_CLASSES, endpoint=True)),
        )
        for _ in range(max(first) + 1)
    )
    return PlanePlan(grid, first, priors)


def one_plane(order: int, length: int = 3) -> PlanePlan:
    """One plane, one channel; all coefficients are of one class."""
    grid = make_grid(1, length, 1)
    prior = PlanePrior(Context.of_bias(np.zeros(grid.shape, np.int16)), (order,) * NUM_CLASSES, 0)
    return PlanePlan(grid, (0,), (prior,))


def make_random(
    shape: tuple[int, int, int],
    *,
    zero_point: int = 128,
    smooth: tuple[int, ...] = (),
    spread: float = 20.0,
    seed: int = 0,
) -> Case:
    """A picture of random values under random priors."""
    rng = np.random.default_rng(seed)
    height, width, channels = shape
    scale = np.round(rng.uniform(0.25, 1.5, shape), 2).astype(np.float32)
    grid = CoefficientGrid(height, width, channels, zero_point, smooth, scale)
    values = np.round(rng.laplace(0, spread, shape)).astype(np.float32)
    values = np.clip(values, -zero_point, 255 - zero_point)
    first = tuple(int(plane) for plane in rng.integers(2, 9, channels))
    points = np.full((channels, TOP_PLANE + 1), 0.5, np.float32)
    return make_case(CodingPlan(random_planes(grid, first, seed), points), values)


CASES: dict[str, Callable[[], Case]] = {
    "signed": lambda: make_random((5, 7, 3)),
    "unsigned": lambda: make_random((8, 8, 2), zero_point=0, seed=1),
    "smooth": lambda: make_random((8, 16, 3), smooth=(0, 2), seed=2),
    "silence": lambda: make_random((8, 8, 2), spread=0.1, seed=3),
    "single": lambda: make_random((1, 1, 1), seed=4),
    "loud": lambda: make_random((4, 4, 4), smooth=(1,), spread=200.0, seed=5),
}
"""Name -> maker of each golden stream, but those of shipped checkpoints."""
