"""The edge server in one object: links, workers, recorder, store and live events.

LinkReceiver -> WorkerPool -> Recorder -> Store
     ^                            |
     +------- acknowledge <-------+   only after the commit
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from edge_server.events import Broadcaster
from edge_server.metrics import Metrics
from edge_server.newest import Newest
from edge_server.receiver import LinkReceiver, LinkState
from edge_server.recorder import Recorder
from edge_server.store import Guess, PictureKey, Result, Store, StoredResult
from edge_server.workers import (
    Catalogue,
    EndedPicture,
    PictureCache,
    Previewer,
    Snapshot,
    Viewer,
    WorkerPool,
)
from pnc.config import ReceiverConfig
from pnc.errors import ConfigError
from pnc.transport.events import DeviceConnected
from pnc.transport.links.base import Link

__all__ = ["EdgeServer"]

STATUS_INTERVAL_S = 1.0
"""How often an open page hears totals and goodput."""

PROGRESS_INTERVAL_S = 0.1
"""How often an open page hears of new bytes of the current picture."""

MAX_DEVICES = 1000
"""Devices that the page is told of, about 0.5 kB each; those heard last."""

_log = logging.getLogger(__name__)


class EdgeServer:
    """Everything but the web: receives, decodes, classifies, stores, acknowledges.

    Args:
        store: Where results go; stays the caller's to close.
        catalogue: The checkpoints it can decode.
        num_workers: Threads that decode.
        previews_per_second: Of the current picture, per device; 0 for none.
        enough: A preview this sure, 0 to 1, ends its picture early; None: none does.

    Raises:
        ConfigError: ``enough`` is no probability, or there are no previews that could be so sure.
    """

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        *,
        num_workers: int = 1,
        previews_per_second: float = 4.0,
        enough: float | None = None,
    ) -> None:
        if enough is not None and not 0 < enough <= 1:
            raise ConfigError(f"--enough: {enough:g} is not above 0 and at most 1", value=enough)
        if enough is not None and previews_per_second <= 0:
            raise ConfigError("--enough goes by previews; give --previews more than 0")
        self._enough = enough
        self.store = store
        self.catalogue = catalogue
        self.events = Broadcaster()
        self.metrics = Metrics()
        self.cache = PictureCache()
        self.viewer = Viewer(catalogue, self.cache)
        self.recorder = Recorder(store, self._stored, self._store_changed)
        self.pool = WorkerPool(catalogue, self._finished, self.cache, num_workers=num_workers)
        self.previewer = (
            Previewer(
                catalogue,
                self.pool,
                self._previewed,
                max_per_second=previews_per_second,
                is_watched=lambda: enough is not None or self.events.num_subscribers > 0,
            )
            if previews_per_second > 0
            else None
        )
        self.started_at = time.time()
        self._lock = threading.Lock()
        self._links: dict[str, LinkReceiver] = {}
        self._link_states: dict[str, LinkState] = {}
        self._devices: Newest[dict[str, Any]] = Newest(MAX_DEVICES)
        self._in_work: dict[PictureKey, float] = {}
        """When each ended, by the monotonic clock."""
        self._progress_at: Newest[float] = Newest(MAX_DEVICES)
        self._stopping = threading.Event()
        self._status_thread = threading.Thread(target=self._tell_status, name="status", daemon=True)

    def start(
        self,
        urls: Sequence[str],
        *,
        open_link: Callable[[str], Link],
        config: ReceiverConfig | None = None,
    ) -> None:
        """Open the links and start all threads; :meth:`stop` ends them, also after an error.

        Raises:
            LinkError: A link cannot be opened.
            ConfigError: An address is wrong.
        """
        for url in urls:
            link = LinkReceiver(url, self, open_link=open_link, config=config)
            self._links[link.url] = link
        self.recorder.start()
        self.pool.start()
        if self.previewer is not None:
            self.previewer.start()
        self._status_thread.start()
        for link in self._links.values():
            link.start()

    def stop(self) -> None:
        """Finish what is queued, send the acknowledgements, end all threads."""
        self._stopping.set()
        self.events.close()
        if self.previewer is not None:
            self.previewer.close()
        self.pool.close()
        self.recorder.close()
        for link in self._links.values():
            link.stop()

    def status(self) -> dict[str, Any]:
        """Return what ``GET /api/v1/status`` shows."""
        now = time.monotonic()
        with self._lock:
            links = [asdict(state) for state in self._link_states.values()]
        return {
            "pid": os.getpid(),
            "started_at": self.started_at,
            "uptime_s": round(time.time() - self.started_at, 3),
            "store": str(self.store.path),
            "store_error": self.recorder.error,
            "waiting": self.pool.num_waiting,
            "checkpoints": [
                {"id": known, "name": name, "classes": list(self.catalogue.classes[known])}
                for known, name in self.catalogue.names.items()
            ],
            "links": links,
            "metrics": self.metrics.summary(now),
            "goodput": self.metrics.curve(now),
        }

    def connected_devices(self) -> dict[str, dict[str, Any]]:
        """Return devices that have said HELLO since the start, by name."""
        with self._lock:
            return {name: dict(device) for name, device in self._devices.items()}

    def find(self, key: PictureKey) -> StoredResult | None:
        """Return the stored result of a picture (see :class:`~edge_server.receiver.Desk`)."""
        return self.store.find(key)

    def device_connected(self, url: str, device: DeviceConnected) -> None:
        """Note a device; say so if its checkpoint is not here."""
        message = None
        if device.checkpoint_id not in self.catalogue.names:
            message = self.catalogue.explain_unknown(device.checkpoint_id)
            _log.error("%s: %s: %s", url, device.device_name, message)
        else:
            _log.info("%s: %s connected", url, device.device_name)
        with self._lock:
            self._devices[device.device_name] = {
                "link": url,
                "checkpoint_id": device.checkpoint_id,
                "session_id": device.session_id,
                "connected_at": time.time(),
            }
        self.link_changed(
            LinkState(url=url, state="connected", device_name=device.device_name, message=message)
        )

    def link_changed(self, state: LinkState) -> None:
        """Keep a link's state for the page."""
        with self._lock:
            self._link_states[state.url] = state
        self.events.publish("link", asdict(state))

    def picture_started(self, key: PictureKey, deadline_s: float, num_packets: int) -> None:
        """Tell the page of a new picture."""
        self.events.publish(
            "picture",
            {**_name(key), "deadline_s": deadline_s, "num_packets": num_packets},
        )

    def packet_received(self, snapshot: Snapshot) -> None:
        """Count goodput, show progress and preview."""
        now = time.monotonic()
        newest = snapshot.packets[next(reversed(snapshot.packets))]
        self.metrics.add_payload(len(newest), now)
        if self.previewer is not None:
            self.previewer.offer(snapshot)
        if self.events.num_subscribers == 0:
            return
        device = snapshot.key.device_name
        with self._lock:
            is_due = now - self._progress_at.get(device, 0.0) >= PROGRESS_INTERVAL_S
            if is_due:
                self._progress_at[device] = now
        if is_due:
            self.events.publish("progress", {**_name(snapshot.key), **_size(snapshot)})

    def picture_ended(self, picture: EndedPicture) -> bool:
        """Queue a picture for the workers, once."""
        if self.previewer is not None:
            self.previewer.withdraw(picture.key)
        with self._lock:
            if picture.key in self._in_work:
                return True
            self._in_work[picture.key] = time.monotonic()
        self.metrics.count(
            pictures=1, late_bytes=picture.late_bytes, stopped_early=int(picture.stopped_early)
        )
        self.events.publish(
            "ended",
            {**_name(picture.key), "received_bytes": sum(map(len, picture.packets.values()))},
        )
        taken = self.pool.submit(picture)
        if not taken:
            with self._lock:
                self._in_work.pop(picture.key, None)
        return taken

    def answered_again(self, row: StoredResult) -> None:
        """Count an END that the store answered."""
        self.metrics.count(repeated=1)

    def _finished(self, result: Result) -> None:
        if not self.recorder.put(result):
            with self._lock:
                self._in_work.pop(result.key, None)

    def _stored(self, row: StoredResult) -> None:
        """Acknowledge a committed result on the link where its device is now, and show it."""
        for link in self._links.values():
            link.acknowledge(row.key, row.payload)
        with self._lock:
            ended_at = self._in_work.pop(row.key, None)
        self.metrics.count(
            results=1, on_time=int(row.received_bytes > 0), errors=int(row.error is not None)
        )
        if ended_at is not None:
            self.metrics.add_delay(time.monotonic() - ended_at)
        self.events.publish("result", row.to_json())

    def _store_changed(self, line: str | None) -> None:
        if line is not None:
            self.metrics.count(store_failures=1)
        self.events.publish("store", {"error": line})

    def _previewed(self, snapshot: Snapshot, guesses: tuple[Guess, ...]) -> None:
        self.metrics.count(previews=1)
        if self._enough is not None and guesses and guesses[0].probability >= self._enough:
            link = self._links.get(snapshot.link_url)
            if link is not None:
                link.stop_picture(snapshot.key)
        top = [asdict(guess) for guess in guesses]
        self.events.publish("preview", {**_name(snapshot.key), **_size(snapshot), "top": top})

    def _tell_status(self) -> None:
        while not self._stopping.wait(STATUS_INTERVAL_S):
            if self.events.num_subscribers:
                self.events.publish("status", self.status())


def _name(key: PictureKey) -> dict[str, Any]:
    return {
        "device": key.device_name,
        "session_id": key.session_id,
        "picture_id": key.picture_id,
    }


def _size(snapshot: Snapshot) -> dict[str, int]:
    return {
        "received_packets": len(snapshot.packets),
        "received_bytes": sum(map(len, snapshot.packets.values())),
    }
