from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from benchmarks.cli import main
from benchmarks.early_stop import EarlyStopPlan, choose_threshold, measure_early_stop
from pnc.errors import ConfigError
from pnc.replay.report.early_stop import EARLY_STOP_SCHEMA, draw_early_stop, early_stop_table
from pnc.replay.report.results import check_schema


@pytest.fixture
def plan(tmp_path: Path) -> EarlyStopPlan:
    return EarlyStopPlan(
        data=("belt",),
        judges=("belt",),
        tune=("belt#tune",),
        checkpoint="belt",
        thresholds=(0.3, 1.0),
        previews=(10.0,),
        limit=2,
        tune_limit=1,
        cache=tmp_path / "cache",
    )


def test_the_lowest_threshold_is_chosen_above_which_nothing_loses_more() -> None:
    thresholds, lost = (0.5, 0.7, 0.9), (0.0, 0.02, 0.01)
    assert choose_threshold(thresholds, lost, 0.0) is None
    assert choose_threshold(thresholds, lost, 0.01) == 0.9
    assert choose_threshold(thresholds, lost, 0.02) == 0.5


def test_pictures_that_are_enough_early_save_air_time(plan: EarlyStopPlan) -> None:
    results = check_schema(measure_early_stop(plan), EARLY_STOP_SCHEMA)
    rows = {row["enough"]: row for row in results["results"]}
    assert rows.keys() == {None, 0.3, 1.0}
    assert rows[None]["air_time_saved"]["value"] == rows[None]["stopped_share"] == 0
    assert rows[0.3]["stopped_share"] == 1
    assert rows[0.3]["air_time_saved"]["value"] > 0.2
    assert rows[0.3]["sent_bytes"]["value"] < rows[1.0]["sent_bytes"]["value"]
    assert len(results["chosen"]) == len(results["targets"]) == 3
    assert measure_early_stop(plan)["results"] == results["results"]
    assert "| 10 | 0.5 |" in early_stop_table(results)
    figure = Figure()
    draw_early_stop(figure, results)
    assert "belt" in figure.axes[0].get_title(loc="left")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"checkpoint": "webp"}, "only our checkpoints"),
        ({"judges": ()}, "one judge"),
        ({"tune": ()}, "--tune"),
        ({"thresholds": (0.0,)}, "above 0"),
        ({"previews": ()}, "previews a second"),
    ],
)
def test_unusable_plans_are_refused(
    plan: EarlyStopPlan, change: dict[str, object], line: str
) -> None:
    with pytest.raises(ConfigError, match=line):
        measure_early_stop(replace(plan, **change))  # type: ignore[arg-type]


def test_command_writes_what_it_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "early_stop.json"
    words = "early-stop --data belt --judge belt --tune belt#tune --checkpoint belt --previews 20"
    more = f"--thresholds 1 --limit 1 --workers 0 --cache {tmp_path / 'cache'} --out {out}"
    assert main([*words.split(), *more.split()]) == 0
    assert json.loads(out.read_text(encoding="utf-8"))["thresholds"] == [1.0]
    assert "air time saved" in capsys.readouterr().out
    assert main(["plot", str(out)]) == 0
    assert main(["table", str(out)]) == 0
