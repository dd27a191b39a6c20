from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pnc.replay.baselines.jpeg import CutJpeg
from pnc.replay.metrics import psnr_db


def test_a_beginning_without_a_scan_is_none(picture: NDArray[np.uint8]) -> None:
    assert CutJpeg(30, 1).encode_within(picture, [100]) == {100: None}


def test_cut_jpeg_decodes_at_every_length(picture: NDArray[np.uint8]) -> None:
    contender = CutJpeg(50, 4)
    whole = contender.encode_within(picture, [10**6])[10**6]
    assert whole is not None
    quality = []
    for length in range(480, len(whole) + 1, 7):
        stream = contender.encode_within(picture, [length])[length]
        if stream is not None:
            quality.append(psnr_db(picture, contender.decode(stream)))
    assert min(quality) > 15
    assert quality[-1] == max(quality)
    assert len(quality) > 50
