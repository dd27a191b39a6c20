"""What a stream holds, layer by layer: as JSON values, and as a table for people."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

from pnc.commands.files import count_noun

if TYPE_CHECKING:
    from pnc.codec.codec import StreamInfo

__all__ = ["describe_layers", "print_layers"]

MAX_ROWS = 32
"""Rows of a table of layers: with its heading it fits a terminal of 40 lines."""


def describe_layers(info: StreamInfo) -> dict[str, Any]:
    """Return what a stream holds as JSON values."""
    return {
        "bytes": info.num_bytes,
        "version": info.version,
        "checkpoint": info.checkpoint_id,
        "complete": info.complete,
        "layers": [
            {
                "index": layer.index,
                "channel": layer.channel,
                "shift": layer.shift,
                "symbols": layer.num_symbols,
                "known": layer.num_known,
                "bytes": round(layer.num_bytes, 2),
            }
            for layer in info.layers
        ],
    }


def print_layers(name: str, info: StreamInfo, *, show_all: bool) -> None:
    """Print what a stream holds as a table.

    Args:
        name: As the user knows the stream.
        info: Of the stream.
        show_all: One row for each layer; else several share one where they are many.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(soft_wrap=True, highlight=False)
    num_layers = len(info.layers)
    step = 1 if show_all else max(1, -(-num_layers // MAX_ROWS))
    state = "complete" if info.complete else "cut short"
    console.print(
        f"{name}: {count_noun(info.num_bytes, 'byte')}, {state}, "
        f"checkpoint {info.checkpoint_id}, bitstream version {info.version}",
        markup=False,
    )
    rows = [list(info.layers[first : first + step]) for first in range(0, num_layers, step)]
    sizes = [sum(layer.num_bytes for layer in row) for row in rows]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("layers", "channels", "shifts", "symbols", "known", "bytes", "sum", ""):
        table.add_column(heading, justify="right" if heading else "left")
    for row, size, total in zip(rows, sizes, accumulate(sizes), strict=True):
        num_symbols = sum(layer.num_symbols for layer in row)
        num_known = sum(layer.num_known for layer in row)
        table.add_row(
            _span([layer.index for layer in row]),
            _span([layer.channel for layer in row]),
            _span([layer.shift for layer in row]),
            f"{num_symbols:,}",
            f"{num_known / max(num_symbols, 1):.0%}",
            f"{size:,.1f}",
            f"{total:,.0f}",
            "█" * round(12 * size / max(*sizes, 1e-9)),
            style=None if num_known else "dim",
        )
    console.print(table)
    if step > 1:
        console.print(f"{step} layers a row; --all shows each", style="dim")


def _span(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low}-{high}"
