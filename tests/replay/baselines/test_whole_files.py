from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.replay.baselines.variants import variant


def test_jpeg_xl_is_a_bare_code_stream(picture: NDArray[np.uint8]) -> None:
    pytest.importorskip("pillow_jxl")
    stream = variant("jpegxl", "effort 7, scale 1/4").encode_within(picture, [600])[600]
    assert stream is not None
    assert stream.startswith(b"\xff\x0a")
