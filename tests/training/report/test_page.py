from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.training.report.cases import CLASSES, make_records
from training.report.page import render_page
from training.report.summary import summarise


def make_facts() -> dict[str, Any]:
    return {
        "name": "mine",
        "check": {
            "data": "photos",
            "classes": list(CLASSES),
            "counts": {"train": [40, 41, 42], "tune": [1, 2, 3], "val": [4, 5, 6]},
            "unreadable": ["x.jpg: broken"],
            "exact": [["a.jpg", "b.jpg"]],
            "near": [],
            "two_classes": [],
            "leaks": [
                {
                    "picture": "a.jpg",
                    "split": "train",
                    "twin": "b.jpg",
                    "twin_split": "val",
                    "exact": True,
                }
            ],
            "warnings": ["1 picture left out of training"],
        },
        "start": ["start: fresh weights"],
        "plan_lines": ["plan for 1 h:"],
        "verification": {
            "symbols_equal": 0.999,
            "decoder_grey_levels": 0.1,
            "classifier_agreement": 1.0,
            "num_pictures": 8,
            "passed": True,
        },
        "sizes": {"encoder.tflite": 40000},
        "results": summarise(make_records(), CLASSES),
        "used_s": 3500.0,
    }


def test_the_page_says_everything_and_needs_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "classifier").mkdir()
    lines = [f'{{"step": {s}, "seconds": 1, "label": "train", "loss": {9 / s}}}' for s in (20, 40)]
    lines.append('{"step": 40, "seconds": 1, "label": "evaluation", "score": 0.8}')
    (tmp_path / "classifier" / "metrics.jsonl").write_text("\n".join(lines), encoding="utf-8")
    asked: list[tuple[int, int | None]] = []

    def picture(index: int, budget: int | None) -> NDArray[np.uint8]:
        asked.append((index, budget))
        return np.zeros((224, 224, 3), np.uint8)

    examples = [("Pictures recognised best", make_records(1))]
    page = render_page(make_facts(), tmp_path, examples, picture)
    assert asked == [(0, None), (0, 256), (0, 512), (0, 1024), (0, 2048)]
    for text in (
        "Checkpoint mine",
        "1 picture left out of training",
        "a.jpg (train) is the same file as b.jpg (val)",
        "WebP, method 6",
        "Which deadline is realistic",
        "250 kbit/s",
        "at 1,024 bytes",
        "Classifier on undamaged pictures",
        "do what was trained",
        "spoon &amp; fork",
    ):
        assert text in page, text
    assert "<b>" not in re.sub(r"<b>[\d.,]+ ?[%BhKover 4]*</b>", "", page)
    assert not re.search(r"(src|href)=['\"](?!data:)", page)


def test_a_page_without_rivals_or_curves(tmp_path: Path) -> None:
    facts = make_facts()
    facts["results"] = summarise([{**r, "rivals": {}} for r in make_records(3)], CLASSES)
    facts["verification"]["passed"] = False
    page = render_page(facts, tmp_path, [], lambda _index, _budget: np.zeros((8, 8, 3), np.uint8))
    assert "WebP" not in page
    assert "do not do what was trained" in page


def test_a_chart_says_when_rivals_saw_fewer_pictures(tmp_path: Path) -> None:
    for num_compared, says in ((3, False), (2, True)):
        facts, records = make_facts(), make_records(3)
        records[num_compared:] = [{**r, "rivals": {}} for r in records[num_compared:]]
        facts["results"] = summarise(records, CLASSES)
        page = render_page(facts, tmp_path, [], lambda _i, _b: np.zeros((8, 8, 3), np.uint8))
        assert ("this checkpoint, the rivals' 2 pictures" in html.unescape(page)) == says
