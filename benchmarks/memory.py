"""``python -m benchmarks.memory CHECKPOINT [STREAM]``: how much memory a process needs.

Without a stream it encodes pictures, as a device does; with one it decodes and classifies, as a
server does. Prints the peak of resident memory in bytes. It is a process of its own because a peak
never goes down again.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import typer

NUM_PICTURES = 3
"""Enough that what is allocated once and what each picture needs are both there."""


def peak_bytes() -> int:
    """Return the peak of resident memory of this process.

    ``ru_maxrss`` would count what the parent held when it started this process (Linux keeps it
    over exec), so it is used only where there is no /proc.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(checkpoint: str, stream: str | None = None) -> None:
    """Do the work and print the peak.

    Args:
        checkpoint: Name or folder.
        stream: File with a stream of it.

    Raises:
        CheckpointError: No such checkpoint.
    """
    from pnc import Codec, belt

    codec = Codec.load(checkpoint)
    for index in range(NUM_PICTURES):
        if stream is None:
            codec.encode(belt.render(index)[0])
        else:
            codec.classify(Path(stream).read_bytes())
    typer.echo(peak_bytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
