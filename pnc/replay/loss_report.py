"""Tables and plots of accuracy under packet loss, made from their JSON and from nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pnc.replay.report import INK, MANY_CLASSES, MUTED, OWN_COLOURS, Results, title_of

LOSS_SCHEMA = "pnc.loss/1"
"""Name and version of the JSON that this module reads."""

Panel = tuple[str, str, str, int, str]
"""Set, judge, checkpoint, bytes of the largest packet, headline "top1" or "top5"."""


def loss_tables(results: Results) -> str:
    """Return Markdown: a table for each panel, accuracy and its loss in percent points."""
    parts = []
    for panel in _panels(results):
        set_name, judge, codec, mtu, metric = panel
        cells = _cells(results, panel)
        count = next(iter(cells.values()))["n"]
        lines = [
            f"**{set_name}, judged by {judge}: `{codec}` in packets of {mtu} bytes** "
            f"(n = {count}, {results['num_seeds']} draws). "
            f"Each cell: {title_of(metric)} in percent; in brackets the points against no loss.",
            "",
            f"| bytes sent | {' | '.join(f'{100 * p:g} % lost' for p in results['losses'])} |",
            f"|---:|{'---:|' * len(results['losses'])}",
        ]
        for budget in results["budgets"]:
            texts = []
            for loss in results["losses"]:
                row = cells[budget, loss]
                change = 100 * row[f"{metric}_less_no_loss"]["value"]
                text = f"{100 * row[metric]['value']:.1f}"
                texts.append(f"{text} ({change:+.1f})" if loss else text)
            lines.append(f"| {budget:,} | {' | '.join(texts)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def draw_loss(figure: Any, results: Results) -> None:
    """Draw a panel for each set, judge, checkpoint and packet size: accuracy over loss.

    Args:
        figure: An empty ``matplotlib.figure.Figure``; its size and layout are set.
        results: Of `LOSS_SCHEMA`.
    """
    panels = list(_panels(results))
    num_columns = min(len(panels), max(2, len(results["mtus"])))
    num_rows = -(-len(panels) // num_columns)
    figure.set_size_inches(5.2 * num_columns, 4.0 * num_rows)
    figure.set_facecolor("white")
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.1)
    grid = figure.subplots(num_rows, num_columns, squeeze=False)
    losses = [100 * loss for loss in results["losses"]]
    for place in range(num_rows * num_columns):
        axes = grid[place // num_columns][place % num_columns]
        if place >= len(panels):
            axes.set_axis_off()
            continue
        set_name, judge, codec, mtu, metric = panels[place]
        cells = _cells(results, panels[place])
        for index, budget in enumerate(reversed(results["budgets"])):
            rows = [cells[budget, loss][metric] for loss in results["losses"]]
            value, low, high = (
                [100 * row[part] for row in rows] for part in ("value", "low", "high")
            )
            colour = OWN_COLOURS[index] if index < len(OWN_COLOURS) else MUTED
            axes.fill_between(losses, low, high, color=colour, alpha=0.16, linewidth=0)
            axes.plot(losses, value, color=colour, marker="o", label=f"{budget:,} bytes")
        axes.set_ylim(0, 102)
        axes.set_xticks(losses, [f"{loss:g}" for loss in losses])
        axes.set_xlabel("packets lost, %", color=INK)
        axes.set_ylabel(f"{title_of(metric)} accuracy, %", color=INK)
        axes.set_title(
            f"{codec} in packets of {mtu} bytes\n{set_name}, judged by {judge}",
            loc="left",
            fontsize=10,
            color=INK,
        )
        axes.grid(axis="y", color="#e5e7eb", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=9)


def _panels(results: Results) -> Iterator[Panel]:
    classes = {judge["name"]: judge["num_classes"] for judge in results["judges"]}
    for row in results["undamaged"]:
        metric = "top5" if classes[row["judge"]] >= MANY_CLASSES else "top1"
        for codec in results["codecs"]:
            for mtu in results["mtus"]:
                yield row["set"], row["judge"], codec, mtu, metric


def _cells(results: Results, panel: Panel) -> dict[tuple[int, float], Any]:
    """Return a panel's rows by (budget, loss)."""
    return {
        (row["budget"], row["loss"]): row
        for row in results["results"]
        if (row["set"], row["judge"], row["codec"], row["mtu_bytes"]) == panel[:4]
    }
