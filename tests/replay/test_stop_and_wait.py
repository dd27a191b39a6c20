"""The published protocol as two state machines."""

from __future__ import annotations

from pnc.replay.stop_and_wait import PAYLOAD_BYTES, Arrival, StopAndWaitReceiver, StopAndWaitSender
from pnc.transport.events import PictureEnded, PictureExpired


def test_a_block_goes_when_the_one_before_it_is_answered() -> None:
    sender, receiver = StopAndWaitSender(), StopAndWaitReceiver()
    assert sender.submit([b"a" * 100, b"b"], deadline=1.0, now=0.0) == 1
    first = sender.data_to_send(0.0)
    assert first == b"1" + b"a" * PAYLOAD_BYTES
    assert sender.data_to_send(0.1) == b""
    assert receiver.receive_data(first[:10], 0.1) == []
    assert receiver.data_to_send(0.1) == b""
    assert receiver.receive_data(first[10:], 0.2) == []
    answer = receiver.data_to_send(0.2)
    assert answer == b"1"
    assert receiver.data_to_send(0.2) == b""
    assert sender.receive_data(answer, 0.3) == []
    second = sender.data_to_send(0.3)
    assert second == (b"1" + b"a" * 37 + b"b").ljust(64, b"\0")
    receiver.receive_data(second, 0.4)
    assert receiver.arrivals == [Arrival(1, 0, 63, 0.2), Arrival(1, 1, 63, 0.4)]


def test_the_deadline_sends_one_abort_byte_behind_the_block_on_its_way() -> None:
    sender, receiver = StopAndWaitSender(), StopAndWaitReceiver()
    sender.submit([b"a" * 200], deadline=1.0, now=0.0)
    block = sender.data_to_send(0.0)
    assert sender.next_timer() == 1.0
    assert sender.handle_timer(0.9) == []
    assert sender.handle_timer(1.0) == [PictureExpired(1, PAYLOAD_BYTES)]
    assert sender.next_timer() is None
    assert sender.submit([b"c" * 10], deadline=2.0, now=1.0) == 2
    abort = sender.data_to_send(1.0)
    assert abort == b"0"
    (ended,) = receiver.receive_data(block + abort, 1.1)
    assert isinstance(ended, PictureEnded)
    assert (ended.picture_id, ended.received_bytes, ended.started_at) == (1, PAYLOAD_BYTES, 1.1)
    sender.receive_data(receiver.data_to_send(1.1), 1.2)
    assert sender.data_to_send(1.2).startswith(b"1ccc")


def test_a_newer_picture_and_the_clock_abort_alike_and_an_empty_one_ends_too() -> None:
    sender, receiver = StopAndWaitSender(), StopAndWaitReceiver()
    sender.submit([], deadline=1.0, now=0.0)
    sender.submit([b"x"], deadline=2.0, now=0.5)
    (ended,) = receiver.receive_data(sender.data_to_send(0.5), 0.6)[:1]
    assert isinstance(ended, PictureEnded)
    assert (ended.packets, ended.started_at) == ({}, 0.6)
    assert sender.data_to_send(2.0) == b"0"


def test_a_link_that_is_opened_again_begins_with_a_block() -> None:
    sender, receiver = StopAndWaitSender(), StopAndWaitReceiver()
    sender.submit([b"x" * 200], deadline=1.0, now=0.0)
    receiver.receive_data(sender.data_to_send(0.0)[:5], 0.1)
    sender.link_opened(0.2)
    receiver.link_opened(0.2)
    receiver.receive_data(sender.data_to_send(0.2), 0.3)
    assert len(receiver.arrivals) == 1
    assert (sender.closed, receiver.closed) == (False, False)
    assert (receiver.next_timer(), receiver.handle_timer(5.0)) == (None, [])
