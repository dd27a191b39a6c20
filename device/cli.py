"""``pnc device``: the command line of the device."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from device.deploy.cli import add_commands
from pnc.commands.options import Checkpoint
from pnc.errors import ConfigError

if TYPE_CHECKING:
    from device.pacing import PacedSender
    from pnc.transport.events import Event
    from pnc.transport.links.base import Link

__all__ = ["app", "run"]

MtuBytes = Annotated[
    int, typer.Option("--mtu-bytes", min=32, max=1024, help="Largest packet, bytes.")
]

app = typer.Typer(no_args_is_help=True, help="Take pictures, encode them, send what fits in time.")


@app.callback()
def _group() -> None:
    """Take pictures, encode them and send them before the deadline."""


@app.command()
def run(
    source: Annotated[
        str,
        typer.Option(
            "--source",
            metavar="SOURCE",
            help="Where pictures come from: DIR, FILE, http://HOST/snapshot.jpg, /dev/video0, "
            "picamera2://, '-' for standard input, or 'belt'.",
        ),
    ],
    link: Annotated[
        str,
        typer.Option("--link", metavar="URL", help="serial:///dev/ttyACM0?baud=230400, emu://..."),
    ],
    deadline: Annotated[
        float,
        typer.Option("--deadline", min=0.02, max=3600, help="Seconds a picture has to arrive."),
    ] = 1.0,
    policy: Annotated[
        str,
        typer.Option(
            "--policy",
            help="When a picture is over: 'deadline'; 'deadline+grace=S', where one that is not "
            "complete at its deadline may take S seconds more and the next one waits; 'complete', "
            "however long it takes; 'budget=BYTES', at its deadline or when so much was sent, "
            "repetitions included.",
        ),
    ] = "deadline",
    checkpoint: Checkpoint = "belt",
    count: Annotated[
        int | None, typer.Option("--count", min=1, help="End after so many pictures.")
    ] = None,
    mtu_bytes: MtuBytes = 244,
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
            "0.25 where 5 to 10 % are lost, 0.5 at 20 %.",
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
    spool: Annotated[
        Path | None,
        typer.Option(
            "--spool",
            metavar="DIR",
            help="Keep pictures there while no edge server answers, and send them when the link is "
            "idle.",
        ),
    ] = None,
    spool_mb: Annotated[
        int,
        typer.Option("--spool-mb", min=1, help="Largest spool, megabytes; the oldest go first."),
    ] = 64,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, help="Which belt is rendered; shuffles a folder."),
    ] = None,
    loop: Annotated[
        bool, typer.Option("--loop/--once", help="Go through a folder again and again, or once.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Send the pictures that appear in a folder from now on.")
    ] = False,
    every: Annotated[
        bool,
        typer.Option(
            "--every/--newest",
            help="Send every picture of a watched folder, a pipe or a video, or the newest only.",
        ),
    ] = False,
    wait_for_link: Annotated[
        bool,
        typer.Option("--wait-for-link", help="Wait for a link that is not there at the start."),
    ] = False,
    health: Annotated[
        Path | None,
        typer.Option("--health", metavar="SOCKET", help="Tell on a unix socket how the device is."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per line on stdout.")
    ] = False,
    log_json: Annotated[
        bool,
        typer.Option("--log-json", help="One JSON object per event, with its time, on stderr."),
    ] = False,
) -> None:
    """Take pictures, encode them and send what the link carries in time.

    A picture is taken for every deadline; nothing of it is sent afterwards.

    A link or a camera that goes away is opened again; the newest picture goes on.

    Under systemd (Type=notify) it says when it is ready, and keeps the watchdog at rest.

    Ctrl-C and SIGTERM end it cleanly, with status 0.
    """
    import numpy as np

    from device.agent import run_agent
    from device.camera import Camera
    from device.health import Health, HealthServer, Notifier
    from device.keeping import Keeper, KeepingSender
    from device.manifest import Manifest
    from device.pacing import PacedSender
    from device.policy import parse_policy
    from device.process import host_name, reporting, switching_fast
    from device.report import Tee, redact
    from device.sources import open_source
    from device.sources.folder import FileSource
    from device.spool import Spool
    from pnc import __version__
    from pnc.codec.codec import Codec
    from pnc.codec.image import SIZE
    from pnc.config import SenderConfig
    from pnc.signals import stopped_by_signals
    from pnc.transport.driver import pump
    from pnc.transport.links import open_link
    from pnc.transport.sender import Sender

    if as_json and log_json:
        raise ConfigError("--json and --log-json: give one of them, not both")
    chosen = parse_policy(policy)
    stop = threading.Event()
    notifier = Notifier()
    pictures = open_source(source, seed=seed, loop=loop, watch=watch, every=every)
    codec = Codec.load(checkpoint)
    config = SenderConfig(
        device_name=name if name is not None else host_name(),
        checkpoint_id=codec.checkpoint.id,
        mtu_bytes=mtu_bytes,
    )
    lines = None if manifest is None else Manifest(manifest)
    facts = {
        "device": config.device_name,
        "version": __version__,
        "checkpoint": codec.checkpoint.id,
        "source": redact(source),
        "link": redact(link),
        "deadline_s": deadline,
        "policy": policy,
    }

    changed = threading.Condition()

    def wake() -> None:
        with changed:
            changed.notify_all()

    def carry(paced: PacedSender, opened: Link, on_event: Callable[[Event], None]) -> None:
        def tell(event: Event) -> None:
            statistics, tally = paced.sender.statistics, lines_out.tally
            tally.goodput_bytes_per_s = statistics.goodput_bytes_per_s
            tally.goodput_spread = statistics.goodput_spread
            on_event(event)

        pump(paced, opened, on_event=tell, stop=stop, changed=changed)

    with ExitStack() as stack:
        stack.enter_context(stopped_by_signals(stop))
        stack.enter_context(switching_fast())
        lines_out = stack.enter_context(reporting(as_json, log_json))
        facts_kept = Health(facts)
        reporter = Tee(lines_out, facts_kept)
        if lines is not None:
            stack.callback(lines.close)
        deque(codec.iter_packets(np.zeros((SIZE, SIZE, 3), np.uint8), mtu_bytes), maxlen=0)
        camera = Camera(
            pictures,
            codec,
            reporter,
            mtu_bytes=mtu_bytes,
            max_bytes=max_bytes,
            redundancy=redundancy,
            on_ready=wake,
            early=lines is None,
            in_order=every or isinstance(pictures, FileSource),
        )
        stack.callback(camera.close)
        kept = None
        if spool is not None:
            kept = Spool(
                spool,
                spool_mb * 1_000_000,
                checkpoint_id=codec.checkpoint.id,
                mtu_bytes=mtu_bytes,
                on_trouble=reporter.trouble,
            )
        options: dict[str, Any] = {
            "deadline_s": deadline,
            "policy": chosen,
            "count": count,
            "manifest": lines,
            "on_tick": notifier.alive,
        }
        if kept is None:
            paced = PacedSender(Sender(config), camera, **options)
        else:
            paced = KeepingSender(Sender(config), camera, spool=kept, **options)
            keeper = Keeper(paced, changed, on_error=stop.set)
            stack.callback(keeper.check)
            stack.callback(keeper.close)

        def snapshot() -> dict[str, Any]:
            return {
                **facts_kept.snapshot(),
                "kept": len(kept or ()),
                "sender": asdict(paced.sender.statistics),
            }

        if health is not None:
            stack.callback(HealthServer(health, snapshot).close)
        what = f"{config.device_name}: {redact(source)} -> {redact(link)}, deadline {deadline:g} s"

        def begin() -> None:
            lines_out.started(what)
            notifier.ready(what)

        stack.callback(notifier.stopping)
        run_agent(
            paced,
            lambda: open_link(link),
            carry,
            reporter,
            stop,
            patient=wait_for_link,
            on_begin=begin,
        )


@app.command("health")
def show_health(
    path: Annotated[Path, typer.Argument(metavar="SOCKET", help="What --health named.")],
) -> None:
    """Ask a running device how it is; one JSON object."""
    from device.health import read_health

    typer.echo(json.dumps(read_health(path), indent=2))


@app.command()
def probe(
    checkpoint: Checkpoint = "belt",
    num: Annotated[int, typer.Option("--num", min=4, help="Pictures to encode.")] = 50,
    mtu_bytes: MtuBytes = 244,
    rate: Annotated[
        list[float] | None,
        typer.Option("--rate", min=1, help="Link rate, bytes per second; more than once for more."),
    ] = None,
    deadline: Annotated[
        list[float] | None,
        typer.Option("--deadline", min=0.02, help="Deadline, seconds; more than once for more."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Measure this machine, and say which deadlines are possible at which link rates."""
    from device import probe as measuring
    from pnc.codec.codec import Codec

    codec = Codec.load(checkpoint)
    before = measuring.read_machine()
    times = measuring.measure_encoder(codec, num=num, mtu_bytes=mtu_bytes)
    machine = measuring.read_machine()
    prospects = measuring.foresee(
        times,
        codec.checkpoint.card.get("accuracy", {}),
        mtu_bytes=mtu_bytes,
        rates=rate or measuring.RATES_BYTES_PER_S,
        deadlines=deadline or measuring.DEADLINES_S,
    )
    if as_json:
        record = {
            "checkpoint": codec.checkpoint.id,
            "encode": asdict(times),
            "shortest_deadline_s": round(times.shortest_deadline_s, 3),
            "machine": asdict(machine),
            "temperatures_before_c": dict(before.temperatures_c),
            "prospects": [asdict(prospect) for prospect in prospects],
        }
        typer.echo(json.dumps(record, indent=2))
        return
    from rich.console import Console

    from device.probe_report import describe_machine, prospect_table

    for line in describe_machine(before, machine, times):
        typer.echo(line)
    Console().print(prospect_table(prospects))


add_commands(app)
