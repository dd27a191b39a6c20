from __future__ import annotations

import numpy as np

from pnc import belt
from training.duplicates import connected, near_duplicates, perceptual_hashes


def test_different_parts_are_no_duplicates() -> None:
    pictures = np.stack([belt.render(index, seed=2, size=32)[0] for index in range(96)])
    assert len(near_duplicates(pictures.astype(np.float32))) == 0


def test_small_changes_keep_the_hash() -> None:
    picture = belt.render(3, size=32)[0].astype(np.float32)
    noisy = picture + np.random.default_rng(0).normal(0, 2, picture.shape)
    darker = picture * 0.8
    both = np.stack([picture, noisy, darker]).astype(np.float32)
    hashes = perceptual_hashes(both)
    assert (hashes[0] @ hashes[1:].T >= 48).all()
    assert near_duplicates(both).tolist() == [[0, 1], [0, 2], [1, 2]]


def test_a_camera_that_stands_still_is_one_group() -> None:
    rng = np.random.default_rng(0)
    scenes = rng.integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    frames = np.concatenate([scene + rng.normal(0, 1, (1100, 32, 32, 3)) for scene in scenes])
    pairs = near_duplicates(frames.astype(np.float32))
    assert len(pairs) == 2 * 1100 * 1099 // 2
    assert connected(pairs[::-1].tolist()) == [tuple(range(1100)), tuple(range(1100, 2200))]


def test_groups_are_what_is_connected() -> None:
    assert connected([]) == []
    assert connected([(5, 9), (1, 2), (9, 3), (2, 7), (8, 7)]) == [(1, 2, 7, 8), (3, 5, 9)]
