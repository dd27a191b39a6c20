"""Links on an event loop: bounded both ways, and behind the blocking face."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator

import pytest

from benchmarks.radio.virtual_time import run
from pnc.errors import LinkLostError
from pnc.transport.links.event_loop import (
    CLOSE_TIMEOUT_S,
    MAX_RECEIVED_BYTES,
    QUEUE_BYTES,
    WRITE_TIMEOUT_S,
    AsyncLink,
    BlockingLink,
    EventLoopThread,
    shared_event_loop,
)


class FakeLink(AsyncLink):
    """Sends into a list, while ``open_gate`` is set."""

    def __init__(self) -> None:
        super().__init__("fake://")
        self.sent: list[bytes] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.shut_down = 0
        self.hangs = False

    @property
    def packet_bytes(self) -> int:
        return 100

    async def _transmit(self, piece: bytes) -> None:
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.sent.append(piece)

    async def _shut_down(self) -> None:
        self.shut_down += 1
        if self.error is not None:
            raise self.error
        if self.hangs:
            await asyncio.get_running_loop().create_future()


async def open_fake() -> FakeLink:
    return FakeLink()


@pytest.fixture
def thread() -> Iterator[EventLoopThread]:
    made = EventLoopThread()
    yield made
    made.stop()


def test_writes_are_cut_into_full_packets() -> None:
    async def script() -> None:
        link = FakeLink()
        await link.write(bytes(range(250)))
        await asyncio.sleep(0)
        await link.write(b"end")
        await asyncio.sleep(1)
        assert b"".join(link.sent) == bytes(range(250)) + b"end"
        assert [len(piece) for piece in link.sent[:2]] == [100, 100]
        await link.close()

    run(script())


def test_whoever_waits_for_room_fills_packets_up() -> None:
    async def script() -> None:
        link = FakeLink()
        await link.write(bytes(2000))
        await asyncio.sleep(1)
        assert [len(piece) for piece in link.sent] == [100] * 20
        await link.close()

    run(script())


def test_a_stalled_medium_holds_a_write_for_a_bounded_time() -> None:
    async def script() -> None:
        loop = asyncio.get_running_loop()
        link = FakeLink()
        link.gate.clear()
        await link.write(bytes(5000))
        assert loop.time() == pytest.approx(WRITE_TIMEOUT_S)
        link.gate.set()
        await asyncio.sleep(1)
        assert sum(map(len, link.sent)) <= QUEUE_BYTES + link.packet_bytes
        await link.write(b"again")
        await asyncio.sleep(1)
        assert link.sent[-1] == b"again"
        await link.close()

    run(script())


def test_a_read_waits_as_long_as_it_is_told() -> None:
    async def script() -> None:
        loop = asyncio.get_running_loop()
        link = FakeLink()
        assert await link.read(0.0) == b""
        assert await link.read(2.5) == b""
        assert loop.time() == pytest.approx(2.5)
        loop.call_later(1.0, link.take, b"data")
        assert await link.read(9.0) == b"data"
        assert loop.time() == pytest.approx(3.5)
        await link.close()

    run(script())


def test_what_nobody_reads_does_not_grow() -> None:
    async def script() -> None:
        link = FakeLink()
        for _ in range(3):
            link.take(bytes(MAX_RECEIVED_BYTES // 2))
        assert link.dropped_bytes == MAX_RECEIVED_BYTES // 2
        assert len(await link.read(1.0)) == MAX_RECEIVED_BYTES
        await link.close()

    run(script())


def test_a_loss_is_noticed_at_once_after_what_came_before_it() -> None:
    async def script() -> None:
        loop = asyncio.get_running_loop()
        link = FakeLink()
        link.take(b"last words")
        link.lose("pulled out")
        assert await link.read(5.0) == b"last words"
        with pytest.raises(LinkLostError, match="fake://: pulled out"):
            await link.read(5.0)
        with pytest.raises(LinkLostError, match="pulled out"):
            await link.write(b"x")
        assert loop.time() == 0.0
        await link.close()

    run(script())


def test_a_loss_wakes_who_waits() -> None:
    async def script() -> None:
        loop = asyncio.get_running_loop()
        link = FakeLink()
        link.gate.clear()
        loop.call_later(0.1, link.lose, "pulled out")
        for work in (link.read(5.0), link.write(bytes(5000))):
            with pytest.raises(LinkLostError, match="pulled out"):
                await work
        assert loop.time() == pytest.approx(0.1)
        await link.close()

    run(script())


@pytest.mark.parametrize("error", [LinkLostError("gone"), ValueError("a defect")])
def test_a_write_that_fails_loses_the_link(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def script() -> None:
        link = FakeLink()
        link.error = error
        await link.write(b"x")
        with pytest.raises(LinkLostError):
            await link.read(5.0)
        await link.close()
        assert link.shut_down == 1

    with caplog.at_level(logging.ERROR):
        run(script())
    assert ("writing failed" in caplog.text) == isinstance(error, ValueError)


def test_a_link_that_cannot_be_closed_is_only_noted(caplog: pytest.LogCaptureFixture) -> None:
    async def script() -> None:
        link = FakeLink()
        link.error = OSError("unplugged")
        await link.close()

    run(script())
    assert "fake://: not closed properly" in caplog.text


def test_closing_is_bounded_and_happens_once() -> None:
    async def script() -> None:
        link = FakeLink()
        link.hangs = True
        await link.close()
        assert asyncio.get_running_loop().time() == pytest.approx(CLOSE_TIMEOUT_S)
        await link.close()
        assert link.shut_down == 1
        with pytest.raises(LinkLostError, match="closed"):
            await link.read(1.0)

    run(script())


def fake_of(link: BlockingLink) -> FakeLink:
    inner = link._link
    assert isinstance(inner, FakeLink)
    return inner


def test_any_thread_may_use_a_link(thread: EventLoopThread) -> None:
    link = thread.open(open_fake())
    assert (link.url, link.packet_bytes) == ("fake://", 100)
    assert link.read(0.0) == b""
    reader_got: list[bytes] = []
    reader = threading.Thread(target=lambda: reader_got.append(link.read(60.0)))
    reader.start()
    link.write(b"from the main thread")

    async def answer() -> None:
        fake_of(link).take(b"answer")

    thread.run(answer())
    reader.join()
    assert reader_got == [b"answer"]
    assert fake_of(link).sent == [b"from the main thread"]
    link.close()
    link.close()


def test_closing_wakes_a_reader(thread: EventLoopThread) -> None:
    link = thread.open(open_fake())
    lost: list[LinkLostError] = []

    def read() -> None:
        try:
            link.read(60.0)
        except LinkLostError as error:
            lost.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    link.close()
    reader.join()
    assert "closed" in str(lost[0])
    with pytest.raises(LinkLostError, match="closed"):
        link.read(1.0)
    with pytest.raises(LinkLostError, match="closed"):
        link.write(b"x")


def test_the_end_of_a_program_closes_its_links() -> None:
    thread = EventLoopThread()
    link = thread.open(open_fake())
    fake = fake_of(link)
    thread.stop()
    assert fake.shut_down == 1
    thread.stop()
    link.close()
    assert fake.shut_down == 1


def test_an_error_comes_through_to_the_caller(thread: EventLoopThread) -> None:
    async def fail() -> AsyncLink:
        raise LinkLostError("no")

    with pytest.raises(LinkLostError, match="no"):
        thread.open(fail())


def test_one_loop_serves_all_links() -> None:
    assert shared_event_loop() is shared_event_loop()
