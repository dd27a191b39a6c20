"""``pnc device``: the command line of the device."""

from __future__ import annotations

import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from device.agent import PacedSender
    from device.report import LineReporter
    from pnc.transport.events import Event
    from pnc.transport.links.base import Link

__all__ = ["app", "run"]

app = typer.Typer(no_args_is_help=True, help="Take pictures, encode them, send what fits in time.")


@app.callback()
def _group() -> None:
    """Take pictures, encode them and send them before the deadline."""


@app.command()
def run(
    source: Annotated[
        str, typer.Option("--source", metavar="DIR|FILE|belt", help="Where pictures come from.")
    ],
    link: Annotated[
        str,
        typer.Option("--link", metavar="URL", help="serial:///dev/ttyACM0?baud=230400, emu://..."),
    ],
    deadline: Annotated[
        float,
        typer.Option("--deadline", min=0.02, max=3600, help="Seconds a picture has to arrive."),
    ] = 1.0,
    checkpoint: Annotated[
        str, typer.Option("--checkpoint", "-c", help="Name of a shipped checkpoint, or a folder.")
    ] = "belt",
    count: Annotated[
        int | None, typer.Option("--count", min=1, help="End after so many pictures.")
    ] = None,
    mtu_bytes: Annotated[
        int, typer.Option("--mtu-bytes", min=32, max=1024, help="Largest packet, bytes.")
    ] = 244,
    max_bytes: Annotated[
        int | None, typer.Option("--max-bytes", min=1, help="Longest stream, bytes.")
    ] = None,
    redundancy: Annotated[
        float,
        typer.Option(
            "--redundancy",
            min=0,
            max=1,
            help="Repair packets for each other one, for links where lost packets stay lost: "
            "0.125 where 5 % are lost, 0.5 at 20 %.",
        ),
    ] = 0.0,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of this device; default: the host's name.")
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            "--manifest",
            metavar="FILE.jsonl",
            help="Write what each picture is, one JSON line each, before it is sent.",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, help="Which belt is rendered; shuffles a folder."),
    ] = None,
    loop: Annotated[
        bool, typer.Option("--loop/--once", help="Go through a folder again and again, or once.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per line on stdout.")
    ] = False,
) -> None:
    """Take pictures, encode them and send what the link carries in time.

    A picture is taken for every deadline; nothing of it is sent afterwards.

    A link that goes away is opened again; the newest picture goes on.

    Ctrl-C and SIGTERM end it cleanly, with status 0.
    """
    from device.agent import Camera, Manifest, PacedSender, run_agent
    from device.sources import open_source
    from pnc.codec.codec import Codec
    from pnc.config import SenderConfig
    from pnc.transport.driver import pump
    from pnc.transport.links import open_link
    from pnc.transport.sender import Sender

    stop = threading.Event()
    pictures = open_source(source, seed=seed, loop=loop)
    codec = Codec.load(checkpoint)
    config = SenderConfig(
        device_name=name if name is not None else _host_name(),
        checkpoint_id=codec.checkpoint.id,
        mtu_bytes=mtu_bytes,
    )
    lines = None if manifest is None else Manifest(manifest)

    def carry(paced: PacedSender, opened: Link, on_event: Callable[[Event], None]) -> None:
        pump(paced, opened, on_event=on_event, stop=stop)

    with _ending_cleanly(stop), _reporting(as_json) as reporter:
        reporter.started(f"{config.device_name}: {source} -> {link}, deadline {deadline:g} s")
        camera = Camera(
            pictures,
            codec,
            reporter,
            mtu_bytes=mtu_bytes,
            max_bytes=max_bytes,
            redundancy=redundancy,
        )
        paced = PacedSender(
            Sender(config),
            camera,
            deadline_s=deadline,
            count=count,
            manifest=lines,
        )
        try:
            run_agent(paced, lambda: open_link(link), carry, reporter, stop)
        finally:
            camera.close()
            if lines is not None:
                lines.close()


@contextmanager
def _ending_cleanly(stop: threading.Event) -> Iterator[None]:
    """Let the first SIGINT or SIGTERM set ``stop``; a second one does what it always does."""

    def end(number: int, _frame: object) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _reporting(as_json: bool) -> Iterator[LineReporter]:
    from device.report import JsonReporter, LineReporter, LiveReporter

    reporter: LineReporter
    if as_json:
        reporter = JsonReporter()
    elif sys.stdout.isatty():
        from rich.console import Console

        reporter = LiveReporter(Console())
    else:
        reporter = LineReporter()
    try:
        yield reporter
    finally:
        reporter.close()


def _host_name() -> str:
    """Return the host's name, cut to what a HELLO holds."""
    from pnc.config import MAX_DEVICE_NAME_BYTES

    name = socket.gethostname().partition(".")[0] or "device"
    return name.encode()[:MAX_DEVICE_NAME_BYTES].decode(errors="ignore")
