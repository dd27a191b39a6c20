"""Traces, channels and the links that open by URL."""

from __future__ import annotations

import contextlib
import errno
import itertools
import math
import os
import random
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import serial
from hypothesis import given
from hypothesis import strategies as st
from serial.tools.list_ports_common import ListPortInfo

from pnc.errors import ConfigError, LinkError, LinkLostError
from pnc.transport.links import open_link
from pnc.transport.links import serial as serial_link
from pnc.transport.links.base import Link
from pnc.transport.links.channel import Channel, ChannelConfig, PacketFaults
from pnc.transport.links.trace import RateTrace

TRACE = RateTrace((0.0, 1.0, 2.0), (8000.0, 0.0, 16000.0), 3.0)

traces = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 50)), min_size=1, max_size=6).map(
    lambda steps: RateTrace(
        [sum(step for step, _ in steps[:index]) / 10 for index in range(len(steps))],
        [1000.0 * rate for _, rate in steps],
        sum(step for step, _ in steps) / 10,
    )
)


def file_of(folder: Path, text: str | bytes) -> Path:
    path = folder / "trace.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


# --- traces


def test_trace_repeats_and_adds_up() -> None:
    assert [TRACE.rate_at(time) for time in (0, 0.99, 1.5, 2.5, 3.5)] == [8e3, 8e3, 0, 16e3, 8e3]
    assert TRACE.bytes_between(0, 3) == 3000
    assert TRACE.bytes_between(0.5, 2.5) == 1500
    assert TRACE.bytes_between(2.5, 30.5) == pytest.approx(27_000 + 1500)
    assert TRACE.mean_bps == 8000


def test_time_after_skips_standstills() -> None:
    assert TRACE.time_after(0.0, 500) == 0.5
    assert TRACE.time_after(0.0, 1000) == 1.0
    assert TRACE.time_after(0.0, 1001) == pytest.approx(2.0005)
    assert TRACE.time_after(1.5, 0) == 1.5
    assert TRACE.time_after(1.5, 2000) == 3.0
    assert RateTrace.constant(0).time_after(1.0, 1) == math.inf


@given(traces, st.floats(0, 20), st.floats(0.5, 500))
def test_time_after_undoes_bytes_between(trace: RateTrace, start_s: float, count: float) -> None:
    end_s = trace.time_after(start_s, count)
    if end_s < math.inf:
        assert trace.bytes_between(start_s, end_s) == pytest.approx(count, abs=1e-6)
        assert trace.bytes_between(start_s, max(start_s, end_s - 1e-3)) <= count + 1e-6


