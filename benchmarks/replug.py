"""How long until pictures come again: the port is pulled out and put back, the server is killed.

``pnc device run`` and ``pnc serve`` run as a user would start them, on two pseudo-terminals whose
names are symbolic links, as udev makes them. Pulling out destroys both terminals and the names;
putting back makes new ones under the old names. A kill is ``SIGKILL``; the time then includes all
that a start takes, the reading of the networks too.
"""

from __future__ import annotations

import json
import queue
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.bench import OnProgress
from benchmarks.facts import describe_run
from pnc.errors import LinkError
from pnc.transport.links.channel import ChannelConfig
from pnc.transport.links.pty_radio import PtyRadio
from pnc.transport.links.trace import RateTrace

__all__ = ["REPLUG_SCHEMA", "measure_replug", "replug_table"]

REPLUG_SCHEMA = "pnc.replug/1"

RATE_BPS = 100_000.0
"""Of the radio."""

DEADLINE_S = 0.5
"""Of a picture; the next one follows at once."""

MAX_AWAY_S = 8.0
"""The port is away, and the server dead, for up to this."""

PATIENCE_S = 60.0
"""A picture that has not come after this will not come."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A line that a program wrote."""

    at: float
    """When it was read, seconds of the monotonic clock."""
    content: dict[str, Any]


class _Program:
    """A ``pnc`` command whose lines of JSON are read as they come."""

    def __init__(self, *words: str, log: Path) -> None:
        self._lines: queue.SimpleQueue[_Line | None] = queue.SimpleQueue()
        self._log = log
        with log.open("a", encoding="utf-8") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pnc.cli", *words],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def lines(self) -> Iterator[_Line]:
        """Return the lines as they come, for as long as patience lasts.

        Raises:
            LinkError: The program ended, or said nothing for too long.
        """
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                last = self._log.read_text(encoding="utf-8").strip().rpartition("\n")[2]
                raise LinkError(f"no further picture; the program's last words: {last or 'none'}")
            yield line

    def kill(self) -> None:
        """End it at once, as a power cut does."""
        self._process.kill()
        self._process.wait()
        self._reader.join()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for text in output:
                self._lines.put(_Line(time.monotonic(), json.loads(text)))
        self._lines.put(None)


class _Site:
    """A device and a server, and the two ports between them."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._radio = self._make_radio()
        stack.callback(lambda: self._radio.close())
        self._server = self._start_server()
        stack.callback(lambda: self._server.kill())
        next(self._server.lines())
        self._device = _Program(
            *("device", "run", "--source", "belt", "--checkpoint", "belt", "--name", "replug"),
            *("--link", f"serial://{folder / 'device'}", "--deadline", str(DEADLINE_S), "--json"),
            log=folder / "device.log",
        )
        stack.callback(self._device.kill)
        self.first_picture_after(0.0)

    def replug(self, away_s: float) -> float:
        """Pull the port out, put it back, and return the seconds until the first picture."""
        self._radio.close()
        time.sleep(away_s)
        self._radio = self._make_radio()
        return self.first_picture_after(time.monotonic())

    def restart_server(self, away_s: float) -> float:
        """Kill the server, start it, and return the seconds until the first picture."""
        self._server.kill()
        time.sleep(away_s)
        begin = time.monotonic()
        self._server = self._start_server()
        return self.first_picture_after(begin)

    def first_picture_after(self, begin: float) -> float:
        """Return how long it took until a picture that was taken later had its result."""
        for line in self._device.lines():
            result_ms = line.content.get("result_ms")
            if (
                line.content.get("received_bytes")
                and result_ms is not None
                and line.at - result_ms / 1e3 > begin
            ):
                return line.at - begin
        raise AssertionError("lines end with an error")

    def _start_server(self) -> _Program:
        return _Program(
            *("serve", "--link", f"serial://{self._folder / 'server'}", "--port", "0", "--json"),
            *("--checkpoint", "belt", "--store", str(self._folder / "results.sqlite")),
            log=self._folder / "server.log",
        )

    def _make_radio(self) -> PtyRadio:
        config = ChannelConfig(trace=RateTrace.constant(RATE_BPS))
        folder = self._folder
        return PtyRadio(config, link_a=folder / "device", link_b=folder / "server").start()


@contextmanager
def _open_site() -> Iterator[_Site]:
    with TemporaryDirectory(prefix="pnc-replug-") as folder, ExitStack() as stack:
        yield _Site(Path(folder), stack)


def measure_replug(
    num_tries: int, seed: int = 0, on_progress: OnProgress | None = None
) -> dict[str, Any]:
    """Return the results as JSON values; `docs/benchmarks.md` explains the fields.

    Args:
        num_tries: Of each of the two.
        seed: Of how long the port is away, and the server dead.
        on_progress: Told what is done.

    Raises:
        LinkError: Pictures did not come again.
    """
    source = random.Random(seed)
    times_s: dict[str, list[float]] = {"replug": [], "server_restart": []}
    with _open_site() as site:
        for name, again in (("replug", site.replug), ("server_restart", site.restart_server)):
            for number in range(num_tries):
                times_s[name].append(again(source.uniform(0.0, MAX_AWAY_S)))
                if on_progress is not None:
                    on_progress(name, number + 1, num_tries)
    return {
        **describe_run(REPLUG_SCHEMA),
        "seed": seed,
        "deadline_s": DEADLINE_S,
        "rate_bps": RATE_BPS,
        "max_away_s": MAX_AWAY_S,
        "results": [summarize(name, values) for name, values in times_s.items()],
    }


def summarize(name: str, times_s: Sequence[float]) -> dict[str, Any]:
    """Return quantiles of times to the first picture, seconds, and the times."""
    p50, p95 = np.percentile(times_s, [50, 95])
    return {
        "name": name,
        "n": len(times_s),
        "p50_s": round(float(p50), 3),
        "p95_s": round(float(p95), 3),
        "max_s": round(max(times_s), 3),
        "times_s": [round(value, 3) for value in times_s],
    }


def replug_table(results: dict[str, Any]) -> str:
    """Return the results as a Markdown table."""
    rows = [
        f"| {row['name'].replace('_', ' ')} | {row['n']} | {row['p50_s']:.2f} s "
        f"| {row['p95_s']:.2f} s | {row['max_s']:.2f} s |"
        for row in results["results"]
    ]
    head = "| until the first picture after | n | median | p95 | longest |\n|---|---|---|---|---|"
    return "\n".join([head, *rows])
