from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.cli import main
from benchmarks.steps import StepsPlan, find_steps, measure_steps
from pnc.errors import ConfigError


def test_step_down_beyond_noise_is_found() -> None:
    hits = np.ones((4, 400))
    hits[0, :40] = 0
    hits[2, :100] = 0
    found = find_steps([64, 128, 192, 256], hits)
    assert found["down_beyond_noise"] == [192]
    assert found["deepest"]["budget"] == 192
    assert found["deepest"]["value"] == -0.25
    assert 0 < found["deepest"]["noise"] < 0.1


def test_chance_is_no_step_down() -> None:
    hits = (np.random.default_rng(0).random((64, 300)) < 0.7).astype(float)
    found = find_steps(list(range(64, 4097, 64)), hits)
    assert found["deepest"]["value"] < 0
    assert found["down_beyond_noise"] == []


def test_one_picture_is_measured() -> None:
    assert find_steps([64, 128], np.array([[0.0], [1.0]]))["down_beyond_noise"] == []


@pytest.mark.parametrize(
    ("checkpoint", "budgets", "line"),
    [("belt", (64,), "two budgets"), ("webp", (64, 128), "one checkpoint")],
)
def test_unusable_plans_are_refused(checkpoint: str, budgets: tuple[int, ...], line: str) -> None:
    plan = StepsPlan(data=("belt",), judges=(), checkpoint=checkpoint, budgets=budgets)
    with pytest.raises(ConfigError, match=line):
        measure_steps(plan)


def test_command_writes_what_it_prints(
    judge_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "steps.json"
    words = f"steps --data belt --judge j={judge_file} --checkpoint belt --budgets 200:600:200"
    more = f"--limit 1 --workers 0 --cache {tmp_path / 'cache'} --out {out}"
    assert main([*words.split(), *more.split()]) == 0
    results = json.loads(out.read_text(encoding="utf-8"))
    assert results["budgets"] == [200, 400, 600]
    assert len(results["results"][0]["top5"]) == 3
    assert "| belt | j | 1 | top-1 |" in capsys.readouterr().out
    assert main(["plot", str(out)]) == 0
    assert main(["table", str(out)]) == 0
