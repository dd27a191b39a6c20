"""Tables and plots of accuracy within budgets: our streams beside every rival."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pnc.replay.rates import bytes_for_accuracy
from pnc.replay.report.drawing import (
    INK,
    MUTED,
    OWN_COLOURS,
    QUALITIES,
    draw_curve,
    make_panels,
    style_panel,
)
from pnc.replay.report.results import Results, list_panels, title_of, widest_half

RATE_ACCURACY_SCHEMA = "pnc.rate-accuracy/1"
"""Name and version of the JSON that this module reads; a change of meaning counts it up."""

RIVAL_STYLES = {
    "avif-stripped": ("#8c2d19", "D"),
    "avif": ("#d9714e", "d"),
    "webp": ("#3f6fb5", "s"),
    "jpeg": ("#8a8f98", "^"),
    "jpegxl": ("#c28a0e", "P"),
    "jpeg2000": ("#9a6fb0", "v"),
    "rtss23-huffman": ("#22262b", "X"),
}
"""Colours and Matplotlib's markers of the rivals that are known."""

OTHER_COLOURS = ("#444444", "#6c4a3a", "#c77dba")
"""Other rivals."""

SHARES = (0.95, 0.846)
"""Of the undamaged accuracy, which tables tell the bytes for. The second is 95 % of what the
published system reaches with all ten features, 86.6 of 97.3 % top-5 (arXiv 2310.05306)."""

LEGEND_INCHES = (0.4, 0.8)
"""What the figure is wider and higher than its panels."""


def rate_accuracy_tables(results: Results) -> str:
    """Return Markdown: a table for each set and judge, accuracy in percent by budget."""
    return "\n\n".join(_table(results, *panel) for panel in list_panels(results))


def draw_rate_accuracy(figure: Any, results: Results) -> None:
    """Draw a panel for each set and judge: accuracy over bytes, 95 % intervals as band or bars.

    Behind them PSNR and MS-SSIM of each set, at the settings that its first judge chose.

    Args:
        figure: An empty ``matplotlib.figure.Figure``; its size and layout are set.
        results: Of `RATE_ACCURACY_SCHEMA`.
    """
    panels = list_panels(results)
    first_judges = {set_name: judge for set_name, judge, _ in reversed(panels)}
    for set_name in dict.fromkeys(set_name for set_name, *_ in panels):
        panels += [(set_name, first_judges[set_name], quality) for quality in QUALITIES]
    num_columns = 2 if len(panels) in (2, 4) else min(len(panels), 3)
    styles = _styles(results)
    handles: dict[str, Any] = {}
    places = make_panels(figure, len(panels), num_columns, width=5.4, height=4.1)
    figure.set_size_inches(*(figure.get_size_inches() + LEGEND_INCHES))
    for axes, (set_name, judge, metric) in zip(places, panels, strict=True):
        _draw_panel(axes, results, set_name, judge, metric, styles, handles)
    titles = [codec["title"] for codec in results["codecs"]]
    figure.legend(
        [handles[title] for title in titles],
        titles,
        loc="outside upper center",
        ncols=min(len(titles), 3 * num_columns),
        frameon=False,
        fontsize=10,
        labelcolor=INK,
        handlelength=1.8,
        columnspacing=1.6,
    )


def _draw_panel(
    axes: Any,
    results: Results,
    set_name: str,
    judge: str,
    metric: str,
    styles: Mapping[str, Mapping[str, Any]],
    handles: dict[str, Any],
) -> None:
    budgets = results["budgets"]
    whole = _undamaged(results, set_name, judge)
    is_accuracy = metric not in QUALITIES
    for codec in reversed(results["codecs"]):
        name = codec["name"]
        cells = [row[metric] for row in _rows(results, set_name, judge, name)]
        handles[codec["title"]] = draw_curve(
            axes,
            budgets,
            cells,
            bars=codec["is_rival"],
            scale=100 if is_accuracy else 1,
            **styles[name],
        )
    axes.set_xscale("log", base=2)
    axes.set_xticks(budgets, [f"{budget:,}" for budget in budgets])
    axes.set_xticks([], minor=True)
    axes.margins(x=0.05)
    style_panel(
        axes,
        title=f"{set_name}{f', judged by {judge}' * is_accuracy} (n = {whole['n']})",
        x_label="bytes at most",
        metric=metric,
        fontsize=11,
        fontweight="bold",
    )
    if is_accuracy:
        axes.set_yticks(range(0, 101, 20))
        _draw_ceiling(axes, 100 * whole[metric]["value"])
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_color("#c4c9d0")
    axes.tick_params(colors=INK, length=0, labelsize=9.5)


