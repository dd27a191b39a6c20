"""What a stream holds, segment by segment: as JSON values, and as a table for people."""

from __future__ import annotations

from itertools import accumulate, groupby
from typing import TYPE_CHECKING, Any

from pnc.commands.files import count_noun

if TYPE_CHECKING:
    from pnc.codec.codec import Segment, StreamInfo

__all__ = ["describe_segments", "print_segments"]

REFINED = "refined"
"""What stands for the class of a plane's refinement."""


def describe_segments(info: StreamInfo) -> dict[str, Any]:
    """Return what a stream holds as JSON values."""
    return {
        "bytes": info.num_bytes,
        "version": info.version,
        "checkpoint": info.checkpoint_id,
        "complete": info.complete,
        "segments": [
            {
                "plane": segment.plane,
                "class": segment.of_class,
                "coefficients": segment.num_coefficients,
                "known": segment.num_known,
                "bits": segment.num_bits,
            }
            for segment in info.segments
        ],
    }


def print_segments(name: str, info: StreamInfo, *, show_all: bool) -> None:
    """Print what a stream holds as a table.

    Args:
        name: As the user knows the stream.
        info: Of the stream.
        show_all: One row for each segment with anything in it; else one for each plane.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(soft_wrap=True, highlight=False)
    state = "complete" if info.complete else "cut short"
    console.print(
        f"{name}: {count_noun(info.num_bytes, 'byte')}, {state}, "
        f"checkpoint {info.checkpoint_id}, bitstream version {info.version}",
        markup=False,
    )
    segments = [segment for segment in info.segments if segment.num_coefficients]
    rows = [[segment] for segment in segments]
    if not show_all:
        rows = [list(plane) for _, plane in groupby(segments, lambda segment: segment.plane)]
    sizes = [sum(segment.num_bits for segment in row) / 8 for row in rows]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("plane", "classes", "coefficients", "known", "bytes", "sum", ""):
        table.add_column(heading, justify="right" if heading else "left")
    for row, size, total in zip(rows, sizes, accumulate(sizes), strict=True):
        table.add_row(
            str(row[0].plane),
            _classes(row),
            f"{sum(segment.num_coefficients for segment in row):,}",
            f"{sum(segment.num_known for segment in row):,}",
            f"{size:,.1f}",
            f"{total:,.0f}",
            "█" * round(12 * size / max(*sizes, 1e-9)),
        )
    console.print(table)
    if not show_all:
        console.print("a row for each plane; --all shows its classes", style="dim")


def _classes(row: list[Segment]) -> str:
    classes = [segment.of_class for segment in row if segment.of_class is not None]
    span = [str(number) for number in sorted({*classes[:1], *classes[-1:]})]
    words = ["-".join(span)] if span else []
    if len(classes) < len(row):
        words.append(REFINED)
    return ", ".join(words)
