"""The device's loop, on a virtual clock and a virtual link; the camera thread without a link."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.agent import (
    RESULT_WAIT_S,
    Camera,
    EncodedPicture,
    Finished,
    Manifest,
    PacedSender,
    PictureReport,
    parse_result,
    run_agent,
)
from device.sources import Picture
from pnc.config import ReceiverConfig, SenderConfig
from pnc.errors import ConfigError, ImageError, LinkError, LinkLostError, StoreError
from pnc.testing import VirtualLinkConfig, VirtualPair
from pnc.transport.events import Event, PictureEnded
from pnc.transport.links.channel import ChannelConfig
from pnc.transport.links.trace import RateTrace
from pnc.transport.session import Receiver, Sender

RESULT = b'{"top":[["gear",0.93],["bolt",0.04]],"bytes":800,"ms":12}'
SIZES = (200, 200, 200, 200)


class FakeShelf:
    """Hands out numbered pictures, each ready some time after it is due."""

    def __init__(self, clock: Callable[[], float], *, num: int, late_s: float) -> None:
        self._clock = clock
        self._num = num
        self._late_s = late_s
        self._ready: float | None = None
        self.requests: list[float] = []
        self.num_collected = 0

    @property
    def exhausted(self) -> bool:
        return self.num_collected >= self._num

    def request(self, due: float) -> None:
        self.requests.append(due)
        self._ready = due + self._late_s

    def collect(self) -> EncodedPicture | None:
        if self._ready is None or self._clock() < self._ready:
            return None
        self._ready = None
        self.num_collected += 1
        picture = Picture(b"", f"picture {self.num_collected}", "gear")
        packets = [bytes([self.num_collected]) * size for size in SIZES]
        return EncodedPicture(picture, sum(SIZES), packets, 3.0)


class AnsweringReceiver(Receiver):
    def send_result(self, picture_id: int, payload: bytes, now: float, **which: Any) -> None:
        super().send_result(picture_id, RESULT, now, **which)


class Bench:
    """A paced sender, an answering receiver, and the reports that came."""

    def __init__(
        self,
        *,
        rate_bps: float = 100_000.0,
        num: int = 10**9,
        late_s: float = 0.0,
        loss: float = 0.0,
        seed: int = 0,
        cuts: tuple[tuple[float, float], ...] = (),
        answers: bool = True,
        **options: Any,
    ) -> None:
        channel = ChannelConfig(trace=RateTrace.constant(rate_bps))
        receiver = AnsweringReceiver(ReceiverConfig(epoch_seed=1))
        link = VirtualLinkConfig(channel=channel, loss=loss, cuts=cuts, seed=seed)
        self.sender = Sender(SenderConfig(session_id=77))
        self.pair = VirtualPair(
            self.sender, receiver, link, result_after_s=0.01 if answers else None
        )
        self.shelf = FakeShelf(self.pair.clock, num=num, late_s=late_s)
        self.paced = PacedSender(
            self.sender, self.shelf, deadline_s=0.5, wall_clock=lambda: 1e9, **options
        )
        self.pair.restart_sender(cast("Sender", self.paced))

    @property
    def reports(self) -> list[PictureReport]:
        return [event for _, event in self.pair.sender_events if isinstance(event, PictureReport)]

    def times(self, kind: type[Event]) -> list[float]:
        return [time for time, event in self.pair.sender_events if isinstance(event, kind)]


def test_every_picture_is_reported_once_with_its_result() -> None:
    bench = Bench(count=5)
    bench.pair.run_until(10)
    assert [report.picture_id for report in bench.reports] == [1, 2, 3, 4, 5]
    report = bench.reports[2]
    assert report.source == "picture 3"
    assert report.top[0] == ("gear", 0.93)
    assert (report.encoded_bytes, report.sent_bytes, report.received_bytes) == (800, 800, 800)
    assert report.result_ms is not None
    assert 0 < report.result_ms < 500
    assert len(bench.times(Finished)) == 1


def test_pictures_follow_at_the_pace_of_the_deadline() -> None:
    bench = Bench(count=5)
    bench.pair.run_until(10)
    steps = np.diff(bench.shelf.requests)
    assert len(bench.shelf.requests) == 5
    assert steps == pytest.approx([0.5] * 4, abs=1e-6)


def test_no_picture_is_spent_before_the_server_answers() -> None:
    bench = Bench(count=2, cuts=((0.0, 3.0),))
    bench.pair.run_until(2.9)
    assert bench.shelf.requests == []
    bench.pair.run_until(20)
    assert len(bench.reports) == 2
    assert all(report.result_ms is not None for report in bench.reports)


def test_a_late_encoder_delays_its_picture_and_no_other() -> None:
    bench = Bench(count=3, late_s=0.2)
    bench.pair.run_until(10)
    assert np.diff(bench.shelf.requests) == pytest.approx([0.7] * 2, abs=0.02)
    assert len(bench.reports) == 3


def test_a_slow_link_sends_less_and_says_how_much() -> None:
    bench = Bench(count=4, rate_bps=6000.0)
    bench.pair.run_until(20)
    ended = [event for _, event in bench.pair.receiver_events if isinstance(event, PictureEnded)]
    sent = [report.sent_bytes for report in bench.reports]
    assert sent[2:] == [event.received_bytes for event in ended][2:]
    assert 0 < max(sent[2:]) < 800


def test_a_picture_without_a_result_is_reported_after_a_while() -> None:
    bench = Bench(count=1, answers=False)
    bench.pair.run_until(60)
    (report,) = bench.reports
    assert report.result_ms is None
    assert report.top == ()
    (end,) = bench.times(Finished)
    assert end == pytest.approx(0.5 + RESULT_WAIT_S, abs=1.0)


def test_ends_when_the_source_ends() -> None:
    bench = Bench(num=3)
    bench.pair.run_until(20)
    assert len(bench.reports) == 3
    assert len(bench.times(Finished)) == 1


def test_a_fresh_link_goes_on_with_the_newest_picture() -> None:
    bench = Bench(count=10)
    bench.pair.at(1.1, lambda: bench.paced.link_opened(1.1))
    bench.pair.run_until(20)
    assert len(bench.reports) == 10
    after = bench.shelf.requests[4:]
    assert bench.shelf.requests[3] == pytest.approx(1.5, abs=0.1)
    assert after[0] == pytest.approx(1.1, abs=0.1)
    assert np.diff(after) == pytest.approx([0.5] * (len(after) - 1), abs=1e-6)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**16), loss=st.floats(0, 0.4))
def test_every_picture_is_reported_exactly_once_whatever_is_lost(seed: int, loss: float) -> None:
    bench = Bench(count=6, loss=loss, seed=seed)
    bench.pair.run_until(60)
    assert sorted(report.picture_id for report in bench.reports) == [1, 2, 3, 4, 5, 6]
    assert len(bench.times(Finished)) == 1


def test_the_manifest_is_on_disk_before_the_first_byte(tmp_path: Path) -> None:
    path = tmp_path / "new" / "manifest.jsonl"
    manifest = Manifest(path)
    bench = Bench(count=3, manifest=manifest)
    seen: list[int] = []

    def look(now: float, data: bytes) -> None:
        lines = path.read_text().splitlines()
        seen.append(len(lines))
        assert len(lines) == bench.sender.statistics.pictures_submitted

    bench.pair.on_sent = look
    bench.pair.run_until(10)
    manifest.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert max(seen) == 3
    assert [line["picture_id"] for line in lines] == [1, 2, 3]
    assert lines[0] == {
        "session_id": 77,
        "picture_id": 1,
        "source": "picture 1",
        "label": "gear",
        "encoded_bytes": 800,
        "submitted_at": 1e9,
    }


def test_a_manifest_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="the manifest cannot be written"):
        Manifest(tmp_path / "file" / "manifest.jsonl")


def test_a_full_disk_ends_the_run_before_the_picture_is_submitted() -> None:
    manifest = Manifest(Path("/dev/full"))
    bench = Bench(count=3, manifest=manifest)
    with pytest.raises(StoreError, match="the manifest cannot be written"):
        bench.pair.run_until(10)
    manifest.close()
    assert bench.sender.statistics.pictures_submitted == 0


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (RESULT, (800, (("gear", 0.93), ("bolt", 0.04)))),
        (b'{"top":[["a\\u001b[31m",1]]}', (None, (("a?[31m", 1.0),))),
        (b'{"top":[["a"],[1,"x"],"y",{"z":1}],"bytes":"many"}', (None, ())),
        (b"[1]", (None, ())),
        (b"ok", (None, ())),
        (b"\xff\xfe", (None, ())),
        (b"", (None, ())),
    ],
)
def test_results_are_read_with_care(payload: bytes, expected: object) -> None:
    assert parse_result(payload) == expected


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_result_payload_raises(payload: bytes) -> None:
    parse_result(payload)


class ListSource:
    """Gives what is in a list: pictures, or errors to raise."""

    def __init__(self, *items: Picture | Exception) -> None:
        self._items = list(items)
        self.rejected: list[str] = []

    def take(self) -> Picture | None:
        if not self._items:
            return None
        item = self._items.pop(0)
        if isinstance(item, Exception):
            raise item
        return item

    def reject(self, picture: Picture) -> None:
        self.rejected.append(picture.name)


class FakeEncoder:
    def encode_packets(
        self,
        picture: Any,
        mtu_bytes: int,
        *,
        max_bytes: int | None = None,
        redundancy: float = 0.0,
    ) -> list[bytes]:
        if picture == b"broken":
            raise ImageError("broken: not a picture")
        stream = bytes(picture)[:max_bytes]
        return [stream[start : start + mtu_bytes] for start in range(0, len(stream), mtu_bytes)]


class Notes:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.pictures: list[PictureReport] = []
        self.skipped: list[str] = []
        self.losses: list[float] = []
        self.num_connected = 0

    def picture(self, report: PictureReport) -> None:
        self.pictures.append(report)

    def connected(self) -> None:
        self.num_connected += 1

    def lost(self, error: LinkError, retry_s: float) -> None:
        self.losses.append(retry_s)

    def broken(self, error: ImageError) -> None:
        self.skipped.append(str(error))


def wait_for(camera: Camera) -> EncodedPicture | None:
    """Collect, or None once the camera has ended."""
    pause = threading.Event()
    for _ in range(2000):
        encoded = camera.collect()
        if encoded is not None or camera.exhausted:
            return encoded
        pause.wait(0.002)
    raise AssertionError("the camera gave nothing")


def picture(content: bytes, name: str = "picture") -> Picture:
    return Picture(content, name, None)


def test_the_camera_encodes_and_cuts() -> None:
    camera = Camera(
        ListSource(picture(bytes(1000))), FakeEncoder(), Notes(), mtu_bytes=244, max_bytes=500
    )
    assert camera.collect() is None
    camera.request(0.0)
    encoded = wait_for(camera)
    assert encoded is not None
    assert encoded.num_bytes == 500
    assert [len(packet) for packet in encoded.packets] == [244, 244, 12]
    assert encoded.encode_ms > 0
    assert not camera.exhausted
    camera.request(0.0)
    assert wait_for(camera) is None
    assert camera.exhausted
    camera.close()


def test_the_camera_skips_broken_pictures_and_says_so() -> None:
    notes, source = Notes(), ListSource(picture(b"broken", "bad"), picture(b"good", "good"))
    camera = Camera(source, FakeEncoder(), notes, mtu_bytes=244)
    camera.request(0.0)
    encoded = wait_for(camera)
    camera.close()
    assert encoded is not None
    assert encoded.picture.name == "good"
    assert notes.skipped == ["broken: not a picture"]
    assert source.rejected == ["bad"]


@pytest.mark.parametrize("error", [ConfigError("folder: gone"), ValueError("a defect")])
def test_an_error_of_the_source_comes_out_of_collect(error: Exception) -> None:
    camera = Camera(ListSource(error), FakeEncoder(), Notes(), mtu_bytes=244)
    camera.request(0.0)
    with pytest.raises(type(error), match=str(error)):
        wait_for(camera)
    camera.close()


def test_the_camera_waits_until_a_picture_is_nearly_due() -> None:
    now = [0.0]
    camera = Camera(
        ListSource(picture(b"good")), FakeEncoder(), Notes(), mtu_bytes=244, clock=lambda: now[0]
    )
    camera.request(1000.0)
    assert camera.collect() is None
    now[0] = 1000.0
    camera.request(1000.0)
    assert wait_for(camera) is not None
    camera.close()


class FakeLink:
    url = "fake://"

    def __init__(self) -> None:
        self.closed = False

    def read(self, timeout_s: float) -> bytes:
        return b""

    def write(self, data: bytes) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def test_a_lost_link_is_opened_again_with_growing_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, notes, stop = Bench(count=1), Notes(), threading.Event()
    links: list[FakeLink] = []
    script: list[str] = ["opens", "fails", "fails", "opens"]
    monkeypatch.setattr(stop, "wait", lambda timeout: False)

    def open_link() -> FakeLink:
        if script.pop(0) == "fails":
            raise LinkError("fake://: missing")
        links.append(FakeLink())
        return links[-1]

    def pump(paced: PacedSender, link: FakeLink, on_event: Callable[[Event], None]) -> None:
        if len(links) == 1:
            raise LinkLostError("fake://: unplugged")
        bench.pair.run_until(5)
        for _, event in bench.pair.sender_events:
            on_event(event)
        assert stop.is_set()

    run_agent(bench.paced, open_link, cast("Any", pump), notes, stop)
    assert notes.losses == [0.25, 0.5, 1.0]
    assert notes.num_connected == 1
    assert len(notes.pictures) == 1
    assert all(link.closed for link in links)


def test_a_link_that_never_opened_is_an_error() -> None:
    bench, notes = Bench(), Notes()

    def open_link() -> FakeLink:
        raise LinkError("fake://: missing")

    with pytest.raises(LinkError, match="missing"):
        run_agent(bench.paced, open_link, cast("Any", None), notes, threading.Event())


def test_a_stop_reports_what_still_waits_for_its_result() -> None:
    bench, notes, stop = Bench(answers=False), Notes(), threading.Event()

    def pump(paced: PacedSender, link: FakeLink, on_event: Callable[[Event], None]) -> None:
        bench.pair.run_until(1.2)
        stop.set()

    run_agent(bench.paced, FakeLink, cast("Any", pump), notes, stop)
    assert [report.picture_id for report in notes.pictures] == [1, 2, 3]
    assert all(report.result_ms is None for report in notes.pictures)
