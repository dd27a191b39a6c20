from __future__ import annotations

import numpy as np

from training.report.drawing import Series, line_chart, picture_uri


def test_a_chart_holds_its_lines() -> None:
    svg = line_chart(
        [Series("a & b", [128, 4096], [0.1, 0.9], "#123456", [0.05, 0.05])],
        log_x=True,
        percent=True,
        y_range=(0, 1),
        x_ticks=[128, 4096],
    )
    assert "a &amp; b" in svg
    assert "<polygon" in svg
    assert ">4096<" in svg
    assert ">20%<" in svg
    assert "nan" not in line_chart([Series("flat", [1.0], [0.5], "red")])
    assert "nothing was recorded" in line_chart([])


def test_axes_have_round_numbers() -> None:
    svg = line_chart([Series("loss", [305.5, 611], [0.56, 2.1], "red")])
    for tick in ("400", "500", "600", "1", "1.5", "2"):
        assert f">{tick}<" in svg
    assert svg.count('class="tick"') == 6


def test_a_chart_leaves_out_what_is_no_number() -> None:
    nan = float("nan")
    svg = line_chart([Series("loss", [1, 2, 3], [0.5, nan, 0.7], "red", [0.1, nan, 0.1])])
    assert svg == line_chart([Series("loss", [1, 3], [0.5, 0.7], "red", [0.1, 0.1])])
    assert "nothing was recorded" in line_chart([Series("loss", [1], [nan], "red")])


def test_pictures_travel_inside_the_page() -> None:
    assert picture_uri(np.zeros((8, 8, 3), np.uint8)).startswith("data:image/jpeg;base64,")
