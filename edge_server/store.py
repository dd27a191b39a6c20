"""The result store: one SQLite file in WAL mode, written before anything is acknowledged.

Identity of a picture everywhere: ``(device_name, session_id, picture_id)``. Storing the same
picture twice keeps the first row, so a repeated END after a reconnect leads to the answer already
given.

Durability: ``synchronous=FULL`` makes every commit wait for the disk, so an acknowledged result
survives ``kill -9`` and a power cut alike. ``NORMAL`` would survive the kill only and take 0.3 ms
instead of 3 ms (ext4 on a virtual disk, 12 packets). The wait is paid once per batch of finished
pictures, never per packet.

One server per store: an advisory lock on ``<file>.lock`` that the kernel drops when the process
ends, however it ends. Readers (``sqlite3``, pandas, DuckDB) are not locked out.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pnc.errors import StoreError

__all__ = ["Guess", "PictureKey", "Result", "Store", "StoredResult"]

APPLICATION_ID = 0x504E4331
"""Marks the file as ours: "PNC1" in the header of SQLite."""

SCHEMA_VERSION = 3

_MIGRATIONS = {
    1: "ALTER TABLE results ADD COLUMN stopped_early INTEGER NOT NULL DEFAULT 0",
    2: "ALTER TABLE results ADD COLUMN captured_at REAL",
}
"""How a store of an older version becomes one of the next."""

BUSY_TIMEOUT_S = 5.0
"""How long a writer waits for a foreign reader's checkpoint before it gives up."""

MAX_PAGE_ROWS = 1000
"""Rows of one page of results: about 0.5 MB of JSON."""

_SCHEMA = """
CREATE TABLE results (
    id INTEGER PRIMARY KEY,
    device_name TEXT NOT NULL,
    session_id INTEGER NOT NULL,
    picture_id INTEGER NOT NULL,
    link_url TEXT NOT NULL,
    checkpoint_id TEXT NOT NULL,
    started_at REAL NOT NULL,
    ended_at REAL NOT NULL,
    stored_at REAL NOT NULL,
    deadline_s REAL NOT NULL,
    num_packets INTEGER NOT NULL,
    received_packets INTEGER NOT NULL,
    received_bytes INTEGER NOT NULL,
    late_bytes INTEGER NOT NULL,
    decode_s REAL NOT NULL,
    classify_s REAL NOT NULL,
    top TEXT NOT NULL,
    error TEXT,
    payload BLOB NOT NULL,
    stopped_early INTEGER NOT NULL DEFAULT 0,
    captured_at REAL,
    UNIQUE (device_name, session_id, picture_id)
);
CREATE TABLE packets (
    result_id INTEGER NOT NULL REFERENCES results (id) ON DELETE CASCADE,
    packet_index INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (result_id, packet_index)
) WITHOUT ROWID;
CREATE INDEX results_by_device ON results (device_name, id);
CREATE INDEX results_by_time ON results (ended_at);
"""

_COLUMNS = (
    "device_name, session_id, picture_id, link_url, checkpoint_id, started_at, ended_at, stored_at,"
    " deadline_s, num_packets, received_packets, received_bytes, late_bytes, decode_s, classify_s,"
    " top, error, payload, stopped_early, captured_at"
)
_INSERT = (
    f"INSERT INTO results ({_COLUMNS}) VALUES ({', '.join('?' * 20)})"  # noqa: S608 - constants
    " ON CONFLICT (device_name, session_id, picture_id) DO NOTHING"
)
_SELECT = f"SELECT id, {_COLUMNS} FROM results"  # noqa: S608 - constants

_SUMMARY_NAMES = (
    "device",
    "results",
    "on_time",
    "errors",
    "received_bytes",
    "late_bytes",
    "first_seen_at",
    "last_seen_at",
)


class PictureKey(NamedTuple):
    """What names one picture on every machine that ever sees it."""

    device_name: str
    session_id: int
    """Random 32-bit number that the device chose at its start."""
    picture_id: int
    """Counts up within a session."""


