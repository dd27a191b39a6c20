"""``pnc demo``: camera, jammed radio and edge server as three processes on this machine.

    pnc device run  --pty a-->  pnc link pty  --pty b-->  pnc serve  --HTTP-->  page, this program

The demo imports none of the three: it starts them as a user would, watches them, and computes its
summary from what they wrote.
"""

from __future__ import annotations

import json
import math
import signal
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from edge_server.processes import Child, ChildDiedError, start_child, stop_children
from edge_server.summary import PictureRecord, RadioLine, Summary
from pnc.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_server.progress import Progress
    from pnc.codec.codec import Codec

__all__ = ["demo"]

DEVICE_NAME = "demo-camera"

DEFAULT_SEED = 4
"""Belt of the demo: seeds 1 to 3 are for training, tuning and validation."""

START_TIMEOUT_S = 30.0
"""Longest start of a child on a slow machine, with every module to be read from disk."""

END_TIMEOUT_S = 20.0
"""The device waits up to ten seconds for its last results."""

POLL_S = 0.25
REQUEST_TIMEOUT_S = 10.0
PAGE_ROWS = 500

Jamming = Literal["none", "light", "heavy"]


def demo(
    seconds: Annotated[
        float, typer.Option(min=0.1, max=86400, help="How long pictures are sent.")
    ] = 30.0,
    jamming: Annotated[Jamming, typer.Option(help="How jammed the radio is.")] = "light",
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of pictures to send; class folders inside give labels."),
    ] = None,
    deadline: Annotated[
        float, typer.Option(min=0.02, max=3600, help="Seconds each picture has to arrive.")
    ] = 0.5,
    checkpoint: Annotated[
        str | None, typer.Option(help="Checkpoint. [default: belt, or photo with --data]")
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the page; 0: a free one.")
    ] = 0,
    out: Annotated[
        Path, typer.Option(help="Folder for the contact sheet, the summary and all results.")
    ] = Path("demo-output"),
    seed: Annotated[
        int, typer.Option(min=0, help="Which pictures, and which jamming.")
    ] = DEFAULT_SEED,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Show the whole idea at work: camera, jammed radio and edge server on this machine.

    Raises:
        ConfigError: The folder of pictures or of results cannot be used.
        ChildDiedError: One of the three processes ended with an error, or did not start.
    """
    if data is not None and not data.is_dir():
        raise ConfigError(f"{data}: no such folder; --data takes a folder of pictures", path=data)
    _make_folder(out)
    name = checkpoint or ("photo" if data is not None else "belt")
    num_pictures = max(1, round(seconds / deadline))
    children: list[Child] = []
    with _terminated_as_interrupted():
        try:
            show = _Show(out, name, data, children, quiet=as_json)
            show.start(jamming, deadline, num_pictures, port, seed)
            show.watch(num_pictures)
            records = show.collect()
        finally:
            stop_children(children)
    summary = show.finish(records, f"{jamming} jamming, deadline {deadline:g} s")
    if as_json:
        typer.echo(json.dumps(summary.to_json(), indent=2))


class _Show:
    """One run of the demo."""

    def __init__(
        self, out: Path, checkpoint: str, data: Path | None, children: list[Child], *, quiet: bool
    ) -> None:
        self._out = out
        self._checkpoint = checkpoint
        self._data = data
        self._children = children
        self._quiet = quiet
        self._manifest = out / "pictures.jsonl"
        self._radio_lines: list[RadioLine] = []
        self._radio_offset_s = math.inf
        self._began = time.monotonic()
        self._url = ""

    def start(self, jamming: str, deadline: float, num_pictures: int, port: int, seed: int) -> None:
        """Start the three processes; nothing is sent before the server answers the device."""
        self._manifest.unlink(missing_ok=True)
        radio = self._child("radio", "link", "pty", "--jamming", jamming, "--seed", str(seed))
        terminals = json.loads(radio.first_line(START_TIMEOUT_S))
        baud = "?baud=230400"
        server = self._child(
            "server",
            "serve",
            *("--link", f"serial://{terminals['b']}{baud}"),
            *("--checkpoint", self._checkpoint),
            *("--store", str(self._out / "results.sqlite")),
            *("--port", str(port)),
            "--json",
        )
        folder = [] if self._data is None else ["--loop"]
        device = self._child(
            "device",
            *("device", "run"),
            *("--source", "belt" if self._data is None else str(self._data)),
            *("--link", f"serial://{terminals['a']}{baud}"),
            *("--checkpoint", self._checkpoint),
            *("--deadline", f"{deadline:g}"),
            *("--count", str(num_pictures)),
            *("--seed", str(seed)),
            *("--name", DEVICE_NAME),
            *("--manifest", str(self._manifest)),
            "--json",
            *folder,
        )
        device.drain()
        self._url = json.loads(server.first_line(START_TIMEOUT_S))["url"]
        server.drain()
        radio.drain(self._note_radio)
        self._say(f"page at {self._url}")

    def watch(self, num_pictures: int) -> None:
        """Show progress until the device has sent everything and heard of every result.

        Raises:
            ChildDiedError: A process ended with an error.
        """
        radio, server, device = self._children
        with _progress(num_pictures, self._url, quiet=self._quiet) as progress:
            first = self._wait_for_first_picture()
            progress.note(f"first picture sent {first - self._began:.1f} s after the start")
            while device.is_running:
                radio.check()
                server.check()
                progress.update(self._ask("api/v1/status"), self._newest())
                device.wait(POLL_S)
            device.check_success()
            progress.update(self._ask("api/v1/status"), self._newest())

    def collect(self) -> list[PictureRecord]:
        """Join what the device sent with what the server stored."""
        from edge_server.summary import join_records

        manifest = [json.loads(line) for line in self._read_manifest()]
        oldest = min((line["submitted_at"] for line in manifest), default=0.0)
        rows: list[dict[str, Any]] = []
        query: dict[str, Any] = {"device": DEVICE_NAME, "limit": PAGE_ROWS}
        while query is not None:
            page = self._ask(f"api/v1/results?{urllib.parse.urlencode(query)}")
            rows += page["results"]
            is_older = bool(rows) and rows[-1]["ended_at"] < oldest - END_TIMEOUT_S
            if page["next"] is None or is_older:
                break
            query["before"] = page["next"]
        return join_records(manifest, rows)

    def finish(self, records: Sequence[PictureRecord], conditions: str) -> Summary:
        """Compare with the undamaged pictures; write and print the summary."""
        from edge_server.summary import find_label, summarize
        from pnc import Codec

        codec = Codec.load(self._checkpoint)
        classes = codec.checkpoint.classes
        undamaged = {}
        for record in records:
            if find_label(record.label, classes) is not None:
                best = codec.classify(self._original(codec, record), top=1)[0]
                undamaged[record.picture_id] = int(best.index)
        radio = [replace(one, at=one.at + self._radio_offset_s) for one in self._radio_lines]
        summary = summarize(records, classes=classes, undamaged=undamaged, radio=radio)
        sheet = self._out / "contact-sheet.png"
        title = f"PNC demo: {self._checkpoint} checkpoint, {conditions}"
        facts = {"conditions": conditions, "checkpoint": self._checkpoint}
        facts["checkpoint_id"] = codec.checkpoint.id
        text = json.dumps({**facts, **summary.to_json()}, indent=2)
        try:
            self._draw_sheet(codec, records, title, summary).save(sheet)
            (self._out / "summary.json").write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise StoreError(
                f"{self._out}: cannot write the summary ({error.strerror or error}); "
                "choose another folder with --out",
                path=self._out,
            ) from error
        if not self._quiet:
            from edge_server.progress import print_summary

            print_summary(summary, conditions)
            typer.echo(f"contact sheet {sheet}, figures {self._out / 'summary.json'}")
        return summary

    def _child(self, name: str, *words: str) -> Child:
        child = start_child(
            name, [sys.executable, "-m", "pnc.cli", *words], self._out / f"{name}.log"
        )
        self._children.append(child)
        return child

    def _note_radio(self, line: str) -> None:
        """Keep a line of the radio's statistics."""
        facts = json.loads(line)
        one = facts["a_to_b"]
        self._radio_lines.append(RadioLine(facts["time_s"], one["trace_bytes"], one["bytes_out"]))
        # The pipe only ever delays a line, so the smallest difference is the clocks' offset.
        self._radio_offset_s = min(self._radio_offset_s, time.time() - facts["time_s"])

    def _wait_for_first_picture(self) -> float:
        device = self._children[-1]
        end = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < end:
            for child in self._children:
                child.check()
            if self._read_manifest():
                return time.monotonic()
            if not device.is_running:
                break
            device.wait(0.02)
        raise ChildDiedError(f"no picture was sent within {START_TIMEOUT_S:.0f} s; see {self._out}")

    def _read_manifest(self) -> list[str]:
        """Return the whole lines of the manifest so far."""
        try:
            text = self._manifest.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        return text[: text.rfind("\n") + 1].splitlines()

    def _newest(self) -> dict[str, Any] | None:
        query = urllib.parse.urlencode({"device": DEVICE_NAME, "limit": 1})
        rows = self._ask(f"api/v1/results?{query}")["results"]
        return rows[0] if rows else None

    def _ask(self, path: str) -> Any:
        """GET JSON from the server."""
        try:
            with urllib.request.urlopen(self._url + path, timeout=REQUEST_TIMEOUT_S) as answer:  # noqa: S310 - our own address
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise ChildDiedError(f"the server answers {error.code} to {path}") from error
        except OSError as error:
            for child in self._children:
                child.check()
            raise ChildDiedError(f"the server does not answer: {error}") from error

    def _original(self, codec: Codec, record: PictureRecord) -> NDArray[Any]:
        """Return the picture as the device took it, [224, 224, 3]."""
        if self._data is None:
            from pnc import belt

            _, seed, index = record.source.split(":")
            return belt.render(int(index), seed=int(seed))[0]
        return codec.load_picture(self._data / record.source)

    def _draw_sheet(
        self, codec: Codec, records: Sequence[PictureRecord], title: str, summary: Summary
    ) -> Any:
        from edge_server.contact_sheet import Entry, choose_records, make_contact_sheet
        from edge_server.progress import percent
        from edge_server.store import Store
        from edge_server.summary import find_label

        entries = []
        store = Store(self._out / "results.sqlite")
        try:
            for record in choose_records(records):
                row = record.result
                assert row is not None, "choose_records leaves out pictures without a result"
                packets = store.packets(row["id"])
                truth = find_label(record.label, codec.checkpoint.classes)
                entry = Entry(
                    original=self._original(codec, record),
                    arrived=codec.decode_packets(packets) if packets else None,
                    received_bytes=record.received_bytes,
                    encoded_bytes=record.encoded_bytes,
                    top=tuple((guess["label"], guess["probability"]) for guess in row["top"]),
                    truth=record.label if truth is None else codec.checkpoint.classes[truth],
                )
                entries.append(entry)
        finally:
            store.close()
        subtitle = (
            f"{summary.pictures} pictures, {summary.on_time} on time; top-1 "
            f"{percent(summary.accuracy)} of what arrived, "
            f"{percent(summary.undamaged_accuracy)} undamaged. "
            "Left: as taken. Right: what arrived before the deadline, and its top 3."
        )
        return make_contact_sheet(entries, title, subtitle)

    def _say(self, line: str) -> None:
        typer.echo(line, err=self._quiet)


@contextmanager
def _progress(num_pictures: int, url: str, *, quiet: bool) -> Iterator[Progress]:
    from edge_server.progress import open_progress

    with open_progress(num_pictures, url, quiet=quiet) as progress:
        yield progress


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM end the demo as Ctrl-C does: with all its children."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{out}: cannot be made ({error.strerror}); choose another folder with --out", path=out
        ) from error
