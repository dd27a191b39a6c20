"""The look that all plots share: colours, panels, curves with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pnc.replay.report.results import title_of

INK = "#22262b"
MUTED = "#6b7280"
GRID = {"color": "#e5e7eb", "linewidth": 0.8}

OWN_COLOURS = ("#0b6e4f", "#1fa27a", "#6fbf9b")
"""Our checkpoints."""


def make_panels(
    figure: Any, num_panels: int, num_columns: int, width: float, height: float
) -> list[Any]:
    """Lay out an empty figure; return the axes of its panels, row by row.

    Args:
        figure: An empty ``matplotlib.figure.Figure``; its size and layout are set.
        num_panels: How many are needed.
        num_columns: How many stand side by side.
        width: Of a panel, inches.
        height: Of a panel, inches.
    """
    num_rows = -(-num_panels // num_columns)
    figure.set_size_inches(width * num_columns, height * num_rows)
    figure.set_facecolor("white")
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.1)
    places = list(figure.subplots(num_rows, num_columns, squeeze=False).flat)
    for unused in places[num_panels:]:
        unused.set_axis_off()
    return places[:num_panels]


QUALITIES = {"psnr_db": "PSNR, dB", "ms_ssim": "MS-SSIM"}
"""How alike pictures are: metrics that are no percentages, and what axes call them."""


def style_panel(axes: Any, *, title: str, x_label: str, metric: str, **title_style: Any) -> None:
    """Give a panel its title, labels and grid; accuracies get percent as their upright axis.

    Args:
        axes: The panel.
        title: Above its left edge.
        x_label: What its level axis shows.
        metric: What its upright axis shows, "top1", "top5" or one of `QUALITIES`.
        title_style: Of Matplotlib's ``set_title``.
    """
    if metric not in QUALITIES:
        axes.set_ylim(0, 102)
    axes.set_xlabel(x_label, color=INK)
    axes.set_ylabel(QUALITIES.get(metric) or f"{title_of(metric)} accuracy, %", color=INK)
    axes.set_title(title, loc="left", color=INK, **{"fontsize": 10, **title_style})
    axes.grid(axis="y", **GRID)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def draw_curve(
    axes: Any,
    places: Sequence[float],
    cells: Sequence[Mapping[str, float]],
    *,
    color: str,
    bars: bool = False,
    scale: float = 100,
    **line_style: Any,
) -> Any:
    """Draw values, their intervals as a band or as bars; return Matplotlib's line.

    Args:
        axes: The panel.
        places: Where on the level axis.
        cells: For each place value, low and high.
        color: Of line and intervals.
        bars: Whether intervals are bars.
        scale: What values are drawn times; shares as percent unless told otherwise.
        line_style: Of Matplotlib's ``plot``.
    """
    values, low, high = (
        [scale * cell[part] for cell in cells] for part in ("value", "low", "high")
    )
    if bars:
        axes.vlines(places, low, high, color=color, linewidth=1, alpha=0.45, zorder=2)
    else:
        axes.fill_between(places, low, high, color=color, alpha=0.16, linewidth=0)
    (line,) = axes.plot(places, values, color=color, **line_style)
    return line
