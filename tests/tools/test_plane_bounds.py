"""The bounds add up to what streams really hold."""

from __future__ import annotations

import numpy as np
import pytest

from pnc.codec.plane_coder import encode_planes
from tests.training.test_plane_drop import make_plan
from tools.plane_bounds import Segments, errors_by_points, main, measure_segments, render


def test_segments_are_those_of_the_streams() -> None:
    fitted, symbols = make_plan()
    plan = fitted.plan
    pictures = [plan.grid.forward(plan.grid.values(picture)) for picture in symbols]
    segments = measure_segments(plan, pictures)
    mean = np.mean([len(encode_planes(plan.planes, picture)) for picture in pictures])
    assert mean - 1 < segments.sizes.sum() <= mean
    assert segments.savings.sum() == pytest.approx(segments.error)
    lines = render(segments, errors_by_points(plan, pictures, pictures), [4, 8]).splitlines()
    assert all(float(line.split("|")[3].split()[0]) <= 0 for line in lines[2:4])
    assert len(lines) == 2 + 2 + 3 + len(plan.planes.priors) - 1


def test_the_best_order_begins_with_the_steepest() -> None:
    segments = Segments(np.array([10.0, 10.0]), np.array([1.0, 3.0]), 4.0)
    assert segments.errors_at([0, 10, 20]).tolist() == [4.0, 3.0, 0.0]
    assert segments.best_order().tolist() == [1, 0]
    assert segments.bytes_for(np.array([1.0]), segments.best_order()).tolist() == [10.0]


def test_arguments_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["photo"]) == 2
    assert capsys.readouterr().err.startswith("usage: python -m tools.plane_bounds")
