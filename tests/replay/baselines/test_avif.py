from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pnc.replay.baselines.avif import StrippedAvif
from tests.replay.baselines.variants import variant

CONTAINER_BYTES = 275


def test_stripped_avif_leaves_out_the_container_and_nothing_else(
    picture: NDArray[np.uint8],
) -> None:
    for scale in ("scale 1/2", "scale 1/4"):
        whole, bare = variant("avif", scale), variant("avif-stripped", scale)
        assert isinstance(bare, StrippedAvif)
        stream = bare.encode_within(picture, [600])[600]
        file = whole.encode_within(picture, [600 + CONTAINER_BYTES])[600 + CONTAINER_BYTES]
        assert stream is not None
        assert file is not None
        assert bare.unpack(stream) == file
        assert len(file) - len(stream) == CONTAINER_BYTES
        assert np.array_equal(bare.decode(stream), whole.decode(file))


def test_avif_that_cannot_be_restored_is_sent_whole() -> None:
    bare = variant("avif-stripped", "scale 1/4")
    assert isinstance(bare, StrippedAvif)
    buffer = io.BytesIO()
    Image.new("L", (16, 16)).save(buffer, "AVIF")
    file = buffer.getvalue()
    assert bare.pack(file) == file
    assert bare.unpack(file) == file
