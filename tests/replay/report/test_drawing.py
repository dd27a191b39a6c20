from __future__ import annotations

import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from pnc.replay.report.drawing import draw_curve, make_panels, style_panel

CELLS = [{"value": 0.5, "low": 0.4, "high": 0.7}, {"value": 0.9, "low": 0.8, "high": 0.95}]


def test_places_without_a_panel_stay_empty() -> None:
    figure = Figure()
    panels = make_panels(figure, 3, 2, width=5.0, height=4.0)
    assert [axes.axison for axes in figure.axes] == [True, True, True, False]
    assert panels == figure.axes[:3]
    assert figure.get_size_inches().tolist() == [10.0, 8.0]


@pytest.mark.parametrize("bars", [False, True])
def test_curve_is_percent_with_its_intervals(bars: bool) -> None:
    (axes,) = make_panels(Figure(), 1, 1, width=5.0, height=4.0)
    line = draw_curve(axes, [512, 1024], CELLS, color="#000000", bars=bars)
    assert line.get_xydata().tolist() == [[512, 50], [1024, 90]]
    (intervals,) = axes.collections
    assert isinstance(intervals, LineCollection) == bars
    heights = [y for path in intervals.get_paths() for _, y in path.vertices]
    assert (min(heights), max(heights)) == (40, 95)


def test_panel_says_what_it_shows() -> None:
    (axes,) = make_panels(Figure(), 1, 1, width=5.0, height=4.0)
    style_panel(axes, title="photos", x_label="bytes", metric="top5")
    assert axes.get_title(loc="left") == "photos"
    assert axes.get_xlabel() == "bytes"
    assert axes.get_ylabel() == "top-5 accuracy, %"
