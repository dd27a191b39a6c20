"""Results in an SQLite file, one row for each picture: memory that a long run does not fill."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["Key", "Ledger"]

COMMIT_ROWS = 1000
"""Rows of one commit."""


class Key(NamedTuple):
    """What names a picture of one device."""

    session_id: int
    picture_id: int


class Ledger:
    """Payloads by key; a key that is there keeps its first payload.

    Args:
        path: The file; made new.
    """

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._file = sqlite3.connect(path)
        self._file.execute("PRAGMA synchronous = OFF")
        self._file.execute(
            "CREATE TABLE results (session_id INTEGER, picture_id INTEGER, payload BLOB,"
            " PRIMARY KEY (session_id, picture_id)) WITHOUT ROWID"
        )
        self._num_waiting = 0

    def add(self, key: Key, payload: bytes) -> bool:
        """Write a row; False if there was one."""
        cursor = self._file.execute(
            "INSERT OR IGNORE INTO results VALUES (?, ?, ?)", (*key, payload)
        )
        self._num_waiting += 1
        if self._num_waiting >= COMMIT_ROWS:
            self._file.commit()
            self._num_waiting = 0
        return cursor.rowcount == 1

    def find(self, key: Key) -> bytes | None:
        """Return the payload of a picture, or None."""
        query = "SELECT payload FROM results WHERE session_id = ? AND picture_id = ?"
        row = self._file.execute(query, key).fetchone()
        return None if row is None else bytes(row[0])

    def rows(self) -> Iterator[tuple[Key, bytes]]:
        """Return all rows, by key."""
        query = "SELECT * FROM results ORDER BY session_id, picture_id"
        return (
            (Key(session_id, picture_id), bytes(payload))
            for session_id, picture_id, payload in self._file.execute(query)
        )

    def close(self) -> None:
        """Close the file."""
        self._file.close()
