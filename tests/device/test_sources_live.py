"""Sources that give what is there now: a watched folder, cameras, a video."""

from __future__ import annotations

import errno
import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from device.sources import SourceLostError, WatchSource, open_source
from device.sources.folder import SETTLE_S
from device.sources.frames import picture_from_frame
from device.sources.picamera import PicameraSource
from device.sources.snapshot import SnapshotSource
from device.sources.v4l2 import V4l2Source
from device.sources.video import VideoSource
from pnc.codec.image import load_picture
from pnc.errors import ConfigError, ImageError


def jpeg(level: int = 128) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), (level,) * 3).save(buffer, "JPEG")
    return buffer.getvalue()


class Folder:
    """A watched folder whose clock the test turns."""

    def __init__(self, root: Path, **options: bool) -> None:
        self.root = root
        self.now = 100.0
        self.num_writes = 0
        self.source = WatchSource(root, clock=lambda: self.now, **options)

    def write(self, name: str, data: bytes = b"picture") -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.num_writes += 1
        os.utime(path, ns=(10**18 + self.num_writes, 10**18 + self.num_writes))

    def scan(self, after_s: float = 0.0) -> str | None:
        self.now += after_s
        picture = self.source.scan()
        return None if picture is None else picture.name


def test_a_file_that_appears_is_given_once_it_rests(tmp_path: Path) -> None:
    (tmp_path / "old.jpg").write_bytes(b"there before")
    folder = Folder(tmp_path)
    assert folder.scan(1.0) is None
    folder.write("gear/new.jpg", b"half")
    assert folder.scan() is None
    folder.write("gear/new.jpg", b"half and half")
    assert folder.scan(SETTLE_S) is None, "it grew meanwhile"
    assert folder.scan(SETTLE_S) == "gear/new.jpg"
    assert folder.scan(SETTLE_S) is None


