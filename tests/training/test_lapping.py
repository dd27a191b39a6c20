from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pnc.codec.lapping import LAPPINGS, MIDDLE, SPREAD
from training.lapping import lap, lapped, unlap

LAPPING = LAPPINGS["lapped"]


def test_the_graph_laps_as_the_device_does(pictures: NDArray[np.uint8]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3)).astype(np.uint8)
    both = np.concatenate([pictures[:2], noise])
    found = np.asarray(lap(both.astype(np.float32), LAPPING))
    np.testing.assert_array_equal(found, lapped(both, LAPPING))


def test_the_graph_unlaps_as_the_server_does(pictures: NDArray[np.uint8]) -> None:
    halved = lapped(pictures[:2], LAPPING).astype(np.float32)
    mixed = (halved - MIDDLE) * SPREAD + MIDDLE
    found = np.asarray(unlap(mixed, LAPPING))
    np.testing.assert_allclose(found, [LAPPING.inverse(one) for one in mixed], atol=1e-3)
    assert np.abs(found - pictures[:2]).mean() < 0.7


def test_without_lapping_nothing_happens(pictures: NDArray[np.uint8]) -> None:
    assert lapped(pictures, None) is pictures
    assert lap(pictures, None) is pictures
    assert unlap(pictures, None) is pictures
