"""What ``pnc device run`` tells its user: lines, one live line on a terminal, or JSON lines."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from device.pictures import PictureReport, Reporter, Unanswered
from device.sources import SourceLostError
from pnc.commands.files import count_noun
from pnc.errors import ImageError, LinkError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

__all__ = [
    "JsonReporter",
    "LineReporter",
    "LiveReporter",
    "LogReporter",
    "Tally",
    "Tee",
    "describe",
    "redact",
]


class Tally:
    """Counts pictures."""

    def __init__(self) -> None:
        self.num_pictures = 0
        self.num_results = 0
        self.num_labelled = 0
        self.num_right = 0
        self.num_broken = 0
        self.bytes_sent = 0
        self.goodput_bytes_per_s = 0.0
        """Of the link, as the sender estimates it; 0 while it has no estimate."""
        self.goodput_spread = 1.0

    def add(self, report: PictureReport) -> None:
        """Count one picture."""
        self.num_pictures += 1
        self.bytes_sent += report.sent_bytes
        if report.result_ms is None:
            return
        self.num_results += 1
        if report.label is not None and report.top:
            self.num_labelled += 1
            self.num_right += report.label == report.top[0][0]

    def __str__(self) -> str:
        """Return the counts as one line."""
        broken = f", {self.num_broken} skipped as unreadable" if self.num_broken else ""
        right = f"; {self.num_right:,} of {self.num_labelled:,} right" if self.num_labelled else ""
        link = ""
        if self.goodput_bytes_per_s:
            link = f"; link {self.goodput_bytes_per_s:,.0f} B/s ± {self.goodput_spread:.0%}"
        return (
            f"{self.num_pictures:,} sent{broken}, {count_noun(self.num_results, 'result')}, "
            f"{count_noun(self.bytes_sent, 'byte')}{right}{link}"
        )


class LineReporter:
    """One plain line per picture on stdout, everything else on stderr."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._lock = threading.Lock()
        self._begun = False
        self._connected = False
        self._lost: str | None = None

    def picture(self, report: PictureReport) -> None:
        """Tell what became of a picture."""
        with self._lock:
            self.tally.add(report)
            self._picture(report)

    def connected(self) -> None:
        """Tell that the edge server answered, unless it was there all the time."""
        with self._lock:
            self._lost = None
            if not self._connected:
                self._connected = True
                self._note("connected to the edge server", state="connected")

    def unanswered(self, event: Unanswered) -> None:
        """Tell that no edge server answers, though the link is there."""
        with self._lock:
            self._connected = False
            self._note(f"no edge server: {event}", state="unanswered", error=str(event))

    def lost(self, error: LinkError, retry_s: float) -> None:
        """Tell once that the link is gone, and that it is tried again."""
        with self._lock:
            self._connected = False
            if self._lost == str(error):
                return
            self._lost = str(error)
            self._note(
                f"link lost: {error}; trying again",
                state="lost",
                error=str(error),
                retry_s=retry_s,
            )

    def broken(self, error: ImageError) -> None:
        """Tell that a picture was skipped."""
        with self._lock:
            self.tally.num_broken += 1
            self._note(f"skipped: {error}", state="skipped", error=str(error))

    def trouble(self, text: str) -> None:
        """Tell of what goes wrong while the device goes on."""
        with self._lock:
            self._note(text, state="trouble", error=text)

    def source_lost(self, error: SourceLostError) -> None:
        """Tell that the source gives nothing now, and why."""
        with self._lock:
            self._note(f"no picture: {error}; trying again", state="source lost", error=str(error))

    def source_back(self) -> None:
        """Tell that the source gives pictures again."""
        with self._lock:
            self._note("pictures again", state="source back")

    def started(self, text: str) -> None:
        """Tell what is about to happen."""
        with self._lock:
            self._begun = True
            self._note(text, state="started")

    def close(self) -> None:
        """Tell the counts, unless it never began."""
        with self._lock:
            if self._begun:
                self._note(str(self.tally), **(vars(self.tally) | {"state": "ended"}))

    def _picture(self, report: PictureReport) -> None:
        typer.echo(describe(report))

    def _note(self, text: str, *, state: str, **facts: Any) -> None:
        typer.echo(f"pnc device: {text}", err=True)


class JsonReporter(LineReporter):
    """One JSON object per line on stdout: ``{"event": "picture" | "state", ...}``."""

    def _picture(self, report: PictureReport) -> None:
        typer.echo(json.dumps({"event": "picture", **asdict(report)}))

    def _note(self, text: str, *, state: str, **facts: Any) -> None:
        typer.echo(json.dumps({"event": "state", "state": state, "text": text, **facts}))


