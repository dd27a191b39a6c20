"""What was encoded and judged before: one SQLite file, so that a run resumes and grows.

    streams    (picture, contender, budget)           the stream, how the picture in it looks
    verdicts   (picture, contender, budget, judge)    the likeliest classes
    sureness   (picture, contender, budget, judge)    how probable the first of them is

Keys are hashes of pixels, settings, library versions and files, so nothing goes stale; delete the
file to get the space back. One process writes; what a picture needed is one transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pnc.errors import ConfigError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS streams (
    picture TEXT, contender TEXT, budget INTEGER, stream BLOB, psnr_db REAL, ms_ssim REAL,
    PRIMARY KEY (picture, contender, budget)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS verdicts (
    picture TEXT, contender TEXT, budget INTEGER, judge TEXT, predictions TEXT,
    PRIMARY KEY (picture, contender, budget, judge)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sureness (
    picture TEXT, contender TEXT, budget INTEGER, judge TEXT, probability REAL,
    PRIMARY KEY (picture, contender, budget, judge)) WITHOUT ROWID;
"""


@dataclass
class Outcome:
    """What is known of one picture, sent by one contender within one budget."""

    contender: str
    """Its fingerprint."""
    budget: int
    """Bytes; 0 for the undamaged picture."""
    stream: bytes | None
    """What was sent; None if nothing fits (or for the undamaged picture)."""
    psnr_db: float
    """Of what the receiver sees; mid-grey if nothing fits."""
    ms_ssim: float
    """The same."""
    predictions: dict[str, list[int]] = field(default_factory=dict)
    """By a judge's fingerprint: the likeliest classes; none if nothing fits."""
    sureness: dict[str, float] = field(default_factory=dict)
    """By a judge's fingerprint: its probability of the likeliest class, 0 if nothing fits."""


class Cache:
    """The file.

    Args:
        path: Where it lies; made if missing.

    Raises:
        ConfigError: It cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path)
            try:
                self._database.execute("PRAGMA journal_mode=WAL")
                self._database.executescript(_SCHEMA)
            except sqlite3.Error:
                self._database.close()
                raise
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(f"{path}: cannot be used as cache ({error}); delete it") from error

    def read(self, picture: str) -> dict[tuple[str, int], Outcome]:
        """Return all outcomes of a picture by (contender, budget).

        Raises:
            ConfigError: The file cannot be read.
        """
        with self._explained("read"):
            return self._read(picture)

    def _read(self, picture: str) -> dict[tuple[str, int], Outcome]:
        rows = self._database.execute(
            "SELECT contender, budget, stream, psnr_db, ms_ssim FROM streams WHERE picture = ?",
            (picture,),
        )
        outcomes = {(row[0], row[1]): Outcome(*row) for row in rows}
        for contender, budget, judge, text in self._database.execute(
            "SELECT contender, budget, judge, predictions FROM verdicts WHERE picture = ?",
            (picture,),
        ):
            outcomes[contender, budget].predictions[judge] = json.loads(text)
        for contender, budget, judge, probability in self._database.execute(
            "SELECT contender, budget, judge, probability FROM sureness WHERE picture = ?",
            (picture,),
        ):
            outcomes[contender, budget].sureness[judge] = probability
        return outcomes

    def write(self, picture: str, outcomes: Iterable[Outcome]) -> None:
        """Keep outcomes of a picture, all or none.

        Raises:
            ConfigError: The file cannot be written, for example because the disk is full.
        """
        kept = list(outcomes)
        with self._explained("written"), self._database:
            self._database.executemany(
                "INSERT OR REPLACE INTO streams VALUES (?, ?, ?, ?, ?, ?)",
                [(picture, o.contender, o.budget, o.stream, o.psnr_db, o.ms_ssim) for o in kept],
            )
            self._database.executemany(
                "INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?, ?)",
                [
                    (picture, o.contender, o.budget, judge, json.dumps(predictions))
                    for o in kept
                    for judge, predictions in o.predictions.items()
                ],
            )
            self._database.executemany(
                "INSERT OR REPLACE INTO sureness VALUES (?, ?, ?, ?, ?)",
                [
                    (picture, o.contender, o.budget, judge, probability)
                    for o in kept
                    for judge, probability in o.sureness.items()
                ],
            )

    @contextmanager
    def _explained(self, done: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise ConfigError(
                f"{self._path}: the cache cannot be {done} ({error}); make room, or stop what else "
                "uses it, and start again: what it holds stays"
            ) from error

    def close(self) -> None:
        """Close the file."""
        self._database.close()
