"""The radio between two real pseudo-terminals, alone and with sessions on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pnc.config import ReceiverConfig, SenderConfig
from pnc.errors import LinkError, LinkLostError
from pnc.replay.worlds import jamming
from pnc.transport.driver import Driver
from pnc.transport.events import Event, PictureEnded, ResultReceived
from pnc.transport.links import open_link
from pnc.transport.links.base import Link
from pnc.transport.links.channel import ChannelConfig
from pnc.transport.links.pty_radio import PtyRadio
from pnc.transport.links.trace import RateTrace
from pnc.transport.session import Receiver, Sender

FAST = ChannelConfig(trace=RateTrace.constant(1e6))


def read_all(link: Link, count: int) -> bytes:
    got = b""
    while len(got) < count:
        piece = link.read(5.0)
        assert piece
        got += piece
    return got


def test_bytes_cross_and_are_counted() -> None:
    with PtyRadio(FAST).start() as radio:
        a, b = open_link(f"serial://{radio.a}"), open_link(f"serial://{radio.b}")
        a.write(bytes(range(256)))
        assert read_all(b, 256) == bytes(range(256))
        b.write(b"back")
        assert read_all(a, 4) == b"back"
        there, back = radio.statistics()["a_to_b"], radio.statistics()["b_to_a"]
        assert (there.bytes_in, there.bytes_out, back.bytes_out) == (256, 256, 4)
        assert there.trace_bytes > 0
        a.close()
        b.close()


def test_an_end_may_close_and_come_back() -> None:
    with PtyRadio(FAST).start() as radio:
        a = open_link(f"serial://{radio.a}")
        for _ in range(3):
            b = open_link(f"serial://{radio.b}")
            a.write(b"hello")
            assert read_all(b, 5) == b"hello"
            b.close()
        a.close()


def test_closing_the_radio_is_an_unplug() -> None:
    radio = PtyRadio(FAST).start()
    a = open_link(f"serial://{radio.a}")
    radio.close()
    radio.close()
    with pytest.raises(LinkLostError):
        a.read(1.0)
    a.close()


def test_what_nobody_reads_is_lost_not_kept() -> None:
    clock = iter(range(10_000))
    radio = PtyRadio(
        ChannelConfig(trace=RateTrace.constant(8e6), fifo_bytes=4096),
        clock=lambda: float(next(clock)),
    )
    a = os.open(radio.a, os.O_WRONLY | os.O_NONBLOCK)
    for _ in range(40):
        os.write(a, b"x" * 1000)
        radio.run(until=radio._clock() + 3)
    assert radio.statistics()["a_to_b"].bytes_overrun > 10_000
    os.close(a)
    radio.close()


def test_names_are_stable_where_wanted(tmp_path: Path) -> None:
    names = tmp_path / "a", tmp_path / "b"
    names[0].symlink_to("/nowhere")
    with PtyRadio(FAST, link_a=names[0], link_b=names[1]).start() as radio:
        assert radio.a == str(names[0])
        link = open_link(f"serial://{names[1]}")
        link.close()
    assert not names[0].is_symlink()
    assert not names[1].is_symlink()
    with pytest.raises(LinkError, match="cannot be set up"):
        PtyRadio(FAST, link_a=tmp_path)


@pytest.mark.e2e
def test_sessions_over_real_terminals_under_heavy_jamming() -> None:
    num_pictures, deadline_s = 6, 0.4
    ended: list[PictureEnded] = []
    results: list[int] = []
    done = threading.Event()

    def at_server(event: Event) -> None:
        if isinstance(event, PictureEnded):
            ended.append(event)
            server.call(lambda one, now: one.send_result(event.picture_id, b"ok", now))

    def at_device(event: Event) -> None:
        if isinstance(event, ResultReceived):
            results.append(event.picture_id)
            if event.picture_id == num_pictures:
                done.set()

    receiver = Receiver(ReceiverConfig())
    sender = Sender(SenderConfig())
    with PtyRadio(ChannelConfig(trace=jamming("heavy", 30, seed=1))).start() as radio:
        server = Driver(receiver, f"serial://{radio.b}", on_event=at_server)
        device = Driver(sender, f"serial://{radio.a}", on_event=at_device)
        with server, device:
            for _ in range(num_pictures):
                packets = [os.urandom(200) for _ in range(30)]
                device.call(
                    lambda one, now, packets=packets: one.submit(  # type: ignore[misc]
                        packets, deadline=now + deadline_s, now=now
                    )
                )
                time.sleep(deadline_s)
            assert done.wait(10)
    assert [event.picture_id for event in ended] == list(range(1, num_pictures + 1))
    assert len(results) == len(set(results))
    assert max(event.late_bytes for event in ended) <= sender.config.window_max_bytes
    assert sum(event.received_bytes for event in ended) > 1000


@pytest.mark.e2e
def test_the_command_plays_a_radio_and_says_what_it_carried(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    RateTrace.constant(80_000).write_csv(trace)
    command = [sys.executable, "-m", "pnc.cli", "link", "pty", "--trace", str(trace)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        names = json.loads(process.stdout.readline())
        a, b = (open_link(f"serial://{names[end]}") for end in "ab")
        a.write(b"x" * 100)
        assert read_all(b, 100) == b"x" * 100
        line = json.loads(process.stdout.readline())
        assert line["a_to_b"]["bytes_out"] == 100
        assert 5_000 < line["a_to_b"]["trace_bytes"] < 40_000
        process.terminate()
        process.wait(10)
        a.close()
        b.close()
    assert process.returncode in (130, 0)
