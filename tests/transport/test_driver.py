"""Sessions in threads: events, wake-ups, lost links, other versions."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import pytest

from pnc.config import ReceiverConfig, SenderConfig
from pnc.errors import ConfigError, LinkError, LinkLostError, RemoteProtocolError
from pnc.transport import driver
from pnc.transport.driver import Driver, pump
from pnc.transport.events import (
    Connected,
    DeviceConnected,
    Event,
    PictureEnded,
    PictureExpired,
    ResultReceived,
)
from pnc.transport.session import Receiver, Sender
from pnc.transport.wire import Foreign, Who, encode_frame

PATIENCE_S = 20.0


class MemoryLink:
    """Two queues; ``lose`` makes both directions raise."""

    def __init__(self, inbox: queue.Queue[bytes], outbox: queue.Queue[bytes]) -> None:
        self.url = "memory"
        self.inbox, self.outbox = inbox, outbox
        self.lost = False
        self.closed = False

    def read(self, timeout_s: float) -> bytes:
        if self.lost:
            raise LinkLostError("memory: lost")
        try:
            return self.inbox.get(timeout=min(timeout_s, 0.01))
        except queue.Empty:
            return b""

    def write(self, data: bytes) -> None:
        if self.lost:
            raise LinkLostError("memory: lost")
        self.outbox.put(data)

    def close(self) -> None:
        self.closed = True


def memory_pair() -> tuple[MemoryLink, MemoryLink]:
    there: queue.Queue[bytes] = queue.Queue()
    back: queue.Queue[bytes] = queue.Queue()
    return MemoryLink(back, there), MemoryLink(there, back)


class Watch:
    """Collects events and states; ``wait`` blocks until one of a kind comes."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.states: list[tuple[str, Exception | None]] = []
        self._changed = threading.Condition()

    def event(self, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def state(self, state: str, error: Exception | None) -> None:
        with self._changed:
            self.states.append((state, error))
            self._changed.notify_all()

    def wait(self, reached: Callable[[], object]) -> None:
        with self._changed:
            assert self._changed.wait_for(reached, PATIENCE_S)

    def kinds(self) -> list[type]:
        return [type(event) for event in self.events]


def test_a_picture_goes_out_and_its_result_comes_back() -> None:
    device_link, server_link = memory_pair()
    at_device, at_server = Watch(), Watch()

    def answer(event: Event) -> None:
        if isinstance(event, PictureEnded):
            server.call(lambda one, now: one.send_result(event.picture_id, b"gear", now))
        at_server.event(event)

    server = Driver(Receiver(ReceiverConfig()), lambda: server_link, on_event=answer)
    device = Driver(
        Sender(SenderConfig(device_name="camera")), lambda: device_link, on_event=at_device.event
    )
    with server, device:
        picture_id = device.call(
            lambda one, now: one.submit([b"a", b"b"], deadline=now + PATIENCE_S, now=now)
        )
        at_device.wait(lambda: ResultReceived(picture_id, b"gear") in at_device.events)
    assert device_link.closed
    assert server_link.closed
    assert at_server.kinds()[0] is DeviceConnected
    assert at_server.kinds().count(PictureEnded) == 1
    assert at_device.kinds() == [Connected, ResultReceived]
    device.check()


def test_deadlines_pass_on_a_link_that_blocks() -> None:
    link, _ = memory_pair()
    released = threading.Event()

    def block(data: bytes) -> None:
        released.wait(PATIENCE_S)

    link.write = block  # type: ignore[method-assign]
    watch = Watch()
    with Driver(Sender(SenderConfig()), lambda: link, on_event=watch.event) as device:
        device.call(lambda one, now: one.submit([b"a"], deadline=now, now=now))
        released.set()
        watch.wait(lambda: PictureExpired in watch.kinds())


def test_a_lost_link_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "RETRY_S", 0.001)
    first, _ = memory_pair()
    second, server_link = memory_pair()
    links: list[MemoryLink | Exception] = [first, LinkError("not yet"), second]
    watch = Watch()

    def open_next() -> MemoryLink:
        link = links.pop(0)
        if isinstance(link, Exception):
            raise link
        return link

    server = Driver(Receiver(ReceiverConfig()), lambda: server_link, on_event=lambda event: None)
    device = Driver(Sender(SenderConfig()), open_next, on_event=watch.event, on_state=watch.state)
    with server, device:
        watch.wait(lambda: ("open", None) in watch.states)
        first.lost = True
        watch.wait(lambda: Connected in watch.kinds())
    assert first.closed
    assert [state for state, _ in watch.states] == ["open", "lost", "open", "closed"]


