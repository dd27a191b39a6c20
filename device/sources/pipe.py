"""Pictures from standard input: whole files one after another, or the names of files.

A stream of pictures says itself where each ends: a JPEG's segments carry lengths and its coded data
ends at a marker (ITU-T T.81, B.1.1), a PNG is a row of chunks with lengths (RFC 2083, 3.2). Text is
told from pictures by its first byte: 0xFF and 0x89 begin no UTF-8 text.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path

from device.sources.base import LiveSource, Picture
from pnc.errors import ConfigError

__all__ = ["PictureSplitter", "PipeSource"]

MAX_PICTURE_BYTES = 64 * 2**20
"""Longest picture in a stream, bytes; what is longer is damaged, and is given up."""

MAX_NAME_BYTES = 8192
"""Longest line with the name of a file, bytes: twice Linux's PATH_MAX."""

READ_BYTES = 1 << 16
"""What is read at once, bytes: the size of a pipe."""

_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND"
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a length: TEM, RST0 to RST7, SOI."""
_SOS, _EOI = 0xDA, 0xD9


class PictureSplitter:
    """Cuts a stream of JPEG and PNG files into files; sans-I/O.

    Bytes between two pictures are passed over; a damaged picture costs itself and no other.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = 0
        self._in_scan = False
        self.num_skipped_bytes = 0
        """Bytes that belong to no picture."""

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes; return the pictures that they complete."""
        self._buffer += data
        pictures = []
        while (picture := self._next()) is not None:
            pictures.append(picture)
        return pictures

    def _next(self) -> bytes | None:
        while self._find_start():
            buffer = self._buffer
            end = self._walk_png() if buffer.startswith(_PNG) else self._walk_jpeg()
            if end is None and len(buffer) <= MAX_PICTURE_BYTES:
                return None
            if end is None or end < 0:
                self._drop(1)
                continue
            picture = bytes(buffer[:end])
            del buffer[:end]
            self._at, self._in_scan = 0, False
            return picture
        return None

    def _find_start(self) -> bool:
        """Drop what comes before a picture; return whether one begins the buffer."""
        if self._at:
            return True
        buffer = self._buffer
        starts = [at for at in (buffer.find(_JPEG), buffer.find(_PNG)) if at >= 0]
        if starts:
            self._drop(min(starts))
            return True
        keep = next(
            (
                length
                for length in range(min(len(buffer), len(_PNG) - 1), 0, -1)
                if _PNG.startswith(buffer[-length:]) or _JPEG.startswith(buffer[-length:])
            ),
            0,
        )
        self._drop(len(buffer) - keep)
        return False

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._at, self._in_scan = 0, False
        self.num_skipped_bytes += count

    def _walk_png(self) -> int | None:
        """Return where the PNG ends, None if that is not here yet, -1 if it is damaged."""
        buffer, at = self._buffer, max(self._at, len(_PNG))
        while len(buffer) >= at + 8:
            length, kind = int.from_bytes(buffer[at : at + 4]), bytes(buffer[at + 4 : at + 8])
            if length > MAX_PICTURE_BYTES or not kind.isalpha():
                return -1
            end = at + 12 + length
            if kind == _PNG_END:
                self._at = at
                return end if len(buffer) >= end else None
            at = end
        self._at = at
        return None

    def _walk_jpeg(self) -> int | None:
        """Return where the JPEG ends, None if that is not here yet, -1 if it is damaged."""
        buffer = self._buffer
        self._at = max(self._at, 2)
        while True:
            if self._in_scan and not self._skip_scan():
                return None
            at = self._at
            while buffer[at : at + 2] == b"\xff\xff":
                at += 1
            if len(buffer) < at + 2:
                return None
            marker = buffer[at + 1]
            if buffer[at] != 0xFF or marker == 0:
                return -1
            if marker == _EOI:
                return at + 2
            if marker in _ALONE:
                self._at = at + 2
                continue
            if len(buffer) < at + 4:
                return None
            length = int.from_bytes(buffer[at + 2 : at + 4])
            if length < 2:
                return -1
            self._at, self._in_scan = at + 2 + length, marker == _SOS

    def _skip_scan(self) -> bool:
        """Go to the marker that ends the coded data; return whether it is here."""
        buffer = self._buffer
        while True:
            at = buffer.find(b"\xff", self._at)
            if at < 0 or at + 1 >= len(buffer):
                self._at = max(self._at, len(buffer) if at < 0 else at)
                return False
            following = buffer[at + 1]
            if following == 0 or 0xD0 <= following <= 0xD7:
                self._at = at + 2
            else:
                self._at, self._in_scan = at, False
                return True


class PipeSource(LiveSource):
    """Reads pictures, or names of picture files, from a pipe.

    Args:
        descriptor: Where to read; a thread does, so that a camera is never held up.
        every: Give every picture in order, and read no further than two ahead; else the newest.
        name: What to call the source.
    """

    def __init__(self, descriptor: int = 0, *, every: bool = False, name: str = "stdin") -> None:
        super().__init__(name)
        self._descriptor = descriptor
        self._changed = threading.Condition()
        self._waiting: deque[Picture] = deque(maxlen=None if every else 1)
        self._every = every
        self._ended = False
        self._splitter = PictureSplitter()
        self._thread = threading.Thread(target=self._run, name="stdin", daemon=True)
        self._thread.start()

    def take(self) -> Picture | None:
        """Wait for a picture; None at the end of the input or once the source is closed.

        Raises:
            ConfigError: Nothing that came was a picture or a name.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ended or self._closed.is_set())
            if self._closed.is_set():
                return None
            if self._waiting:
                picture = self._waiting.popleft()
                self._changed.notify_all()
                return picture
        if self._num_taken == 0:
            raise ConfigError(
                "-: no picture came on standard input; pipe JPEG or PNG files, or their names, "
                "one a line"
            )
        return None

    def close(self) -> None:
        """Let no further picture be taken; the reader ends with its input."""
        with self._changed:
            self._closed.set()
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            with suppress(OSError):
                self._read()
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _read(self) -> None:
        data = os.read(self._descriptor, READ_BYTES)
        if data[:1] in (_JPEG[:1], _PNG[:1]):
            self._read_pictures(data)
        else:
            self._read_names(data)

    def _read_pictures(self, data: bytes) -> None:
        while data and not self._closed.is_set():
            for content in self._splitter.feed(data):
                self._put(self._picture(content))
            data = os.read(self._descriptor, READ_BYTES)

    def _read_names(self, data: bytes) -> None:
        line = b""
        while data and not self._closed.is_set():
            *lines, line = (line + data).split(b"\n")
            for name in lines:
                self._put_name(name)
            if len(line) > MAX_NAME_BYTES:
                return
            data = os.read(self._descriptor, READ_BYTES)
        self._put_name(line)

    def _put_name(self, line: bytes) -> None:
        name = os.fsdecode(line.strip())
        if name:
            self._num_taken += 1
            self._put(Picture(Path(name), name, None))

    def _put(self, picture: Picture) -> None:
        with self._changed:
            if self._every:
                self._changed.wait_for(lambda: len(self._waiting) < 2 or self._closed.is_set())
            self._waiting.append(picture)
            self._changed.notify_all()
