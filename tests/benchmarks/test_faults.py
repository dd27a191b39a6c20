from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from benchmarks.cli import main
from benchmarks.faults import FaultsPlan, measure_faults
from pnc.errors import ConfigError
from pnc.replay.report.faults import FAULTS_SCHEMA, draw_faults, faults_table
from pnc.replay.report.results import check_schema


@pytest.fixture
def plan(judge_file: Path, tmp_path: Path) -> FaultsPlan:
    return FaultsPlan(
        data=("belt",),
        judges=(f"judge={judge_file}",),
        checkpoint="belt",
        losses=(0.5,),
        bit_errors=(1e-4,),
        mtus=(64,),
        limit=2,
        cache=tmp_path / "cache",
    )


def test_all_faults_are_measured_and_each_picture_has_one_result(plan: FaultsPlan) -> None:
    results = check_schema(measure_faults(plan), FAULTS_SCHEMA)
    rows = {(row["loss"], row["bit_error"]): row for row in results["results"]}
    assert rows.keys() == {(0.0, 0.0), (0.5, 0.0), (0.0, 1e-4)}
    assert rows[0.0, 0.0]["on_time"]["value"] == 1.0
    arrived = [rows[key]["arrived_bytes"]["value"] for key in ((0.0, 0.0), (0.5, 0.0))]
    assert 1_500 < arrived[0] < 2_500
    assert arrived[0] > arrived[1] > 0
    for row in rows.values():
        assert row["num_without_end"] == row["num_without_result"] == 0
        assert row["num_ended_twice"] == row["num_results_twice"] == 0
        assert row["longest_skip_bytes"] <= row["longest_frame_bytes"]
    assert measure_faults(plan)["results"] == results["results"]
    table = faults_table(results)
    assert "| 64 | 50 % of packets lost |" in table
    assert "| 64 | 1e-4 of bits flipped |" in table
    figure = Figure()
    draw_faults(figure, results)
    assert len(figure.axes) == 2
    assert [label.get_text() for label in figure.axes[1].get_xticklabels()] == ["0", "1e-4"]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"mtus": ()}, "need packet sizes"),
        ({"losses": (1.5,)}, "0 to 1"),
        ({"bit_errors": (-1.0,)}, "0 to 1"),
        ({"checkpoint": "webp"}, "only our checkpoints"),
    ],
)
def test_unusable_plans_are_refused(plan: FaultsPlan, change: dict[str, object], line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        measure_faults(replace(plan, **change))  # type: ignore[arg-type]


def test_command_writes_what_it_prints(
    judge_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "faults.json"
    words = f"faults --data belt --judge j={judge_file} --checkpoint belt --losses 20 --mtus 244"
    more = f"--bit-errors 1e-5 --limit 1 --workers 0 --cache {tmp_path / 'cache'} --out {out}"
    assert main([*words.split(), *more.split()]) == 0
    assert len(json.loads(out.read_text(encoding="utf-8"))["faults"]) == 3
    assert "20 % of packets lost" in capsys.readouterr().out
    assert main(["plot", str(out)]) == 0
    assert main(["table", str(out)]) == 0
    assert out.with_suffix(".png").is_file()