@given(traces)
def test_trace_file_is_undone(trace: RateTrace) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.csv"
        trace.write_csv(path)
        again = RateTrace.from_file(path)
    assert again.period_s == pytest.approx(trace.period_s)
    for time_s in range(40):
        whole = trace.bytes_between(0, time_s / 7)
        assert again.bytes_between(0, time_s / 7) == pytest.approx(whole, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the trace is empty"),
        ("time_s,rate_bps\n", "the trace is empty"),
        ("0,1000\n1,-5\n", "line 2: -5 is negative"),
        ("0,1000\n\n2,1\n1,5\n", "line 4: time 1 is not after 2"),
        ("0,1000\n0,5\n", "line 2: time 0 is not after 0"),
        ("0,fast\n", "line 1: 'fast' is not a number"),
        ("0,inf\n", "line 1: inf is not finite"),
        ("0,1,2\n", "line 1: 3 columns"),
        ("0\n", "line 1: 1 columns"),
        (b"\xff\xfe\x00", "not text"),
    ],
)
def test_bad_trace_files_give_one_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = file_of(tmp_path, text)
    with pytest.raises(ConfigError, match=message) as caught:
        RateTrace.from_file(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_trace_file_times_count_from_the_first(tmp_path: Path) -> None:
    trace = RateTrace.from_file(file_of(tmp_path, "# made\ntime_s,rate_bps\n100,8000\n102,16000\n"))
    assert (trace.times_s, trace.rates_bps, trace.period_s) == ((0, 2), (8000, 16000), 4)


def test_missing_and_huge_trace_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        RateTrace.from_file(tmp_path / "nothing.csv")
    monkeypatch.setattr("pnc.transport.links.trace.MAX_TRACE_BYTES", 3)
    with pytest.raises(ConfigError, match="over 3 bytes"):
        RateTrace.from_file(file_of(tmp_path, "0,1000\n"))


@pytest.mark.parametrize(
    "arguments",
    [
        ((), (), 1.0),
        ((0.0,), (), 1.0),
        ((1.0,), (1.0,), 2.0),
        ((0.0, 2.0, 1.0), (1.0, 1.0, 1.0), 3.0),
        ((0.0,), (-1.0,), 1.0),
        ((0.0,), (math.nan,), 1.0),
        ((0.0,), (1.0,), 0.0),
    ],
)
def test_impossible_traces_are_refused(
    arguments: tuple[tuple[float, ...], tuple[float, ...], float],
) -> None:
    with pytest.raises(ConfigError):
        RateTrace(*arguments)


# --- channels


def drain(channel: Channel, data: bytes, until: float = 100.0) -> list[tuple[float, bytes]]:
    now, got = 0.0, []
    data = data[channel.push(data, now) :]
    while (due := channel.next_time()) is not None and due <= until:
        now = due
        piece = channel.pull(now)
        data = data[channel.push(data, now) :]
        if piece:
            got.append((now, piece))
    return got


def test_channel_keeps_rate_order_and_delay() -> None:
    channel = Channel(ChannelConfig(trace=RateTrace.constant(80_000), delay_s=0.5))
    sent = os.urandom(20_000)
    got = drain(channel, sent)
    assert b"".join(piece for _, piece in got) == sent
    assert got[0][0] >= 0.5
    assert got[-1][0] == pytest.approx(2.5, abs=0.01)
    assert channel.idle
    assert (channel.bytes_in, channel.bytes_out) == (20_000, 20_000)
    assert channel.capacity_bytes(2.0) == 20_000


def test_channel_takes_no_more_than_its_fifo() -> None:
    channel = Channel(ChannelConfig(trace=RateTrace.constant(0), fifo_bytes=100))
    assert channel.push(b"x" * 300, 0.0) == 100
    assert channel.room == 0
    assert channel.next_time() == math.inf
    assert channel.pull(1e6) == b""


def test_an_idle_channel_saves_no_credit() -> None:
    channel = Channel(ChannelConfig(trace=RateTrace.constant(8_000), fifo_bytes=4000))
    channel.push(b"x" * 2000, 10.0)
    assert len(channel.pull(11.0)) == 1000


def test_loss_takes_whole_radio_packets() -> None:
    config = ChannelConfig(trace=RateTrace.constant(8e5), loss=0.3, packet_bytes=10, seed=2)
    sent = bytes(index // 10 % 250 for index in range(20_000))
    got = b"".join(piece for _, piece in drain(Channel(config), sent))
    assert 0.6 < len(got) / len(sent) < 0.8
    assert len(got) % 10 == 0
    assert all(len(set(got[at : at + 10])) == 1 for at in range(0, len(got), 10))


@pytest.mark.parametrize(("chance", "low", "high"), [(1e-3, 0.0007, 0.0013), (1.0, 1.0, 1.0)])
def test_bit_errors_have_their_rate(chance: float, low: float, high: float) -> None:
    config = ChannelConfig(trace=RateTrace.constant(8e6), bit_error=chance, seed=1)
    got = b"".join(piece for _, piece in drain(Channel(config), bytes(40_000)))
    assert low <= sum(byte.bit_count() for byte in got) / (8 * len(got)) <= high


@pytest.mark.parametrize(
    "options",
    [{"loss": 1.1}, {"bit_error": -1}, {"delay_s": -1}, {"fifo_bytes": 0}, {"packet_bytes": 0}],
)
def test_impossible_channels_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        ChannelConfig(**options)  # type: ignore[arg-type]


def received(config: ChannelConfig, sent: bytes) -> bytes:
    return b"".join(piece for _, piece in drain(Channel(config), sent))


FAST = RateTrace.constant(8e5)


def test_bursts_have_their_mean_loss_and_length() -> None:
    config = ChannelConfig(trace=FAST, loss=0.2, burst_packets=8, packet_bytes=1, seed=1)
    faults = PacketFaults(config, random.Random(5))
    lost = [faults.feed(b"x", 0.0, is_last=False) == b"" for _ in range(40_000)]
    runs = [len(list(run)) for is_lost, run in itertools.groupby(lost) if is_lost]
    assert 0.17 < sum(lost) / len(lost) < 0.23
    assert 7 < sum(runs) / len(runs) < 9


def test_a_burst_may_lose_only_some() -> None:
    config = ChannelConfig(
        trace=FAST, loss=0.1, burst_packets=10, burst_loss=0.5, packet_bytes=10, seed=2
    )
    assert 0.85 < len(received(config, bytes(200_000))) / 200_000 < 0.95


def test_packets_come_twice_and_in_another_order_but_none_is_lost() -> None:
    sent = b"".join(bytes([1 + index % 250]) * 10 for index in range(1000))
    config = ChannelConfig(trace=FAST, duplicate=0.1, reorder=0.1, packet_bytes=10, seed=3)
    got = received(config, sent)
    packets = [got[at : at + 10] for at in range(0, len(got), 10)]
    assert all(len(set(packet)) == 1 for packet in packets)
    assert set(packets) == {sent[at : at + 10] for at in range(0, len(sent), 10)}
    assert 1050 < len(packets) < 1150
    late = sum(b[0] == a[0] - 1 for a, b in itertools.pairwise(packets))
    assert 60 < late < 140


def test_a_packet_held_back_does_not_wait_for_ever() -> None:
    channel = Channel(ChannelConfig(trace=FAST, reorder=1.0))
    channel.push(b"alone", 0.0)
    assert channel.pull(0.01) == b""
    assert not channel.idle
    due = channel.next_time()
    assert due is not None
    assert channel.pull(due) == b"alone"
    assert channel.idle


def test_framed_packets_end_with_their_frames() -> None:
    frames = [b"x" * (index % 7 + 1) + b"\0" for index in range(2000)]
    config = ChannelConfig(trace=FAST, loss=0.3, packet_bytes=100, framed=True, seed=4)
    got = received(config, b"".join(frames)).split(b"\0")[:-1]
    assert {piece + b"\0" for piece in got} <= set(frames)
    assert 0.6 < len(got) / len(frames) < 0.8


# --- opening by URL


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("/dev/ttyACM0", "not the address of a link"),
        ("quic://camera", "not the address of a link"),
        ("serial://", "no port is named"),
        ("serial:///dev/x?vid=2886", "two ports are named"),
        ("serial://?vid=camera", "vid='camera' is not a number"),
        ("serial:///dev/x?speed=9600", "unknown option speed; known are baud"),
        ("serial:///dev/x?baud=fast", "baud='fast' is not a number"),
        ("emu://x", "use emu://NAME"),
        ("emu://?side=a", "use emu://NAME"),
        ("emu://x?side=a&rate_bps=", "rate_bps='' is not a number"),
        ("emu://x?side=a&loss=2", "loss"),
        ("emu://x?side=a&loss=0.9&burst_packets=4", "lose 0.8 at most"),
        ("emu://x?side=a&cut_s=0", "times in seconds"),
        ("tcp://127.0.0.1", "no port is named"),
        ("tcp://127.0.0.1:70000", "no port is named"),
        ("tcp://[::1:9", "not the address of a link"),
        ("tcp://a:b:9", "not HOST:PORT"),
        ("tcp://:9?listen=yes", "listen='yes' is not a number"),
        ("udp://:9?listen=2", "listen=2 is not 0 or 1"),
        ("udp://:9?token=x", "unknown option token"),
        ("ws://:9/x?listen=1", "needs a token of 16"),
        ("ws://:9/x?listen=1&token=short", "needs a token of 16"),
        ("ws://:9/x?token_file=/nowhere", "the token cannot be read"),
        ("ws://:9/x?token=%00", "ASCII"),
        ("emu://x?side=a&trace=/nowhere.csv", "cannot be read"),
    ],
)
def test_bad_addresses_give_one_line(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_link(url)


# --- emulated


@pytest.fixture
def emulated() -> Iterator[Callable[..., Link]]:
    opened: list[Link] = []

    def open_one(side: str, **options: float) -> Link:
        opened.append(open_link(f"emu://test?side={side}", **options))
        return opened[-1]

    yield open_one
    for link in opened:
        link.close()


def read_all(link: Link, count: int) -> bytes:
    got = b""
    while len(got) < count:
        piece = link.read(2.0)
        assert piece
        got += piece
    return got


def test_emulated_link_carries_bytes_both_ways(emulated: Callable[..., Link]) -> None:
    a, b = emulated("a", rate_bps=8e6), emulated("b", rate_bps=8e6)
    writer = threading.Thread(target=a.write, args=(bytes(range(256)) * 10,))
    writer.start()
    assert read_all(b, 2560) == bytes(range(256)) * 10
    writer.join()
    b.write(b"back")
    assert read_all(a, 4) == b"back"
    assert a.read(0.0) == b""


def test_emulated_side_is_exclusive_until_closed(emulated: Callable[..., Link]) -> None:
    first = emulated("a")
    with pytest.raises(LinkError, match="in use") as caught:
        emulated("a")
    assert caught.value.reason == "busy"
    first.close()
    first.close()
    for action in (lambda: first.read(0.0), lambda: first.write(b"x")):
        with pytest.raises(LinkLostError):
            action()
    emulated("a")


def test_emulated_link_loses_what_nobody_listens_to(emulated: Callable[..., Link]) -> None:
    a = emulated("a", rate_bps=8e6, fifo_bytes=512)
    a.write(b"x" * 3000)
    b = emulated("b")
    assert len(b.read(0.0)) <= 512


def test_emulated_write_gives_up_on_a_radio_that_stands_still(
    emulated: Callable[..., Link], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pnc.transport.links.emulated.WRITE_TIMEOUT_S", 0.02)
    a = emulated("a", rate_bps=0, fifo_bytes=10)
    emulated("b")
    a.write(b"x" * 30)


def read_nothing(link: Link, end: float) -> None:
    while time.monotonic() < end:
        assert link.read(20) == b""


def test_emulated_link_is_cut_and_comes_back(emulated: Callable[..., Link]) -> None:
    a = emulated("a", cut_s=0.05, away_s=0.3)
    b = emulated("b")
    end = time.monotonic() + 20
    with pytest.raises(LinkLostError, match="was cut"):
        read_nothing(a, end)
    with pytest.raises(LinkLostError, match="was cut"):
        a.write(b"x")
    a.close()
    assert b.read(0.0) == b""
    back: Link | None = None
    while back is None and time.monotonic() < end:
        try:
            back = emulated("a")
        except LinkError as error:
            assert error.reason == "missing"  # noqa: PT017
            b.read(0.02)
    assert back is not None


# --- serial


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    master, slave = os.openpty()
    tty.setraw(slave)
    name = os.ttyname(slave)
    yield master, name
    for fd in (master, slave):
        with contextlib.suppress(OSError):
            os.close(fd)


@pytest.mark.parametrize("form", ["serial://{}", "serial:{}", "serial://{}?baud=115200"])
def test_serial_link_reads_and_writes(terminal: tuple[int, str], form: str) -> None:
    master, name = terminal
    link = open_link(form.format(name))
    os.write(master, b"hello")
    assert read_all(link, 5) == b"hello"
    os.write(master, b"!")
    assert link.read(1.0) == b"!"
    assert link.read(0.0) == b""
    link.write(b"there")
    assert os.read(master, 99) == b"there"
    link.close()
    link.close()


def test_serial_port_is_exclusive(terminal: tuple[int, str]) -> None:
    url = f"serial://{terminal[1]}"
    link = open_link(url)
    with pytest.raises(LinkError, match="in use by another program") as caught:
        open_link(url)
    assert caught.value.reason == "busy"
    link.close()
    open_link(url).close()


def test_missing_serial_port_lists_those_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pnc.transport.links.serial.list_ports.comports", list)
    with pytest.raises(LinkError, match="no such port; there is no port here") as caught:
        open_link("serial:///dev/ttyNOWHERE")
    assert caught.value.reason == "missing"
    monkeypatch.setattr(
        "pnc.transport.links.serial.list_ports.comports",
        lambda: [usb_port("/dev/ttyACM7"), ListPortInfo("/dev/ttyS0")],
    )
    with pytest.raises(
        LinkError, match=r"the ports here are /dev/ttyACM7 \(2886:8045, serial A\)$"
    ):
        open_link("serial:///dev/ttyNOWHERE")


def usb_port(
    device: str,
    vid: int = 0x2886,
    pid: int = 0x8045,
    number: str = "A",
    interface: str | None = None,
    location: str | None = None,
) -> ListPortInfo:
    port = ListPortInfo(device)
    port.vid, port.pid, port.serial_number, port.hwid = vid, pid, number, "USB"
    port.interface, port.location = interface, location
    return port


def board(console: str, data: str, number: str = "A") -> list[ListPortInfo]:
    """The two ports of a CircuitPython board, as pyserial on Linux describes them."""
    return [
        usb_port(console, 0x239A, 0x8029, number, "CircuitPython CDC control", "1-1.4:1.0"),
        usb_port(data, 0x239A, 0x8029, number, "CircuitPython CDC2 control", "1-1.4:1.2"),
    ]


@pytest.mark.parametrize(
    "url", ["serial://?vid=239a&pid=8029", "serial://?serial=A", "serial://?vid=239a&interface=2"]
)
def test_of_a_circuitpython_board_the_data_port_is_taken(
    terminal: tuple[int, str], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    master, name = terminal
    ports = board("/dev/ttyNOWHERE", name)
    monkeypatch.setattr("pnc.transport.links.serial.list_ports.comports", lambda: ports)
    link = open_link(url)
    link.write(b"x")
    assert os.read(master, 9) == b"x"
    link.close()


def test_the_console_of_a_board_is_taken_if_it_is_asked_for(
    terminal: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = board(terminal[1], "/dev/ttyNOWHERE")
    monkeypatch.setattr("pnc.transport.links.serial.list_ports.comports", lambda: ports)
    open_link("serial://?vid=239a&pid=8029&interface=0").close()
    with pytest.raises(ConfigError, match="interface='two' is not a number"):
        open_link("serial://?vid=239a&interface=two")
    with pytest.raises(LinkError, match=r"no such port; .*A, interface 2, CircuitPython CDC2"):
        open_link("serial://?vid=239a&interface=4")


@pytest.mark.parametrize(
    "ports",
    [
        board("/dev/ttyACM0", "/dev/ttyACM1") + board("/dev/ttyACM2", "/dev/ttyACM3", "B"),
        [usb_port("/dev/a", location="1-1:1.0"), usb_port("/dev/b", location="1-1:1.2")],
        [usb_port("/dev/a"), usb_port("/dev/b", location="1-1")],
    ],
)
def test_two_boards_or_two_ports_without_names_are_ambiguous(
    monkeypatch: pytest.MonkeyPatch, ports: list[ListPortInfo]
) -> None:
    monkeypatch.setattr("pnc.transport.links.serial.list_ports.comports", lambda: ports)
    with pytest.raises(LinkError, match="add serial= or interface= to tell them apart") as caught:
        open_link(f"serial://?vid={ports[0].vid:04x}")
    assert caught.value.reason == "ambiguous"
    assert caught.value.ports == [port.device for port in ports]


def test_a_serial_port_is_found_by_its_usb_device(
    terminal: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    master, name = terminal
    ports = [usb_port("/dev/ttyACM7", number="B"), usb_port(name), usb_port("/dev/x", vid=0x239A)]
    monkeypatch.setattr("pnc.transport.links.serial.list_ports.comports", lambda: ports)
    link = open_link("serial://?vid=2886&pid=8045&serial=A&baud=115200")
    link.write(b"x")
    assert os.read(master, 9) == b"x"
    link.close()
    with pytest.raises(LinkError, match=r"several ports fit: .*add serial=") as caught:
        open_link("serial://?vid=2886")
    assert caught.value.ports == sorted(["/dev/ttyACM7", name])
    with pytest.raises(LinkError, match=r"no such port; the ports here are .*239a:8045"):
        open_link("serial://?vid=1915")


def test_closing_a_port_that_does_not_close_is_bounded(
    terminal: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pnc.transport.links.serial.CLOSE_TIMEOUT_S", 0.01)
    link = open_link(f"serial://{terminal[1]}")
    let_go = threading.Event()
    monkeypatch.setattr("serial.Serial.reset_output_buffer", lambda port: let_go.wait(20))
    link.close()
    assert not let_go.is_set()
    let_go.set()


def test_forbidden_serial_port_names_the_group(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise serial.SerialException(errno.EACCES, "could not open port")

    monkeypatch.setattr("pnc.transport.links.serial.serial.Serial", refuse)
    with pytest.raises(LinkError, match=r"not permitted; join the group .* dialout") as caught:
        open_link("serial:///dev/ttyNOWHERE")
    assert caught.value.reason == "not permitted"
    assert isinstance(serial_link.group_of(str(tmp_path)), str)


def test_a_file_is_no_serial_port(tmp_path: Path) -> None:
    path = file_of(tmp_path, "x")
    with pytest.raises(LinkError, match="not a serial port"):
        open_link(f"serial://{path}")
    with pytest.raises(LinkError, match="not a serial port"):
        open_link("serial:///dev/null")
    with pytest.raises(ConfigError, match="not a rate"):
        open_link(f"serial://{path}?baud=-1")


def test_other_trouble_is_said_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise serial.SerialException(errno.EIO, "strange")

    monkeypatch.setattr("pnc.transport.links.serial.serial.Serial", refuse)
    with pytest.raises(LinkError, match=r"cannot be opened: .*strange"):
        open_link("serial:///dev/null")
    with pytest.raises(LinkError, match="not a serial port"):
        open_link("serial:///dev/ttyNOWHERE")


def test_unplugged_serial_port_is_lost(terminal: tuple[int, str]) -> None:
    link = open_link(f"serial://{terminal[1]}")
    os.close(terminal[0])
    with pytest.raises(LinkLostError, match="went away"):
        link.read(0.1)
    with pytest.raises(LinkLostError, match="went away"):
        link.write(b"x")
    link.close()


def test_a_port_that_takes_nothing_does_not_block(
    terminal: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pnc.transport.links.serial.WRITE_TIMEOUT_S", 0.02)
    link = open_link(f"serial://{terminal[1]}")
    link.write(b"x" * 100_000)
    link.close()
