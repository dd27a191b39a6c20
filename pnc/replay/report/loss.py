"""Tables and plots of accuracy under packet loss."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from pnc.replay.report.drawing import MUTED, OWN_COLOURS, draw_curve, make_panels, style_panel
from pnc.replay.report.results import Results, list_panels, title_of, widest_half

LOSS_SCHEMA = "pnc.loss/2"
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
        widest = widest_half(cells.values(), metric)
        lines = [
            f"**{set_name}, judged by {judge}: `{codec}` in packets of {mtu} bytes** "
            f"(n = {count}, {results['num_seeds']} draws). "
            f"Each cell: {title_of(metric)} in percent; in brackets the points against no loss; "
            f"half-widths of the 95 % intervals are at most {widest:.1f} points.",
            "",
            "| bytes sent | repairs a piece | "
            f"{' | '.join(f'{100 * p:g} % lost' for p in results['losses'])} |",
            f"|---:|---:|{'---:|' * len(results['losses'])}",
        ]
        for budget, redundancy in product(results["budgets"], results["redundancies"]):
            texts = []
            for loss in results["losses"]:
                row = cells[budget, redundancy, loss]
                change = 100 * row[f"{metric}_less_no_loss"]["value"]
                text = f"{100 * row[metric]['value']:.1f}"
                texts.append(f"{text} ({change:+.1f})" if loss else text)
            lines.append(f"| {budget:,} | {redundancy:g} | {' | '.join(texts)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def draw_loss(figure: Any, results: Results) -> None:
    """Draw a row for each set, judge, checkpoint and packet size: accuracy over loss by budget.

    Args:
        figure: An empty ``matplotlib.figure.Figure``; its size and layout are set.
        results: Of `LOSS_SCHEMA`.
    """
    panels = list(product(_panels(results), results["budgets"]))
    losses = [100 * loss for loss in results["losses"]]
    places = make_panels(figure, len(panels), len(results["budgets"]), width=4.2, height=3.8)
    for axes, (panel, budget) in zip(places, panels, strict=True):
        set_name, judge, codec, mtu, metric = panel
        cells = _cells(results, panel)
        for index, redundancy in enumerate(results["redundancies"]):
            row = [cells[budget, redundancy, loss][metric] for loss in results["losses"]]
            colour = OWN_COLOURS[index] if index < len(OWN_COLOURS) else MUTED
            label = f"{redundancy:g} repairs a piece" if redundancy else "no repairs"
            draw_curve(axes, losses, row, color=colour, marker="o", label=label)
        style_panel(
            axes,
            title=f"{codec}, {budget:,} bytes in packets of {mtu} bytes\n"
            f"{set_name}, judged by {judge}",
            x_label="packets lost, %",
            metric=metric,
        )
        axes.set_xticks(losses, [f"{loss:g}" for loss in losses])
        axes.legend(frameon=False, fontsize=9)


def _panels(results: Results) -> Iterator[Panel]:
    for set_name, judge, metric in list_panels(results):
        for codec in results["codecs"]:
            for mtu in results["mtus"]:
                yield set_name, judge, codec, mtu, metric


def _cells(results: Results, panel: Panel) -> dict[tuple[int, float, float], Any]:
    """Return a panel's rows by (budget, redundancy, loss)."""
    return {
        (row["budget"], row["redundancy"], row["loss"]): row
        for row in results["results"]
        if (row["set"], row["judge"], row["codec"], row["mtu_bytes"]) == panel[:4]
    }
