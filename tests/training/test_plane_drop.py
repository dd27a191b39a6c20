from __future__ import annotations

import numpy as np
import pytest

from pnc.codec.coefficients import CoefficientGrid
from pnc.codec.runs import encode_segments
from pnc.codec.planes import Knowledge, PlanePlan, decode_planes, encode_planes
from training.plane_drop import SEGMENTS, PlaneDrop
from training.planes import fit_planes


def make_plan(seed: int = 0) -> tuple[PlanePlan, np.ndarray]:
    generator = np.random.default_rng(seed)
    scale = generator.uniform(0.7, 1.3, (8, 8, 6)).astype(np.float32)
    grid = CoefficientGrid(8, 8, 6, 128, (0,), scale)
    energy = generator.gamma(0.6, 6.0, (40, 8, 8, 1))
    symbols = np.clip(128 + generator.normal(0, 1, (40, 8, 8, 6)) * energy, 0, 255)
    symbols[..., 0] = np.clip(128 + generator.normal(0, 40, (40, 1, 1)), 0, 255)
    symbols = symbols.astype(np.uint8)
    coefficients = np.stack([grid.forward(picture) for picture in symbols])
    return fit_planes(grid, coefficients), symbols


def bits_of_segments(plan: PlanePlan, picture: np.ndarray) -> list[int]:
    """Bits of every segment, in stream order."""
    scanned = plan.grid.forward(picture).reshape(-1, plan.grid.num_channels)[plan.scan]
    magnitudes = np.minimum(np.abs(scanned), plan.limits)
    signs = np.sign(scanned).astype(np.int8).ravel()
    sizes: list[int] = []
    for plane in range(len(plan.priors) - 1, -1, -1):
        arrangement = plan.arrange(plane, (magnitudes >> (plane + 1)) << (plane + 1))
        chosen = magnitudes.ravel()[arrangement.undecided] >> plane
        prior = plan.priors[plane]
        decisions = chosen.astype(np.int8) * signs[arrangement.undecided]
        _, used = encode_segments(decisions, arrangement.lengths, np.array(prior.orders))
        listed = used.tolist()
        listed.insert(prior.refined_after, len(arrangement.refined))
        sizes += listed
    return sizes


def test_whole_streams_come_back_and_prefixes_only_learn() -> None:
    plan, symbols = make_plan()
    for picture in symbols[:5]:
        coefficients = plan.grid.forward(picture)
        bits = encode_planes(plan, coefficients)
        assert len(bits) == sum(bits_of_segments(plan, picture))
        last: Knowledge | None = None
        for length in (*range(0, len(bits), 7), len(bits)):
            knowledge, used = decode_planes(plan, bits[:length])
            assert used <= length
            if last:
                assert (knowledge.planes <= last.planes).all()
            unit = np.int16(1) << knowledge.planes.astype(np.int16)
            scanned = coefficients.reshape(-1, 6)[plan.scan]
            magnitudes = np.minimum(np.abs(scanned), plan.limits)
            assert (knowledge.magnitudes == magnitudes // unit * unit).all()
            last = knowledge
        assert last
        assert (last.planes == 0).all()
        assert (last.signs[last.magnitudes > 0] == np.sign(scanned)[last.magnitudes > 0]).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_training_sees_what_a_cut_stream_leaves(seed: int) -> None:
    plan, symbols = make_plan(seed)
    reconstruction = np.full((6, len(plan.priors)), 0.4, np.float32)
    drop = PlaneDrop(plan, reconstruction)
    assert drop.num_segments == SEGMENTS * len(plan.priors)
    generator = np.random.default_rng(seed)
    for picture in symbols[:6]:
        cut = int(generator.integers(0, drop.num_segments))
        sizes = bits_of_segments(plan, picture)
        bits = encode_planes(plan, plan.grid.forward(picture))[: sum(sizes[:cut])]
        knowledge, _ = decode_planes(plan, bits)
        values = picture.astype(np.float32)[None] - 128
        restored, planes = drop(values, np.array([cut], np.float32))
        assert np.array_equal(np.asarray(planes)[0], knowledge.raster(knowledge.planes))
        magnitudes = knowledge.raster(knowledge.magnitudes).astype(np.float32)
        known = knowledge.raster(knowledge.planes).astype(np.float32)
        put_back = magnitudes + 0.4 * 2.0**known * (magnitudes > 0) * (known > 0)
        expected = plan.grid.inverse(put_back * knowledge.raster(knowledge.signs))
        assert np.allclose(np.asarray(restored)[0], expected, atol=1e-2)
