"""A second decoder of bitstream version 2, written from docs/bitstream.md alone.

Slow and obvious on purpose: it shares nothing with the real decoder but the names of the errors, so
that each checks the other. A ``case`` is a parsed file of tests/golden/streams.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pnc.errors import BitstreamError, CorruptBitstreamError

__all__ = ["Known", "decode_packets", "decode_stream"]

Known = tuple[int, int]
"""The signed value of a coefficient so far, and the lowest plane that is known of it."""

MOST_BYTES = 131_072
CLASSES = 14


class _OutOfBitsError(Exception):
    """The bits end before the code word does."""


class _Bits:
    """The bits of some bytes, the highest of each byte first."""

    def __init__(self, data: bytes) -> None:
        self._bits = [byte >> shift & 1 for byte in data for shift in range(7, -1, -1)]
        self._next = 0

    def take(self) -> int:
        if self._next == len(self._bits):
            raise _OutOfBitsError
        self._next += 1
        return self._bits[self._next - 1]

    def rest(self) -> list[int]:
        return self._bits[self._next :]


class _Grid:
    """One grid of coefficients, the whole one or a region, while its bits are read."""

    def __init__(self, height: int, width: int, channels: int, numbers: dict[str, Any]) -> None:
        self.height, self.width, self.channels = height, width, channels
        self.numbers = numbers
        self.first: list[int] = numbers["first"]
        places = range(height * width)
        self.magnitude = [[0] * channels for _ in places]
        self.negative = [[False] * channels for _ in places]
        self.lowest = [[plane + 1 for plane in self.first] for _ in places]
        order = sorted(range(channels), key=lambda c: (-numbers["first"][c], c))
        self.scan = [(at, c) for at in sorted(places, key=self._rank) for c in order]

    def _rank(self, at: int) -> tuple[int, int, int]:
        row, column = divmod(at, self.width)
        level = next(n for n in (8, 4, 2, 1) if row % n == 0 and column % n == 0)
        distance = (2 * row - self.height + 1) ** 2 + (2 * column - self.width + 1) ** 2
        return -level, distance, at

    def raster(self) -> list[Known]:
        return [
            (-m if self.negative[at][c] else m, self.lowest[at][c])
            for at in range(self.height * self.width)
            for c, m in enumerate(self.magnitude[at])
        ]

    def read(self, data: bytes) -> None:
        bits = _Bits(data)
        try:
            for plane in range(max(self.first), -1, -1):
                self._read_plane(plane, bits)
        except _OutOfBitsError:
            return
        rest = bits.rest()
        if len(rest) >= 8 or any(rest):
            raise CorruptBitstreamError("there are bits behind the end of the last plane")

    def _read_plane(self, plane: int, bits: _Bits) -> None:
        middle = [[m + (1 << plane) if m > 0 else 0 for m in row] for row in self.magnitude]
        refined: list[tuple[int, int]] = []
        segments: list[list[tuple[int, int]]] = [[] for _ in range(CLASSES)]
        for at, c in self.scan:
            if self.first[c] < plane:
                continue
            if self.magnitude[at][c] > 0:
                refined.append((at, c))
            else:
                segments[self._class(plane, at, c, middle)].append((at, c))
        for j in range(CLASSES + 1):
            if j == self.numbers["refined"][plane]:
                for at, c in refined:
                    self.magnitude[at][c] += bits.take() << plane
                    self.lowest[at][c] = plane
            if j < CLASSES:
                self._read_class(plane, segments[j], self.numbers["orders"][plane][j], bits)

    def _class(self, plane: int, at: int, c: int, middle: list[list[int]]) -> int:
        p: int = self.numbers["bias"][plane][at * self.channels + c]
        for a in range(self.channels):
            if self.first[a] > plane:
                p += self.numbers["weights"][plane][a][c] * middle[at][a]
        if self.first[c] > plane:
            around = sum(times * middle[near][c] for near, times in self._neighbours(at))
            p += self.numbers["neighbours"][plane][c] * around
        q = max(p, 1)
        e = q.bit_length() - 1
        h = 2 * e + (1 if 2 * q >= 3 * 2**e else 0)
        return min(max(2 * plane + 14 - h, 0), CLASSES - 1)

    def _neighbours(self, at: int) -> Iterator[tuple[int, int]]:
        """Each position around a place, and how often it counts."""
        row, column = divmod(at, self.width)
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                y, x = row + down, column + right
                if (down or right) and 0 <= y < self.height and 0 <= x < self.width:
                    yield y * self.width + x, 1 if down and right else 2

    def _read_class(
        self, plane: int, segment: list[tuple[int, int]], order: int, bits: _Bits
    ) -> None:
        done = 0
        while done < len(segment):
            sign: int | None = None
            if order >= 0:
                zeros = 1 << order
                if bits.take():
                    zeros = 0
                    for _ in range(order):
                        zeros = zeros << 1 | bits.take()
                    sign = bits.take()
                    if done + zeros >= len(segment):
                        raise CorruptBitstreamError("a run leads beyond its segment")
            else:
                zeros = 0
                if not bits.take():
                    sign = 0
                elif not bits.take():
                    sign = 1
                else:
                    zeros = 1
            for at, c in segment[done : done + zeros]:
                self.lowest[at][c] = plane
            done += zeros
            if sign is not None:
                at, c = segment[done]
                self.magnitude[at][c] = 1 << plane
                self.negative[at][c] = sign == 1
                self.lowest[at][c] = plane
                done += 1


def _check_header(case: dict[str, Any], data: bytes, kind: int, id_bytes: int) -> None:
    """Check as much of a header as there is."""
    if data and data[0] >> 4 != kind:
        raise CorruptBitstreamError(f"the first byte is 0x{data[0]:02X}, not 0x{kind:X}2")
    if data and data[0] & 15 != 2:
        raise BitstreamError(f"this is version {data[0] & 15}, not 2")
    name = data[1 : 1 + id_bytes]
    if name != bytes.fromhex(case["id"])[: len(name)]:
        raise BitstreamError("another checkpoint made this")


def _whole(case: dict[str, Any], data: bytes) -> list[Known]:
    grid = _Grid(case["height"], case["width"], case["channels"], case["whole"])
    grid.read(data)
    return grid.raster()


def _region(case: dict[str, Any], data: bytes) -> list[Known]:
    grid = _Grid(case["height"] // 2, case["width"] // 2, case["channels"], case["region"])
    grid.read(data)
    return grid.raster()


def decode_stream(case: dict[str, Any], stream: bytes) -> list[Known]:
    """Decode a stream or any prefix of one.

    Returns:
        For each coefficient of the whole grid, in raster order, what is known of it.

    Raises:
        BitstreamError: Another version or another checkpoint.
        CorruptBitstreamError: No encoder writes this.
    """
    if len(stream) > MOST_BYTES:
        raise CorruptBitstreamError(f"a stream has at most {MOST_BYTES} bytes, not {len(stream)}")
    _check_header(case, stream, 0xC, 3)
    return _whole(case, stream[4:])


def _read_packet(case: dict[str, Any], packet: bytes) -> tuple[int, int, bytes]:
    """The chain, the start and the bytes of a piece."""
    _check_header(case, packet, 0xD, 2)
    number = 0
    for i, byte in enumerate(packet[3:6]):
        number |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            break
    else:
        raise CorruptBitstreamError("the varint has no end in three bytes")
    start, chain = divmod(number, 5)
    piece = packet[4 + i :]
    if chain > 0 and case["region"] is None:
        raise CorruptBitstreamError(f"there is no chain {chain}")
    if start + len(piece) > MOST_BYTES:
        raise CorruptBitstreamError(f"a piece ends beyond byte {MOST_BYTES}")
    return chain, start, piece


def decode_packets(case: dict[str, Any], packets: list[bytes]) -> list[list[Known]]:
    """Decode the packets of a picture that arrived, in any order.

    Returns:
        One list as of ``decode_stream`` if the packets are of chain 0 or there are none; else one
        list for each region, in the raster order of its own grid.

    Raises:
        BitstreamError: Another version or another checkpoint.
        CorruptBitstreamError: No encoder writes this.
    """
    chains: dict[int, dict[int, int]] = {}
    for packet in packets:
        chain, start, piece = _read_packet(case, packet)
        known = chains.setdefault(chain, {})
        for at, byte in enumerate(piece, start):
            known.setdefault(at, byte)
    if 0 in chains and len(chains) > 1:
        raise CorruptBitstreamError("there are packets of chain 0 beside others")
    if not chains or 0 in chains:
        return [_whole(case, _beginning(chains.get(0, {})))]
    return [_region(case, _beginning(chains.get(r + 1, {}))) for r in range(4)]


def _beginning(known: dict[int, int]) -> bytes:
    """The bytes of a chain before the first gap."""
    data = bytearray()
    while len(data) in known:
        data.append(known[len(data)])
    return bytes(data)
