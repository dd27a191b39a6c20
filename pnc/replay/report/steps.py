"""Table and plot of accuracy on a fine grid of budgets."""

from __future__ import annotations

from typing import Any

from pnc.replay.report.drawing import GRID, OWN_COLOURS, draw_curve, make_panels, style_panel
from pnc.replay.report.results import Results, headlines, title_of

STEPS_SCHEMA = "pnc.steps/1"
"""Name and version of the JSON that this module reads."""

DOWN = "#c0392b"
"""Colour of a step down beyond noise."""


def steps_table(results: Results) -> str:
    """Return Markdown: for each set and judge the deepest step down and those beyond noise."""
    budgets = results["budgets"]
    lines = [
        f"`{results['codec']}`, {len(budgets)} budgets from {budgets[0]:,} to {budgets[-1]:,} "
        "bytes; a step is beyond noise if its 95 % interval, of all steps together, is below zero.",
        "",
        "| set | judge | n | | deepest step down, points | at bytes | beyond noise at |",
        "|---|---|---:|---|---:|---:|---|",
    ]
    for row in results["results"]:
        for metric in ("top1", "top5"):
            steps = row[f"{metric}_steps"]
            deepest, down = steps["deepest"], steps["down_beyond_noise"]
            drop = f"{100 * deepest['value']:+.1f} (noise {100 * deepest['noise']:.1f})"
            lines.append(
                f"| {row['set']} | {row['judge']} | {row['n']} | {title_of(metric)} | {drop} | "
                f"{deepest['budget']:,} | {', '.join(f'{b:,}' for b in down) or 'none'} |"
            )
    return "\n".join(lines)


def draw_steps(figure: Any, results: Results) -> None:
    """Draw a panel for each set and judge: accuracy over bytes, steps down beyond noise in red.

    Args:
        figure: An empty ``matplotlib.figure.Figure``; its size and layout are set.
        results: Of `STEPS_SCHEMA`.
    """
    budgets, rows = results["budgets"], results["results"]
    metrics = headlines(results)
    panels = make_panels(figure, len(rows), 1, width=8.0, height=3.6)
    for row, axes in zip(rows, panels, strict=True):
        metric = metrics[row["judge"]]
        cells = row[metric]
        draw_curve(axes, budgets, cells, color=OWN_COLOURS[0], marker=".", linewidth=1.4)
        down = row[f"{metric}_steps"]["down_beyond_noise"]
        values = [100 * cells[budgets.index(budget)]["value"] for budget in down]
        axes.plot(down, values, "v", color=DOWN, zorder=5)
        style_panel(
            axes,
            title=f"{results['codec']} on {row['set']}, judged by {row['judge']} (n = {row['n']})",
            x_label="bytes at most",
            metric=metric,
        )
        axes.set_xlim(0, budgets[-1])
        axes.grid(axis="x", **GRID)
