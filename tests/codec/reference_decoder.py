"""A second decoder of bitstream version 3, written from docs/bitstream.md alone.

Slow and obvious on purpose: it shares nothing with the real decoder but the names of the errors, so
that each checks the other. A ``case`` is a parsed file of tests/golden/streams.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from pnc.errors import BitstreamError, CorruptBitstreamError

__all__ = ["Known", "decode_packets", "decode_stream", "join_packets", "level_of"]

Known = tuple[int, int]
"""The signed value of a coefficient so far, and the lowest plane that is known of it."""

MOST_BYTES = 131_072
MOST_PACKETS = 2_048
MOST_PIECES = 1_024
REACH = 64
REPAIR = 32_768
CLASSES = 18


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


def level_of(number: int) -> int:
    if number < 3:
        return 0
    octaves = number.bit_length() - 1
    return 2 * octaves + (2 * number >= 3 << octaves) - 2


class _Grid:
    """The grid of coefficients while its bits are read."""

    def __init__(self, case: dict[str, Any]) -> None:
        self.height: int = case["height"]
        self.width: int = case["width"]
        self.channels: int = case["channels"]
        self.case = case
        self.first: list[int] = case["first"]
        places = range(self.height * self.width)
        self.magnitude = [[0] * self.channels for _ in places]
        self.negative = [[False] * self.channels for _ in places]
        self.around: list[dict[int, int]] = []
        self.hidden: list[list[int]] = []
        self.lowest = [[plane + 1 for plane in self.first] for _ in places]
        order = sorted(range(self.channels), key=lambda c: (-self.first[c], c))
        self.scan = [(at, c) for at in sorted(places, key=self._rank) for c in order]

    def _rank(self, at: int) -> tuple[int, int, int]:
        row, column = divmod(at, self.width)
        step = next(n for n in (8, 4, 2, 1) if row % n == 0 and column % n == 0)
        distance = (2 * row - self.height + 1) ** 2 + (2 * column - self.width + 1) ** 2
        return -step, distance, at

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
        middle = [[2 * (m >> plane + 1) + (m > 0) for m in row] for row in self.magnitude]
        self._look(plane, middle)
        refined: list[tuple[int, int]] = []
        segments: list[list[tuple[int, int]]] = [[] for _ in range(CLASSES)]
        for at, c in self.scan:
            if self.first[c] < plane:
                continue
            if self.magnitude[at][c] > 0:
                refined.append((at, c))
            else:
                segments[self._class(plane, at, c)].append((at, c))
        for j in range(CLASSES + 1):
            if j == self.case["refined"][plane]:
                for at, c in refined:
                    self.magnitude[at][c] += bits.take() << plane
                    self.lowest[at][c] = plane
            if j < CLASSES:
                self._read_class(plane, segments[j], self.case["orders"][plane][j], bits)

    def _look(self, plane: int, middle: list[list[int]]) -> None:
        """The levels around each place and its hidden units."""
        above = [a for a in range(self.channels) if self.first[a] > plane]
        from_here, from_around = self.case["inner"][plane]
        self.around, self.hidden = [], []
        for at in range(self.height * self.width):
            here = {a: level_of(middle[at][a]) for a in above}
            around = {a: level_of(self._sum_around(at, a, middle)) for a in above}
            units = []
            for unit, start in enumerate(self.case["inner_bias"][plane]):
                total = start
                for a in above:
                    total += from_here[a][unit] * here[a] + from_around[a][unit] * around[a]
                units.append(min(max(total >> 6, 0), 255))
            self.around.append(around)
            self.hidden.append(units)

    def _class(self, plane: int, at: int, c: int) -> int:
        logit: int = self.case["bias"][plane][at * self.channels + c]
        for unit, value in enumerate(self.hidden[at]):
            logit += self.case["outer"][plane][unit][c] * value
        if self.first[c] > plane:
            logit += self.case["neighbours"][plane][c] * self.around[at][c]
        return min(max(3072 - logit >> 10, 0), CLASSES - 1)

    def _sum_around(self, at: int, c: int, middle: list[list[int]]) -> int:
        return sum(times * middle[near][c] for near, times in self._neighbours(at))

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


def _check_start(data: bytes, kind: int) -> None:
    if data and data[0] >> 4 != kind:
        raise CorruptBitstreamError(f"the first byte is 0x{data[0]:02X}, not 0x{kind:X}2")
    if data and data[0] & 15 != 3:
        raise BitstreamError(f"this is version {data[0] & 15}, not 3")


def _check_id(case: dict[str, Any], name: bytes) -> None:
    """Check as many bytes of an id as there are."""
    if name != bytes.fromhex(case["id"])[: len(name)]:
        raise BitstreamError("another checkpoint made this")


def decode_stream(case: dict[str, Any], stream: bytes) -> list[Known]:
    """Decode a stream or any prefix of one.

    Returns:
        For each coefficient, in raster order, what is known of it.

    Raises:
        BitstreamError: Another version or another checkpoint.
        CorruptBitstreamError: No encoder writes this.
    """
    if len(stream) > MOST_BYTES:
        raise CorruptBitstreamError(f"a stream has at most {MOST_BYTES} bytes, not {len(stream)}")
    _check_start(stream, 0xC)
    _check_id(case, stream[1:4])
    grid = _Grid(case)
    grid.read(stream[4:])
    return grid.raster()


@cache
def _product(x: int, y: int) -> int:
    """The product in GF(256), bit by bit."""
    result = 0
    for bit in range(8):
        if y >> bit & 1:
            result ^= x << bit
    for bit in range(14, 7, -1):
        if result >> bit & 1:
            result ^= 0x11D << bit - 8
    return result


@cache
def _inverse(x: int) -> int:
    return next(y for y in range(256) if _product(x, y) == 1)


def _factor(n: int, i: int) -> int:
    """How often repair ``n`` counts piece ``i``."""
    if not max(0, n - REACH + 1) <= i <= n:
        return 0
    return _inverse((128 + n % 128) ^ (i % 128))


def _plus(row: list[int], times: int, other: list[int]) -> list[int]:
    return [x ^ _product(times, y) for x, y in zip(row, other, strict=True)]


def _solve(rows: list[list[int]], unknowns: int) -> list[bytes] | None:
    """Solve rows of the factors of the unknowns and the bytes of the sum; None: not determined."""
    for column in range(unknowns):
        pivot = next((r for r in range(column, len(rows)) if rows[r][column]), None)
        if pivot is None:
            return None
        rows[column], rows[pivot] = rows[pivot], rows[column]
        inverse = _inverse(rows[column][column])
        rows[column] = [_product(inverse, x) for x in rows[column]]
        for r, row in enumerate(rows):
            if r != column:
                rows[r] = _plus(row, row[column], rows[column])
    return [bytes(row[unknowns:]) for row in rows[:unknowns]]


class _Packets:
    """The pieces and the repairs of a picture, by number."""

    def __init__(self, case: dict[str, Any], packets: list[bytes]) -> None:
        self.pieces: dict[int, bytes] = {}
        self.repairs: dict[int, bytes] = {}
        for count, packet in enumerate(packets):
            if count == MOST_PACKETS:
                raise CorruptBitstreamError(f"there are more than {MOST_PACKETS} packets")
            _check_start(packet, 0xD)
            if len(packet) < 5:
                raise CorruptBitstreamError(f"a packet has only {len(packet)} bytes")
            _check_id(case, packet[1:3])
            number, content = packet[3] << 8 | packet[4], packet[5:]
            kind = self.repairs if number >= REPAIR else self.pieces
            n = number % REPAIR
            if n >= MOST_PIECES:
                raise CorruptBitstreamError(f"a packet has number {n}")
            if n not in kind or len(content) > len(kind[n]):
                kind[n] = content
        contents = [*self.pieces.values(), *self.repairs.values()]
        self.length = max((len(content) for content in contents), default=0)
        if max([*self.pieces, *self.repairs], default=0) * self.length > MOST_BYTES:
            raise CorruptBitstreamError(f"a piece begins beyond byte {MOST_BYTES}")
        if any(len(repair) < self.length for repair in self.repairs.values()):
            raise CorruptBitstreamError("a repair is shorter than the pieces")

    def _is_missing(self, i: int) -> bool:
        return i not in self.pieces or len(self.pieces[i]) < self.length

    def find_lost(self) -> None:
        """Find the lost pieces that the repairs determine, from the first one on."""
        a = 0
        while not self._is_missing(a) or self._find_from(a):
            a += 1

    def _find_from(self, a: int) -> bool:
        """Find piece ``a``, the first missing one, and whatever is found with it."""
        for n in range(a, a + REACH):
            if n not in self.repairs:
                continue
            lost = [i for i in range(a, n + 1) if self._is_missing(i)]
            rows = [self._row(m, lost) for m in range(a, n + 1) if m in self.repairs]
            found = _solve(rows, len(lost)) if len(rows) >= len(lost) else None
            if found is not None:
                self.pieces.update(zip(lost, found, strict=True))
                return True
        return False

    def _row(self, n: int, lost: list[int]) -> list[int]:
        """The factors of the lost pieces in repair ``n``, and the bytes that these add up to."""
        rest = list(self.repairs[n])
        for i in range(max(0, n - REACH + 1), n + 1):
            if i not in lost:
                rest = _plus(rest, _factor(n, i), list(self.pieces[i]))
        return [_factor(n, i) for i in lost] + rest

    def beginning(self) -> bytes:
        """The pieces before the first missing one, or to the first short one."""
        data = b""
        n = 0
        while n in self.pieces:
            data += self.pieces[n]
            if len(self.pieces[n]) < self.length:
                break
            n += 1
        return data


def join_packets(case: dict[str, Any], packets: list[bytes]) -> bytes:
    """The beginning of the stream that packets tell, header included; errors as below."""
    received = _Packets(case, packets)
    received.find_lost()
    return b"\xc3" + bytes.fromhex(case["id"])[:3] + received.beginning()


def decode_packets(case: dict[str, Any], packets: list[bytes]) -> list[Known]:
    """Decode the packets of a picture that arrived, in any order.

    Returns:
        As ``decode_stream``.

    Raises:
        BitstreamError: Another version or another checkpoint.
        CorruptBitstreamError: No encoder writes this.
    """
    return decode_stream(case, join_packets(case, packets))