def test_an_empty_file_and_other_files_are_not_pictures(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    for name in ("empty.jpg", ".hidden.jpg", ".git/a.jpg", "notes.txt", "a.jpg.part"):
        folder.write(name, b"" if name == "empty.jpg" else b"x")
    folder.scan()
    assert folder.scan(SETTLE_S) is None


def test_a_file_that_is_written_again_is_new(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    for _ in range(2):
        folder.write("snapshot.jpg")
        folder.scan()
        assert folder.scan(SETTLE_S) == "snapshot.jpg"


def test_the_newest_file_wins_and_older_ones_are_passed_over(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    for name in ("b.jpg", "c.jpg", "a.jpg"):
        folder.write(name)
    folder.scan()
    assert [folder.scan(SETTLE_S), folder.scan()] == ["a.jpg", None]


def test_every_file_comes_in_its_order_where_that_is_asked_for(tmp_path: Path) -> None:
    folder = Folder(tmp_path, every=True)
    for name in ("b.jpg", "c.jpg", "a.jpg"):
        folder.write(name)
    folder.scan()
    names = [folder.scan(SETTLE_S), folder.scan(), folder.scan(), folder.scan()]
    assert names == ["b.jpg", "c.jpg", "a.jpg", None]


def test_a_watched_folder_may_go_and_come(tmp_path: Path) -> None:
    root = tmp_path / "stick"
    root.mkdir()
    folder = Folder(root)
    root.rmdir()
    with pytest.raises(SourceLostError, match="cannot be read"):
        folder.scan()
    folder.write("a.jpg")
    folder.scan()
    assert folder.scan(SETTLE_S) == "a.jpg"
    assert folder.source.take is not None
    folder.source.close()
    assert folder.source.take() is None


def test_a_watched_folder_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("device.sources.folder.SETTLE_S", 0.0)
    source = open_source(str(tmp_path), watch=True)
    threading.Timer(0.05, lambda: (tmp_path / "a.jpg").write_bytes(b"picture")).start()
    picture = source.take()
    assert picture is not None
    assert picture.name == "a.jpg"


@pytest.mark.parametrize("where", ["belt", "-", "http://camera/x", "/dev/null", "missing"])
def test_what_cannot_be_watched(where: str) -> None:
    with pytest.raises(ConfigError, match=r"--watch is for a folder|no such folder to watch"):
        open_source(where, watch=True)


@pytest.fixture
def camera() -> Iterator[tuple[str, list[Any]]]:
    """An HTTP camera; answers are (status, bytes), or an exception to close the connection."""
    answers: list[Any] = []
    seen: list[Any] = answers

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.pop(0)
            if status == 0:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nshort")
                return
            if status == 1:
                status = 200 if self.headers["Authorization"] == "Basic bWU6cCBz" else 401
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"127.0.0.1:{server.server_port}", seen
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_snapshot_is_fetched_each_time(camera: tuple[str, list[Any]]) -> None:
    host, answers = camera
    answers += [(200, jpeg(10)), (200, jpeg(200))]
    source = open_source(f"http://{host}/snapshot.jpg")
    pictures = [source.take(), source.take()]
    assert [picture and picture.content for picture in pictures] == [jpeg(10), jpeg(200)]
    source.close()
    assert source.take() is None


def test_a_login_in_the_address_is_sent_and_never_shown(camera: tuple[str, list[Any]]) -> None:
    host, answers = camera
    answers += [(1, jpeg()), (404, b"")]
    source = SnapshotSource(f"http://me:p%20s@{host}/")
    picture = source.take()
    assert picture is not None
    assert "p s" not in picture.name
    with pytest.raises(SourceLostError, match="answered 404") as caught:
        source.take()
    assert "me" not in str(caught.value).split("answered")[0]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((401, b""), r"answered 401 .*http://USER:PASSWORD@"),
        ((500, b"sorry"), "answered 500"),
        ((200, b""), "answered with nothing"),
        ((200, b"x" * 2000), "more than 0 MB"),
        ((0, b""), "broke off"),
    ],
)
def test_a_camera_that_fails_is_one_line(
    answer: tuple[int, bytes],
    message: str,
    camera: tuple[str, list[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("device.sources.snapshot.MAX_SNAPSHOT_BYTES", 1000)
    host, answers = camera
    answers.append(answer)
    with pytest.raises(SourceLostError, match=message) as caught:
        SnapshotSource(f"http://{host}/x.jpg").take()
    assert "\n" not in str(caught.value)


def test_a_camera_that_is_not_there_is_one_line() -> None:
    with pytest.raises(SourceLostError, match=r"cannot be reached \(connection refused\)"):
        SnapshotSource("http://127.0.0.1:9/").take()


@pytest.mark.parametrize("url", ["http:///x.jpg", "http://host:port/"])
def test_an_address_without_a_host_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"names no host|not an address"):
        open_source(url)


def yuyv(red: int, green: int, blue: int, width: int, height: int, padding: int = 0) -> bytes:
    """A frame of one colour in studio range (ITU-R BT.601)."""
    luma = 16 + (65.738 * red + 129.057 * green + 25.064 * blue) / 256
    u = 128 + (-37.945 * red - 74.494 * green + 112.439 * blue) / 256
    v = 128 + (112.439 * red - 94.154 * green - 18.285 * blue) / 256
    line = bytes([round(luma), round(u), round(luma), round(v)]) * (width // 2) + bytes(padding)
    return line * height


@pytest.mark.parametrize(
    "colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (180, 90, 30)]
)
@pytest.mark.parametrize("padding", [0, 12])
def test_yuyv_becomes_the_colour_it_was(colour: tuple[int, int, int], padding: int) -> None:
    frame = yuyv(*colour, 16, 6, padding)
    image = picture_from_frame(frame, "YUYV", 16, 6, 32 + padding)
    assert isinstance(image, Image.Image)
    pixels = np.asarray(image)
    assert pixels.shape == (6, 16, 3)
    assert np.abs(pixels.astype(int) - colour).max() <= 4


def test_yuyv_keeps_every_pixel_in_its_place() -> None:
    frame = bytearray(yuyv(128, 128, 128, 8, 4))
    frame[2 * (8 * 2 + 5)] = 235
    pixels = np.asarray(picture_from_frame(bytes(frame), "YUYV", 8, 4))
    assert np.argwhere(pixels[..., 1] > 200).tolist() == [[2, 5]]


@pytest.mark.parametrize(
    ("data", "name", "width"), [(bytes(99), "YUYV", 8), (bytes(999), "YUYV", 7), (b"", "H264", 8)]
)
def test_a_frame_that_is_not_what_it_says_is_refused(data: bytes, name: str, width: int) -> None:
    with pytest.raises(ImageError, match="frame of"):
        picture_from_frame(data, name, width, 8)


def test_motion_jpeg_without_its_tables_is_a_picture() -> None:
    """UVC cameras leave the standard Huffman tables out."""
    whole = jpeg(200)
    start = whole.index(b"\xff\xc4")
    bare = whole
    while (start := bare.find(b"\xff\xc4")) >= 0:
        bare = bare[:start] + bare[start + 2 + int.from_bytes(bare[start + 2 : start + 4]) :]
    content = picture_from_frame(bare, "MJPG", 64, 48)
    assert np.array_equal(load_picture(content, size=32), load_picture(whole, size=32))


class FakeCapture:
    """Gives frames from a list; None where none comes in time, an error where it raises."""

    def __init__(self, frames: list[Any], num_waiting: int = 0) -> None:
        self.frames = frames
        self.num_waiting = num_waiting
        self.closed = False

    def grab(self, timeout_s: float) -> Any:
        if timeout_s == 0.0:
            if not self.num_waiting:
                return None
            self.num_waiting -= 1
        frame = self.frames.pop(0)
        if isinstance(frame, Exception):
            raise frame
        return frame

    def close(self) -> None:
        self.closed = True


def frame(data: bytes, kind: str = "MJPEG", flags: int = 0) -> Any:
    return SimpleNamespace(
        data=data,
        pixel_format=SimpleNamespace(name=kind),
        width=16,
        height=4,
        flags=flags,
        format=SimpleNamespace(bytes_per_line=32 if kind == "YUYV" else 0),
    )


def opening(*captures: FakeCapture | Exception) -> Callable[..., FakeCapture]:
    waiting = list(captures)

    def open_capture(path: str, width: int, height: int, pixel_format: str) -> FakeCapture:
        capture = waiting.pop(0)
        if isinstance(capture, Exception):
            raise capture
        return capture

    return open_capture


def test_a_camera_gives_a_frame_that_was_not_waiting() -> None:
    capture = FakeCapture(
        [frame(b"old"), frame(b"older"), frame(b"bad", flags=0x40), frame(b"new")], num_waiting=2
    )
    source = V4l2Source("/dev/video0", open_capture=opening(capture))
    picture = source.take()
    assert picture is not None
    assert (picture.content, picture.name) == (b"new", "/dev/video0:1")
    source.close()
    assert capture.closed
    assert source.take() is None


def test_a_raw_frame_is_converted() -> None:
    capture = FakeCapture([frame(yuyv(255, 255, 255, 16, 4), "YUYV")])
    picture = V4l2Source("/dev/video0?format=yuyv", open_capture=opening(capture)).take()
    assert picture is not None
    assert isinstance(picture.content, Image.Image)


def test_a_camera_that_was_unplugged_is_opened_again() -> None:
    first = FakeCapture([OSError(errno.ENODEV, "No such device")])
    second = FakeCapture([frame(b"new")])
    missing = OSError(errno.ENOENT, "No such file")
    source = V4l2Source("/dev/video0", open_capture=opening(first, missing, second))
    with pytest.raises(SourceLostError, match="the camera went away; plug it in again"):
        source.take()
    assert first.closed
    with pytest.raises(SourceLostError, match="no such device"):
        source.take()
    picture = source.take()
    assert picture is not None
    assert picture.content == b"new"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError(errno.EACCES, "denied"), "sudo usermod -a -G video"),
        (OSError(errno.EBUSY, "busy"), "another program uses the camera"),
        (OSError(errno.ENOTTY, "Not a typewriter"), "cannot be used as a camera"),
    ],
)
def test_a_camera_that_cannot_be_opened_is_one_line(error: OSError, message: str) -> None:
    with pytest.raises(SourceLostError, match=message):
        V4l2Source("/dev/video77", open_capture=opening(error)).take()


def test_a_camera_without_frames_or_with_damaged_ones_is_one_line() -> None:
    silent, damaged = FakeCapture([None]), FakeCapture([frame(b"x", flags=0x40)] * 3)
    source = V4l2Source("/dev/video0", open_capture=opening(silent, damaged))
    with pytest.raises(SourceLostError, match="no frame within 3 s"):
        source.take()
    with pytest.raises(SourceLostError, match="only damaged frames"):
        source.take()


@pytest.mark.parametrize(
    "where", ["/dev/video0?size=9", "/dev/video0?width=wide", "/dev/video0?format=H264"]
)
def test_options_of_a_camera_are_checked(where: str) -> None:
    with pytest.raises(ConfigError, match=r"no option|must be"):
        V4l2Source(where, open_capture=opening())


def test_a_missing_package_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("linuxpy", "linuxpy.video", "linuxpy.video.device", "picamera2", "av"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=r"pip install 'pnc\[camera\]'"):
        open_source("/dev/video0")
    with pytest.raises(ConfigError, match="sudo apt install python3-picamera2"):
        open_source("picamera2://")
    (tmp_path / "film.mp4").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"pip install 'pnc\[video\]'"):
        open_source(str(tmp_path / "film.mp4"))


