from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.budget.speeds import measure_speeds


def test_speeds_are_measured(tiny_run: Any, pictures: NDArray[np.uint8]) -> None:
    with tiny_run.with_its_models():
        speeds = measure_speeds(tiny_run.recipe, pictures, 3)
    assert min(speeds.classifier_pixel_s, speeds.autoencoder_s, speeds.distill_s) > 0
    assert speeds.classifier_step(224) > speeds.classifier_step(64)
    assert speeds.look_s > 0
    assert speeds.decode_s > 0
