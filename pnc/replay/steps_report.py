"""Table and plot of accuracy on a fine grid of budgets, made from their JSON and nothing else."""

from __future__ import annotations

from typing import Any

from pnc.replay.report import INK, MANY_CLASSES, OWN_COLOURS, Results, title_of

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
        for metric, title in (("top1", "top-1"), ("top5", "top-5")):
            steps = row[f"{metric}_steps"]
            deepest, down = steps["deepest"], steps["down_beyond_noise"]
            drop = f"{100 * deepest['value']:+.1f} (noise {100 * deepest['noise']:.1f})"
            lines.append(
                f"| {row['set']} | {row['judge']} | {row['n']} | {title} | {drop} | "
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
    classes = {judge["name"]: judge["num_classes"] for judge in results["judges"]}
    figure.set_size_inches(8.0, 3.6 * len(rows))
    figure.set_facecolor("white")
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.1)
    grid = figure.subplots(len(rows), 1, squeeze=False)
    for row, (axes,) in zip(rows, grid, strict=True):
        metric = "top5" if classes[row["judge"]] >= MANY_CLASSES else "top1"
        value, low, high = (
            [100 * cell[part] for cell in row[metric]] for part in ("value", "low", "high")
        )
        axes.fill_between(budgets, low, high, color=OWN_COLOURS[0], alpha=0.16, linewidth=0)
        axes.plot(budgets, value, color=OWN_COLOURS[0], marker=".", linewidth=1.4)
        down = row[f"{metric}_steps"]["down_beyond_noise"]
        axes.plot(
            down, [value[budgets.index(budget)] for budget in down], "v", color=DOWN, zorder=5
        )
        axes.set_ylim(0, 102)
        axes.set_xlim(0, budgets[-1])
        axes.set_xlabel("bytes at most", color=INK)
        axes.set_ylabel(f"{title_of(metric)} accuracy, %", color=INK)
        axes.set_title(
            f"{results['codec']} on {row['set']}, judged by {row['judge']} (n = {row['n']})",
            loc="left",
            fontsize=10,
            color=INK,
        )
        axes.grid(color="#e5e7eb", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
