"""Tables and plots of measured results, made from their JSON and from nothing else.

    results  ->  rate_accuracy_tables()  ->  replace_between(page, marker)   Markdown
             ->  draw_rate_accuracy(figure)                                  any Matplotlib figure

Drawing takes a figure that the caller made, so this module needs no Matplotlib.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pnc.errors import ConfigError
from pnc.replay.rates import bytes_for_accuracy

RATE_ACCURACY_SCHEMA = "pnc.rate-accuracy/1"
"""Name and version of the JSON that this module reads; a change of meaning counts it up."""

MANY_CLASSES = 100
"""From so many classes on top-5 is the headline; with few, five guesses are nearly always right."""

OWN_COLOURS = ("#0b6e4f", "#1fa27a", "#6fbf9b")
"""Our checkpoints."""

RIVAL_COLOURS = {
    "avif-stripped": "#8c2d19",
    "avif": "#d9714e",
    "webp": "#3f6fb5",
    "jpeg": "#8a8f98",
    "jpegxl": "#c28a0e",
    "jpeg2000": "#9a6fb0",
    "rtss23-huffman": "#22262b",
}
OTHER_COLOURS = ("#b58900", "#6c4a3a", "#444444")
RIVAL_MARKERS = {
    "avif-stripped": "D",
    "avif": "d",
    "webp": "s",
    "jpeg": "^",
    "jpegxl": "P",
    "jpeg2000": "v",
    "rtss23-huffman": "X",
}
INK = "#22262b"
MUTED = "#6b7280"

Results = Mapping[str, Any]


def check_schema(results: Any, schema: str) -> Results:
    """Return results if they are of this schema.

    Raises:
        ConfigError: They are not, or are of another version.
    """
    found = results.get("schema") if isinstance(results, dict) else None
    if found != schema:
        raise ConfigError(f"these results are {found!r}, not {schema!r}; measure again")
    checked: Results = results
    return checked


def list_panels(results: Results) -> list[tuple[str, str, str]]:
    """Return (set, judge, headline metric "top1" or "top5") in the order of the results."""
    classes = {judge["name"]: judge["num_classes"] for judge in results["judges"]}
    return [
        (row["set"], row["judge"], "top5" if classes[row["judge"]] >= MANY_CLASSES else "top1")
        for row in results["undamaged"]
    ]


def rate_accuracy_tables(results: Results) -> str:
    """Return Markdown: a table for each set and judge, accuracy in percent by budget."""
    parts = []
    for set_name, judge, metric in list_panels(results):
        parts.append(_table(results, set_name, judge, metric))
    return "\n\n".join(parts)


def replace_between(page: str, marker: str, text: str) -> str:
    """Return a page with `text` between ``<!-- MARKER:begin -->`` and ``<!-- MARKER:end -->``.

    Raises:
        ConfigError: The page lacks the two markers, in this order.
    """
    begin, end = f"<!-- {marker}:begin -->", f"<!-- {marker}:end -->"
    before, found_begin, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        raise ConfigError(f"the page has no {begin} ... {end}; add the two lines")
    return f"{before}{begin}\n{text.strip()}\n{end}{after}"


def write_between(path: Path, marker: str, text: str) -> None:
    """Do what `replace_between` does to a file.

    Raises:
        ConfigError: It cannot be read, or lacks the markers.
    """
    try:
        page = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    path.write_text(replace_between(page, marker, text), encoding="utf-8")


def draw_rate_accuracy(figure: Any, results: Results) -> None:
    """Draw a panel for each set and judge: accuracy over bytes, 95 % intervals as band or bars.

    Args:
        figure: An empty ``matplotlib.figure.Figure``; its size and layout are set.
        results: Of `RATE_ACCURACY_SCHEMA`.
    """
    panels = list_panels(results)
    num_columns = 2 if len(panels) in (2, 4) else min(len(panels), 3)
    num_rows = -(-len(panels) // num_columns)
    figure.set_size_inches(5.4 * num_columns + 0.4, 4.1 * num_rows + 0.8)
    figure.set_facecolor("white")
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.1)
    grid = figure.subplots(num_rows, num_columns, squeeze=False)
    styles = _styles(results)
    handles: dict[str, Any] = {}
    for place, (set_name, judge, metric) in enumerate(panels):
        axes = grid[place // num_columns][place % num_columns]
        _draw_panel(axes, results, set_name, judge, metric, styles, handles)
    for place in range(len(panels), num_rows * num_columns):
        grid[place // num_columns][place % num_columns].set_axis_off()
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
    ceiling = 100 * whole[metric]["value"]
    axes.axhline(ceiling, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axes.annotate(
        f"undamaged {ceiling:.1f}",
        (0, ceiling),
        xycoords=("axes fraction", "data"),
        xytext=(4, 4),
        textcoords="offset points",
        fontsize=9,
        color=MUTED,
    )
    for codec in reversed(results["codecs"]):
        name, style = codec["name"], styles[codec["name"]]
        cells = [row[metric] for row in _rows(results, set_name, judge, name)]
        values, low, high = (
            [100 * cell[part] for cell in cells] for part in ("value", "low", "high")
        )
        if codec["is_rival"]:
            axes.vlines(budgets, low, high, color=style["color"], linewidth=1, alpha=0.45, zorder=2)
        else:
            axes.fill_between(budgets, low, high, color=style["color"], alpha=0.16, linewidth=0)
        (line,) = axes.plot(budgets, values, **style)
        handles[codec["title"]] = line
    axes.set_xscale("log", base=2)
    axes.set_xticks(budgets, [f"{budget:,}" for budget in budgets])
    axes.set_xticks([], minor=True)
    axes.margins(x=0.05)
    axes.set_ylim(0, 102)
    axes.set_yticks(range(0, 101, 20))
    axes.set_xlabel("bytes at most", color=INK)
    axes.set_ylabel(f"{title_of(metric)} accuracy, %", color=INK)
    axes.set_title(
        f"{set_name}, judged by {judge} (n = {whole['n']})",
        loc="left",
        fontsize=11,
        fontweight="bold",
        color=INK,
    )
    axes.grid(axis="y", color="#e5e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color("#c4c9d0")
    axes.tick_params(colors=INK, length=0, labelsize=9.5)


def _styles(results: Results) -> dict[str, dict[str, Any]]:
    """Return Matplotlib's line properties by codec."""
    styles = {}
    own, other = iter(OWN_COLOURS), iter(OTHER_COLOURS)
    for codec in results["codecs"]:
        name, is_rival = codec["name"], codec["is_rival"]
        palette = other if is_rival else own
        colour = RIVAL_COLOURS.get(name) or next(palette, INK)
        styles[name] = {
            "color": colour,
            "marker": RIVAL_MARKERS.get(name, "o"),
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
    target = 0.95 * whole[metric]["value"]
    share = "95 % of undamaged"
    changes = {
        row["codec"]: row[metric]
        for row in results.get("rate_changes", [])
        if (row["set"], row["judge"]) == (set_name, judge)
    }
    ours = f" {results['reference']}: bytes at equal {title_of(metric)} |" if changes else ""
    lines = [
        f"**{set_name}, judged by {judge}** (n = {whole['n']}; undamaged: top-1 "
        f"{_percent(whole['top1'])}, top-5 {_percent(whole['top5'])}). "
        f"Each cell: top-1 / top-5 in percent; bold: the best {title_of(metric)}; "
        f"half-widths of the 95 % intervals are at most {_widest(rows, metric):.1f} points.",
        "",
        f"| bytes at most | {' | '.join(f'{b:,}' for b in budgets)} | {title_of(metric)} {share} |"
        + ours,
        f"|---|{'---:|' * len(budgets)}---:|{'---:|' if changes else ''}",
    ]
    for codec in results["codecs"]:
        cells = rows[codec["name"]]
        texts = []
        for cell, top in zip(cells, best, strict=True):
            text = f"{_percent(cell['top1'])} / {_percent(cell['top5'])}"
            texts.append(f"**{text}**" if cell[metric]["value"] == top else text)
        needed = bytes_for_accuracy(
            list(budgets), [cell[metric]["value"] for cell in cells], target
        )
        texts.append(f"{round(needed):,} bytes" if needed else f"over {budgets[-1]:,}")
        if changes:
            texts.append(_change(changes.get(codec["name"])))
        title = codec["title"]
        lines.append(f"| {title if codec['is_rival'] else f'**{title}**'} | {' | '.join(texts)} |")
    if results["reference"] is not None:
        lines += ["", _differences(results, rows, metric)]
    return "\n".join(lines)


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


def title_of(metric: str) -> str:
    """Return what people call "top1" or "top5"."""
    return "top-5" if metric == "top5" else "top-1"


def _percent(cell: Mapping[str, float]) -> str:
    return f"{100 * cell['value']:.1f}"


def _widest(rows: Mapping[str, Sequence[Mapping[str, Any]]], metric: str) -> float:
    cells = [cell[metric] for cells in rows.values() for cell in cells]
    return max(50.0 * float(cell["high"] - cell["low"]) for cell in cells)


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
