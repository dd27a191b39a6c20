# SPDX-License-Identifier: Apache-2.0
"""A bounded pipe for bytes, a light and a line of counts: what a bridge is without its hardware.

Runs unchanged on CircuitPython, MicroPython and CPython, and allocates nothing once it is made and
opened: a slice of a memoryview is an object, so a view of every length that can be needed is made
beforehand, and bytes move between buffers by ``pack_into``, which makes none.

The pipe knows one thing of ``docs/wire.md``: frames end with a zero. Where it has to drop bytes it
goes on with the beginning of a frame and says a zero first, so that only the frames are lost whose
bytes were dropped.
"""

from struct import pack_into

COUNT_MASK = 0x1FFFFFFF
"""Counters wrap here: a sum of two stays a small integer, which is no object, on 32 bits."""

TICKS_MASK = 0x1FFFFFFF
"""``supervisor.ticks_ms()`` wraps here."""


class Pipe:
    """Bytes of one direction, in slots of one read each.

    While it is closed, because nobody is at the far end, everything that is put in is dropped. So
    is what finds no room while it is open; who can hold the writer back asks :meth:`has_room`
    first. Use it as ``n = read(pipe.inlet()); pipe.took(n)`` and ``view = pipe.outlet()``, and if
    that is not None ``pipe.gave(write(view))``.

    Args:
        size: Most bytes of one read and of one write.
        depth: Reads that wait at most; 2 or more.
    """

    def __init__(self, size: int, depth: int) -> None:
        self.size = size
        self.limit = 0
        """Most bytes of one write as things are; 0: closed."""
        self.moved = 0
        """Bytes written."""
        self.lost = 0
        """Bytes dropped while open: no room, or the rest of a frame that had lost its beginning."""
        self.unheard = 0
        """Bytes dropped while closed."""
        self._slots = [bytearray(size) for _ in range(depth)]
        self._inlets = [memoryview(slot) for slot in self._slots]
        self._lengths = [0] * depth
        self._depth = depth
        self._trash = bytearray(size)
        self._trash_view = memoryview(self._trash)
        self._stage = bytearray(size)
        whole = memoryview(self._stage)
        self._outlets = [whole[:length] for length in range(size + 1)]
        self._copy = str(size) + "s"
        self._first = 0
        self._count = 0
        self._staged = 0
        self._torn = True
        self._inside = False

    def open(self, limit: int) -> None:
        """Let bytes through, in writes of at most ``limit`` bytes; what waits is dropped."""
        self.close()
        self.limit = min(limit, self.size)
        self._inlets = [memoryview(slot)[: self.limit] for slot in self._slots]

    def close(self) -> None:
        """Drop what waits and everything that comes."""
        waiting = self._staged
        while self._count:
            waiting += self._lengths[self._first]
            self._next_slot()
        self.unheard = (self.unheard + waiting) & COUNT_MASK
        self._staged = 0
        self.limit = 0
        self._torn = True

    def has_room(self) -> bool:
        """Whether what is put in now is kept."""
        return self.limit > 0 and self._count + self._torn < self._depth

    def is_empty(self) -> bool:
        """Whether nothing waits to be written."""
        return self._count == 0 and self._staged == 0

    def inlet(self) -> memoryview:
        """Where the next read goes, always from its beginning."""
        if self.has_room():
            return self._inlets[(self._first + self._count + self._torn) % self._depth]
        return self._trash_view

    def took(self, length: int) -> None:
        """Say how many bytes were read into the inlet; 0 or less: none."""
        if length <= 0:
            return
        if not self.has_room():
            self._inside = self._trash[length - 1] != 0
            self._torn = True
            if self.limit:
                self.lost = (self.lost + length) & COUNT_MASK
            else:
                self.unheard = (self.unheard + length) & COUNT_MASK
            return
        slot = (self._first + self._count + self._torn) % self._depth
        if self._torn:
            length = self._mend(slot, length)
            if length == 0:
                return
        self._lengths[slot] = length
        self._count += 1
        self._inside = self._slots[slot][length - 1] != 0

    def outlet(self) -> memoryview | None:
        """What to write next; None if nothing waits. It stays valid until :meth:`gave`."""
        if self._staged == 0:
            if self._count == 0:
                return None
            pack_into(self._copy, self._stage, 0, self._slots[self._first])
            self._staged = self._lengths[self._first]
            self._next_slot()
        return self._outlets[self._staged]

    def gave(self, length: int) -> None:
        """Say how many bytes of the outlet were written; 0 or less: none."""
        if length <= 0:
            return
        length = min(length, self._staged)
        self.moved = (self.moved + length) & COUNT_MASK
        rest = self._staged - length
        for index in range(rest):
            self._stage[index] = self._stage[index + length]
        self._staged = rest

    def _mend(self, slot: int, length: int) -> int:
        """Drop the rest of a frame whose beginning is gone, put a zero before what follows.

        Returns the bytes that are left at the beginning of ``slot``.
        """
        data = self._slots[slot]
        start = 0
        if self._inside:
            while start < length and data[start]:
                start += 1
            self._inside = start == length
            start = min(start + 1, length)
            self.lost = (self.lost + start) & COUNT_MASK
        rest = length - start
        if rest == 0:
            return 0
        if start:
            for index in range(rest):
                data[index] = data[index + start]
        before = (self._first + self._count) % self._depth
        self._slots[before][0] = 0
        self._lengths[before] = 1
        self._count += 1
        self._torn = False
        return rest

    def _next_slot(self) -> None:
        self._first = (self._first + 1) % self._depth
        self._count -= 1


