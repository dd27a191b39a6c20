"""A day of pictures on a link that does everything a link can do wrong, in virtual time."""

from __future__ import annotations

import gc
import os
import sys
import time
import tracemalloc
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.bench import OnProgress
from benchmarks.facts import describe_run
from pnc.errors import ConfigError
from pnc.replay.chaos import ChaosWorld, judge

__all__ = ["CHAOS_SCHEMA", "chaos_table", "measure_chaos"]

CHAOS_SCHEMA = "pnc.chaos/1"

NUM_SAMPLES = 96
"""Of memory: every quarter of an hour of a day."""

WARM = 12
"""Samples after which growth counts: what Python and SQLite keep for good is there."""

WINDOWS = ((12, 14), (48, 50), (84, 86))
"""Samples between which every allocation is traced, which takes eight times as long."""

MIN_HOURS = 0.05


def measure_chaos(
    hours: float, seed: int = 0, log: Path | None = None, on_progress: OnProgress | None = None
) -> dict[str, Any]:
    """Return the results as JSON values; `docs/benchmarks.md` explains the fields.

    Args:
        hours: Virtual time.
        seed: Same seed, same log.
        log: Where all that happens is written, a line each; None: only its hash is kept.
        on_progress: Told the virtual minutes.

    Raises:
        ConfigError: Less than three minutes, or the log cannot be written.
    """
    if hours < MIN_HOURS:
        raise ConfigError(f"--hours: {hours:g} is less than {MIN_HOURS:g}", hours=hours)
    duration_s = 3600 * hours
    memory: list[dict[str, float]] = []
    traced: list[dict[str, float]] = []

    def sample(now: float) -> None:
        gc.collect()
        number = len(memory) + 1
        memory.append(
            {
                "hours": round(now / 3600, 4),
                "rss_bytes": rss_bytes(),
                "allocated_blocks": sys.getallocatedblocks(),
            }
        )
        for first, last in WINDOWS:
            if number == first:
                tracemalloc.start()
            elif first < number <= last:
                traced.append({"hours": round(now / 3600, 4), "bytes": _traced_bytes()})
                if number == last:
                    tracemalloc.stop()
        if on_progress is not None:
            on_progress("virtual minutes", round(now / 60), round(duration_s / 60))

    begin_s, begin_cpu_s = time.perf_counter(), time.process_time()
    with ExitStack() as stack:
        stack.callback(tracemalloc.stop)
        # What was imported before is not looked through again at each sample.
        gc.freeze()
        stack.callback(gc.unfreeze)
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="pnc-chaos-")))
        world = ChaosWorld(seed, folder, on_line=_open_log(log, stack))
        stack.callback(world.close)
        world.run(duration_s, step_s=duration_s / NUM_SAMPLES, on_step=sample)
        run_s, cpu_s = time.perf_counter() - begin_s, time.process_time() - begin_cpu_s
        verdict = judge(world.submitted, world.server.rows(), world.heard.rows())
    tally = asdict(world.tally)
    return {
        **describe_run(CHAOS_SCHEMA),
        "seed": seed,
        "hours": hours,
        "sessions": len(world.submitted),
        "faults": dict(sorted(tally.pop("faults").items())),
        "counts": tally,
        "verdict": asdict(verdict),
        "log_sha256": world.log_sha256,
        "run_s": round(run_s, 1),
        "cpu_s": round(cpu_s, 1),
        "growth_per_hour": {
            name: round(_slope(memory[WARM:], name)) for name in ("rss_bytes", "allocated_blocks")
        },
        "memory": memory,
        "traced": traced,
    }


def rss_bytes() -> int:
    """Return the resident memory of this process; 0 where there is no /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def chaos_table(results: dict[str, Any]) -> str:
    """Return the results as a Markdown table."""
    verdict, counts = results["verdict"], results["counts"]
    warm, last = results["memory"][WARM], results["memory"][-1]
    traced = ", ".join(f"{row['bytes'] / 1024:.0f}" for row in results["traced"])
    rows = {
        "pictures submitted": f"{counts['submitted']:,}",
        "stored, each once": f"{verdict['stored']:,}",
        "lost": f"{verdict['lost']:,}",
        "stored twice, ended twice, told twice": (
            f"{verdict['stored_again'] + counts['ended_again'] + counts['heard_again']:,}"
        ),
        "told otherwise than stored": f"{verdict['contradicted']:,}",
        "last ones of a device that was killed": f"{verdict['unheard']:,}",
        "packets, late": f"{counts['packets']:,}, {counts['late_packets']:,}",
        "faults": f"{sum(results['faults'].values()):,}",
        "resident memory at an eighth and at the end": (
            f"{warm['rss_bytes'] / 2**20:.1f} and {last['rss_bytes'] / 2**20:.1f} MiB"
        ),
        "Python's blocks at an eighth and at the end": (
            f"{warm['allocated_blocks']:,} and {last['allocated_blocks']:,}"
        ),
        f"KiB traced after each of {len(WINDOWS)} beginnings": traced,
        "run time, CPU time": f"{results['run_s']:.0f} s, {results['cpu_s']:.0f} s",
    }
    head = f"| {results['hours']:g} virtual hours, seed {results['seed']} | |\n|---|---|"
    return "\n".join([head, *(f"| {name} | {value} |" for name, value in rows.items())])


def _slope(rows: list[dict[str, float]], name: str) -> float:
    """Return the slope of the straight line through points; 0 of a single one."""
    hours = [row["hours"] for row in rows]
    return float(np.polyfit(hours, [row[name] for row in rows], 1)[0]) if len(rows) > 1 else 0.0


def _traced_bytes() -> int:
    return tracemalloc.get_traced_memory()[0]


def _open_log(path: Path | None, stack: ExitStack) -> Callable[[str], None] | None:
    if path is None:
        return None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = stack.enter_context(path.open("w", encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: the log cannot be written ({error.strerror})") from error

    def write(line: str) -> None:
        file.write(line + "\n")

    return write
