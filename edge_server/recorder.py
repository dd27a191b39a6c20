"""Commits results to the store, and only then lets them be acknowledged.

While the store fails (disk full, read-only), results wait here and nothing is acknowledged; the
server says so and tries again every second.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from edge_server.store import Result, Store, StoredResult
from pnc.errors import StoreError

__all__ = ["Recorder"]

RETRY_S = 1.0
"""Pause between attempts while the store fails."""

MAX_BATCH = 100
"""Results in one commit: a commit waits for the disk once, whatever it holds."""

MAX_BACKLOG = 1000
"""Results that may wait for a failing store, about 5 MB; more are dropped, unacknowledged."""

_log = logging.getLogger(__name__)


class Recorder:
    """The thread between the workers and the links.

    Args:
        store: Where results go.
        on_stored: Called in the recorder's thread with each row, after its commit.
        on_failure: Called with the line for the user when the store begins to fail, and with None
            when it works again.
        retry_s: Pause between attempts while the store fails.
    """

    def __init__(
        self,
        store: Store,
        on_stored: Callable[[StoredResult], None],
        on_failure: Callable[[str | None], None] = lambda _line: None,
        *,
        retry_s: float = RETRY_S,
    ) -> None:
        self._store = store
        self._on_stored = on_stored
        self._on_failure = on_failure
        self._retry_s = retry_s
        self._waiting: deque[Result] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        self.error: str | None = None
        """Why results are waiting, one line; None while the store works."""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, result: Result) -> bool:
        """Queue a result for the next commit; False, with a log line, if too many wait."""
        with self._changed:
            if len(self._waiting) >= MAX_BACKLOG:
                _log.error("%s dropped: %d results wait for the store", result.key, MAX_BACKLOG)
                return False
            self._waiting.append(result)
            self._changed.notify()
        return True

    def close(self, timeout_s: float = 5.0) -> None:
        """Commit what waits, at most for so long, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _work(self) -> None:
        while batch := self._take():
            try:
                rows = self._store.insert_many(batch)
            except StoreError as reason:
                self._fail(str(reason))
                with self._changed:
                    if self._closed:
                        _log.error("%d results could not be stored", len(self._waiting))
                        return
                    self._changed.wait_for(lambda: self._closed, self._retry_s)
                continue
            self._fail(None)
            with self._changed:
                for _ in batch:
                    self._waiting.popleft()
            for row in rows:
                self._tell(row)

    def _take(self) -> list[Result]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            return [self._waiting[index] for index in range(min(MAX_BATCH, len(self._waiting)))]

    def _tell(self, row: StoredResult) -> None:
        try:
            self._on_stored(row)
        except Exception:  # noqa: BLE001 - the top of a task
            _log.exception("result %d is stored, but not everybody knows", row.id)

    def _fail(self, line: str | None) -> None:
        if line == self.error:
            return
        self.error = line
        if line is None:
            _log.warning("the store works again")
        else:
            _log.error("%s; results wait, nothing is acknowledged", line)
        self._on_failure(line)
