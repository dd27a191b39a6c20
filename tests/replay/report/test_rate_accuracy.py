from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from pnc.replay.report.rate_accuracy import (
    RATE_ACCURACY_SCHEMA,
    draw_rate_accuracy,
    rate_accuracy_tables,
)

BUDGETS = [512, 1024, 4096]
ACCURACY = {"ours": [0.5, 0.9, 0.9], "webp": [0.2, 0.6, 0.95], "odd one": [0.0, 0.1, 0.2]}


def cell(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.03, "high": value + 0.05}


def differences(value: float) -> dict[str, dict[str, float]]:
    return {f"{metric}_less_reference": cell(value) for metric in ("top1", "top5")}


def make_results(num_classes: dict[str, int]) -> dict[str, Any]:
    return {
        "schema": RATE_ACCURACY_SCHEMA,
        "budgets": BUDGETS,
        "reference": "ours",
        "codecs": [
            {"name": "ours", "title": "ours", "is_rival": False},
            {"name": "webp", "title": "WebP, method 6", "is_rival": True},
            {"name": "odd one", "title": "odd one", "is_rival": True},
        ],
        "judges": [{"name": n, "num_classes": c} for n, c in num_classes.items()],
        "undamaged": [
            {"set": "photos", "judge": judge, "n": 40, "top1": cell(0.8), "top5": cell(0.98)}
            for judge in num_classes
        ],
        "results": [
            {
                "set": "photos",
                "judge": judge,
                "codec": codec,
                "budget": budget,
                "top1": cell(value / 2),
                "top5": cell(value),
                "psnr_db": cell(20 + 10 * value),
                "ms_ssim": cell(value),
                **({} if codec == "ours" else differences(value - ACCURACY["ours"][place])),
            }
            for judge in num_classes
            for codec, values in ACCURACY.items()
            for place, (budget, value) in reversed(
                list(enumerate(zip(BUDGETS, values, strict=True)))
            )
        ],
    }


RESULTS = make_results({"teacher": 1000, "few": 10})


def change(value: float | None, low: float | None = None) -> dict[str, Any]:
    return {"value": value, "low": low, "high": None if low is None else -low, "accuracies": None}


def test_table_tells_our_bytes_against_each_rival() -> None:
    results = deepcopy(make_results({"teacher": 1000}))
    rows = {"webp": change(-0.313, -0.4), "odd one": change(None)}
    results["rate_changes"] = [
        {"set": "photos", "judge": "teacher", "codec": codec, "top1": change(0.5), "top5": row}
        for codec, row in rows.items()
    ]
    lines = rate_accuracy_tables(results).splitlines()
    assert lines[2].endswith("| ours: bytes at equal top-5 |")
    assert lines[3].count("---") == lines[2].count("|") - 1
    assert [line.split(" | ")[-1] for line in lines[4:7]] == [
        " |",
        "-31 % (-40 to +40) |",
        "no common accuracy |",
    ]
    results["rate_changes"][0]["top5"] = change(-0.3)
    assert "-30 % (unsure)" in rate_accuracy_tables(results)


def test_table_has_every_cell_and_marks_the_best() -> None:
    first, second = rate_accuracy_tables(RESULTS).split("\n\n**photos, judged by few**")
    lines = first.splitlines()
    assert "undamaged: top-1 80.0, top-5 98.0" in lines[0]
    assert "at most 4.0 points" in lines[0]
    assert lines[2] == (
        "| bytes at most | 512 | 1,024 | 4,096 "
        "| top-5 95 % of undamaged | top-5 84.6 % of undamaged |"
    )
    assert lines[4].startswith("| **ours** | **25.0 / 50.0** | **45.0 / 90.0** | 45.0 / 90.0 |")
    assert lines[4].endswith("| over 4,096 | 906 bytes |")
    assert "| **47.5 / 95.0** |" in lines[5]
    assert lines[5].endswith(" bytes |")
    assert "bold: the best top-1" in second


def test_differences_beyond_the_interval_are_named() -> None:
    table = rate_accuracy_tables(RESULTS)
    assert "Better: WebP, method 6 at 4,096." in table
    assert "Worse: WebP, method 6 at 512, 1,024; odd one at 512, 1,024, 4,096." in table
    alone = {**RESULTS, "reference": None}
    assert "Better" not in rate_accuracy_tables(alone)


def test_tables_are_whole_markdown() -> None:
    rows = [line for line in rate_accuracy_tables(RESULTS).splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1


@pytest.mark.parametrize("num_panels", [1, 2, 5])
def test_every_panel_is_drawn_with_every_codec(num_panels: int) -> None:
    results = make_results({f"judge {i}": 1000 for i in range(num_panels)})
    figure = Figure()
    draw_rate_accuracy(figure, deepcopy(results))
    drawn = [axes for axes in figure.axes if axes.lines]
    assert len(drawn) == num_panels + 2
    scales = [(0, 100)] * num_panels + [(20, 10), (0, 1)]
    for axes, (start, scale) in zip(drawn, scales, strict=True):
        heights = [tuple(np.ravel(line.get_ydata()).tolist()) for line in axes.lines]
        curves = {height for height in heights if len(height) == len(BUDGETS)}
        assert curves == {tuple(start + scale * v for v in values) for values in ACCURACY.values()}
    assert [axes.get_ylabel() for axes in drawn[-2:]] == ["PSNR, dB", "MS-SSIM"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        codec["title"] for codec in results["codecs"]
    ]
