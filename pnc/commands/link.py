"""``pnc link``: play a link on this machine."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from pnc.errors import ConfigError

if TYPE_CHECKING:
    from pnc.transport.links.pty_radio import PtyRadio
    from pnc.transport.links.trace import RateTrace

__all__ = ["app"]

WORLD_S = 600.0
"""Length of a made trace before it repeats: longer than anyone watches a demo."""

app = typer.Typer(help="Play a link: a radio between two pseudo-terminals.", no_args_is_help=True)


@app.callback()
def link() -> None:
    """Play a link: a radio between two pseudo-terminals."""


@app.command()
def pty(
    trace: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads this at run time
        typer.Option(help="Link trace: CSV time_s,rate_bps, mahimahi packet stamps, or slide 8."),
    ] = None,
    jamming: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="A made link instead: none, light or heavy."),
    ] = None,
    packet_bytes: Annotated[
        int, typer.Option(min=1, help="Bytes per packet stamp of a mahimahi trace.")
    ] = 1500,
    seed: Annotated[int, typer.Option(help="Seed of the made link, of loss and of errors.")] = 0,
    seconds: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Stop after this long; without it, run until interrupted."),
    ] = None,
    fifo_bytes: Annotated[int, typer.Option(min=1, help="The radio's buffer, each way.")] = 512,
    delay_s: Annotated[float, typer.Option(help="Time every byte is on the way.")] = 0.0,
    loss: Annotated[float, typer.Option(help="Probability that a radio packet is lost.")] = 0.0,
    bit_error: Annotated[float, typer.Option(help="Probability that a bit is flipped.")] = 0.0,
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
    from pnc.transport.links.channel import ChannelConfig
    from pnc.transport.links.pty_radio import PtyRadio

    rate = _trace(trace, jamming, packet_bytes, seed)
    forward, back = (
        ChannelConfig(
            trace=rate,
            fifo_bytes=fifo_bytes,
            delay_s=delay_s,
            loss=loss,
            bit_error=bit_error,
            seed=2 * seed + side,
        )
        for side in (0, 1)
    )
    signal.signal(signal.SIGTERM, _interrupt)
    with PtyRadio(forward, back, link_a=link_a, link_b=link_b) as radio:
        typer.echo(json.dumps({"a": radio.a, "b": radio.b}))
        _run(radio, seconds)


def _run(radio: PtyRadio, seconds: float | None) -> None:
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
