"""Table and plot of accuracy, on-time share and results over a link with faults."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

from pnc.replay.report.drawing import (
    INK,
    MUTED,
    OWN_COLOURS,
    draw_curve,
    make_panels,
    style_panel,
)
from pnc.replay.report.results import Results, list_panels, title_of, widest_half

FAULTS_SCHEMA = "pnc.faults/1"
"""Name and version of the JSON that this module reads."""


def faults_table(results: Results) -> str:
    """Return Markdown: for each set and judge a row for each packet size and fault."""
    parts = []
    for set_name, judge, metric in list_panels(results):
        rows = [
            one for one in results["results"] if (one["set"], one["judge"]) == (set_name, judge)
        ]
        widest = widest_half(rows, metric)
        lines = [
            f"**{set_name}, judged by {judge}: `{results['codec']}` at "
            f"{results['rate_bps'] / 1000:g} kbit/s, a picture every {results['deadline_s']:g} s** "
            f"(n = {rows[0]['n']}). {title_of(metric)} and on time in percent; half-widths of the "
            f"95 % intervals of {title_of(metric)} are at most {widest:.1f} points.",
            "",
            f"| packets of | fault, both ways | {title_of(metric)} | on time | bytes in time "
            "| sent again | no result | two results | result after, 50 / 95 / 100 % "
            "| longest skip, of frames of |",
            "|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        ]
        lines += [_line(row, metric) for row in rows]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def draw_faults(figure: Any, results: Results) -> None:
    """Draw a row for each set and judge: accuracy and on-time share over loss, and over bit errors.

    Args:
        figure: An empty ``matplotlib.figure.Figure``; its size and layout are set.
        results: Of `FAULTS_SCHEMA`.
    """
    panels = list(product(list_panels(results), ("loss", "bit_error")))
    places = make_panels(figure, len(panels), 2, width=5.2, height=3.8)
    for axes, ((set_name, judge, metric), kind) in zip(places, panels, strict=True):
        other = "bit_error" if kind == "loss" else "loss"
        for mtu, colour in zip(results["mtus"], [*OWN_COLOURS, INK, MUTED], strict=False):
            cells = [
                row
                for row in results["results"]
                if (row["set"], row["judge"], row["mtu_bytes"]) == (set_name, judge, mtu)
                and not row[other]
            ]
            spots = list(range(len(cells)))
            accuracies = [row[metric] for row in cells]
            label = f"{title_of(metric)}, packets of {mtu} bytes"
            draw_curve(axes, spots, accuracies, color=colour, marker="o", label=label)
            shares = [100 * row["on_time"]["value"] for row in cells]
            label = f"on time, packets of {mtu} bytes"
            axes.plot(spots, shares, "--", color=colour, marker=".", label=label)
            axes.set_xticks(spots, [_tick(row, kind) for row in cells])
        style_panel(
            axes,
            title=f"{results['codec']} on {set_name}, judged by {judge}",
            x_label="packets lost each way, %" if kind == "loss" else "bits flipped each way",
            metric=metric,
        )
        axes.set_ylabel(f"{title_of(metric)} accuracy and on-time share, %", color=INK)
        axes.legend(frameon=False, fontsize=9, loc="lower left")


def _line(row: Mapping[str, Any], metric: str) -> str:
    cells = (
        row["mtu_bytes"],
        _name(row),
        f"{100 * row[metric]['value']:.1f}",
        f"{100 * row['on_time']['value']:.1f}",
        f"{row['arrived_bytes']['value']:,.0f}",
        f"{100 * row['resent_share']:.1f} %",
        row["num_without_end"] + row["num_without_result"],
        row["num_ended_twice"] + row["num_results_twice"],
        " / ".join(f"{row['result_after_s'][name]:.2f}" for name in ("p50", "p95", "p100")) + " s",
        f"{row['longest_skip_bytes']} of {row['longest_frame_bytes']}",
    )
    return f"| {' | '.join(map(str, cells))} |"


def _name(row: Mapping[str, Any]) -> str:
    if row["bit_error"]:
        return f"{_power(row['bit_error'])} of bits flipped"
    return f"{100 * row['loss']:g} % of packets lost" if row["loss"] else "none"


def _tick(row: Mapping[str, Any], kind: str) -> str:
    if kind == "loss":
        return f"{100 * row[kind]:g}"
    return _power(row[kind]) if row[kind] else "0"


def _power(share: float) -> str:
    return f"{share:.0e}".replace("e-0", "e-")
