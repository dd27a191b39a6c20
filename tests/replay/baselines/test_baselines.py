from __future__ import annotations

import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from pnc.errors import ConfigError
from pnc.replay.baselines import RIVALS, TITLES, find_missing, open_family
from pnc.replay.metrics import psnr_db
from tests.replay.baselines.variants import variant


def test_every_rival_has_a_title_and_every_scale() -> None:
    assert TITLES.keys() == {*RIVALS, "rtss23-huffman", "klt-8", "klt-14"}
    for family in RIVALS.keys() - find_missing(RIVALS):
        variants = open_family(family)
        assert {v.family for v in variants} == {family}
        assert len({v.fingerprint for v in variants}) == len(variants)
        settings = [v.setting for v in variants]
        for words in ("full size", "scale 1/2", "scale 1/4"):
            assert any(setting.endswith(words) for setting in settings)


@pytest.mark.parametrize("family", ["jpeg", "webp", "avif-stripped", "jpegxl", "jpeg2000"])
def test_streams_fit_and_more_bytes_look_better(family: str, picture: NDArray[np.uint8]) -> None:
    if family == "jpegxl":
        pytest.importorskip("pillow_jxl")
    contender = variant(family, "effort 9, scale 1/2" if family == "jpegxl" else "scale 1/2")
    streams = contender.encode_within(picture, (1200, 2000))
    quality = []
    for budget, stream in streams.items():
        assert stream is not None
        assert len(stream) <= budget
        decoded = contender.decode(stream)
        assert decoded.shape == (224, 224, 3)
        quality.append(psnr_db(picture, decoded))
    assert 20 < quality[0] < quality[1]


def test_unknown_rival_is_refused() -> None:
    with pytest.raises(ConfigError, match="known are"):
        open_family("gif")


def test_missing_rival_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    assert find_missing(["webp", "jpegxl"]) == {
        "jpegxl": "jpegxl is left out: no JPEG XL here; install pillow-jxl-plugin"
    }
