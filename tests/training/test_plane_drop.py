from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pnc.codec.decoder import received
from pnc.codec.plane_coder import Knowledge, decode_bits, plane_bits
from pnc.codec.planes import PlanePlan
from training.plan import FittedPlan, fit_plan, scale_within
from training.plane_drop import PlaneDrop
from training.planes import SEGMENTS, segment_turn


def make_plan(seed: int = 0) -> tuple[FittedPlan, NDArray[np.uint8]]:
    generator = np.random.default_rng(seed)
    scale = generator.uniform(0.7, 1.3, (8, 8, 6)).astype(np.float32)
    energy = generator.gamma(0.6, 6.0, (40, 8, 8, 1))
    numbers = 128 + generator.normal(0, 1, (40, 8, 8, 6)) * energy
    numbers[..., 0] = 128 + generator.normal(0, 40, (40, 1, 1))
    symbols = np.clip(numbers, 0, 255).astype(np.uint8)
    return fit_plan(symbols, 128, scale), symbols


def after(plan: PlanePlan, values: NDArray[np.float32], num_segments: int) -> Knowledge:
    """What the first segments of a stream tell."""
    bits = np.concatenate(list(plane_bits(plan, plan.grid.forward(values))))
    num_bits = 0
    for segment in decode_bits(plan, bits).segments:
        turn = segment_turn(segment.of_class, plan.priors[segment.plane].refined_after)
        if SEGMENTS * (len(plan.priors) - 1 - segment.plane) + turn < num_segments:
            num_bits += segment.num_bits
    return decode_bits(plan, bits[:num_bits])


def test_the_smooth_channel_is_found() -> None:
    fitted, _ = make_plan()
    assert fitted.plan.grid.smooth == (0,)
    assert len(fitted.segment_bytes) == SEGMENTS * len(fitted.plan.planes.priors)


@pytest.mark.parametrize("share", [0.4, 0.7, 1.0])
def test_the_scale_bounds_whole_streams(share: float) -> None:
    fitted, symbols = make_plan()
    whole = fitted.segment_bytes.sum()
    scale = scale_within(fitted, share * whole)
    size = fit_plan(symbols, 128, scale).segment_bytes.sum()
    assert 0.9 * share * whole < size < (1.0 + share) * whole / 2 + 1.0
    assert np.array_equal(scale_within(fitted, 2 * whole), fitted.plan.grid.scale)


@pytest.mark.parametrize("seed", [0, 1])
def test_training_sees_what_a_cut_stream_leaves(seed: int) -> None:
    fitted, symbols = make_plan(seed)
    plan = fitted.plan
    drop = PlaneDrop(plan)
    assert drop.num_segments == len(fitted.segment_bytes)
    generator = np.random.default_rng(seed)
    values = np.stack([plan.grid.values(picture) for picture in symbols[:6]])
    cuts = generator.integers(0, drop.num_segments, 6)
    restored, told = (np.asarray(found) for found in drop(values, cuts.astype(np.float32)))
    for picture, cut, found, share in zip(values, cuts, restored, told, strict=True):
        expected, spread = after(plan.planes, picture, int(cut)).restore(plan.points)
        assert np.allclose(found, expected, atol=1e-2)
        assert np.allclose(share, received(spread), atol=1e-3)