def _draw_ceiling(axes: Any, undamaged: float) -> None:
    axes.axhline(undamaged, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axes.annotate(
        f"undamaged {undamaged:.1f}",
        (0, undamaged),
        xycoords=("axes fraction", "data"),
        xytext=(4, 4),
        textcoords="offset points",
        fontsize=9,
        color=MUTED,
    )


def _styles(results: Results) -> dict[str, dict[str, Any]]:
    """Return Matplotlib's line properties by codec."""
    styles = {}
    own, other = iter(OWN_COLOURS), iter(OTHER_COLOURS)
    for codec in results["codecs"]:
        name, is_rival = codec["name"], codec["is_rival"]
        colour, marker = RIVAL_STYLES.get(name) or (next(other if is_rival else own, INK), "o")
        styles[name] = {
            "color": colour,
            "marker": marker,
            "linewidth": 1.6 if is_rival else 2.6,
            "markersize": 4.5 if is_rival else 6,
            "zorder": 3 if is_rival else 5,
        }
    return styles


def _table(results: Results, set_name: str, judge: str, metric: str) -> str:
    budgets: Sequence[int] = results["budgets"]
    whole = _undamaged(results, set_name, judge)
    rows = {c["name"]: _rows(results, set_name, judge, c["name"]) for c in results["codecs"]}
    best = [max(cells[i][metric]["value"] for cells in rows.values()) for i in range(len(budgets))]
    changes = {
        row["codec"]: row[metric]
        for row in results.get("rate_changes", [])
        if (row["set"], row["judge"]) == (set_name, judge)
    }
    ours = f" {results['reference']}: bytes at equal {title_of(metric)} |" if changes else ""
    widest = widest_half((cell for cells in rows.values() for cell in cells), metric)
    shares = " | ".join(f"{title_of(metric)} {100 * share:g} % of undamaged" for share in SHARES)
    lines = [
        f"**{set_name}, judged by {judge}** (n = {whole['n']}; undamaged: top-1 "
        f"{_percent(whole['top1'])}, top-5 {_percent(whole['top5'])}). "
        f"Each cell: top-1 / top-5 in percent; bold: the best {title_of(metric)}; "
        f"half-widths of the 95 % intervals are at most {widest:.1f} points.",
        "",
        f"| bytes at most | {' | '.join(f'{b:,}' for b in budgets)} | {shares} |{ours}",
        f"|---|{'---:|' * (len(budgets) + len(SHARES))}{'---:|' if changes else ''}",
    ]
    for codec in results["codecs"]:
        cells = rows[codec["name"]]
        texts = []
        for cell, top in zip(cells, best, strict=True):
            text = f"{_percent(cell['top1'])} / {_percent(cell['top5'])}"
            texts.append(f"**{text}**" if cell[metric]["value"] == top else text)
        accuracies = [cell[metric]["value"] for cell in cells]
        for share in SHARES:
            target = share * whole[metric]["value"]
            texts.append(_needed(bytes_for_accuracy(list(budgets), accuracies, target), budgets))
        if changes:
            texts.append(_change(changes.get(codec["name"])))
        title = codec["title"]
        lines.append(f"| {title if codec['is_rival'] else f'**{title}**'} | {' | '.join(texts)} |")
    if results["reference"] is not None:
        lines += ["", _differences(results, rows, metric)]
    return "\n".join(lines)


def _needed(num_bytes: float | None, budgets: Sequence[int]) -> str:
    if num_bytes is None:
        return f"over {budgets[-1]:,}"
    return f"{'at most ' * (num_bytes == budgets[0])}{round(num_bytes):,} bytes"


def _differences(
    results: Results, rows: Mapping[str, Sequence[Mapping[str, Any]]], metric: str
) -> str:
    """Return where others differ from the reference by more than the paired interval."""
    found: dict[str, list[str]] = {"better": [], "worse": []}
    for codec in results["codecs"]:
        places: dict[str, list[str]] = {"better": [], "worse": []}
        for cell in rows[codec["name"]]:
            difference = cell.get(f"{metric}_less_reference")
            if difference is not None and difference["low"] > 0:
                places["better"].append(f"{cell['budget']:,}")
            elif difference is not None and difference["high"] < 0:
                places["worse"].append(f"{cell['budget']:,}")
        for kind, budgets in places.items():
            if budgets:
                found[kind].append(f"{codec['title']} at {', '.join(budgets)}")
    better, worse = ("; ".join(found[kind]) or "none" for kind in ("better", "worse"))
    return (
        f"{title_of(metric).capitalize()} against {results['reference']}, beyond the paired 95 % "
        f"interval. Better: {better}. Worse: {worse}."
    )


def _change(cell: Mapping[str, Any] | None) -> str:
    """Return a rate change and its interval, in percent."""
    if cell is None:
        return ""
    if cell["value"] is None:
        return "no common accuracy"
    value = f"{100 * cell['value']:+.0f} %"
    if cell["low"] is None:
        return f"{value} (unsure)"
    return f"{value} ({100 * cell['low']:+.0f} to {100 * cell['high']:+.0f})"


def _percent(cell: Mapping[str, float]) -> str:
    return f"{100 * cell['value']:.1f}"


def _undamaged(results: Results, set_name: str, judge: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(
        row for row in results["undamaged"] if (row["set"], row["judge"]) == (set_name, judge)
    )
    return found


def _rows(results: Results, set_name: str, judge: str, codec: str) -> list[Mapping[str, Any]]:
    """Return the rows of a codec by rising budget."""
    key = (set_name, judge, codec)
    found = [r for r in results["results"] if (r["set"], r["judge"], r["codec"]) == key]
    return sorted(found, key=lambda row: row["budget"])
