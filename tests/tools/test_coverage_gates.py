"""The coverage gates open and close where they should."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools.coverage_gates import FULL, REST, judge, main


def measured(
    covered: int, total: int, missing_branches: list[list[int]] | None = None
) -> dict[str, Any]:
    missing_branches = missing_branches or []
    return {
        "summary": {
            "num_statements": total,
            "covered_lines": covered,
            "num_branches": 10,
            "covered_branches": 10 - len(missing_branches),
        },
        "missing_lines": list(range(covered, total)),
        "missing_branches": missing_branches,
    }


def full_report() -> dict[str, Any]:
    names = [pattern.replace("*", "coder") for pattern in FULL]
    names += [f"{package}/module.py" for package in REST]
    return {"files": {name: measured(90, 90) for name in names}}


def test_full_coverage_passes() -> None:
    assert all(row.passed for row in judge(full_report()))


def test_one_missing_branch_closes_a_full_gate() -> None:
    report = full_report()
    report["files"]["pnc/transport/wire.py"] = measured(90, 90, [[12, 15]])
    (failed,) = [row for row in judge(report) if not row.passed]
    assert failed.name == "pnc/transport/wire.py"
    assert failed.missing == "12->15"


def test_every_file_of_a_pattern_is_judged() -> None:
    report = full_report()
    report["files"]["pnc/codec/planes.py"] = measured(89, 90)
    (failed,) = [row for row in judge(report) if not row.passed]
    assert (failed.name, failed.missing) == ("pnc/codec/planes.py", "89")


def test_file_that_was_not_measured_closes_its_gate() -> None:
    report = full_report()
    del report["files"]["pnc/transport/session.py"]
    (failed,) = [row for row in judge(report) if not row.passed]
    assert failed.percent is None


@pytest.mark.parametrize(("covered", "passed"), [(80, True), (79, False)])
def test_rest_of_a_package_needs_90_percent(covered: int, passed: bool) -> None:
    report = full_report()
    report["files"]["device/module.py"] = measured(covered, 90)
    assert all(row.passed for row in judge(report)) is passed


def test_exit_status_and_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "coverage.json"
    path.write_text(json.dumps(full_report()))
    assert main([str(path)]) == 0
    report = full_report()
    report["files"]["edge_server/module.py"] = measured(10, 90)
    path.write_text(json.dumps(report))
    assert main([str(path)]) == 1
    assert "FAIL edge_server/ (the rest)" in capsys.readouterr().out


def test_missing_report_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.json")]) == 2
    assert "no usable coverage report" in capsys.readouterr().err
