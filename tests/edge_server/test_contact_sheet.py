from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from edge_server.contact_sheet import MAX_ENTRIES, Entry, choose_records, make_contact_sheet
from edge_server.summary import PictureRecord, join_records
from tests.edge_server.test_summary import make_line, make_row

RED = np.full((224, 224, 3), (200, 10, 20), np.uint8)
BLUE = np.full((224, 224, 3), (10, 20, 200), np.uint8)


def make_entry(arrived: bool = True, truth: str | None = "hex_nut") -> Entry:
    return Entry(
        original=RED,
        arrived=BLUE if arrived else None,
        received_bytes=1234 if arrived else 0,
        encoded_bytes=4000,
        top=(("hex_nut", 0.8), ("a class with a name that is much too long", 0.1), ("x", 0.05)),
        truth=truth,
    )


@pytest.mark.parametrize("count", [0, 1, 4, 5, 12])
def test_a_sheet_has_a_place_for_every_entry(count: int) -> None:
    sheet = make_contact_sheet([make_entry() for _ in range(count)], "title", "subtitle")
    colours = {colour: number for number, colour in sheet.getcolors(2**24) or []}
    assert colours.get((200, 10, 20), 0) == count * 168 * 168
    assert colours.get((10, 20, 200), 0) == count * 168 * 168
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    assert Image.open(io.BytesIO(buffer.getvalue())).size == sheet.size


def test_nothing_arrived_and_no_label_have_a_place_too() -> None:
    sheet = make_contact_sheet([make_entry(arrived=False, truth=None)], "title")
    colours = [colour for _, colour in sheet.getcolors(2**24) or []]
    assert (10, 20, 200) not in colours


def make_records(sizes: list[int]) -> list[PictureRecord]:
    manifest = [make_line(number, None) for number in range(len(sizes) + 1)]
    rows = [make_row(number, size, None) for number, size in enumerate(sizes)]
    return join_records(manifest, rows)


def test_a_dozen_spans_the_delivered_bytes() -> None:
    chosen = choose_records(make_records([(37 * n) % 101 for n in range(101)]))
    sizes = [record.received_bytes for record in chosen]
    assert len(sizes) == MAX_ENTRIES
    assert sizes == sorted(set(sizes))
    assert (sizes[0], sizes[-1]) == (0, 100)
    assert max(np.diff(sizes)) <= 10


def test_few_pictures_are_all_shown_and_those_without_result_left_out() -> None:
    chosen = choose_records(make_records([30, 10, 20]))
    assert [record.received_bytes for record in chosen] == [10, 20, 30]
