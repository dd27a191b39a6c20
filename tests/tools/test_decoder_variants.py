"""Changes of decoded pictures do what their names say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.judges import Judge, open_judges
from pnc import Codec, belt
from tools.decoder_variants import SIZES, VARIANTS, Variants, divergence, main, measure, render

Picture = NDArray[np.uint8]


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    return [belt.render(index, seed=5)[0] for index in range(8)]


@pytest.fixture(scope="module")
def variants(pictures: list[Picture]) -> Variants:
    return Variants(Codec.load("belt"), pictures[:6])


def test_pictures_that_fit_are_nearer_and_stay(variants: Variants, pictures: list[Picture]) -> None:
    known = variants.knowledge(variants.codec.encode(pictures[7])[:700])
    before, after = variants.as_it_is(known), variants.fitting(known)
    errors = [np.square(pictures[7].astype(float) - one).mean() for one in (before, after)]
    assert errors[1] < errors[0]
    assert not np.array_equal(before, after)


def test_all_variants_are_judged(
    variants: Variants, pictures: list[Picture], tmp_path: Path
) -> None:
    specs, _ = open_judges(["belt"], tmp_path)
    found = measure(variants, pictures[6:], [Judge(spec) for spec in specs])
    assert found.shape == (len(VARIANTS), len(SIZES), 2, 2)
    assert (found[..., 0] > 15).all()
    grainy = list(VARIANTS).index("half of the grain")
    assert found[grainy, 0, :, 0].mean() < found[0, 0, :, 0].mean() - 0.2
    assert len(render(found).splitlines()) == 2 + len(VARIANTS)


def test_divergence_of_the_same_is_nothing() -> None:
    even, sure = np.full(4, 0.25, np.float32), np.array([1, 0, 0, 0], np.float32)
    assert divergence(even, even) == 0
    assert divergence(sure, even) == pytest.approx(np.log(4))


def test_arguments_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["photo"]) == 2
    assert capsys.readouterr().err.startswith("usage: python -m tools.decoder_variants")
