from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from benchmarks.cli import main
from benchmarks.loss import LossPlan, measure_loss
from pnc.errors import ConfigError
from pnc.replay.report.loss import LOSS_SCHEMA, draw_loss, loss_tables
from pnc.replay.report.results import check_schema


@pytest.fixture
def plan(judge_file: Path, tmp_path: Path) -> LossPlan:
    return LossPlan(
        data=("belt",),
        judges=(f"judge={judge_file}",),
        checkpoints=("belt",),
        budgets=(800,),
        losses=(0.1, 1.0),
        mtus=(64,),
        redundancies=(0.0, 0.5),
        num_seeds=2,
        limit=1,
        cache=tmp_path / "cache",
    )


def test_more_loss_shows_less(plan: LossPlan) -> None:
    results = check_schema(measure_loss(plan), LOSS_SCHEMA)
    rows = {row["loss"]: row for row in results["results"] if row["redundancy"] == 0}
    assert rows.keys() == {0.0, 0.1, 1.0}
    assert [rows[loss]["num_seeds"] for loss in (0.0, 0.1, 1.0)] == [1, 2, 1]
    quality = [rows[loss]["psnr_db"]["value"] for loss in (0.0, 0.1, 1.0)]
    assert quality[0] > quality[1] > quality[2]
    assert rows[0.0]["top5_less_no_loss"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    repaired = [row for row in results["results"] if row["redundancy"] and row["loss"] == 0]
    assert repaired[0]["psnr_db"]["value"] < quality[0]
    table = loss_tables(results)
    assert "| bytes sent | repairs a piece | 0 % lost | 10 % lost | 100 % lost |" in table
    figure = Figure()
    draw_loss(figure, results)
    assert "64 bytes" in figure.axes[0].get_title(loc="left")
    assert measure_loss(plan)["results"] == results["results"]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"budgets": ()}, "needs budgets"),
        ({"losses": (1.5,)}, "0 to 1"),
        ({"redundancies": (2.0,)}, "0 to 1"),
        ({"redundancies": ()}, "needs redundancies"),
        ({"checkpoints": ("webp",)}, "only our checkpoints"),
    ],
)
def test_unusable_plans_are_refused(plan: LossPlan, change: dict[str, object], line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        measure_loss(replace(plan, **change))  # type: ignore[arg-type]


def test_command_writes_what_it_prints(
    judge_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "loss.json"
    words = f"loss --data belt --judge j={judge_file} --checkpoint belt --budgets 500 --losses 20"
    more = f"--mtus 244 --seeds 1 --limit 1 --workers 0 --cache {tmp_path / 'cache'} --out {out}"
    assert main([*words.split(), *more.split()]) == 0
    assert json.loads(out.read_text(encoding="utf-8"))["losses"] == [0.0, 0.2]
    assert "20 % lost" in capsys.readouterr().out
    assert main(["plot", str(out)]) == 0
    assert main(["table", str(out)]) == 0
    assert out.with_suffix(".png").is_file()
