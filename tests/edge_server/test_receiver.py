from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_server.receiver import Intake, LinkReceiver, LinkState
from edge_server.server import EdgeServer
from edge_server.store import PictureKey, Store, StoredResult
from edge_server.workers import Catalogue, EndedPicture, Snapshot
from pnc.config import ReceiverConfig, SenderConfig
from pnc.errors import ConfigError, LinkError, LinkLostError, StoreError
from pnc.testing import VirtualLinkConfig, VirtualPair
from pnc.transport.driver import Driver
from pnc.transport.events import (
    DeviceConnected,
    Event,
    PictureEnded,
    PictureStopped,
    ResultReceived,
)
from pnc.transport.links.channel import ChannelConfig
from pnc.transport.links.trace import RateTrace
from pnc.transport.session import Receiver, Sender
from tests.edge_server.conftest import CHECKPOINT_ID, FakeCodec, make_key, make_packets, make_result

if TYPE_CHECKING:
    from pnc.codec.codec import Codec
    from pnc.transport.links.base import Link

URL = "emu://test"
WAIT_S = 20.0
OFFSET_S = 1_000_000.0


class RecordingDesk:
    """Stores every ended picture at once and acknowledges it; remembers what it was told."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.acknowledge: Callable[[PictureKey, bytes], None] = lambda key, payload: None
        self.devices: list[DeviceConnected] = []
        self.started: list[PictureKey] = []
        self.snapshots: list[Snapshot] = []
        self.ended: list[EndedPicture] = []
        self.repeated: list[StoredResult] = []
        self.states: list[LinkState] = []
        self.broken = False
        self.is_full = False

    def find(self, key: PictureKey) -> StoredResult | None:
        if self.broken:
            raise StoreError("the store is damaged")
        return self.store.find(key)

    def device_connected(self, url: str, device: DeviceConnected) -> None:
        self.devices.append(device)

    def picture_started(self, key: PictureKey, deadline_s: float, num_packets: int) -> None:
        self.started.append(key)

    def packet_received(self, snapshot: Snapshot) -> None:
        self.snapshots.append(snapshot)

    def picture_ended(self, picture: EndedPicture) -> bool:
        if self.is_full:
            return False
        self.ended.append(picture)
        if not self.broken:
            result = make_result(
                key=picture.key,
                packets=picture.packets,
                started_at=picture.started_at,
                ended_at=picture.ended_at,
                deadline_s=picture.deadline_s,
                late_bytes=picture.late_bytes,
                stopped_early=picture.stopped_early,
                captured_at=picture.captured_at,
            )
            self.acknowledge(picture.key, self.store.insert(result).payload)
        return True

    def answered_again(self, row: StoredResult) -> None:
        self.repeated.append(row)

    def link_changed(self, state: LinkState) -> None:
        self.states.append(state)


class TappedReceiver(Receiver):
    """A receiver whose events go through an intake, as a driver would pass them."""

    def __init__(self, desk: RecordingDesk) -> None:
        super().__init__(ReceiverConfig(epoch_seed=len(desk.devices)))
        self._now = 0.0
        self._desk = desk
        self.intake = Intake(URL, desk, self._send)
        desk.acknowledge = self.intake.acknowledge

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        return self._pass_on(super().receive_data(data, now), now)

    def handle_timer(self, now: float) -> list[Event]:
        return self._pass_on(super().handle_timer(now), now)

    def _pass_on(self, events: list[Event], now: float) -> list[Event]:
        self._now = now
        for event in events:
            self.intake.handle(event, OFFSET_S)
        return events

    def _send(self, key: PictureKey, payload: bytes) -> None:
        self.send_result(key.picture_id, payload, self._now, session_id=key.session_id)


@pytest.fixture
def desk(store: Store) -> RecordingDesk:
    return RecordingDesk(store)


def make_pair(desk: RecordingDesk, link: VirtualLinkConfig | None = None) -> VirtualPair:
    config = SenderConfig(device_name="cam", checkpoint_id=CHECKPOINT_ID, session_id=7)
    return VirtualPair(Sender(config), TappedReceiver(desk), link, result_after_s=None)


def submit_every(pair: VirtualPair, interval_s: float, count: int) -> None:
    def submit() -> None:
        packets = make_packets(20, size=200)
        pair.sender.submit(packets, deadline=pair.now + interval_s, now=pair.now)

    for number in range(count):
        pair.at(number * interval_s, submit)


def slow(*, loss: float = 0.0, duplicate: float = 0.0, seed: int = 0) -> VirtualLinkConfig:
    channel = ChannelConfig(trace=RateTrace((0.0,), (40_000.0,), 1.0))
    return VirtualLinkConfig(channel, loss=loss, duplicate=duplicate, seed=seed)


def answered(pair: VirtualPair) -> list[int]:
    events = [event for _, event in pair.sender_events]
    return [event.picture_id for event in events if isinstance(event, ResultReceived)]


def test_every_picture_has_one_row_and_one_answer(desk: RecordingDesk) -> None:
    pair = make_pair(desk, slow())
    submit_every(pair, 0.5, 10)
    pair.run_until(20.0)
    assert sorted(answered(pair)) == list(range(1, 11))
    assert sorted(row.key.picture_id for row in desk.store.page()) == list(range(1, 11))
    assert desk.devices == [DeviceConnected("cam", CHECKPOINT_ID, 7)]
    assert set(desk.started) <= {make_key(number) for number in range(1, 11)}
    for picture in desk.ended:
        assert picture.link_url == URL
        assert picture.checkpoint_id == CHECKPOINT_ID


def test_times_are_wall_clock_and_the_deadline_is_the_devices(desk: RecordingDesk) -> None:
    pair = make_pair(desk, slow())
    submit_every(pair, 0.5, 3)
    pair.run_until(10.0)
    last = desk.ended[-1]
    assert OFFSET_S + 1.0 < last.started_at < last.ended_at < OFFSET_S + 1.8
    assert 0.3 < last.deadline_s <= 0.5


def test_snapshots_grow_with_every_packet(desk: RecordingDesk) -> None:
    pair = make_pair(desk, slow())
    submit_every(pair, 0.5, 2)
    pair.run_until(10.0)
    sizes = [len(one.packets) for one in desk.snapshots if one.key == make_key(2)]
    assert sizes == list(range(1, len(desk.ended[1].packets) + 1))


def test_losses_leave_one_result_per_picture(desk: RecordingDesk) -> None:
    pair = make_pair(desk, slow(loss=0.2, duplicate=0.1, seed=3))
    submit_every(pair, 0.5, 30)
    pair.run_until(60.0)
    rows = desk.store.page(limit=100)
    assert len(rows) == len(desk.ended) == 30
    assert sorted(answered(pair)) == list(range(1, 31))


def test_a_restarted_server_answers_from_its_store(desk: RecordingDesk) -> None:
    pair = make_pair(desk, slow())
    submit_every(pair, 0.5, 8)

    def forget_answers() -> None:
        desk.acknowledge = lambda key, payload: None

    pair.at(1.2, forget_answers)
    pair.at(2.2, lambda: pair.restart_receiver(TappedReceiver(desk)))
    pair.run_until(30.0)
    assert desk.store.count() == 8
    assert sorted(set(answered(pair))) == list(range(1, 9))
    assert desk.repeated, "some results were stored, not told, and asked for again"


def test_another_session_does_not_get_the_old_ones_results(desk: RecordingDesk) -> None:
    told: list[PictureKey] = []
    intake = Intake(URL, desk, lambda key, payload: told.append(key))
    intake.acknowledge(make_key(1), b"too early")
    intake.handle(DeviceConnected("other", CHECKPOINT_ID, 8), OFFSET_S)
    intake.acknowledge(make_key(1), b"of a device that has gone")
    intake.acknowledge(make_key(1, device="other", session_id=8), b"right")
    assert told == [make_key(1, device="other", session_id=8)]


def test_a_picture_stopped_early_is_stored_as_such_and_told(desk: RecordingDesk) -> None:
    pair = make_pair(desk, slow())
    submit_every(pair, 0.5, 3)
    pair.at(0.7, lambda: None if pair.receiver.stop_picture(2, 0.7) else pytest.fail("not open"))
    pair.run_until(10.0)
    assert [(one.key.picture_id, one.stopped_early) for one in desk.ended] == [
        (1, False),
        (2, True),
        (3, False),
    ]
    assert sorted(answered(pair)) == [1, 2, 3]
    stopped = [event for _, event in pair.sender_events if isinstance(event, PictureStopped)]
    assert [event.picture_id for event in stopped] == [2]


def test_a_picture_that_was_kept_is_stored_with_the_time_it_was_taken_at(
    desk: RecordingDesk,
) -> None:
    pair = make_pair(desk, slow())
    packets = [b"p" * 100]

    def send(taken_at: float | None) -> None:
        now = pair.clock()
        pair.sender.submit(packets, deadline=now + 1, now=now, taken_at=taken_at)

    pair.at(1.0, lambda: send(-3600.0))
    pair.at(3.0, lambda: send(None))
    pair.run_until(10.0)
    kept, new = desk.ended
    assert kept.captured_at == pytest.approx(OFFSET_S - 3600, abs=0.2)
    assert new.captured_at is None
    row = desk.store.find(kept.key)
    assert row is not None
    assert row.captured_at == kept.captured_at


def test_a_store_that_cannot_be_read_loses_no_picture(desk: RecordingDesk) -> None:
    intake = Intake(URL, desk, lambda key, payload: None)
    desk.broken = True
    intake.handle(DeviceConnected("cam", CHECKPOINT_ID, 7), OFFSET_S)
    intake.handle(PictureEnded(1, {}, 3, 0, 0.0, 0.5, 0), OFFSET_S)
    assert [picture.key for picture in desk.ended] == [make_key(1)]
    desk.is_full = True
    intake.handle(PictureEnded(2, {}, 3, 0, 0.0, 0.5, 0), OFFSET_S)
    assert len(desk.ended) == 1


class DeadLink:
    """A link that can be opened and is gone at once."""

    url = URL

    def read(self, timeout_s: float) -> bytes:
        raise LinkLostError(f"{URL}: unplugged; plug it in again")

    def write(self, data: bytes) -> None:
        raise LinkLostError(f"{URL}: unplugged; plug it in again")

    def close(self) -> None:
        return None


def test_a_lost_link_is_reported_and_opened_again(
    desk: RecordingDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: queue.Queue[LinkState] = queue.Queue()
    monkeypatch.setattr(desk, "link_changed", states.put)
    link = LinkReceiver(URL, desk, open_link=lambda _url: DeadLink())
    link.start()
    seen = [states.get(timeout=WAIT_S) for _ in range(3)]
    link.stop()
    assert [state.state for state in seen] == ["open", "lost", "open"]
    assert seen[1].message == f"{URL}: unplugged; plug it in again"


def test_a_token_is_used_and_never_shown(
    desk: RecordingDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: queue.Queue[LinkState] = queue.Queue()
    opened: list[str] = []
    monkeypatch.setattr(desk, "link_changed", states.put)

    def open_link(url: str) -> Link:
        opened.append(url)
        return DeadLink()

    secret = "ws://127.0.0.1:8100/?listen=1&token=secret"
    link = LinkReceiver(secret, desk, open_link=open_link)
    link.start()
    assert states.get(timeout=WAIT_S).url == "ws://127.0.0.1:8100/?listen=1&token=***"
    link.stop()
    assert opened[0] == secret


def test_a_link_that_cannot_be_opened_is_an_error_at_the_start(
    store: Store, catalogue: Catalogue
) -> None:
    def refuse(url: str) -> Link:
        raise LinkError(f"{url}: no such port; is the radio plugged in?")

    server = EdgeServer(store, catalogue)
    with pytest.raises(LinkError, match="no such port"):
        server.start([URL], open_link=refuse)
    server.stop()


def test_the_whole_server_over_an_imagined_radio(store: Store, catalogue: Catalogue) -> None:
    from pnc import open_link

    server = EdgeServer(store, catalogue, num_workers=2)
    server.start(["emu://whole?side=b"], open_link=open_link)
    results: queue.Queue[int] = queue.Queue()

    def note(event: Event) -> None:
        if isinstance(event, ResultReceived):
            results.put(event.picture_id)

    config = SenderConfig(device_name="cam", checkpoint_id=CHECKPOINT_ID, session_id=7)
    with Driver(Sender(config), "emu://whole?side=a", on_event=note) as driver:
        for number in range(1, 4):
            driver.call(lambda s, now: s.submit(make_packets(), deadline=now + 5.0, now=now))
            assert results.get(timeout=WAIT_S) == number
    server.stop()
    rows = store.page()
    assert [row.key for row in rows] == [make_key(number) for number in (3, 2, 1)]
    assert all(row.top[0].label == "bright" and row.received_bytes == 120 for row in rows)
    totals = server.metrics.totals
    assert (totals.pictures, totals.results, totals.on_time) == (3, 3, 3)
    assert server.status()["links"][0]["state"] == "closed"
    assert list(server.connected_devices()) == ["cam"]


def test_a_device_that_changed_its_link_is_told_there(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pnc import open_link

    may_decode = threading.Event()

    class PatientCodec(FakeCodec):
        def decode_packets(self, packets: Iterable[bytes]) -> NDArray[np.uint8]:
            packets = list(packets)
            assert not packets or may_decode.wait(WAIT_S)
            return super().decode_packets(packets)

    catalogue = Catalogue(["fake"], load=cast("Callable[[str], Codec]", PatientCodec.load))
    server = EdgeServer(store, catalogue, previews_per_second=0)
    ended: queue.Queue[str] = queue.Queue()
    take = server.picture_ended

    def picture_ended(picture: EndedPicture) -> bool:
        taken = take(picture)
        ended.put(picture.link_url)
        return taken

    monkeypatch.setattr(server, "picture_ended", picture_ended)
    links = [f"emu://{name}?side=b" for name in ("left", "right")]
    server.start(links, open_link=open_link)
    results: queue.Queue[int] = queue.Queue()

    def note(event: Event) -> None:
        if isinstance(event, ResultReceived):
            results.put(event.picture_id)

    sender = Sender(SenderConfig(device_name="cam", checkpoint_id=CHECKPOINT_ID, session_id=7))
    with Driver(sender, "emu://left?side=a", on_event=note) as driver:
        driver.call(lambda s, now: s.submit(make_packets(), deadline=now + 5.0, now=now))
        assert ended.get(timeout=WAIT_S) == links[0]
    with Driver(sender, "emu://right?side=a", on_event=note):
        assert ended.get(timeout=WAIT_S) == links[1]
        may_decode.set()
        assert results.get(timeout=WAIT_S) == 1
    server.stop()
    (row,) = store.page()
    assert row.received_bytes == 120


def test_a_sure_preview_ends_its_picture_and_the_device_stops(
    store: Store, catalogue: Catalogue
) -> None:
    from pnc import open_link

    server = EdgeServer(store, catalogue, previews_per_second=30, enough=0.8)
    server.start(["emu://enough?side=b"], open_link=open_link)
    events: queue.Queue[Event] = queue.Queue()
    config = SenderConfig(device_name="cam", checkpoint_id=CHECKPOINT_ID, session_id=7)
    url = "emu://enough?side=a&rate_bps=16000"
    packets = make_packets(200, size=200)
    with Driver(Sender(config), url, on_event=events.put) as driver:
        driver.call(lambda s, now: s.submit(packets, deadline=now + 60.0, now=now))
        seen: list[Event] = []
        while not any(isinstance(event, ResultReceived) for event in seen):
            seen.append(events.get(timeout=WAIT_S))
    server.stop()
    (stopped,) = [event for event in seen if isinstance(event, PictureStopped)]
    assert 0 < stopped.bytes_sent < 40_000
    (row,) = store.page()
    assert row.stopped_early
    assert 0 < row.received_packets < 200
    assert server.metrics.totals.stopped_early == 1


@pytest.mark.parametrize("options", [{"enough": 0.0}, {"enough": 1.1}, {"previews_per_second": 0}])
def test_enough_must_be_a_probability_that_a_preview_can_reach(
    store: Store, catalogue: Catalogue, options: dict[str, float]
) -> None:
    with pytest.raises(ConfigError, match="--enough"):
        EdgeServer(store, catalogue, **{"enough": 0.9, **options})  # type: ignore[arg-type]


def test_a_device_of_another_checkpoint_gets_an_error_for_every_picture(
    store: Store, catalogue: Catalogue, caplog: pytest.LogCaptureFixture
) -> None:
    from pnc import open_link

    server = EdgeServer(store, catalogue, previews_per_second=0)
    server.start(["emu://stranger?side=b"], open_link=open_link)
    results: queue.Queue[bytes] = queue.Queue()

    def note(event: Event) -> None:
        if isinstance(event, ResultReceived):
            results.put(event.payload)

    config = SenderConfig(device_name="cam", checkpoint_id="deadbeef", session_id=7)
    with Driver(Sender(config), "emu://stranger?side=a", on_event=note) as driver:
        driver.call(lambda s, now: s.submit(make_packets(), deadline=now + 5.0, now=now))
        assert b'"error":true' in results.get(timeout=WAIT_S)
    server.stop()
    (row,) = store.page()
    assert row.error is not None
    assert "deadbeef" in row.error
    assert row.top == ()
    assert "start both with the same --checkpoint" in caplog.text