class Light:
    """What the LED says, from what the bridge does; times are of ``supervisor.ticks_ms()``."""

    MOVING_MS = 150
    LOSING_MS = 1000

    def __init__(self) -> None:
        self._moved = 0
        self._lost = 0
        self._moved_at = 0
        self._lost_at = 0
        self._moving = False
        self._losing = False

    def lit(self, now: int, linked: bool, hosted: bool, moved: int, lost: int) -> bool:
        """Whether the LED is on now.

        Args:
            now: Milliseconds.
            linked: The radio has a peer.
            hosted: A program has the USB port open.
            moved: A count that grows with every byte moved.
            lost: A count that grows with every byte dropped for lack of room.
        """
        if moved != self._moved:
            self._moved = moved
            self._moved_at = now
            self._moving = True
        elif self._moving and ticks_since(self._moved_at, now) > self.MOVING_MS:
            self._moving = False
        if lost != self._lost:
            self._lost = lost
            self._lost_at = now
            self._losing = True
        elif self._losing and ticks_since(self._lost_at, now) > self.LOSING_MS:
            self._losing = False
        if not linked:
            return now % 1000 < 100
        if not hosted:
            phase = now % 1000
            return phase < 100 or 200 <= phase < 300
        if self._losing:
            return now % 100 < 50
        return not self._moving or now % 200 < 150


class CountLine:
    """A line of text with numbers of nine digits, written anew in its place.

    Args:
        title: Begins the line.
        names: What stands before each number.
    """

    DIGITS = 9

    def __init__(self, title: str, names: tuple[str, ...]) -> None:
        text = bytearray(title.encode())
        self._ends: list[int] = []
        for name in names:
            text += (" " + name + "=" + "0" * self.DIGITS).encode()
            self._ends.append(len(text) - 1)
        self.line = text + b"\r\n"
        """The line as it is now."""

    def put(self, place: int, value: int) -> None:
        """Write ``value``, 0 or more, behind the name at ``place``."""
        position = self._ends[place]
        for _ in range(self.DIGITS):
            self.line[position] = 48 + value % 10
            value //= 10
            position -= 1


def advertisement(kind: int, value: bytes) -> bytes:
    """Write one structure of BLE advertising data: length, kind, value."""
    return bytes((len(value) + 1, kind)) + value


def advertises(data: bytes, kinds: tuple[int, ...], value: bytes) -> bool:
    """Whether advertising data, from anyone, holds a structure of one of ``kinds`` and a value."""
    start = 0
    while start + 1 < len(data):
        length = data[start]
        if data[start + 1] in kinds and data[start + 2 : start + 1 + length] == value:
            return True
        start += 1 + length
    return False


def ticks_since(then: int, now: int) -> int:
    """Milliseconds between two readings of ``supervisor.ticks_ms()``, at most six days apart."""
    return (now - then) & TICKS_MASK
