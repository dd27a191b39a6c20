"""Fail when tests cover less than the house asks for; reads the report of ``coverage json``."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

FULL = (
    "pnc/transport/wire.py",
    "pnc/transport/session.py",
    "pnc/transport/sender.py",
    "pnc/transport/receiver.py",
    "pnc/codec/bitstream.py",
    "pnc/codec/context.py",
    "pnc/codec/erasure.py",
    "pnc/codec/packetizer.py",
    "pnc/codec/plan*.py",
    "pnc/codec/runs.py",
)
"""Where outside bytes are parsed: every line and every branch."""

REST = ("pnc", "device", "edge_server", "training")
REST_PERCENT = 90.0


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: A file, or a package with its fully covered files left out.
        wanted: Percent asked for.
        percent: Percent of lines and branches covered; None if no such file was measured.
        missing: What is not covered, in words.
    """

    name: str
    wanted: float
    percent: float | None
    missing: str = ""

    @property
    def passed(self) -> bool:
        """Whether the gate is open."""
        return self.percent is not None and self.percent >= self.wanted


def compute_percent(summaries: list[dict[str, Any]]) -> float:
    """Covered lines and branches of all lines and branches, in percent; 100 of nothing."""
    wanted = sum(s["num_statements"] + s.get("num_branches", 0) for s in summaries)
    covered = sum(s["covered_lines"] + s.get("covered_branches", 0) for s in summaries)
    return 100.0 * covered / wanted if wanted else 100.0


def describe_missing(file: dict[str, Any]) -> str:
    """Name the lines and branches of a file that no test reached."""
    lines = [str(line) for line in file["missing_lines"]]
    branches = [f"{start}->{end}" for start, end in file.get("missing_branches", [])]
    return ", ".join([*lines, *branches])


def judge(report: dict[str, Any]) -> list[Row]:
    """Compare a coverage report with the gates.

    Args:
        report: What ``coverage json`` writes, parsed.

    Returns:
        One row per fully covered file and one per package.
    """
    files = {name.replace("\\", "/"): file for name, file in report["files"].items()}
    rows = []
    full: set[str] = set()
    for pattern in FULL:
        names = sorted(name for name in files if fnmatchcase(name, pattern))
        full.update(names)
        if not names:
            rows.append(Row(pattern, 100.0, None, "not in the report"))
        rows += [
            Row(
                name,
                100.0,
                compute_percent([files[name]["summary"]]),
                describe_missing(files[name]),
            )
            for name in names
        ]
    for package in REST:
        names = [n for n in files if n.startswith(f"{package}/") and n not in full]
        percent = compute_percent([files[name]["summary"] for name in names]) if names else None
        weakest = sorted(names, key=lambda name: compute_percent([files[name]["summary"]]))[:3]
        missing = ", ".join(
            f"{name} {compute_percent([files[name]['summary']]):.0f} %" for name in weakest
        )
        rows.append(Row(f"{package}/ (the rest)", REST_PERCENT, percent, f"least: {missing}"))
    return rows


def format_table(rows: list[Row]) -> str:
    """Lay the rows out for a terminal."""
    width = max(len(row.name) for row in rows)
    lines = []
    for row in rows:
        percent = "     -" if row.percent is None else f"{row.percent:6.2f}"
        verdict = "ok  " if row.passed else "FAIL"
        missing = "" if row.passed else f"  {row.missing}"
        lines.append(f"{verdict} {row.name:<{width}} {percent} % of {row.wanted:g} %{missing}")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Print the table; 0 if every gate is open, 1 if not, 2 if there is no report."""
    path = Path(arguments[0] if arguments else ".coverage.json")
    try:
        rows = judge(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError) as error:
        print(f"coverage gates: error: {path}: no usable coverage report: {error}", file=sys.stderr)
        return 2
    print("Coverage of lines and branches")
    print(format_table(rows))
    return 0 if all(row.passed for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