def test_stopping_ends_the_wait_for_a_lost_link() -> None:
    link, _ = memory_pair()
    watch = Watch()
    links = [link]

    def open_once() -> MemoryLink:
        if not links:
            raise LinkError("gone")
        return links.pop()

    device = Driver(Sender(SenderConfig()), open_once, on_event=watch.event, on_state=watch.state)
    device.start()
    link.lost = True
    watch.wait(lambda: any(state == "lost" for state, _ in watch.states))
    device.stop()
    assert watch.states[-1] == ("closed", None)


def test_stopping_does_not_wait_for_a_link_that_is_slow_to_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(driver, "RETRY_S", 0.001)
    monkeypatch.setattr(driver, "STOP_TIMEOUT_S", 0.01)
    first, _ = memory_pair()
    second, _ = memory_pair()
    opening, found = threading.Event(), threading.Event()
    links = [first]
    watch = Watch()

    def open_slowly() -> MemoryLink:
        if links:
            return links.pop()
        opening.set()
        assert found.wait(PATIENCE_S)
        return second

    device = Driver(Sender(SenderConfig()), open_slowly, on_event=watch.event, on_state=watch.state)
    device.start()
    first.lost = True
    assert opening.wait(PATIENCE_S)
    device.stop()
    assert not second.closed
    found.set()
    watch.wait(lambda: ("closed", None) in watch.states)
    assert second.closed


def test_a_link_that_cannot_be_opened_at_first_is_an_error_at_once() -> None:
    device = Driver(Sender(SenderConfig()), "nonsense", on_event=lambda event: None)
    with pytest.raises(ConfigError):
        device.start()
    device.stop()


def foreign_frame() -> bytes:
    from pnc.transport import wire

    raw = b"\x03PNC\x09"
    crc = wire.binascii.crc_hqx(raw, 0xFFFF).to_bytes(2, "little")  # type: ignore[attr-defined]
    return wire.cobs_encode(raw + crc) + b"\0"


def test_another_version_ends_a_sender() -> None:
    assert Foreign(9).version == 9
    link, other = memory_pair()
    watch = Watch()
    device = Driver(
        Sender(SenderConfig()), lambda: link, on_event=watch.event, on_state=watch.state
    )
    with device:
        other.write(foreign_frame())
        watch.wait(lambda: ("closed", None) in watch.states)
    with pytest.raises(RemoteProtocolError, match="wire protocol 9"):
        device.check()
    assert [state for state, _ in watch.states] == ["open", "refused", "closed"]


def test_another_version_is_refused_by_a_receiver_that_goes_on() -> None:
    link, other = memory_pair()
    watch = Watch()
    server = Driver(
        Receiver(ReceiverConfig()), lambda: link, on_event=watch.event, on_state=watch.state
    )
    with server:
        assert other.read(1.0) == encode_frame(Who())
        other.write(foreign_frame())
        watch.wait(lambda: any(state == "refused" for state, _ in watch.states))
        device = Driver(Sender(SenderConfig()), lambda: other, on_event=lambda event: None)
        with device:
            watch.wait(lambda: DeviceConnected in watch.kinds())
    server.check()


def test_an_error_in_the_users_code_is_not_hidden() -> None:
    device_link, server_link = memory_pair()

    def fail(event: Event) -> None:
        raise ZeroDivisionError

    with (
        Driver(Sender(SenderConfig()), lambda: device_link, on_event=lambda event: None),
        pytest.raises(ZeroDivisionError),
    ):
        pump(
            Receiver(ReceiverConfig()),
            server_link,
            on_event=fail,
            stop=threading.Event(),
        )
