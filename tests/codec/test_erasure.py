"""Repairs: as many as pieces are lost give these back, whichever they are."""

from __future__ import annotations

import functools
import itertools
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pnc.codec import erasure
from pnc.codec.erasure import WINDOW, recover, repair

LENGTH = 9


def make_pieces(count: int, seed: int = 0) -> list[bytes]:
    generator = random.Random(seed)
    return [generator.randbytes(LENGTH) for _ in range(count)]


def multiply(one: int, other: int) -> int:
    """Bit by bit, as the field is defined."""
    product = 0
    while other:
        product ^= one if other & 1 else 0
        one = one << 1 ^ (0x11D if one & 0x80 else 0)
        other >>= 1
    return product


def test_the_tables_are_those_of_the_field() -> None:
    table, inverse = erasure._products(), erasure._inverses()
    for one, other in itertools.product(range(0, 256, 7), range(256)):
        assert table[one, other] == multiply(one, other)
    assert all(multiply(element, int(inverse[element])) == 1 for element in range(1, 256))


def test_a_repair_is_the_sum_that_the_page_says() -> None:
    pieces = make_pieces(140)
    for number in (0, 1, 5, 63, 64, 130, 139):
        covered = range(max(0, number - 63), number + 1)
        inverse = erasure._inverses()
        factors = {i: int(inverse[(128 + number % 128) ^ (i % 128)]) for i in covered}
        wanted = bytes(
            functools.reduce(int.__xor__, (multiply(factors[i], pieces[i][place]) for i in covered))
            for place in range(LENGTH)
        )
        assert repair(pieces, number) == wanted


@given(st.sets(st.integers(0, 11), max_size=6), st.sets(st.integers(6, 24), max_size=6))
def test_what_is_recovered_is_true(lost: set[int], repaired: set[int]) -> None:
    pieces = make_pieces(25)
    arrived = {number: piece for number, piece in enumerate(pieces) if number not in lost}
    found = recover(arrived, {number: repair(pieces, number) for number in repaired})
    assert all(found[number] == pieces[number] for number in found)
    assert arrived.keys() <= found.keys()
    if len([number for number in repaired if number >= 11]) >= len(lost):
        assert len(found) == len(pieces)


@pytest.mark.parametrize("spacing", [1, 2, 3, 4])
def test_losses_are_made_up_for_as_soon_as_enough_repairs_are_there(spacing: int) -> None:
    """Random losses; the count of repairs that came since the first loss decides."""
    pieces = make_pieces(200)
    generator = random.Random(spacing)
    surprises = 0
    for _ in range(60):
        lost = {number for number in range(200) if generator.random() < 0.6 / (1 + spacing)}
        repairs = {
            number: repair(pieces, number)
            for number in range(spacing - 1, 200, spacing)
            if generator.random() < 0.8
        }
        arrived = {number: piece for number, piece in enumerate(pieces) if number not in lost}
        found = recover(arrived, repairs)
        owed, wanted, opened = 0, 0, 0
        for number in range(200):
            opened = number if owed == 0 else opened
            owed += number in lost
            owed -= owed > 0 and number in repairs
            if owed and number - opened >= WINDOW - 1:
                break
            wanted = number + 1 if owed == 0 else wanted
        assert all(found[number] == pieces[number] for number in found)
        surprises += not set(range(wanted)) <= found.keys()
    assert surprises <= 1


def test_repairs_of_another_window_do_not_help() -> None:
    pieces = make_pieces(200)
    arrived = dict(enumerate(pieces))
    del arrived[100]
    for number in (99, 100 + WINDOW):
        assert recover(arrived, {number: repair(pieces, number)}) == arrived
    for number in (100, 99 + WINDOW):
        found = recover(arrived, {number: repair(pieces, number)})
        assert found == dict(enumerate(pieces))


def test_sums_that_say_the_same_twice_wait_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two repairs that depend on each other determine nothing; a third one does."""
    true = erasure._inverses().copy()
    dull = true.copy()
    dull[(128 + 4) ^ np.arange(4)] = true[(128 + 3) ^ np.arange(4)]
    monkeypatch.setattr(erasure, "_inverses", lambda: dull)
    monkeypatch.setattr(erasure, "_window", erasure._window.__wrapped__)  # without its cache
    pieces = [*make_pieces(4), bytes(LENGTH), *make_pieces(1, seed=1)]
    arrived = {number: piece for number, piece in enumerate(pieces) if number not in {1, 2}}
    repairs = {number: repair(pieces, number) for number in (3, 4)}
    assert recover(arrived, repairs) == arrived
    repairs[5] = repair(pieces, 5)
    assert recover(arrived, repairs) == dict(enumerate(pieces))
