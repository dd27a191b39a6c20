from __future__ import annotations

import json
from typing import Any

import pytest

from edge_server.summary import (
    PictureRecord,
    RadioLine,
    find_label,
    join_records,
    summarize,
    trace_bytes_between,
)

CLASSES = ("hex_nut", "bolt", "chain saw")


def make_row(picture_id: int, num_bytes: int, best: int | None, **changes: Any) -> dict[str, Any]:
    top = [] if best is None else [{"label": CLASSES[best], "index": best, "probability": 0.9}]
    row = {
        "session_id": 7,
        "picture_id": picture_id,
        "received_bytes": num_bytes,
        "late_bytes": 0,
        "ended_at": 100.0 + picture_id,
        "stored_at": 100.1 + picture_id,
        "error": None,
        "top": top,
    }
    return {**row, **changes}


def make_line(picture_id: int, label: str | None, **changes: Any) -> dict[str, Any]:
    line = {
        "session_id": 7,
        "picture_id": picture_id,
        "source": f"belt:4:{picture_id}",
        "label": label,
        "encoded_bytes": 4000,
        "submitted_at": 99.0 + picture_id,
    }
    return {**line, **changes}


def make_records() -> list[PictureRecord]:
    manifest = [
        make_line(1, "hex_nut"),
        make_line(2, "bolt"),
        make_line(3, "bolt"),
        make_line(4, "bolt"),
        make_line(5, "something else"),
    ]
    rows = [
        make_row(5, 1500, 0),
        make_row(3, 0, None, late_bytes=30),
        make_row(2, 600, 0),
        make_row(1, 700, 0),
        make_row(1, 999, 0, session_id=8),
    ]
    return join_records(manifest, rows)


def test_records_join_on_the_identity_of_a_picture() -> None:
    records = make_records()
    assert [record.received_bytes for record in records] == [700, 600, 0, 0, 1500]
    assert [len(record.results) for record in records] == [1, 1, 1, 0, 1]
    assert records[3].result is None


def test_counts_and_exactly_one() -> None:
    summary = summarize(make_records(), classes=CLASSES)
    assert (summary.pictures, summary.with_one_result, summary.without_result) == (5, 4, 1)
    assert not summary.exactly_one
    assert summary.on_time == 3
    assert summary.late_bytes == 30
    assert summary.delivered_bytes == 2800
    assert summary.mean_delivered_bytes == 560
    assert summarize(make_records()[:3], classes=CLASSES).exactly_one


def test_two_results_of_one_picture_are_not_exactly_one() -> None:
    records = join_records([make_line(1, None)], [make_row(1, 9, 0), make_row(1, 9, 0)])
    summary = summarize(records, classes=CLASSES)
    assert summary.with_several_results == 1
    assert not summary.exactly_one


def test_accuracy_counts_a_missing_result_as_wrong() -> None:
    summary = summarize(make_records(), classes=CLASSES, undamaged={1: 0, 2: 1, 3: 1, 4: 0})
    assert summary.labelled == 4
    assert summary.accuracy == 0.25
    assert summary.undamaged_accuracy == 0.75


def test_accuracy_by_delivered_bytes() -> None:
    bins = {one.name: one for one in summarize(make_records(), classes=CLASSES).accuracy_by_bytes}
    assert list(bins) == ["nothing", "512-1023", "1024-2047"]
    assert (bins["nothing"].pictures, bins["nothing"].accuracy) == (2, 0.0)
    assert (bins["512-1023"].labelled, bins["512-1023"].accuracy) == (2, 0.5)
    assert (bins["1024-2047"].pictures, bins["1024-2047"].accuracy) == (1, None)


def test_many_bytes_fall_into_the_last_bin() -> None:
    records = join_records([make_line(1, "bolt")], [make_row(1, 9999, 1)])
    (last,) = summarize(records, classes=CLASSES).accuracy_by_bytes
    assert (last.name, last.accuracy) == ("4096+", 1.0)


def test_goodput_against_the_trace() -> None:
    radio = [RadioLine(90.0 + second, 1000 * second, 0) for second in range(30)]
    summary = summarize(make_records(), classes=CLASSES, radio=radio)
    assert summary.seconds == 5.0
    assert summary.goodput_bps == pytest.approx(2800 * 8 / 5)
    assert summary.trace_bps == pytest.approx(8000.0)
    assert summary.trace_share == pytest.approx(0.56)


def test_delays_from_the_end_of_a_picture() -> None:
    summary = summarize(make_records(), classes=CLASSES)
    assert summary.median_delay_s == pytest.approx(0.1)
    assert summary.p95_delay_s == pytest.approx(0.1)


def test_nothing_sent_is_a_summary_too() -> None:
    summary = summarize([], classes=CLASSES)
    assert summary.exactly_one
    assert (summary.accuracy, summary.goodput_bps, summary.seconds) == (None, None, None)


def test_a_summary_is_json() -> None:
    text = json.dumps(summarize(make_records(), classes=CLASSES).to_json())
    body = json.loads(text)
    assert body["accuracy_by_bytes"][1]["bytes"] == "512-1023"
    assert body["accuracy_by_bytes"][1]["accuracy"] == 0.5


def test_the_trace_between_and_beyond_lines() -> None:
    lines = [RadioLine(0.0, 0, 0), RadioLine(1.0, 100, 0), RadioLine(2.0, 400, 0)]
    assert trace_bytes_between(lines, 0.5, 1.5) == pytest.approx(200)
    assert trace_bytes_between(lines, 0.0, 3.0) == pytest.approx(600)
    assert trace_bytes_between(lines[:1], 0.0, 3.0) is None
    assert trace_bytes_between(lines, 2.0, 2.0) is None


@pytest.mark.parametrize(
    ("label", "index"),
    [
        ("hex_nut", 0),
        ("Hex Nut", 0),
        ("hex-nut", 0),
        ("n03000684", 2),
        ("chain_saw", 2),
        ("n01440764", None),
        ("", None),
        (None, None),
    ],
)
def test_labels_are_class_names_or_wordnet_ids(label: str | None, index: int | None) -> None:
    assert find_label(label, CLASSES) == index


def test_wordnet_ids_as_class_names() -> None:
    assert find_label("n01440764", ["n03000684", "n01440764"]) == 1
