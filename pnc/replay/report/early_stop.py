"""Table and plot of air time saved against accuracy lost, where servers stop pictures early."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pnc.replay.report.drawing import GRID, INK, MUTED, OWN_COLOURS, make_panels
from pnc.replay.report.results import Results

EARLY_STOP_SCHEMA = "pnc.early-stop/1"
"""Name and version of the JSON that this module reads."""


def early_stop_table(results: Results) -> str:
    """Return Markdown: for each set the thresholds chosen on other pictures, and what they do."""
    tuning = " and ".join(f"{one['n']} pictures of {one['name']}" for one in results["tuning_sets"])
    parts = []
    for set_name in _sets(results):
        whole = next(row for row in results["results"] if _is_whole(row, set_name))
        lines = [
            f"**{set_name}, `{results['codec']}` at {results['rate_bps'] / 1000:g} kbit/s, a "
            f"picture every {results['deadline_s']:g} s, packets of {results['mtu_bytes']} bytes** "
            f"(n = {whole['n']}; never stopped: top-1 {100 * whole['top1']['value']:.1f} %, "
            f"{whole['sent_bytes']['value']:,.0f} bytes on the wire). Thresholds chosen on "
            f"{tuning}; in brackets 95 % intervals.",
            "",
            "| `--previews` | accuracy to give up, points | `--enough` | stopped | air time saved "
            "| top-1 | points lost |",
            "|---:|---:|---:|---:|---:|---:|---:|",
        ]
        lines += [_line(row) for row in results["chosen"] if row["set"] == set_name]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def draw_early_stop(figure: Any, results: Results) -> None:
    """Draw a panel for each set: points of accuracy lost over air time saved, by previews.

    Args:
        figure: An empty ``matplotlib.figure.Figure``; its size and layout are set.
        results: Of `EARLY_STOP_SCHEMA`.
    """
    sets = _sets(results)
    for axes, set_name in zip(make_panels(figure, len(sets), 1, 7.0, 4.2), sets, strict=True):
        colours = [*OWN_COLOURS, INK, MUTED]
        for previews, colour in zip(results["previews_per_second"], colours, strict=False):
            rows = _pick(results["results"], set_name, previews)
            saved = [100 * row["air_time_saved"]["value"] for row in rows]
            lost = [100 * row["top1_lost"]["value"] for row in rows]
            low, high = ([100 * row["top1_lost"][end] for row in rows] for end in ("low", "high"))
            axes.vlines(saved, low, high, color=colour, linewidth=1, alpha=0.35)
            label = f"{previews:g} previews a second"
            axes.plot(saved, lost, color=colour, marker=".", label=label)
            picks = _pick(results["chosen"], set_name, previews)
            axes.plot(
                [100 * row["air_time_saved"]["value"] for row in picks],
                [100 * row["top1_lost"]["value"] for row in picks],
                "o",
                color=colour,
                markersize=9,
                fillstyle="none",
            )
        axes.axhline(0, color=MUTED, linewidth=0.8)
        title = f"{results['codec']} on {set_name}; circles: chosen on other pictures"
        axes.set_title(title, loc="left", color=INK, fontsize=10)
        axes.set_xlabel("air time saved, %", color=INK)
        axes.set_ylabel("points of top-1 lost", color=INK)
        axes.grid(axis="both", **GRID)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=9, loc="upper left")


def _line(row: Mapping[str, Any]) -> str:
    saved, lost = row["air_time_saved"], row["top1_lost"]
    cells = (
        f"{row['previews_per_second']:g}",
        f"{100 * row['target']:g}",
        "never" if row["enough"] is None else f"{row['enough']:g}",
        f"{100 * row['stopped_share']:.0f} %",
        f"{100 * saved['value']:.0f} % ({100 * saved['low']:.0f} to {100 * saved['high']:.0f})",
        f"{100 * row['top1']['value']:.1f} %",
        f"{100 * lost['value']:.1f} ({100 * lost['low']:.1f} to {100 * lost['high']:.1f})",
    )
    return f"| {' | '.join(cells)} |"


def _sets(results: Results) -> list[str]:
    return list(dict.fromkeys(row["set"] for row in results["results"]))


def _is_whole(row: Mapping[str, Any], set_name: str) -> bool:
    return row["set"] == set_name and row["enough"] is None


def _pick(rows: Any, set_name: str, previews: float) -> list[Mapping[str, Any]]:
    return [row for row in rows if (row["set"], row["previews_per_second"]) == (set_name, previews)]
