"""``pnc link``: list, test, record and play links."""

from __future__ import annotations

import json
import signal
import threading
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from pnc.errors import ConfigError

if TYPE_CHECKING:
    from pnc.commands.link_figures import LinkFigures
    from pnc.commands.link_measure import LinkProbe
    from pnc.transport.links.base import Link
    from pnc.transport.links.channel import ChannelConfig
    from pnc.transport.links.radio import Radio
    from pnc.transport.links.trace import RateTrace

__all__ = ["app"]

WORLD_S = 600.0
"""Length of a made trace before it repeats: longer than anyone watches a demo."""

PLAY_FIFO_BYTES = 512
"""The radio's buffer, each way."""

app = typer.Typer(help="List, test, record and play links.", no_args_is_help=True)

TraceOption = Annotated[
    Optional[Path],  # noqa: UP045 - typer reads this at run time
    typer.Option(help="Link trace: CSV time_s,rate_bps, mahimahi packet stamps, or slide 8."),
]
JammingOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="A made link instead: none, light or heavy."),
]
PacketBytesOption = Annotated[
    int, typer.Option(min=1, help="Bytes per packet stamp of a mahimahi trace.")
]
SeedOption = Annotated[int, typer.Option(help="Seed of the made link, of loss and of errors.")]
RunSecondsOption = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option(help="Stop after this long; without it, run until interrupted."),
]
FifoOption = Annotated[int, typer.Option(min=1, help="The radio's buffer, each way.")]
DelayOption = Annotated[float, typer.Option(help="Time every byte is on the way.")]
LossOption = Annotated[float, typer.Option(help="Probability that a radio packet is lost.")]
BitErrorOption = Annotated[float, typer.Option(help="Probability that a bit is flipped.")]
UrlArgument = Annotated[str, typer.Argument(metavar="URL", help="The link, as in docs/links.md.")]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]


@app.callback()
def link() -> None:
    """List, test, record and play links."""


@app.command("list")
def list_links(
    seconds: Annotated[
        float, typer.Option(min=0.0, help="How long to listen for Bluetooth devices; 0: not.")
    ] = 4.0,
    as_json: JsonOption = False,
) -> None:
    """Show the serial ports and the Bluetooth devices that are there, and how to open them."""
    from pnc.commands.link_list import list_bluetooth, list_serial

    ports = list_serial()
    devices, note = list_bluetooth(seconds) if seconds else (None, "not looked for")
    if as_json:
        record = {
            "serial": [asdict(port) for port in ports],
            "bluetooth": None if devices is None else [asdict(device) for device in devices],
            "bluetooth_note": note,
        }
        typer.echo(json.dumps(record))
        return
    typer.echo("Serial ports" if ports else "Serial ports: none; is the radio plugged in?")
    for port in ports:
        typer.echo(f"  {port.url}  {port.device}  {port.usb_id or ''}  {port.description}")
        if not port.permitted:
            typer.echo(f"    not permitted; do: sudo usermod -aG {port.group} $USER; log in again")
    typer.echo(f"Bluetooth: {note}" if devices is None else f"Bluetooth: {len(devices)} devices")
    for device in devices or ():
        uart = "  Nordic UART" if device.has_uart else ""
        typer.echo(f"  {device.url}  {device.rssi_dbm} dBm  {device.name or ''}{uart}")


