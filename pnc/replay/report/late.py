"""Table and plot of what arrives after its deadline, and in time."""

from __future__ import annotations

from typing import Any

from pnc.replay.report.drawing import GRID, INK, MUTED, OWN_COLOURS, make_panels
from pnc.replay.report.results import Results

LATE_SCHEMA = "pnc.late/1"
"""Name and version of the JSON that this module reads."""

WANTED_SHARE, WANTED_LATE = 0.9, 2
"""What the window has to reach: goodput of what a link carries, late packets in 99 of 100."""

STYLES = {
    "window": (OWN_COLOURS[0], "o"),
    "no window": ("#d9714e", "s"),
    "stop-and-wait": ("#3f6fb5", "^"),
}
"""Colours and Matplotlib's markers of the contenders."""

TITLES = {"serial": "serial", "ble": "Bluetooth", "pty": "pty", "tcp": "tcp", "udp": "udp"}


def late_table(results: Results) -> str:
    """Return Markdown: a row for each link, goodput in percent and late packets by contender."""
    contenders = results["contenders"]
    widest = max(
        50 * (row["goodput_share"]["high"] - row["goodput_share"]["low"])
        for row in results["results"]
        if row["contender"] == contenders[0]
    )
    lines = [
        "Each cell: payload in time, in percent of what the link carries; packets after the "
        "deadline, 99th percentile over pictures (largest). Half-widths of the 95 % intervals of "
        f"the goodput with the window are at most {widest:.1f} points.",
        "",
        f"| link | carries, kB/s | n | {' | '.join(contenders)} |",
        f"|---|---:|---:|{'---:|' * len(contenders)}",
    ]
    for name, rows in _links(results).items():
        first = rows[contenders[0]]
        cells = [
            f"{100 * rows[one]['goodput_share']['value']:.0f} %; {rows[one]['late_packets_p99']} "
            f"({rows[one]['late_packets_max']})"
            for one in contenders
        ]
        counts = sorted({row["n"] for row in rows.values()}, reverse=True)
        lines.append(
            f"| {name} | {first['capacity_bytes_per_s'] / 1000:.1f} | "
            f"{' / '.join(map(str, counts))} | {' | '.join(cells)} |"
        )
    return "\n".join(lines)


def draw_late(figure: Any, results: Results) -> None:
    """Draw goodput above, late packets below, a column for each link.

    Args:
        figure: An empty ``matplotlib.figure.Figure``; its size and layout are set.
        results: Of `LATE_SCHEMA`.
    """
    links = _links(results)
    places = range(len(links))
    above, below = make_panels(figure, 2, 1, width=max(6.0, 0.5 * len(links)), height=3.4)
    for contender in results["contenders"]:
        colour, marker = STYLES.get(contender, (MUTED, "o"))
        rows = [rows[contender] for rows in links.values()]
        style = {"color": colour, "marker": marker, "linestyle": "none", "markersize": 6}
        shares = [100 * row["goodput_share"]["value"] for row in rows]
        above.plot(places, shares, label=contender, **style)
        below.plot(places, [row["late_packets_p99"] for row in rows], **style)
    above.set_ylim(0, 108)
    above.set_ylabel("in time, % of what\nthe link carries", color=INK)
    below.set_yscale("symlog", linthresh=2)
    below.set_ylim(-0.3, None)
    below.set_ylabel("packets after the\ndeadline, p99", color=INK)
    for axes, wanted in ((above, 100 * WANTED_SHARE), (below, WANTED_LATE)):
        axes.axhline(wanted, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        axes.grid(axis="y", **GRID)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    above.set_xticks(places, [""] * len(links))
    below.set_xticks(places, list(links), rotation=55, ha="right", rotation_mode="anchor")
    figure.legend(loc="outside upper center", ncols=3, frameon=False, labelcolor=INK)


def _links(results: Results) -> dict[str, dict[str, Any]]:
    """Return rows by link and contender."""
    links: dict[str, dict[str, Any]] = {}
    for row in results["results"]:
        links.setdefault(_name(row), {})[row["contender"]] = row
    return links


def _name(row: Any) -> str:
    title = TITLES.get(row["kind"], row["kind"])
    if row["interval_s"] is None:
        return f"{title}, {row['rate_bytes_per_s'] / 1000:g} kB/s"
    lost = f", {100 * row['loss']:g} % lost" if row["loss"] else ""
    return f"{title}, {1000 * row['interval_s']:g} ms x {row['packets_per_event']}{lost}"
