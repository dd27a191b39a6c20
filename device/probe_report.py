"""How what was measured of a machine is shown."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from device.probe import EncodeTimes, Machine, Prospect

__all__ = ["describe_machine", "prospect_table"]

_STYLES = {"whole": "green", "part": "", "nothing": "red", "too fast": "red"}


def describe_machine(before: Machine, after: Machine, times: EncodeTimes) -> list[str]:
    """Return lines about a machine, read before and after its encoder was measured."""
    python = f"Python {after.python}, {after.num_cores} cores"
    lines = [
        f"{after.model} ({after.architecture}), {python}",
        f"encode      median {times.median_ms:.1f} ms, p95 {times.p95_ms:.1f} ms of {times.num}; "
        f"the first {times.first_ms:.0f} ms; {times.stream_bytes:,} bytes a picture",
    ]
    fastest_s = times.shortest_deadline_s
    lines.append(
        f"deadline    {fastest_s:.2f} s or longer; {1 / fastest_s:.0f} pictures/s at the most"
    )
    if times.slowdown > 1.1:
        lines.append(f"            {times.slowdown:.0%} of the first pictures' time at the end")
    if after.memory_mb is not None and after.available_mb is not None:
        own = "" if after.resident_mb is None else f"; this program {after.resident_mb:.0f} MB"
        lines.append(
            f"memory      {after.available_mb:,.0f} of {after.memory_mb:,.0f} MB available{own}"
        )
    for zone, value in after.temperatures_c.items():
        was = before.temperatures_c.get(zone)
        change = "" if was is None else f", {was:.0f} before"
        lines.append(f"temperature {value:.0f} degrees Celsius at {zone}{change}")
    if after.frequency_mhz is not None and after.max_frequency_mhz is not None:
        lines.append(
            f"clock       {after.frequency_mhz:,.0f} of {after.max_frequency_mhz:,.0f} MHz"
        )
    if after.throttling:
        advice = "a better power supply or a heat sink helps"
        lines.append(f"throttling  {', '.join(after.throttling)}; {advice}")
    return lines


def prospect_table(prospects: Sequence[Prospect]) -> Table:
    """Return what to expect: a row a link rate, a column a deadline."""
    deadlines = sorted({prospect.deadline_s for prospect in prospects})
    cells = {(one.rate_bytes_per_s, one.deadline_s): one for one in prospects}
    table = Table(title="what arrives of a picture before the next one", title_justify="left")
    table.add_column("link, bytes/s", justify="right")
    for deadline_s in deadlines:
        table.add_column(f"{deadline_s:g} s", justify="right")
    for rate in sorted({prospect.rate_bytes_per_s for prospect in prospects}):
        table.add_row(f"{rate:,.0f}", *(_cell(cells[rate, deadline]) for deadline in deadlines))
    return table


def _cell(prospect: Prospect) -> str:
    if prospect.payload_bytes:
        right = "" if prospect.accuracy is None else f" {prospect.accuracy:.0%}"
        text = f"{prospect.payload_bytes:,} B{right}"
    else:
        text = prospect.verdict
    style = _STYLES[prospect.verdict]
    return f"[{style}]{text}[/{style}]" if style else text