@app.command("test")
def measure(
    url: UrlArgument,
    echo: Annotated[
        bool, typer.Option("--echo", help="Be the other side: answer until interrupted.")
    ] = False,
    seconds: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(min=0.5, help="Time for the windows (10 s), or how long to answer."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a link: run this at both of its ends, at one of them with --echo.

    Shows round trip, goodput by window, loss, and how many bytes the layers below accept that
    have not arrived; proposes a window and a packet size.
    """
    from pnc.commands.link_measure import LinkProbe
    from pnc.transport.links.options import hide_token

    if echo:
        _answer(url, seconds, as_json)
        return
    probe = LinkProbe(hide_token(url), seconds=seconds or 10.0)
    _drive(probe, url)
    assert probe.figures is not None, "a probe that ends has figures"
    if as_json:
        typer.echo(json.dumps(asdict(probe.figures)))
    else:
        _print_figures(probe.figures)


@app.command()
def record(
    url: UrlArgument,
    out: Annotated[Path, typer.Option(help="Link trace to write, CSV time_s,rate_bps.")],
    seconds: Annotated[float, typer.Option(min=0.5, help="How long.")] = 30.0,
    bin_s: Annotated[
        float, typer.Option(min=0.01, help="Step of the trace, seconds.", show_default=True)
    ] = 0.1,
    passive: Annotated[
        bool,
        typer.Option("--passive", help="Send nothing: record what somebody else sends here."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Record how fast a link is over time, for `pnc link play --trace`, emu:// and replay.

    The other side runs `pnc link test URL --echo`; the trace is of the direction to it.
    """
    from pnc.commands.link_figures import trace_of_arrivals
    from pnc.commands.link_measure import LinkRecorder
    from pnc.transport.links.options import hide_token

    if not out.parent.is_dir():
        raise ConfigError(f"{out}: there is no folder {out.parent} to write it to")
    if passive:
        arrivals = _listen(url, seconds)
    else:
        recorder = LinkRecorder(hide_token(url), seconds=seconds)
        _drive(recorder, url)
        arrivals = recorder.arrivals
    trace = trace_of_arrivals(arrivals, bin_s)
    try:
        trace.write_csv(out)
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written: {error.strerror}") from error
    figures = {
        "seconds": trace.period_s,
        "mean_bps": trace.mean_bps,
        "min_bps": min(trace.rates_bps),
        "max_bps": max(trace.rates_bps),
    }
    if as_json:
        typer.echo(json.dumps({"out": str(out), **figures}))
    else:
        mean, low, high = (figures[name] / 1e3 for name in ("mean_bps", "min_bps", "max_bps"))
        typer.echo(
            f"{out}: {trace.period_s:.1f} s, {mean:.1f} kbit/s on average, {low:.1f} to {high:.1f}"
        )


@app.command()
def pty(
    trace: TraceOption = None,
    jamming: JammingOption = None,
    packet_bytes: PacketBytesOption = 1500,
    seed: SeedOption = 0,
    seconds: RunSecondsOption = None,
    fifo_bytes: FifoOption = PLAY_FIFO_BYTES,
    delay_s: DelayOption = 0.0,
    loss: LossOption = 0.0,
    bit_error: BitErrorOption = 0.0,
    link_a: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Symbolic link to make to terminal a."),
    ] = None,
    link_b: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Symbolic link to make to terminal b."),
    ] = None,
) -> None:
    """Join two pseudo-terminals by a radio that follows a trace.

    Prints one JSON line with the names of the terminals, then one a second with what the radio
    has carried each way and what the trace would have allowed, in bytes since the start.
    """
    from pnc.transport.links.pty_radio import PtyRadio

    rate = _trace(trace, jamming, packet_bytes, seed)
    options = {"fifo_bytes": fifo_bytes, "delay_s": delay_s, "loss": loss, "bit_error": bit_error}
    forward, back = _channels(rate, seed, options)
    signal.signal(signal.SIGTERM, _interrupt)
    with PtyRadio(forward, back, link_a=link_a, link_b=link_b) as radio:
        typer.echo(json.dumps({"a": radio.a, "b": radio.b}))
        _run(radio, seconds)


@app.command()
def play(
    a: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="URL of the one side; without it, a pseudo-terminal is made."),
    ] = None,
    b: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="URL of the other side; without it, a pseudo-terminal is made."),
    ] = None,
    trace: TraceOption = None,
    jamming: JammingOption = None,
    packet_bytes: PacketBytesOption = 1500,
    seed: SeedOption = 0,
    seconds: RunSecondsOption = None,
    fifo_bytes: FifoOption = PLAY_FIFO_BYTES,
    delay_s: DelayOption = 0.0,
    loss: LossOption = 0.0,
    burst_packets: Annotated[
        float, typer.Option(min=1.0, help="Mean length of a bad stretch, radio packets.")
    ] = 1.0,
    duplicate: Annotated[
        float, typer.Option(help="Probability that a radio packet comes twice.")
    ] = 0.0,
    reorder: Annotated[
        float, typer.Option(help="Probability that a radio packet comes after the next one.")
    ] = 0.0,
    bit_error: BitErrorOption = 0.0,
    framed: Annotated[
        bool, typer.Option("--framed", help="A radio packet also ends with a frame.")
    ] = False,
) -> None:
    """Put an imagined radio between any two links, as `pnc link pty` does between two terminals.

    A device that knows tcp://127.0.0.1:9001 and a server that listens at port 9002 meet through
    `pnc link play --a "tcp://:9001?listen=1" --b tcp://:9002 --jamming heavy`. Prints JSON lines
    as `pnc link pty` does.
    """
    from pnc.commands.link_play import LinkRadio

    rate = _trace(trace, jamming, packet_bytes, seed)
    options = {
        "fifo_bytes": fifo_bytes,
        "delay_s": delay_s,
        "loss": loss,
        "burst_packets": burst_packets,
        "duplicate": duplicate,
        "reorder": reorder,
        "bit_error": bit_error,
        "framed": framed,
    }
    forward, back = _channels(rate, seed, options)
    signal.signal(signal.SIGTERM, _interrupt)
    with ExitStack() as stack:
        url_a, name_a = _side(a, stack)
        url_b, name_b = _side(b, stack)
        radio = stack.enter_context(
            LinkRadio(lambda: _open(url_a), lambda: _open(url_b), forward, back)
        )
        typer.echo(json.dumps({"a": name_a, "b": name_b}))
        _run(radio, seconds)


