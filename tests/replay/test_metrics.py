from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pnc import belt
from pnc.errors import ConfigError
from pnc.replay.metrics import (
    MAX_PSNR_DB,
    bootstrap_interval,
    luma,
    ms_ssim,
    paired_interval,
    psnr_db,
    top_k,
    top_k_hits,
)

Pixels = NDArray[np.uint8]


def damage(kind: str) -> tuple[Pixels, Pixels]:
    """A picture of patches and slopes and what is left of it, in integer arithmetic."""
    patches = np.random.default_rng(7).integers(0, 160, (28, 28, 3)).repeat(8, 0).repeat(8, 1)
    slope = np.arange(224)
    x = (patches + (slope[:, None, None] + 2 * slope[None, :, None]) // 7).astype(np.uint8)
    if kind == "blocks":
        means = x.reshape(14, 16, 14, 16, 3).mean(axis=(1, 3)).astype(np.uint8)
        return x, means.repeat(16, 0).repeat(16, 1)
    if kind == "bands":
        return x, (x // 48 * 48 + 24).clip(0, 255).astype(np.uint8)
    wave = np.arange(224)[None, :, None] % 80 - 20
    return x, np.clip(x.astype(int) + wave, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("kind", "similarity", "decibels"),
    [
        ("blocks", 0.39388272, 16.117533),
        ("bands", 0.94685835, 24.481646),
        ("wave", 0.85282367, 19.233574),
    ],
)
def test_fidelity_equals_tensorflow(kind: str, similarity: float, decibels: float) -> None:
    # tf.image.ssim_multiscale on luma and tf.image.psnr on RGB, TensorFlow 2.21.
    reference, picture = damage(kind)
    assert ms_ssim(reference, picture) == pytest.approx(similarity, abs=2e-5)
    assert psnr_db(reference, picture) == pytest.approx(decibels, abs=2e-4)


def test_equal_pictures_are_perfect() -> None:
    picture, _ = belt.render(5)
    assert ms_ssim(picture, picture) == pytest.approx(1.0, abs=1e-6)
    assert psnr_db(picture, picture) == MAX_PSNR_DB


def test_inverted_structure_has_no_similarity() -> None:
    picture, _ = belt.render(5)
    assert ms_ssim(picture, 255 - picture) == 0.0


def test_grey_pictures_are_their_own_luma() -> None:
    picture, _ = belt.render(5)
    grey = np.rint(luma(picture)).astype(np.uint8)
    stacked = np.repeat(grey[..., None], 3, axis=2)
    darker = stacked // 2
    assert ms_ssim(grey, grey // 2) == pytest.approx(ms_ssim(stacked, darker), abs=1e-5)


def test_constant_error_has_the_psnr_of_its_square() -> None:
    flat = np.full((8, 8, 3), 100, np.uint8)
    assert psnr_db(flat, flat + 10) == pytest.approx(20 * np.log10(255 / 10))


def test_odd_sides_are_measured() -> None:
    picture = np.tile(np.arange(177, dtype=np.uint8), (179, 1))
    assert 0.0 < ms_ssim(picture, picture // 2) < 1.0


@pytest.mark.parametrize("side", [175, 64])
def test_ms_ssim_refuses_sides_too_short_for_five_scales(side: int) -> None:
    picture = np.zeros((side, 224, 3), np.uint8)
    with pytest.raises(ConfigError, match="176"):
        ms_ssim(picture, picture)


def test_different_shapes_are_refused() -> None:
    one, other = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9, 3), np.uint8)
    for metric in (psnr_db, ms_ssim):
        with pytest.raises(ConfigError, match="differ"):
            metric(one, other)


def test_top_k_breaks_ties_by_index() -> None:
    probabilities = np.array([0, 9, 3, 9, 0, 0], np.uint8)
    assert top_k(probabilities, 4) == [1, 3, 2, 0]


def test_hits_count_the_first_k_and_nothing_delivered_is_a_miss() -> None:
    predictions = [[3, 1], [1, 3], [2], []]
    assert top_k_hits(predictions, [3, 3, 3, 3], 1).tolist() == [True, False, False, False]
    assert top_k_hits(predictions, [3, 3, 3, 3], 5).tolist() == [True, True, False, False]


def test_bootstrap_interval_is_that_of_the_binomial() -> None:
    hits = np.arange(400) % 5 < 4
    interval = bootstrap_interval(hits, seed=1)
    half_width = 1.96 * np.sqrt(0.8 * 0.2 / 400)
    assert interval.value == 0.8
    assert interval.low == pytest.approx(0.8 - half_width, abs=0.006)
    assert interval.high == pytest.approx(0.8 + half_width, abs=0.006)


def test_bootstrap_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(200):
        interval = bootstrap_interval(rng.normal(2.0, 1.0, 60), num_resamples=400)
        covered += interval.low <= 2.0 <= interval.high
    assert 178 <= covered <= 199


def test_bootstrap_repeats_with_its_seed() -> None:
    values = np.arange(20.0)
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3)
    assert bootstrap_interval(values, seed=3) != bootstrap_interval(values, seed=4)


def test_interval_of_equal_values_has_no_width() -> None:
    assert bootstrap_interval([1.0] * 9).to_json() == {"value": 1.0, "low": 1.0, "high": 1.0}


@pytest.mark.parametrize("values", [[], [[1.0, 2.0]]])
def test_interval_needs_one_value_a_picture(values: list[float]) -> None:
    with pytest.raises(ConfigError, match="one value"):
        bootstrap_interval(values)


def test_pairing_removes_what_both_share() -> None:
    hard = np.random.default_rng(0).random(200) < 0.5
    better = hard | (np.arange(200) < 10)
    paired = paired_interval(better, hard)
    alone = bootstrap_interval(better)
    assert paired.low > 0
    assert paired.high - paired.low < 0.5 * (alone.high - alone.low)


def test_pairs_need_the_same_pictures() -> None:
    with pytest.raises(ConfigError, match="differ"):
        paired_interval([1.0], [1.0, 2.0])