def test_a_device_that_is_no_camera_is_one_line() -> None:
    pytest.importorskip("linuxpy", reason="needs linuxpy: pip install 'pnc[camera]'")
    source = open_source("/dev/null")
    with pytest.raises(SourceLostError, match="/dev/null: cannot be used as a camera"):
        source.take()


class FakePicamera:
    """The part of picamera2.Picamera2 that is used."""

    failures: ClassVar[list[Exception]] = []

    def __init__(self, index: int) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.calls: list[Any] = [index]

    def create_video_configuration(self, main: dict[str, Any], buffer_count: int) -> Any:
        return main

    def configure(self, configuration: Any) -> None:
        self.calls.append(configuration)

    def start(self) -> None:
        self.calls.append("start")

    def capture_array(self) -> Any:
        return np.full((4, 6, 3), 7, np.uint8)

    def close(self) -> None:
        self.calls.append("close")


def test_a_camera_of_a_pi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        FakePicamera, "failures", [RuntimeError("Camera __init__ sequence did not complete")]
    )
    library = ModuleType("picamera2")
    library.Picamera2 = FakePicamera  # type: ignore[attr-defined]
    source = PicameraSource("picamera2://?width=320&camera=1", import_library=lambda: library)
    with pytest.raises(SourceLostError, match="rpicam-hello --list-cameras"):
        source.take()
    picture = source.take()
    assert picture is not None
    assert np.array_equal(np.asarray(picture.content), np.full((4, 6, 3), 7))
    camera = source._camera
    source.close()
    main = {"size": (320, 480), "format": "BGR888"}
    assert camera.calls == [1, main, "start", "close"]


