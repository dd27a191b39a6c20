from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from pnc.codec.decoder import restore
from pnc.codec.layers import UNKNOWN_SHIFT, Knowledge, LayerPlan, at_shift
from training.tail_drop import TailDrop, shift_table

STEPS = (
    *((channel, shift) for shift in (6, 4, 3, 1, 0) for channel in (0, 1)),
    (2, 7),
    (2, 5),
    (2, 2),
    (3, 0),
)


def make_plan(zero_point: int) -> LayerPlan:
    return LayerPlan(6, 4, 5, zero_point, STEPS)


def random_points(rng: np.random.Generator) -> NDArray[np.float32]:
    points = rng.uniform(0.2, 0.6, (5, UNKNOWN_SHIFT)).astype(np.float32)
    points[:, 0] = 0
    return points


def receive(plan: LayerPlan, symbols: NDArray[np.uint8], cut: float) -> Knowledge:
    """What the bitstream's own arithmetic knows of a stream cut at a place."""
    full = plan.values(symbols)
    knowledge = Knowledge(plan)
    for index, layer in enumerate(plan.layers):
        share = np.clip(cut - index, 0, 1)
        ranks = (np.arange(plan.num_positions) + 0.5) / plan.num_positions
        known = np.flatnonzero(ranks < share)
        values = at_shift(full[layer.channel], 0, layer.shift)
        knowledge.learn(layer, known, values[known])
    return knowledge


@pytest.mark.parametrize("zero_point", [0, 128])
def test_a_cut_is_what_the_decoder_would_know(zero_point: int) -> None:
    rng = np.random.default_rng(zero_point)
    plan, points = make_plan(zero_point), random_points(rng)
    drop = TailDrop(plan, points)
    padded = np.concatenate([points, np.zeros((5, 1), np.float32)], axis=1)
    whole = np.arange(len(STEPS) + 1, dtype=np.float32)
    cuts = np.concatenate([whole, rng.uniform(0, len(STEPS), 40).astype(np.float32)])
    values = rng.normal(0, 60, (len(cuts), 6, 4, 5)).astype(np.float32)
    restored, received = (np.asarray(t) for t in drop(values, cuts))
    symbols = np.clip(np.round(values) + zero_point, 0, 255).astype(np.uint8)
    for index, cut in enumerate(cuts):
        expected = restore(receive(plan, symbols[index], float(cut)), padded)
        assert np.array_equal(restored[index], expected[0]), cut
        assert np.array_equal(received[index], expected[1]), cut


def test_every_precision_of_every_value() -> None:
    plan = LayerPlan(16, 16, 1, 128, ((0, 0),))
    points = random_points(np.random.default_rng(1))[:1]
    drop = TailDrop(plan, points)
    padded = np.concatenate([points, np.zeros((1, 1), np.float32)], axis=1)
    symbols = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    values = symbols.astype(np.float32)[None] - 128
    for shift in range(UNKNOWN_SHIFT + 1):
        knowledge = Knowledge(plan)
        knowledge.values = at_shift(plan.values(symbols), 0, shift)
        knowledge.shifts[:] = shift
        found = drop.quantize_values(values, np.full(values.shape, shift, np.float32))
        for mine, theirs in zip(found, restore(knowledge, padded), strict=True):
            assert np.array_equal(np.asarray(mine)[0], theirs), shift


def test_the_gradient_reaches_what_arrived() -> None:
    plan = make_plan(128)
    drop = TailDrop(plan, random_points(np.random.default_rng(2)))
    values = tf.Variable(np.random.default_rng(3).normal(0, 30, (1, 6, 4, 5)).astype(np.float32))
    with tf.GradientTape() as tape:
        restored, received = drop(values, np.array([2.5], np.float32))
        loss = tf.reduce_sum(restored * tf.constant([1.0, 2.0, 3.0, 4.0, 5.0]))
    gradient = tape.gradient(loss, values).numpy()
    expected = np.where(np.asarray(received) > 0, [1.0, 2.0, 3.0, 4.0, 5.0], 0.0)
    assert np.array_equal(gradient, expected)
    assert (expected[..., :2] > 0).all()
    assert not expected[..., 2:].any()


def test_the_table_follows_the_steps() -> None:
    table = shift_table(make_plan(0))
    assert table.shape == (len(STEPS) + 1, 5)
    assert (table[0] == UNKNOWN_SHIFT).all()
    assert table[3].tolist() == [4, 6, 8, 8, 8]
    assert table[-1].tolist() == [0, 0, 2, 0, 8]
