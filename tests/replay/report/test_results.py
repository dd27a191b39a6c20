from __future__ import annotations

import pytest

from pnc.errors import ConfigError
from pnc.replay.report.results import check_schema, headlines, list_panels

SCHEMA = "pnc.steps/1"
RESULTS = {
    "schema": SCHEMA,
    "judges": [{"name": "teacher", "num_classes": 1000}, {"name": "few", "num_classes": 10}],
    "undamaged": [{"set": "photos", "judge": judge} for judge in ("few", "teacher")],
}


def test_headline_is_top_5_for_many_classes_and_top_1_for_few() -> None:
    assert headlines(RESULTS) == {"teacher": "top5", "few": "top1"}
    assert list_panels(RESULTS) == [("photos", "few", "top1"), ("photos", "teacher", "top5")]


def test_other_results_are_refused() -> None:
    assert check_schema(RESULTS, SCHEMA) is RESULTS
    for wrong in ({"schema": "pnc.steps/99"}, {}, [1], None):
        with pytest.raises(ConfigError, match="measure again"):
            check_schema(wrong, SCHEMA)
