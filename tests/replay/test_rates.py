from __future__ import annotations

import numpy as np
import pytest

from pnc.errors import ConfigError
from pnc.replay.rates import bytes_for_accuracy, mean_rate_change, rate_change_interval

BUDGETS = [512, 1024, 2048, 4096]


def test_bytes_for_accuracy_interpolates_in_the_logarithm() -> None:
    sizes, accuracy = [512, 1024, 2048], [0.2, 0.6, 0.7]
    assert bytes_for_accuracy(sizes, accuracy, 0.4) == pytest.approx(512 * 2**0.5)
    assert bytes_for_accuracy(sizes, accuracy, 0.6) == pytest.approx(1024)
    assert bytes_for_accuracy(sizes, accuracy, 0.1) == 512
    assert bytes_for_accuracy(sizes, accuracy, 0.8) is None
    assert bytes_for_accuracy([1, 10, 100], [0.9, 0.5, 0.9], 0.7) == pytest.approx(10**1.5)


def test_rate_change_of_half_the_bytes_is_minus_a_half() -> None:
    accuracy = [0.2, 0.6, 0.7, 0.8]
    sizes = np.array([512, 1024, 2048, 4096])
    half = mean_rate_change((sizes / 2).tolist(), accuracy, sizes.tolist(), accuracy)
    assert half == pytest.approx(-0.5)


def test_rate_change_takes_the_best_of_less() -> None:
    sizes = [512, 1024, 2048, 4096]
    dip = mean_rate_change(sizes, [0.2, 0.6, 0.5, 0.8], sizes, [0.2, 0.6, 0.6, 0.8])
    assert dip == pytest.approx(0.0, abs=1e-6)


def test_rate_change_needs_a_common_accuracy() -> None:
    assert mean_rate_change([1, 2], [0.1, 0.2], [1, 2], [0.3, 0.4]) is None


def hits(accuracy: list[float], *, seed: int = 0, num_pictures: int = 200) -> list[list[float]]:
    """Pictures from easy to hard: one that is recognized within a budget is so within larger."""
    ease = np.random.default_rng(seed).permutation(num_pictures) / num_pictures
    return [(ease < value).astype(float).tolist() for value in accuracy]


def test_interval_lies_around_the_change() -> None:
    ours, theirs = hits([0.4, 0.6, 0.8, 0.9]), hits([0.2, 0.4, 0.6, 0.8], seed=1)
    change = rate_change_interval(BUDGETS, ours, theirs, num_resamples=300)
    assert change.value == pytest.approx(-0.5, abs=1e-3)
    assert change.low is not None
    assert change.high is not None
    assert -0.62 < change.low < -0.5 < change.high < -0.3
    assert change.accuracies == pytest.approx((0.4, 0.8), abs=1e-6)
    assert change == rate_change_interval(BUDGETS, ours, theirs, num_resamples=300)


def test_equal_codecs_do_not_differ_in_any_resample() -> None:
    ours = hits([0.2, 0.4, 0.6, 0.8])
    change = rate_change_interval(BUDGETS, ours, ours, num_resamples=50)
    assert (change.value, change.low, change.high) == (0.0, 0.0, 0.0)


def test_curves_without_a_common_accuracy_have_no_rate_change() -> None:
    change = rate_change_interval(BUDGETS, hits([0.6, 0.7, 0.8, 0.9]), hits([0.1, 0.2, 0.3, 0.4]))
    assert change.to_json() == {"value": None, "low": None, "high": None, "accuracies": None}


def test_hardly_overlapping_curves_have_no_interval() -> None:
    ours, theirs = hits([0.6, 0.7, 0.8, 0.9]), hits([0.1, 0.2, 0.3, 0.61], seed=1)
    change = rate_change_interval(BUDGETS, ours, theirs, num_resamples=100)
    assert change.value is not None
    assert change.low is change.high is None


@pytest.mark.parametrize("shapes", [((4, 2), (4, 3)), ((4, 0), (4, 0)), ((4,), (4,))])
def test_rate_change_needs_the_same_pictures(
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
) -> None:
    ours, theirs = (np.ones(shape) for shape in shapes)
    with pytest.raises(ConfigError, match="shapes"):
        rate_change_interval(BUDGETS, ours, theirs)
