"""The bridge's core does the same on MicroPython as on CPython, and allocates nothing there.

MicroPython runs in node: ``npm install --prefix tests/firmware`` fetches it.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.firmware import exercise

FEW_SEQUENCES = 1000
MANY_SEQUENCES = 100_000

ALL = f"""
import sys, exercise
print(sys.implementation.name)
for name in ("boot.py", "code.py"):
    with open("/" + name) as file:
        compile(file.read(), name, "exec")
print(exercise.run(0, {FEW_SEQUENCES}, 100), exercise.other_parts())
print(exercise.allocated(1000))
inlet = exercise.Pipe.inlet
exercise.Pipe.inlet = lambda pipe: inlet(pipe)[:]
print(exercise.allocated(1000))
"""


def test_micropython_does_the_same_and_allocates_nothing(
    micropython: Callable[[str], str],
) -> None:
    name, checks, grown, grown_by_a_slice = micropython(ALL).splitlines()
    assert name == "micropython"
    assert checks == f"{exercise.run(0, FEW_SEQUENCES, 100)} {exercise.other_parts()}"
    assert int(grown) == 0
    assert int(grown_by_a_slice) >= 1000


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_more_of_the_same(micropython: Callable[[str], str]) -> None:
    printed = micropython(f"import exercise; print(exercise.run(7, {MANY_SEQUENCES}, 10000))")
    assert printed.strip() == str(exercise.run(7, MANY_SEQUENCES, 10000))
