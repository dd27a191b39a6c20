"""Pictures that were taken while the link was down, on disk, until the link has time for them.

One file a picture: a line of JSON, then its packets, with a checksum over both. Names sort by time
and say which checkpoint and packet size the packets are for; those of another stay where they are.
When the spool is full the oldest go.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pnc.errors import ConfigError

__all__ = ["KeptPicture", "Spool"]

SUFFIX = ".kept"
PARTIAL = ".partial"

CRC_BYTES = 4


@dataclass(frozen=True)
class KeptPicture:
    """A picture in the spool."""

    name: str
    """Its name in its source."""
    label: str | None
    captured_at: float
    """When it was taken, seconds since 1970."""
    encode_ms: float
    packets: tuple[bytes, ...]


class Spool:
    """A bounded folder of pictures, oldest first; not for two processes at once.

    Args:
        folder: Made if missing; what is in it from an earlier run is sent, too.
        max_bytes: All files together.
        checkpoint_id: Whose packets these are.
        mtu_bytes: Largest packet.
        on_trouble: Told once, in one line, when pictures cannot be kept, and why.

    Raises:
        ConfigError: The folder cannot be made or read.
    """

    def __init__(
        self,
        folder: Path,
        max_bytes: int,
        *,
        checkpoint_id: str,
        mtu_bytes: int,
        on_trouble: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._end = f"-{checkpoint_id}-{mtu_bytes}{SUFFIX}"
        self._on_trouble = on_trouble
        self._troubled = False
        self._sizes: dict[str, int] = {}
        self._waiting: list[str] = []
        self._ahead: tuple[str, KeptPicture] | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._scan()
        except OSError as error:
            raise ConfigError(
                f"{folder}: no spool can be made there ({_reason(error)}); choose another --spool"
            ) from error

    def __len__(self) -> int:
        """Return how many pictures wait to be sent."""
        return len(self._waiting)

    def add(self, picture: KeptPicture) -> bool:
        """Keep a picture, in the place of the oldest if need be; return whether that went well."""
        facts = {
            "name": picture.name,
            "label": picture.label,
            "captured_at": picture.captured_at,
            "encode_ms": picture.encode_ms,
            "sizes": [len(packet) for packet in picture.packets],
        }
        data = json.dumps(facts).encode() + b"\n" + b"".join(picture.packets)
        data += zlib.crc32(data).to_bytes(CRC_BYTES, "little")
        if len(data) > self._max_bytes:
            return self._fail("a picture is larger than --spool-mb")
        while self._sizes and sum(self._sizes.values()) + len(data) > self._max_bytes:
            self.remove(min(self._sizes))
        name = self._new_name(picture.captured_at)
        partial = self._folder / (name + PARTIAL)
        try:
            partial.write_bytes(data)
            partial.replace(self._folder / name)
        except OSError as error:
            with suppress(OSError):
                partial.unlink()
            return self._fail(_reason(error))
        self._troubled = False
        self._sizes[name] = len(data)
        self._waiting.append(name)
        return True

    def oldest(self) -> tuple[str, KeptPicture] | None:
        """Return the oldest picture that waits and the key for the other calls; None: no more.

        What cannot be read, such as a file that a power cut left, is removed.
        """
        while self._waiting:
            key = self._waiting[0]
            if self._ahead is not None and self._ahead[0] == key:
                return self._ahead
            picture = _read(self._folder / key)
            if picture is None:
                self.remove(key)
            else:
                self._ahead = key, picture
        return None

    def sent(self, key: str) -> None:
        """Note that a picture was sent; it stays until :meth:`remove` or :meth:`put_back`."""
        self._waiting.remove(key)

    def put_back(self, key: str) -> None:
        """Let a picture of which nothing arrived wait again."""
        if key in self._sizes:
            self._waiting = sorted({*self._waiting, key})

    def remove(self, key: str) -> None:
        """Forget a picture."""
        try:
            (self._folder / key).unlink(missing_ok=True)
        except OSError as error:
            self._fail(_reason(error))
        self._sizes.pop(key, None)
        if key in self._waiting:
            self._waiting.remove(key)

    def _scan(self) -> None:
        for path in sorted(self._folder.iterdir()):
            if path.name.endswith(SUFFIX + PARTIAL):
                path.unlink(missing_ok=True)
            elif path.suffix == SUFFIX:
                self._sizes[path.name] = path.stat().st_size
                if path.name.endswith(self._end):
                    self._waiting.append(path.name)

    def _new_name(self, captured_at: float) -> str:
        at_ms = int(1000 * captured_at)
        while (name := f"{at_ms:014d}{self._end}") in self._sizes:
            at_ms += 1
        return name

    def _fail(self, reason: str) -> bool:
        if not self._troubled:
            self._troubled = True
            self._on_trouble(
                f"{self._folder}: pictures are not kept now ({reason}); make room there"
            )
        return False


def _read(path: Path) -> KeptPicture | None:
    try:
        data = path.read_bytes()
        body, crc = data[:-CRC_BYTES], data[-CRC_BYTES:]
        if zlib.crc32(body).to_bytes(CRC_BYTES, "little") != crc:
            return None
        line, _, rest = body.partition(b"\n")
        facts = json.loads(line)
        packets = []
        for size in facts["sizes"]:
            packets.append(rest[:size])
            rest = rest[size:]
        return KeptPicture(
            facts["name"],
            facts["label"],
            facts["captured_at"],
            facts["encode_ms"],
            tuple(packets),
        )
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _reason(error: OSError) -> str:
    return (error.strerror or os.strerror(error.errno or 0)).lower()