class FakeVideo:
    """Frames of a video of 10 pictures a second."""

    class FFmpegError(Exception):
        pass

    num_opened = 0

    def open(self, path: str) -> Any:
        if Path(path).read_bytes() == b"broken":
            raise self.FFmpegError("Invalid data")
        FakeVideo.num_opened += 1
        frames = [
            SimpleNamespace(time=index / 10, to_image=lambda index=index: index)
            for index in range(int(Path(path).read_bytes()))
        ]
        return SimpleNamespace(
            streams=SimpleNamespace(video=[0]),
            decode=lambda stream: iter(frames),
            close=lambda: None,
        )


@pytest.fixture
def video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(sys.modules, "av", FakeVideo())
    path = tmp_path / "film.mp4"
    path.write_bytes(b"8")
    return path


def test_a_video_plays_at_its_own_pace(video: Path) -> None:
    now = [0.0]
    source = VideoSource(video, clock=lambda: now[0])
    shown: list[Any] = []
    for now[0] in (0.0, 0.1, 0.45, 0.7, 5.0):
        picture = source.take()
        shown.append(None if picture is None else picture.content)
    assert shown == [0, 1, 5, 7, None]


def test_every_frame_of_a_video_again_and_again(video: Path) -> None:
    source = VideoSource(video, every=True, loop=True)
    shown = [picture.content for picture in (source.take() for _ in range(10)) if picture]
    assert shown == [*range(8), 0, 1]
    source.close()
    assert source.take() is None


@pytest.mark.parametrize(("content", "message"), [(b"broken", "not a video"), (b"0", "no frame")])
def test_a_video_that_is_none_is_one_line(video: Path, content: bytes, message: str) -> None:
    video.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        VideoSource(video).take()