@dataclass(frozen=True)
class Guess:
    """One guess of the classifier."""

    label: str
    index: int
    """Position in the checkpoint's class list."""
    probability: float
    """0 to 1."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What the server knows about one ended picture. Times are seconds since 1970 (UTC)."""

    key: PictureKey
    link_url: str
    checkpoint_id: str
    """8 hexadecimal digits: the checkpoint the device encoded with."""
    started_at: float
    ended_at: float
    stored_at: float
    """When the answer was ready to be stored."""
    deadline_s: float
    """Time the device gave the picture on the link, from its start."""
    num_packets: int
    """Packets the device had; 0 when the start of the picture never arrived."""
    packets: dict[int, bytes]
    """What arrived in time, by index: priority order."""
    late_bytes: int
    """Bytes that came after the deadline; counted, never used."""
    stopped_early: bool = False
    """Whether this server ended it, having enough, before its deadline or last packet."""
    captured_at: float | None = None
    """When the device took it, if it kept it since then; None: just before ``started_at``."""
    decode_s: float
    classify_s: float
    top: tuple[Guess, ...]
    """Best guesses, best first; empty when nothing arrived or with an error."""
    error: str | None
    """Why there is no guess, one line for the user."""
    payload: bytes
    """What the device was told; sent again when it asks again."""

    @property
    def received_bytes(self) -> int:
        """Bytes of packets that arrived in time."""
        return sum(map(len, self.packets.values()))


@dataclass(frozen=True, kw_only=True)
class StoredResult:
    """One row of the store, without its packets. Fields as in :class:`Result`."""

    id: int
    key: PictureKey
    link_url: str
    checkpoint_id: str
    started_at: float
    ended_at: float
    stored_at: float
    deadline_s: float
    num_packets: int
    received_packets: int
    received_bytes: int
    late_bytes: int
    stopped_early: bool
    captured_at: float | None
    decode_s: float
    classify_s: float
    top: tuple[Guess, ...]
    error: str | None
    payload: bytes

    def to_json(self) -> dict[str, Any]:
        """Return the row as the web API shows it."""
        return {
            "id": self.id,
            "device": self.key.device_name,
            "session_id": self.key.session_id,
            "picture_id": self.key.picture_id,
            "link": self.link_url,
            "checkpoint_id": self.checkpoint_id,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "stored_at": self.stored_at,
            "deadline_s": self.deadline_s,
            "num_packets": self.num_packets,
            "received_packets": self.received_packets,
            "received_bytes": self.received_bytes,
            "late_bytes": self.late_bytes,
            "stopped_early": self.stopped_early,
            "captured_at": self.captured_at,
            "decode_s": self.decode_s,
            "classify_s": self.classify_s,
            "top": [asdict(guess) for guess in self.top],
            "error": self.error,
            "picture": f"/api/v1/results/{self.id}/picture.png",
        }