class LogReporter(LineReporter):
    """One JSON object per event on stderr: ``{"time", "level", "event", ...}``, for a journal.

    What repeats itself, such as a link that stays away, is told once.

    Args:
        clock: Unix time, seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._clock = clock
        self._last: tuple[str, Any] | None = None

    def _picture(self, report: PictureReport) -> None:
        self._last = None
        self._log("info", "picture", **asdict(report))

    def _note(self, text: str, *, state: str, **facts: Any) -> None:
        said = (state, facts.get("error"))
        if said == self._last and "error" in facts:
            return
        self._last = said
        level = "warning" if "error" in facts else "info"
        self._log(level, state.replace(" ", "_"), text=text, **facts)

    def _log(self, level: str, event: str, **facts: Any) -> None:
        now = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")
        typer.echo(json.dumps({"time": now, "level": level, "event": event, **facts}), err=True)


class Tee:
    """Tells several reporters.

    Args:
        *reporters: Told in this order.
    """

    def __init__(self, *reporters: Reporter) -> None:
        self._reporters = reporters

    def picture(self, report: PictureReport) -> None:
        """Tell what became of a picture."""
        for reporter in self._reporters:
            reporter.picture(report)

    def connected(self) -> None:
        """Tell that the edge server answered."""
        for reporter in self._reporters:
            reporter.connected()

    def unanswered(self, event: Unanswered) -> None:
        """Tell that no edge server answers."""
        for reporter in self._reporters:
            reporter.unanswered(event)

    def lost(self, error: LinkError, retry_s: float) -> None:
        """Tell that the link is gone."""
        for reporter in self._reporters:
            reporter.lost(error, retry_s)

    def broken(self, error: ImageError) -> None:
        """Tell that a picture was skipped."""
        for reporter in self._reporters:
            reporter.broken(error)

    def trouble(self, text: str) -> None:
        """Tell of what goes wrong."""
        for reporter in self._reporters:
            reporter.trouble(text)

    def source_lost(self, error: SourceLostError) -> None:
        """Tell that the source gives nothing now."""
        for reporter in self._reporters:
            reporter.source_lost(error)

    def source_back(self) -> None:
        """Tell that the source gives pictures again."""
        for reporter in self._reporters:
            reporter.source_back()


class LiveReporter(LineReporter):
    """The newest picture and the counts, in place, for a terminal; notes scroll above.

    Args:
        console: The terminal.
    """

    def __init__(self, console: Console) -> None:
        super().__init__()
        from rich.live import Live

        self._console = console
        self._live: Live = Live(console=console, auto_refresh=False)

    def started(self, text: str) -> None:
        """Tell what is about to happen."""
        self._live.start()
        super().started(text)

    def close(self) -> None:
        """Leave the last lines: they hold the counts; none if it never began."""
        if self._begun and not self.tally.num_pictures:
            self._live.update(str(self.tally))
        self._live.stop()

    def _picture(self, report: PictureReport) -> None:
        from rich.text import Text

        colour = "yellow"
        if report.top and report.label is not None:
            colour = "green" if report.top[0][0] == report.label else "red"
        result = "" if report.result_ms is None else f"  in {report.result_ms:,.0f} ms"
        line = Text.assemble(
            (f"{report.picture_id} ", "bold"),
            f"{report.source}  {report.encoded_bytes:,} B, {report.sent_bytes:,} sent  ",
            (_verdict(report), colour),
            result,
            (f"\n{self.tally}", "dim"),
            no_wrap=True,
            overflow="ellipsis",
        )
        self._live.update(line, refresh=True)

    def _note(self, text: str, *, state: str, **facts: Any) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def redact(address: str) -> str:
    """Return an address without passwords and tokens, for messages."""
    without_login = re.sub(r"//[^/@]*@", "//", address)
    return re.sub(r"([?&](?:token|key|password)=)[^&]*", r"\1...", without_login)


def describe(report: PictureReport) -> str:
    """Return one line about a picture."""
    parts = [
        f"{report.picture_id:>5} {report.source}",
        f"{report.encoded_bytes:,} B encoded",
        f"{report.sent_bytes:,} B sent",
        _verdict(report),
        f"encode {report.encode_ms:.0f} ms",
    ]
    if report.result_ms is not None:
        parts.append(f"result after {report.result_ms:,.0f} ms")
    if report.age_s:
        parts.append(f"kept for {report.age_s:,.0f} s")
    return "  ".join(parts)


def _verdict(report: PictureReport) -> str:
    if report.result_ms is None:
        return "no result"
    if not report.top:
        return "result without classes"
    label, probability = report.top[0]
    return f"{label} {probability:.0%}"
