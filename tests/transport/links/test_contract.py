"""What every link promises, over every link that can run here."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import pytest

from pnc.config import ReceiverConfig, SenderConfig
from pnc.errors import LinkError, LinkLostError
from pnc.transport.driver import Driver
from pnc.transport.events import Event, PictureEnded, ResultReceived
from pnc.transport.links import open_link
from pnc.transport.links.base import Link
from pnc.transport.links.channel import ChannelConfig
from pnc.transport.links.pty_radio import PtyRadio
from pnc.transport.links.tcp import open_tcp
from pnc.transport.links.trace import RateTrace
from pnc.transport.links.udp import open_udp
from pnc.transport.links.websocket import open_websocket
from pnc.transport.session import Receiver, Sender

TOKEN = "a-token-of-many-letters"
PATIENCE_S = 20.0
"""How long something that takes milliseconds may take while the machine is busy."""

_names = itertools.count()


@dataclass
class Pair:
    """Two ends of a link, and what its kind is like."""

    device: Link
    server: Link
    taken: str
    """A URL that another opener has already."""
    vanish: Callable[[], None] | None
    """Makes the server's end go away, if the device's end is told of that."""
    datagrams: bool = False
    """Whether a long write may lose its end when nobody reads."""


def serial_pair(stack: ExitStack) -> Pair:
    fast = ChannelConfig(trace=RateTrace.constant(8e6), fifo_bytes=4096)
    radio = stack.enter_context(PtyRadio(fast).start())
    device, server = open_link(f"serial://{radio.a}"), open_link(f"serial://{radio.b}")
    return Pair(device, server, f"serial://{radio.b}", radio.close)


def tcp_pair(stack: ExitStack) -> Pair:
    server = open_tcp("tcp://", "127.0.0.1:0", {"listen": "1"})
    url = f"tcp://127.0.0.1:{server.port}"
    return Pair(open_link(url), server, f"{url}?listen=1", server.close)


def udp_pair(stack: ExitStack) -> Pair:
    server = open_udp("udp://", "127.0.0.1:0", {"listen": "1"})
    url = f"udp://127.0.0.1:{server.port}"
    device = open_link(url)
    return Pair(device, server, f"{url}?listen=1", server.close, datagrams=True)


def websocket_pair(stack: ExitStack) -> Pair:
    server = open_websocket("ws://", "127.0.0.1:0/camera", {"listen": "1", "token": TOKEN})
    url = f"ws://127.0.0.1:{server.port}/camera?token={TOKEN}"
    stop = threading.Event()
    reader = threading.Thread(target=lambda: take_peer(server, stop))
    reader.start()
    try:
        device = open_link(url)
    finally:
        stop.set()
        reader.join()
    return Pair(device, server, f"{url}&listen=1", server.close)


def take_peer(server: Link, stop: threading.Event) -> None:
    while not stop.is_set():
        server.read(0.01)


def emulated_pair(stack: ExitStack) -> Pair:
    url = f"emu://contract-{next(_names)}?rate_bps=8e6&fifo_bytes=4096"
    device, server = open_link(f"{url}&side=a"), open_link(f"{url}&side=b")
    return Pair(device, server, f"{url}&side=b", None)


KINDS: dict[str, Callable[[ExitStack], Pair]] = {
    "serial": serial_pair,
    "tcp": tcp_pair,
    "udp": udp_pair,
    "ws": websocket_pair,
    "emu": emulated_pair,
}


@pytest.fixture(params=KINDS)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with ExitStack() as stack:
        pair = KINDS[request.param](stack)
        meet(pair)
        yield pair
        pair.device.close()
        pair.server.close()


def meet(pair: Pair) -> None:
    """Let both sides know each other: a listening side takes its peer when it reads."""
    pair.device.write(b"hello")
    assert read_all(pair.server, 5) == b"hello"


def read_all(link: Link, count: int) -> bytes:
    got = b""
    end = time.monotonic() + PATIENCE_S
    while len(got) < count and time.monotonic() < end:
        got += link.read(0.2)
    return got


def until_lost(action: Callable[[], object]) -> LinkLostError:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        try:
            action()
        except LinkLostError as error:
            return error
    raise AssertionError("the link was not lost")


def test_bytes_cross_both_ways_unchanged_and_in_order(pair: Pair) -> None:
    data = bytes(range(256)) * 4
    for writer, reader in ((pair.device, pair.server), (pair.server, pair.device)):
        for size in (1, 244, len(data)):
            writer.write(data[:size])
            assert read_all(reader, size) == data[:size]


def test_empty_writes_and_reads_without_bytes_do_nothing(pair: Pair) -> None:
    pair.device.write(b"")
    assert pair.server.read(0.0) == b""
    assert pair.server.read(0.01) == b""
    assert pair.device.read(0.0) == b""


def test_one_thread_reads_while_another_writes(pair: Pair) -> None:
    pieces = [bytes([number]) * 200 for number in range(1, 21)]
    both: dict[str, bytes] = {}

    def write(link: Link) -> None:
        for piece in pieces:
            link.write(piece)

    def read(name: str, link: Link) -> None:
        both[name] = read_all(link, sum(map(len, pieces)))

    threads = [
        threading.Thread(target=write, args=(pair.device,)),
        threading.Thread(target=write, args=(pair.server,)),
        threading.Thread(target=read, args=("device", pair.device)),
        threading.Thread(target=read, args=("server", pair.server)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert both == {"device": b"".join(pieces), "server": b"".join(pieces)}


def test_a_write_that_nobody_takes_is_bounded(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("tcp", "udp", "websocket", "emulated"):
        monkeypatch.setattr(f"pnc.transport.links.{module}.WRITE_TIMEOUT_S", 0.05)
    for _ in range(8):
        started = time.monotonic()
        pair.device.write(b"x" * 100_000)
        assert time.monotonic() - started < PATIENCE_S


def test_a_write_that_waits_does_not_hold_up_a_read(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("tcp", "udp", "websocket", "emulated"):
        monkeypatch.setattr(f"pnc.transport.links.{module}.WRITE_TIMEOUT_S", 0.3)
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            pair.device.write(b"x" * 50_000)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        pair.server.write(b"stop")
        assert read_all(pair.device, 4) == b"stop"
    finally:
        done.set()
        thread.join()


def test_a_closed_link_says_so(pair: Pair) -> None:
    pair.device.close()
    pair.device.close()
    for action in (lambda: pair.device.read(0.0), lambda: pair.device.write(b"x")):
        with pytest.raises(LinkLostError) as caught:
            action()
        assert str(caught.value).startswith(pair.device.url)


def test_closing_ends_a_read_in_another_thread(pair: Pair) -> None:
    ended = threading.Event()

    def read() -> None:
        with suppress(LinkLostError):
            while True:
                pair.device.read(0.1)
        ended.set()

    thread = threading.Thread(target=read)
    thread.start()
    pair.device.close()
    assert ended.wait(PATIENCE_S)
    thread.join()


def test_a_peer_that_vanishes_is_a_lost_link(pair: Pair) -> None:
    if pair.vanish is None:
        pytest.skip("this kind never tells that the other side is gone")
    pair.vanish()

    def touch() -> None:
        if pair.datagrams:
            pair.device.write(b"is anybody there?")
        pair.device.read(PATIENCE_S / 10)

    error = until_lost(touch)
    assert "\n" not in str(error)
    assert str(error).startswith(pair.device.url)
    until_lost(lambda: pair.device.write(b"x"))


def test_an_end_is_exclusive_until_closed(pair: Pair) -> None:
    with pytest.raises(LinkError, match="in use") as caught:
        open_link(pair.taken)
    assert caught.value.reason == "busy"
    assert "\n" not in str(caught.value)
    pair.device.close()
    pair.server.close()
    open_link(pair.taken).close()


def test_no_link_shows_its_token(pair: Pair) -> None:
    pair.device.close()
    with pytest.raises(LinkLostError) as caught:
        pair.device.read(0.0)
    for text in (pair.device.url, pair.server.url, str(caught.value)):
        assert TOKEN not in text


def test_a_picture_crosses(pair: Pair) -> None:
    packets = [bytes([number]) * 200 for number in range(1, 6)]
    done = threading.Event()
    got: list[PictureEnded] = []

    def at_server(event: Event) -> None:
        if isinstance(event, PictureEnded):
            got.append(event)
            receiver.call(lambda session, now: session.send_result(event.picture_id, b"ok", now))

    def at_device(event: Event) -> None:
        if isinstance(event, ResultReceived):
            done.set()

    sender = Driver(Sender(SenderConfig()), lambda: pair.device, on_event=at_device)
    receiver = Driver(Receiver(ReceiverConfig()), lambda: pair.server, on_event=at_server)
    with receiver, sender:
        sender.call(lambda session, now: session.submit(packets, deadline=now + 60, now=now))
        assert done.wait(PATIENCE_S)
    assert got[0].packets == dict(enumerate(packets))