class Store:
    """Results and packets in one SQLite file. Safe to share between threads.

    Args:
        path: The file; made if missing, in an existing folder.

    Raises:
        StoreError: Another server has it, it is no store of PNC, or it cannot be opened or written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._writing = threading.Lock()
        self._reading = threading.Lock()
        self._lock_file = _lock(self.path)
        with ExitStack() as undo:
            undo.callback(os.close, self._lock_file)
            with _explained(self.path):
                self._writer = self._connect()
                undo.callback(self._writer.close)
                self._prepare()
                self._reader = self._connect()
                undo.callback(self._reader.close)
                self._reader.execute("PRAGMA query_only = ON")
            undo.pop_all()

    def insert(self, result: Result) -> StoredResult:
        """Store one result and wait until it is on the disk; the first one of a picture stays.

        Raises:
            StoreError: It could not be stored: disk full, file read-only.
        """
        return self.insert_many([result])[0]

    def insert_many(self, results: Sequence[Result]) -> list[StoredResult]:
        """Store results in one commit, all or none.

        Returns:
            The rows as they are in the store now, in the order given: for a picture that was
            stored before, the old row.

        Raises:
            StoreError: Nothing was stored: disk full, file read-only.
        """
        with self._writing, _explained(self.path):
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                rows = [self._insert(result) for result in results]
                self._writer.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._writer.execute("ROLLBACK")
                raise
        return rows

    def find(self, key: PictureKey) -> StoredResult | None:
        """Return the row of a picture, or None.

        Raises:
            StoreError: The store cannot be read.
        """
        where = " WHERE device_name = ? AND session_id = ? AND picture_id = ?"
        rows = self._read(_SELECT + where, tuple(key))
        return _to_result(rows[0]) if rows else None

    def get(self, result_id: int) -> StoredResult | None:
        """Return the row of that id, or None.

        Raises:
            StoreError: The store cannot be read.
        """
        rows = self._read(_SELECT + " WHERE id = ?", (result_id,))
        return _to_result(rows[0]) if rows else None

    def packets(self, result_id: int) -> list[bytes]:
        """Return the packets of a result that arrived in time, in priority order.

        Raises:
            StoreError: The store cannot be read.
        """
        query = "SELECT data FROM packets WHERE result_id = ? ORDER BY packet_index"
        return [bytes(row[0]) for row in self._read(query, (result_id,))]

    def page(
        self,
        *,
        device: str | None = None,
        since: float | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[StoredResult]:
        """Return rows, newest first.

        Args:
            device: Only this device's.
            since: Only pictures that ended at this time or later, seconds since 1970.
            before: Only rows with a smaller id: the last id of the page before this one.
            limit: At most so many, 1 to MAX_PAGE_ROWS.

        Raises:
            StoreError: The store cannot be read.
        """
        conditions = {"device_name = ?": device, "ended_at >= ?": since, "id < ?": before}
        wanted = {text: value for text, value in conditions.items() if value is not None}
        where = f" WHERE {' AND '.join(wanted)}" if wanted else ""
        query = f"{_SELECT}{where} ORDER BY id DESC LIMIT ?"
        rows = self._read(query, (*wanted.values(), min(max(limit, 1), MAX_PAGE_ROWS)))
        return [_to_result(row) for row in rows]

    def devices(self) -> list[dict[str, Any]]:
        """Return one summary per device that ever had a result, by name.

        Raises:
            StoreError: The store cannot be read.
        """
        query = (
            "SELECT device_name, COUNT(*), SUM(received_bytes > 0), SUM(error IS NOT NULL),"
            " SUM(received_bytes), SUM(late_bytes), MIN(started_at), MAX(ended_at)"
            " FROM results GROUP BY device_name ORDER BY device_name"
        )
        return [dict(zip(_SUMMARY_NAMES, row, strict=True)) for row in self._read(query, ())]

    def count(self) -> int:
        """Return how many results there are.

        Raises:
            StoreError: The store cannot be read.
        """
        return int(self._read("SELECT COUNT(*) FROM results", ())[0][0])

    def close(self) -> None:
        """Move the WAL into the file, close, let the next server in. Twice is once."""
        with self._writing, self._reading:
            if self._lock_file < 0:
                return
            self._reader.close()
            with suppress(sqlite3.Error):
                self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._writer.close()
            os.close(self._lock_file)
            self._lock_file = -1

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )

    def _prepare(self) -> None:
        version = self._pragma("user_version")
        if version == 0 and not self._writer.execute("SELECT 1 FROM sqlite_master").fetchone():
            script = f"PRAGMA application_id = {APPLICATION_ID};"
            script += f"BEGIN; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            self._writer.executescript(script)
        elif self._pragma("application_id") != APPLICATION_ID:
            raise StoreError(
                f"{self.path}: an SQLite file, but not a result store; choose another with --store",
                path=self.path,
            )
        elif version in _MIGRATIONS:
            steps = "; ".join(_MIGRATIONS[step] for step in range(version, SCHEMA_VERSION))
            script = f"BEGIN; {steps}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            self._writer.executescript(script)
        elif version != SCHEMA_VERSION:
            raise StoreError(
                f"{self.path}: result store of version {version}, this server reads version "
                f"{SCHEMA_VERSION}; choose another with --store",
                path=self.path,
            )
        self._writer.execute("PRAGMA journal_mode = WAL")
        self._writer.execute("PRAGMA synchronous = FULL")
        # A write that changes nothing: a read-only file must fail now, not at the first picture.
        self._writer.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _pragma(self, name: str) -> int:
        return int(self._writer.execute(f"PRAGMA {name}").fetchone()[0])

    def _insert(self, result: Result) -> StoredResult:
        values = (
            *result.key,
            result.link_url,
            result.checkpoint_id,
            result.started_at,
            result.ended_at,
            result.stored_at,
            result.deadline_s,
            result.num_packets,
            len(result.packets),
            result.received_bytes,
            result.late_bytes,
            result.decode_s,
            result.classify_s,
            json.dumps([astuple(guess) for guess in result.top], separators=(",", ":")),
            result.error,
            result.payload,
            result.stopped_early,
            result.captured_at,
        )
        cursor = self._writer.execute(_INSERT, values)
        if cursor.rowcount == 1:
            self._writer.executemany(
                "INSERT INTO packets (result_id, packet_index, data) VALUES (?, ?, ?)",
                ((cursor.lastrowid, index, data) for index, data in result.packets.items()),
            )
        where = " WHERE device_name = ? AND session_id = ? AND picture_id = ?"
        return _to_result(self._writer.execute(_SELECT + where, tuple(result.key)).fetchone())

    def _read(self, query: str, values: Iterable[Any]) -> list[tuple[Any, ...]]:
        with self._reading, _explained(self.path):
            return self._reader.execute(query, tuple(values)).fetchall()


def _to_result(row: tuple[Any, ...]) -> StoredResult:
    return StoredResult(
        id=row[0],
        key=PictureKey(row[1], row[2], row[3]),
        link_url=row[4],
        checkpoint_id=row[5],
        started_at=row[6],
        ended_at=row[7],
        stored_at=row[8],
        deadline_s=row[9],
        num_packets=row[10],
        received_packets=row[11],
        received_bytes=row[12],
        late_bytes=row[13],
        decode_s=row[14],
        classify_s=row[15],
        top=tuple(Guess(*guess) for guess in json.loads(row[16])),
        error=row[17],
        payload=bytes(row[18]),
        stopped_early=bool(row[19]),
        captured_at=row[20],
    )


def _lock(path: Path) -> int:
    """Take the lock of a store; return the descriptor that holds it."""
    lock_path = path.with_name(path.name + ".lock")
    try:
        descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StoreError(
            f"{path}: cannot make the store here ({error.strerror}); choose another with --store",
            path=path,
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.read(descriptor, 20).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise StoreError(
            f"{path}: another server has this store open (process {owner or 'unknown'}); "
            "stop it or choose another with --store",
            path=path,
            owner=owner,
        ) from error
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode("ascii"))
    return descriptor


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn errors of SQLite into one line for the user."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorname", "") or ""
        raise StoreError(f"{path}: {_explain(code, error)}", path=path, code=code) from error


def _explain(code: str, error: sqlite3.Error) -> str:
    for prefix, line in {
        "SQLITE_FULL": "the disk is full; nothing was stored; make room, the server tries again",
        "SQLITE_READONLY": "the store is read-only; give this user the right to write it",
        "SQLITE_CANTOPEN": "cannot open the store; does its folder exist, may this user write it?",
        "SQLITE_NOTADB": "not an SQLite file; choose another with --store",
        "SQLITE_CORRUPT": "the store is damaged; move it away or restore a copy",
        "SQLITE_BUSY": "another program keeps the store locked; close it",
    }.items():
        if code.startswith(prefix):
            return line
    return f"the store failed ({error}); check the disk"
