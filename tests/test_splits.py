"""Splits are promises: a picture that trained once must never be reported on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from pnc.splits import BELT_SEEDS, Split, is_odd, name_hash, split_by_name


def test_each_split_of_the_belt_keeps_its_seed() -> None:
    assert BELT_SEEDS == {"train": 1, "tune": 2, "val": 3}


@pytest.mark.parametrize(
    ("name", "split", "odd"),
    [
        ("241.png", "val", True),
        ("39.png", "val", False),
        ("192.png", "tune", True),
        ("167.png", "tune", False),
        ("21.png", "train", True),
        ("23.png", "train", False),
    ],
)
def test_a_name_stays_in_its_split_and_its_half(name: str, split: Split, odd: bool) -> None:
    assert split_by_name(name) == split
    assert is_odd(name) is odd


def test_folders_do_not_count() -> None:
    assert name_hash("ant_0.png") == name_hash(Path("a/b/ant_0.png"))
    assert f"{name_hash('ant_0.png'):064x}".startswith("f1da85aafc8017ba")


def test_splits_have_their_shares() -> None:
    counts = Counter(split_by_name(f"{index}.png") for index in range(10_000))
    assert counts["val"] == pytest.approx(1500, rel=0.1)
    assert counts["tune"] == pytest.approx(500, rel=0.1)
