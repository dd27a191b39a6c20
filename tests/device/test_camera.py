"""The camera's thread, without a link."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from device.camera import Camera
from device.pictures import EncodedPicture
from device.sources import Picture, SourceLostError
from pnc.errors import ConfigError, ImageError
from tests.device.bench import Notes


class ListSource:
    """Gives what is in a list: pictures, or errors to raise."""

    live = False

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

    def close(self) -> None:
        pass


class FakeEncoder:
    def iter_packets(
        self,
        picture: Any,
        mtu_bytes: int,
        *,
        max_bytes: int | None = None,
        redundancy: float = 0.0,
    ) -> Iterator[bytes]:
        if picture == b"broken":
            raise ImageError("broken: not a picture")
        stream = bytes(picture)[:max_bytes]
        for start in range(0, len(stream), mtu_bytes):
            yield stream[start : start + mtu_bytes]


def wait_for(camera: Camera) -> EncodedPicture | None:
    """Collect a whole picture, or None once the camera has ended."""
    pause = threading.Event()
    part: EncodedPicture | None = None
    for _ in range(2000):
        encoded = camera.collect() if part is None else camera.collect_rest()
        if encoded is not None and not encoded.whole:
            part = encoded
        elif encoded is not None or camera.exhausted:
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


class HeldEncoder(FakeEncoder):
    """Codes the first packet, and the others when it is told to."""

    def __init__(self) -> None:
        self.is_coding = threading.Event()
        self.go_on = threading.Event()

    def iter_packets(self, picture: Any, mtu_bytes: int, **options: Any) -> Iterator[bytes]:
        packets = super().iter_packets(picture, mtu_bytes, **options)
        yield next(packets)
        self.is_coding.set()
        assert self.go_on.wait(10)
        yield from packets


def test_the_camera_hands_the_first_packet_over_before_it_codes_the_others() -> None:
    ready, encoder = threading.Semaphore(0), HeldEncoder()
    camera = Camera(
        ListSource(picture(bytes(500))), encoder, Notes(), mtu_bytes=244, on_ready=ready.release
    )
    camera.request(0.0)
    assert ready.acquire(timeout=10)
    part = camera.collect()
    assert part is not None
    assert ([len(packet) for packet in part.packets], part.whole) == ([244], False)
    assert camera.collect_rest() is None
    assert not camera.exhausted
    encoder.go_on.set()
    assert ready.acquire(timeout=10)
    whole = camera.collect_rest()
    assert whole is not None
    assert ([len(packet) for packet in whole.packets], whole.whole) == ([244, 244, 12], True)
    assert whole.taken_at == part.taken_at
    assert camera.collect() is None
    camera.close()


def test_a_picture_that_was_begun_gives_way_to_one_that_was_asked_for_since() -> None:
    ready, encoder = threading.Semaphore(0), HeldEncoder()
    source = ListSource(picture(bytes(500), "old"), picture(bytes(500), "new"))
    camera = Camera(source, encoder, Notes(), mtu_bytes=244, on_ready=ready.release)
    camera.request(0.0)
    assert ready.acquire(timeout=10)
    camera.request(0.0)
    assert camera.collect() is None
    encoder.go_on.set()
    encoded = wait_for(camera)
    assert encoded is not None
    assert encoded.picture.name == "new"
    camera.close()


def test_without_haste_only_whole_pictures_are_handed_over() -> None:
    ready = threading.Semaphore(0)
    camera = Camera(
        ListSource(picture(bytes(500))),
        FakeEncoder(),
        Notes(),
        mtu_bytes=244,
        on_ready=ready.release,
        early=False,
    )
    camera.request(0.0)
    assert ready.acquire(timeout=10)
    encoded = camera.collect()
    assert encoded is not None
    assert encoded.whole
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


def test_a_source_that_fails_is_told_of_once_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("device.camera.MIN_BACKOFF_S", 0.0)
    failures = [SourceLostError("camera: unplugged") for _ in range(3)]
    notes, source = Notes(), ListSource(*failures, picture(b"good"), picture(b"good"))
    camera = Camera(source, FakeEncoder(), notes, mtu_bytes=244)
    for _ in range(2):
        camera.request(0.0)
        assert wait_for(camera) is not None
    camera.close()
    assert notes.source == ["camera: unplugged", "back"]


def test_closing_ends_the_wait_for_a_source_that_fails() -> None:
    camera = Camera(
        ListSource(*[SourceLostError("camera: unplugged")] * 100),
        FakeEncoder(),
        Notes(),
        mtu_bytes=244,
    )
    camera.request(0.0)
    camera.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "camera"]


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


def ordered_camera(
    encoder: FakeEncoder, on_ready: threading.Semaphore, *, early: bool = True
) -> Camera:
    pictures = [picture(bytes([number]) * 500, f"picture {number}") for number in range(3)]
    return Camera(
        ListSource(*pictures),
        encoder,
        Notes(),
        mtu_bytes=244,
        on_ready=on_ready.release,
        early=early,
        in_order=True,
    )


def name_of(encoded: EncodedPicture | None) -> str | None:
    return None if encoded is None else encoded.picture.name


@pytest.mark.parametrize("early", [True, False])
def test_in_order_a_picture_that_nobody_collected_is_not_passed_over(early: bool) -> None:
    ready = threading.Semaphore(0)
    camera = ordered_camera(FakeEncoder(), ready, early=early)
    camera.request(0.0)
    assert all(ready.acquire(timeout=10) for _ in range(1 + early))
    camera.request(0.0)
    assert name_of(wait_for(camera)) == "picture 0"
    camera.request(0.0)
    assert name_of(wait_for(camera)) == "picture 1"
    camera.close()


def test_in_order_a_picture_that_is_being_coded_answers_a_second_request() -> None:
    ready, encoder = threading.Semaphore(0), HeldEncoder()
    camera = ordered_camera(encoder, ready, early=False)
    camera.request(0.0)
    assert encoder.is_coding.wait(10)
    camera.request(0.0)
    encoder.go_on.set()
    assert name_of(wait_for(camera)) == "picture 0"
    camera.request(0.0)
    assert name_of(wait_for(camera)) == "picture 1"
    camera.close()


def test_in_order_the_rest_of_a_picture_that_was_begun_gives_way_to_the_next() -> None:
    ready, encoder = threading.Semaphore(0), HeldEncoder()
    camera = ordered_camera(encoder, ready)
    camera.request(0.0)
    assert ready.acquire(timeout=10)
    begun = camera.collect()
    assert begun is not None
    assert not begun.whole
    camera.request(0.0)
    encoder.go_on.set()
    assert name_of(wait_for(camera)) == "picture 1"
    camera.close()
