"""``code.py`` and ``boot.py`` on boards that are imagined, two of them in the same air."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.firmware.fakes import FIFO_BYTES, Adapter, Air, Board, Pin, Reloaded, run_boot


class Pair:
    """A peripheral and a central, and who uses them."""

    def __init__(self) -> None:
        self.air = Air()
        self.boards = [Board(self.air), Board(self.air, board_id="feather_nrf52840_express")]
        self.peripheral, self.central = self.boards
        self.bridges = [
            self.peripheral.bridge("peripheral"),
            self.central.bridge("central"),
        ]

    def run(self, rounds: int, until: Callable[[], bool] = lambda: False) -> None:
        for _ in range(rounds):
            self.air.now_ms += 1
            for bridge in self.bridges:
                bridge.round()
            if until():
                return

    @property
    def connection(self) -> Any:
        return self.central.adapter.connections[0]

    def exchange(self, number: int) -> None:
        """Have a frame go both ways and see it arrive alone."""
        down, up = b"down %d\0" % number, b"up %d\0" % number
        for board in self.boards:
            board.data.received.clear()
        self.peripheral.data.sent += down
        self.central.data.sent += up
        self.run(20)
        assert self.central.data.received.strip(b"\0") + b"\0" == down
        assert self.peripheral.data.received.strip(b"\0") + b"\0" == up


@pytest.fixture
def pair() -> Pair:
    made = Pair()
    made.run(5)
    return made


def frames_of(board: Board) -> list[bytes]:
    return [piece for piece in bytes(board.data.received).split(b"\0") if piece]


@pytest.mark.parametrize(("setting", "console"), [(None, True), (1, True), (0, False)])
def test_boot_opens_the_data_port_and_leaves_out_what_is_in_the_way(
    setting: int | None, *, console: bool
) -> None:
    assert run_boot(setting) == {
        "console": console,
        "data": True,
        "hid": False,
        "midi": False,
        "ble_workflow": False,
        "maker": "PNC",
        "product": "PNC bridge",
    }


def test_central_finds_the_peripheral_by_name_and_bytes_go_both_ways(pair: Pair) -> None:
    assert pair.connection.connection_interval == 7.5
    pair.exchange(1)
    assert pair.central.data.received.startswith(b"\0")


def test_a_long_stream_arrives_whole(pair: Pair) -> None:
    dice = random.Random(5)
    sent = [bytes(dice.randint(1, 255) for _ in range(dice.randint(1, 500))) for _ in range(60)]
    pair.central.data.sent += b"\0".join(sent) + b"\0"
    pair.run(400)
    assert frames_of(pair.peripheral) == sent
    assert pair.bridges[0].down.lost == pair.bridges[1].up.lost == 0


def test_at_the_smallest_mtu_packets_are_of_20_bytes(pair: Pair) -> None:
    pair.connection.max_packet_length = 20
    pair.central.data.sent += b"x" * 200 + b"\0"
    pair.run(40)
    assert pair.bridges[1].up.limit == 20
    assert frames_of(pair.peripheral) == [b"x" * 200]


@pytest.mark.parametrize("in_a_packet", [False, True])
def test_a_link_that_breaks_comes_back_and_gives_nothing_old(
    pair: Pair, *, in_a_packet: bool
) -> None:
    for number in range(5):
        pair.exchange(number)
        if in_a_packet:
            pair.connection.busy = True
            pair.peripheral.data.sent += b"broken off"
            pair.run(3)
        else:
            pair.connection.disconnect()
        pair.peripheral.data.sent += b"old" * 900
        pair.run(3)
        pair.peripheral.data.sent += b"older\0"
        pair.run(5)


def test_central_gives_back_what_a_link_held(pair: Pair) -> None:
    radio = pair.bridges[1]._radio
    before = radio._in, radio._out
    pair.connection.disconnect()
    pair.run(5)
    assert all(packets.deinited for packets in before)
    assert not radio._in.deinited
    assert not radio._out.deinited


@pytest.mark.parametrize("role", ["peripheral", "central"])
def test_without_a_link_all_that_the_host_sends_is_dropped_at_once(role: str) -> None:
    board = Board(Air())
    bridge = board.bridge(role, "alone")
    board.data.sent += b"x" * 20_000
    bridge.round()
    assert not board.data.sent
    assert bridge.up.unheard == 20_000


def test_while_the_radio_is_busy_usb_is_not_read() -> None:
    pair = Pair()
    pair.run(5)
    bridge = pair.bridges[1]
    bridge._radio.write = lambda view: 0
    pair.central.data.sent += b"x" * 5000
    pair.run(50)
    assert len(pair.central.data.sent) > 5000 - 3 * 244
    assert bridge.up.lost == 0


def test_a_host_that_does_not_read_costs_whole_frames_and_is_counted(pair: Pair) -> None:
    sent = [b"%04d" % number + b"x" * 200 for number in range(80)]
    pair.peripheral.data.stalled = True
    pair.central.data.sent += b"\0".join(sent) + b"\0"
    pair.run(200)
    down = pair.bridges[0].down
    assert pair.peripheral.data.out_waiting == FIFO_BYTES
    assert down.lost > 5000
    pair.peripheral.data.stalled = False
    pair.run(50)
    later = [b"later %d" % number for number in range(5)]
    pair.central.data.sent += b"\0".join(later) + b"\0"
    pair.run(50)
    arrived = frames_of(pair.peripheral)
    assert arrived[-5:] == later
    assert len([frame for frame in arrived[:-5] if frame not in sent]) <= 1
    assert len(arrived) > 20


def test_a_closed_port_gets_nothing_and_nothing_old_later(pair: Pair) -> None:
    pair.peripheral.data.connected = False
    pair.central.data.sent += b"nobody hears\0half a"
    pair.run(20)
    pair.peripheral.data.connected = True
    pair.run(5)
    pair.central.data.sent += b" frame\0whole\0"
    pair.run(20)
    assert frames_of(pair.peripheral) == [b"whole"]


def test_a_packet_lost_on_the_way_costs_the_frames_it_touched(pair: Pair) -> None:
    pair.connection.lost = iter([False, False, True])
    for frame in (b"one\0", b"two\0", b"three\0", b"four\0"):
        pair.central.data.sent += frame
        pair.run(4)
    assert frames_of(pair.peripheral) == [b"one", b"three", b"four"]


def test_a_write_longer_than_any_packet_of_ours_is_taken(pair: Pair) -> None:
    incoming = pair.bridges[0]._radio._in
    incoming.arrived(b"y" * 509 + b"\0")
    incoming.arrived(b"z" * 600)
    incoming.arrived(b"short\0")
    pair.run(10)
    assert frames_of(pair.peripheral) == [b"y" * 509, b"short"]


def test_central_looks_for_its_name_only() -> None:
    air = Air()
    board, other, wanted = (Board(air) for _ in range(3))
    bridges = [other.bridge("peripheral", "somebody"), board.bridge("central", "camera-7")]
    for _ in range(5):
        for bridge in bridges:
            bridge.round()
    assert not board.adapter.connected
    assert board.adapter.num_scans == 5
    bridges.append(wanted.bridge("peripheral", "camera-7"))
    for _ in range(3):
        for bridge in bridges:
            bridge.round()
    assert wanted.adapter.connected
    assert not other.adapter.connected


def test_central_goes_on_looking_when_connecting_fails(pair: Pair) -> None:
    pair.connection.disconnect()
    pair.peripheral.adapter.shy = True
    pair.run(5)
    assert not pair.central.adapter.connected
    pair.peripheral.adapter.shy = False
    services = pair.peripheral.adapter.services[:]
    pair.peripheral.adapter.services.clear()
    pair.run(5)
    assert not pair.central.adapter.connected
    pair.peripheral.adapter.services.extend(services)
    pair.run(5)
    pair.exchange(1)


def test_a_central_that_does_not_subscribe_is_sent_away() -> None:
    air = Air()
    board, phone = Board(air), Adapter(air)
    bridge = board.bridge("peripheral")
    bridge.round()
    connection = phone.connect(board.adapter, timeout=1)
    for _ in range(10_002):
        air.now_ms += 1
        bridge.round()
        if not connection.connected:
            break
    assert air.now_ms > 10_000
    assert not connection.connected
    bridge.round()
    assert board.adapter.advertising


def test_a_refused_connection_interval_does_no_harm(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    for board in pair.boards:
        monkeypatch.setattr(board.code, "INTERVAL_MS", 2)
    pair.connection.disconnect()
    pair.run(5)
    assert pair.connection.connection_interval == 30
    pair.exchange(1)


def test_counts_go_to_the_console_once_a_second_if_somebody_reads(pair: Pair) -> None:
    console = pair.peripheral.console
    pair.exchange(1)
    pair.run(3100)
    lines = bytes(console.received).splitlines()
    assert len(lines) == 3
    assert lines[-1] == (
        b"pnc-bridge 1 peripheral linked=000000001 host=000000001 up=000000008 up_lost=000000000 "
        b"down=000000007 down_lost=000000000 unheard=000000000 memory=000004321"
    )
    console.connected = False
    pair.run(2000)
    console.connected, console.stalled = True, True
    pair.run(5000)
    assert console.out_waiting == len(lines[-1]) + 2
    assert b"pnc-bridge" not in pair.peripheral.data.received + pair.central.data.received


@pytest.mark.parametrize(("board_id", "off"), [("pca10059", True), ("feather_nrf52840", False)])
def test_the_light_is_on_when_all_is_well(board_id: str, *, off: bool) -> None:
    air, led = Air(), Pin()
    board = Board(air, board_id=board_id, led=led)
    bridge = board.bridge("peripheral")
    assert led.value is off
    seen = set()
    for _ in range(1000):
        air.now_ms += 1
        bridge.round()
        seen.add(led.value)
    assert seen == {True, False}
    phone = Board(air).bridge("central")
    for _ in range(1000):
        air.now_ms += 1
        phone.round()
        bridge.round()
    assert led.value is not off


def test_a_board_without_a_free_led_works_in_the_dark() -> None:
    air = Air()
    board = Board(air, led=Pin(used=True))
    board.bridge("peripheral").round()
    assert board.adapter.advertising


def test_a_board_without_console_works(pair: Pair) -> None:
    air = Air()
    board = Board(air)
    vars(board.usb_cdc)["console"] = None
    bridge = board.bridge("peripheral")
    air.now_ms = 5000
    bridge.round()
    assert board.adapter.advertising


@pytest.mark.parametrize(
    ("role", "name", "said"),
    [("middle", "x", "PNC_ROLE"), ("central", "", "PNC_NAME"), ("central", "x" * 30, "PNC_NAME")],
)
def test_settings_that_cannot_be_are_named(role: str, name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Board(Air()).bridge(role, name)


def test_a_board_without_boot_py_says_what_to_do() -> None:
    board = Board(Air())
    vars(board.usb_cdc)["data"] = None
    with pytest.raises(RuntimeError, match=r"copy boot\.py"):
        board.bridge("peripheral")


@pytest.mark.parametrize("guarded", [True, False])
def test_after_an_error_the_program_begins_anew(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, guarded: bool
) -> None:
    monkeypatch.setenv("PNC_ROLE", "central")
    monkeypatch.setenv("PNC_NAME", "camera-7")
    board = Board(Air())
    if not guarded:
        monkeypatch.setattr(board.code.microcontroller, "watchdog", None)
    rounds = iter(range(3))

    def fail_at_last(bridge: Any) -> None:
        assert bridge._radio._name == b"camera-7"
        if next(rounds, None) is None:
            raise MemoryError("memory allocation failed")

    monkeypatch.setattr(board.code.Bridge, "round", fail_at_last)
    with pytest.raises(Reloaded):
        board.code.main()
    assert "MemoryError: memory allocation failed" in capsys.readouterr().err
    assert board.slept == [board.code.RESTART_S]
    assert board.adapter.enabled
    assert board.runtime.autoreload is False
    assert board.watchdog.num_fed == (4 if guarded else 0)
    assert board.watchdog.mode == ("raise" if guarded else None)


def test_memory_is_read_from_the_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board(Air())
    monkeypatch.setattr(board.code.gc, "mem_alloc", lambda: 77, raising=False)
    assert board.memory_used() == 77
