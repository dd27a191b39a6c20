"""Results as the edge server words them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.pictures import parse_result
from tests.device.bench import RESULT


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (RESULT, (800, (("gear", 0.93), ("bolt", 0.04)))),
        (b'{"top":[["a\\u001b[31m",1]]}', (None, (("a?[31m", 1.0),))),
        (b'{"top":[["a"],[1,"x"],"y",{"z":1}],"bytes":"many"}', (None, ())),
        (b"[1]", (None, ())),
        (b"ok", (None, ())),
        (b"\xff\xfe", (None, ())),
        (b"", (None, ())),
    ],
)
def test_results_are_read_with_care(payload: bytes, expected: object) -> None:
    assert parse_result(payload) == expected


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_result_payload_raises(payload: bytes) -> None:
    parse_result(payload)
