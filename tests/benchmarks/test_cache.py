from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.cache import Cache, Outcome
from pnc.errors import ConfigError


def test_outcomes_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "new" / "outcomes.sqlite"
    cache = Cache(path)
    full = Outcome("webp", 512, b"\x00stream", 25.5, 0.9, {"judge": [3, 1]})
    misfit = Outcome("webp", 100, None, 9.0, 0.1, {"judge": []})
    cache.write("picture", [full, misfit])
    cache.close()
    again = Cache(path)
    assert again.read("picture") == {("webp", 512): full, ("webp", 100): misfit}
    assert again.read("other") == {}
    again.close()


def test_later_judges_are_added(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "outcomes.sqlite")
    cache.write("p", [Outcome("webp", 512, b"s", 25.5, 0.9, {"one": [1]})])
    cache.write("p", [Outcome("webp", 512, b"s", 25.5, 0.9, {"two": [2]})])
    assert cache.read("p")["webp", 512].predictions == {"one": [1], "two": [2]}
    cache.close()


def test_file_that_is_no_cache_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "outcomes.sqlite"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(ConfigError, match="delete it"):
        Cache(path)


def test_a_cache_that_breaks_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "outcomes.sqlite"
    cache = Cache(path)
    cache.write("p", [Outcome("webp", 512, b"s", 25.5, 0.9)])
    with closing(sqlite3.connect(path, timeout=0)) as other:
        other.execute("DROP TABLE streams")
    with pytest.raises(ConfigError, match="cannot be read"):
        cache.read("p")
    with pytest.raises(ConfigError, match="cannot be written"):
        cache.write("p", [Outcome("webp", 512, b"s", 25.5, 0.9)])
    cache.close()
