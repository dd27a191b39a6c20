from __future__ import annotations

import pytest

from tests.training.report.cases import CLASSES, make_records
from training.report.gather import BUDGETS, RIVAL_BUDGETS
from training.report.summary import link_table, pick_examples, summarise


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
