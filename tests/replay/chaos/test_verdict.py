"""The judge of a run finds what it is there for."""

from __future__ import annotations

from pathlib import Path

from pnc.replay.chaos import Key, Ledger, Verdict, judge

A, B = 7, 3
"""Session ids are random: the later session has the lower one."""


def rows(*keys: tuple[int, int], payload: bytes = b"x") -> list[tuple[Key, bytes]]:
    return sorted((Key(*key), payload) for key in keys)


def test_a_clean_run() -> None:
    stored = rows((A, 1), (A, 2), (B, 1))
    assert judge({A: 2, B: 1}, stored, stored) == Verdict(3, 0, 0, 0, 0)


def test_a_gap_is_lost_and_the_end_of_a_killed_device_unheard() -> None:
    stored = rows((A, 1), (A, 3), (B, 1))
    assert judge({A: 5, B: 1}, stored, []) == Verdict(3, 1, 2, 0, 0)


def test_the_end_of_the_device_that_lives_is_lost() -> None:
    assert judge({A: 1, B: 3}, rows((A, 1), (B, 1)), []) == Verdict(2, 2, 0, 0, 0)


def test_two_rows_of_a_picture_are_found() -> None:
    assert judge({A: 1}, rows((A, 1), (A, 1)), []).stored_again == 1


def test_what_the_device_heard_must_be_what_is_stored() -> None:
    stored = rows((A, 1), (A, 3))
    assert judge({A: 3}, stored, rows((A, 1), payload=b"y")).contradicted == 1
    assert judge({A: 3}, stored, rows((A, 2))).contradicted == 1
    assert judge({A: 3}, stored, rows((A, 4), (A, 5))).contradicted == 2
    assert judge({A: 3}, stored, rows((A, 1), (A, 3))).contradicted == 0


def test_a_ledger_keeps_the_first_payload_of_a_key(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    assert ledger.add(Key(2, 1), b"first")
    assert not ledger.add(Key(2, 1), b"second")
    assert all(ledger.add(Key(1, number), b"") for number in range(1, 1500))
    assert ledger.find(Key(2, 1)) == b"first"
    assert ledger.find(Key(2, 2)) is None
    assert [key for key, _ in ledger.rows()][-2:] == [Key(1, 1499), Key(2, 1)]
    ledger.close()
