from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pnc.replay.baselines.whole_files import open_webp
from training.report.drawing import Series, line_chart, picture_uri
from training.report.gather import (
    BUDGETS,
    RIVAL_BUDGETS,
    link_table,
    measure_pictures,
    pick_examples,
    summarise,
)
from training.report.page import render_page

CLASSES = ("cup", "spoon & fork", "<b>")


def make_records(count: int = 12) -> list[dict[str, Any]]:
    """Ours knows the class from 1,024 bytes on; WebP small from 512, WebP large from 2,048 on."""

    def see(label: int, right: bool) -> list[float]:
        return [label if right else (label + 1) % 3, 0.9 if right else 0.1]

    return [
        {
            "index": index,
            "name": f"cup/{index}.jpg",
            "label": (label := index % 3),
            "bytes": 5000,
            "undamaged": see(label, True),
            "ours": {str(b): see(label, b >= 1024) for b in BUDGETS},
            "rivals": {
                "webp": {
                    "full size": {
                        str(b): None if b < 512 else see(label, b >= 2048) for b in RIVAL_BUDGETS
                    },
                    "scale 1/2": {str(b): see(label, 512 <= b < 4096) for b in RIVAL_BUDGETS},
                }
            },
        }
        for index in range(count)
    ]


def test_the_summary_takes_the_best_setting_at_each_budget() -> None:
    results = summarise(make_records(), CLASSES)
    assert results["undamaged"] == 1.0
    assert results["comparison"]["ours"] == [0.0, 0.0, 1.0, 1.0, 1.0]
    assert results["comparison"]["webp"] == [0.0, 1.0, 1.0, 1.0, 1.0]
    assert results["comparison"]["n"] == results["n"] == 12
    assert results["confusion"] == [[4, 0, 0], [0, 4, 0], [0, 0, 4]]
    assert 768 < results["bytes_for_95_percent"] < 1024


def test_a_summary_without_rivals() -> None:
    records = [{**record, "rivals": {}} for record in make_records(3)]
    assert summarise(records, CLASSES)["comparison"]["n"] == 0


def test_a_setting_is_never_chosen_on_the_pictures_it_is_used_for() -> None:
    records = make_records(8)
    for place, record in enumerate(records):
        label = record["label"]
        for setting, lucky in (("full size", 0), ("scale 1/2", 1)):
            right = place % 2 == lucky
            seen = [label if right else (label + 1) % 3, 0.5]
            record["rivals"]["webp"][setting] = {str(b): seen for b in RIVAL_BUDGETS}
    assert summarise(records, CLASSES)["comparison"]["webp"] == [0.0] * 5


def test_deadlines_follow_from_the_rate() -> None:
    rows = link_table([100, 1000], [0.5, 0.9], 0.9)
    assert [row["kbps"] for row in rows] == [10, 30, 100, 250]
    assert rows[0]["cells"][0]["accuracy"] is None
    assert rows[0]["cells"][4] == {"deadline_s": 1.0, "bytes": 1125, "accuracy": 0.9}
    assert rows[0]["shortest_s"]["95%"] / rows[2]["shortest_s"]["95%"] == pytest.approx(10)


def test_best_and_worst_are_told_apart() -> None:
    records = make_records(6)
    for record, probability in zip(records, (0.1, 0.9, 0.5, 0.2, 0.8, 0.3), strict=True):
        record["ours"] = {str(b): [0, probability] for b in BUDGETS}
    best, worst = pick_examples(records, count=2)
    assert best == [1, 4]
    assert worst == [0, 3, 5, 2]
    assert pick_examples(records[:1]) == ([], [0])


def test_a_chart_holds_its_lines() -> None:
    svg = line_chart(
        [Series("a & b", [128, 4096], [0.1, 0.9], "#123456", [0.05, 0.05])],
        log_x=True,
        percent=True,
        y_range=(0, 1),
        x_ticks=[128, 4096],
    )
    assert "a &amp; b" in svg
    assert "<polygon" in svg
    assert ">4096<" in svg
    assert ">20%<" in svg
    assert "nan" not in line_chart([Series("flat", [1.0], [0.5], "red")])
    assert "nothing was recorded" in line_chart([])


def test_a_chart_leaves_out_what_is_no_number() -> None:
    nan = float("nan")
    svg = line_chart([Series("loss", [1, 2, 3], [0.5, nan, 0.7], "red", [0.1, nan, 0.1])])
    assert svg == line_chart([Series("loss", [1, 3], [0.5, 0.7], "red", [0.1, 0.1])])
    assert "nothing was recorded" in line_chart([Series("loss", [1], [nan], "red")])


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


def test_pictures_are_measured_once(
    tiny_run: Any, pictures: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    labels, names = np.array([0, 1, 2]), ["a", "b", "c"]
    clock = iter(range(100))

    def measure(seconds: float) -> list[dict[str, Any]]:
        return measure_pictures(
            tmp_path,
            tiny_run.checkpoint,
            pictures[:3],
            labels,
            names,
            seconds=seconds,
            rivals={"webp": open_webp},
            now=lambda: float(next(clock)),
        )

    first = measure(1.5)
    assert [record["index"] for record in first] == [0]
    assert set(first[0]["rivals"]["webp"]) == {"full size", "scale 1/2", "scale 1/4"}
    path = tmp_path / "pictures.jsonl"
    path.write_text(path.read_text() + '{"index": 1, "cut', encoding="utf-8")
    every = measure(2.5)
    assert every[0] == first[0]
    assert len(every) == 3
    assert every[2]["rivals"] == {}
    assert summarise(every, CLASSES)["n"] == 3
    names[1] = "another picture"
    again = measure(2.5)
    assert [record["name"] for record in again] == ["a", "another picture", "c"]
    assert (again[0], again[2]) == (every[0], every[2])


def test_pictures_travel_inside_the_page() -> None:
    assert picture_uri(np.zeros((8, 8, 3), np.uint8)).startswith("data:image/jpeg;base64,")
