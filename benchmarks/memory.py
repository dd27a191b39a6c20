"""``python -m benchmarks.memory encode|decode CHECKPOINT``: how much memory a process needs for it.

Prints the resident memory before anything is loaded and the peak at the end, bytes, as JSON. It is
a process of its own because a peak never goes down again.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import typer


def _resident_bytes() -> int:
    """Return the peak resident memory so far; Linux counts kilobytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(work: str, checkpoint: str) -> None:
    """Encode pictures, or decode and classify one, and print what it took.

    Args:
        work: "encode" or "decode".
        checkpoint: Name or folder.

    Raises:
        CheckpointError: No such checkpoint.
    """
    before = _resident_bytes()
    from pnc import Codec, belt

    codec = Codec.load(checkpoint)
    if work == "encode":
        for index in range(3):
            codec.encode(belt.render(index)[0])
    else:
        stream = Path(work).read_bytes()
        codec.classify(stream)
    typer.echo(json.dumps({"start": before, "peak": _resident_bytes()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