def _side(url: str | None, stack: ExitStack) -> tuple[str, str]:
    """Return what the radio opens, and what to call it; a terminal is made where none is given."""
    from pnc.transport.links.channel import ChannelConfig
    from pnc.transport.links.options import hide_token
    from pnc.transport.links.pty_radio import PtyRadio
    from pnc.transport.links.trace import RateTrace

    if url is not None:
        return url, hide_token(url)
    wire = ChannelConfig(trace=RateTrace.constant(1e8), fifo_bytes=256)
    terminals = stack.enter_context(PtyRadio(wire).start())
    return f"serial://{terminals.b}", terminals.a


def _open(url: str) -> Link:
    from pnc.transport.links import open_link

    return open_link(url)


def _channels(
    rate: RateTrace, seed: int, options: dict[str, float]
) -> tuple[ChannelConfig, ChannelConfig]:
    from pnc.transport.links.channel import ChannelConfig

    forward, back = (
        ChannelConfig(trace=rate, seed=2 * seed + side, **options)  # type: ignore[arg-type]
        for side in (0, 1)
    )
    return forward, back


def _run(radio: Radio, seconds: float | None) -> None:
    start = time.monotonic()
    end = None if seconds is None else start + seconds
    tick = start
    try:
        while end is None or tick < end:
            tick = tick + 1 if end is None else min(tick + 1, end)
            radio.run(until=tick)
            line = {name: asdict(one) for name, one in radio.statistics().items()}
            typer.echo(json.dumps({"time_s": round(time.monotonic() - start, 3), **line}))
    except BrokenPipeError:
        return


def _answer(url: str, seconds: float | None, as_json: bool) -> None:
    """Be the far end of a test; a link that goes away is opened again."""
    from pnc.commands.link_echo import LinkEcho
    from pnc.signals import stopped_by_signals
    from pnc.transport.driver import Driver
    from pnc.transport.links.options import hide_token

    stop = threading.Event()
    with stopped_by_signals(stop) as caught, Driver(LinkEcho(), url, on_event=lambda event: None):
        shown = hide_token(url)
        ready = json.dumps({"event": "ready", "url": shown})
        typer.echo(ready if as_json else f"answering at {shown}; Ctrl-C ends this")
        stop.wait(seconds)
    if caught:
        raise KeyboardInterrupt


def _drive(probe: LinkProbe, url: str) -> None:
    """Run the near end of a test until it has what it wants."""
    from pnc.transport.driver import pump

    stop = threading.Event()
    link = _open(url)
    try:
        pump(probe, link, on_event=lambda event: stop.set(), stop=stop)
    finally:
        link.close()


def _listen(url: str, seconds: float) -> list[tuple[float, int]]:
    """Count what arrives, beginning with the first byte."""
    link = _open(url)
    arrivals: list[tuple[float, int]] = []
    total = 0
    try:
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            data = link.read(min(0.1, end - now))
            if data:
                total += len(data)
                arrivals.append((time.monotonic(), total))
    finally:
        link.close()
    return arrivals


def _print_figures(figures: LinkFigures) -> None:
    typer.echo(
        f"round trip  {1e3 * figures.round_trip_s:.1f} ms, "
        f"95 of 100 within {1e3 * figures.round_trip_p95_s:.1f} ms"
    )
    typer.echo(f"loss        {100 * figures.loss:.1f} % of frames")
    for one in figures.windows:
        typer.echo(
            f"window      {one.window_bytes:6d} B: {one.goodput_bps / 1e3:8.1f} kbit/s, "
            f"answered after {1e3 * one.round_trip_s:.1f} ms"
        )
    more = " or more" if figures.hidden_unbounded else ""
    typer.echo(f"hidden      {figures.hidden_bytes} B{more} accepted that had not arrived")
    typer.echo(
        f"proposed    window {figures.window_bytes} B, --mtu-bytes {figures.mtu_bytes}: "
        f"{figures.goodput_bps / 1e3:.1f} kbit/s"
    )


def _trace(path: Path | None, jamming: str | None, packet_bytes: int, seed: int) -> RateTrace:
    from pnc.replay.traces import read_trace
    from pnc.replay.worlds import jamming as make

    if path is not None and jamming is not None:
        raise ConfigError("--trace and --jamming: give one of them, not both")
    if path is not None:
        return read_trace(path, packet_bytes=packet_bytes)
    return make(jamming or "none", WORLD_S, seed)


def _interrupt(signal_number: int, frame: Any) -> None:
    raise KeyboardInterrupt
