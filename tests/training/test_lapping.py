from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pnc.codec.lapping import LAPPINGS, MIDDLE, SPREAD
from training.architectures import LAPPED_CHANNELS
from training.autoencoder import Autoencoder
from training.export import convert_encoder, encoder_parity
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


def test_a_new_autoencoder_is_the_transform_of_lapped_pictures(
    lapped: Autoencoder, pictures: NDArray[np.uint8]
) -> None:
    x = pictures[:2].astype(np.float32)
    errors = []
    for num_bytes in (0, 300, 1000, 4000):
        decoded = np.asarray(lapped.reconstruct(x, lapped.cuts.at(num_bytes, 2)))
        errors.append(float(np.square(decoded - x).mean()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 5


def test_the_uint8_encoder_gets_lapped_pictures(
    lapped: Autoencoder, pictures: NDArray[np.uint8]
) -> None:
    content = convert_encoder(lapped, pictures)
    assert len(content) < 64 * 1024
    extremes = np.stack([np.zeros((224, 224, 3)), np.full((224, 224, 3), 255)]).astype(np.uint8)
    parity = encoder_parity(lapped, content, np.concatenate([pictures, extremes]))
    assert parity.equal >= 0.999
    assert parity.largest <= 1


def test_lapping_fits_the_device() -> None:
    """Multiplications: lapping (along rows and along columns), halving the colour, projecting."""
    num, borders = len(LAPPING.weights), 224 // LAPPING.patch - 1
    lapping = 2 * borders * 224 * 3 * num**2
    halving, projecting = 2 * 2 * 3 * 6 * 112**2, 7 * 7 * 6 * LAPPED_CHANNELS * 256
    assert lapping + halving + projecting <= 10e6
