"""The bounds count what streams really hold."""

from __future__ import annotations

import numpy as np
import pytest

from pnc.codec.plane_coder import encode_planes
from tests.training.test_plane_drop import make_plan
from tools.coder_bounds import Coded, cost, count, main, render


def coded() -> tuple[Coded, int]:
    fitted, symbols = make_plan()
    plan = fitted.plan.planes
    pictures = [plan.grid.forward(plan.grid.values(picture)) for picture in symbols]
    return count(plan, pictures), sum(len(encode_planes(plan, picture)) for picture in pictures)


def test_bits_are_those_of_the_streams() -> None:
    counted, num_bytes = coded()
    bits = counted.bits.sum()
    assert num_bytes * 8 - 8 * len(counted.decisions) < bits <= num_bytes * 8
    refined = counted.refinements.sum()
    assert refined == counted.bits[:, 1].sum()
    assert counted.signs.sum() == counted.decisions[..., 1].sum()


def test_knowing_more_costs_no_bits() -> None:
    counted, _ = coded()
    lines = render(counted, counted).splitlines()
    assert len(lines) == 8
    for line in lines[2:7]:
        assert all(float(cell) <= 0 for cell in line.split("|")[2:4])


def test_arguments_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["photo"]) == 2
    assert capsys.readouterr().err.startswith("usage: python -m tools.coder_bounds")


def test_even_choices_cost_a_bit() -> None:
    even = np.full((3, 2), 500.0)
    assert cost(even, even) == pytest.approx([1000.0] * 3)
