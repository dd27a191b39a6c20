"""Random reads, writes and faults for the bridge's core; runs on MicroPython and CPython alike.

Imports nothing but ``bridge_core``. The dice are Wichmann and Hill's (1982), whose every step fits
in a small integer, so that both interpreters throw the same.
"""

try:
    from device.firmware.bridge_core import CountLine, Light, Pipe, advertisement, advertises
except ImportError:
    from bridge_core import (  # type: ignore[no-redef]
        CountLine,
        Light,
        Pipe,
        advertisement,
        advertises,
    )

STEPS = 24
"""Things that happen in one sequence."""

TURNS = 200
"""Of reading and writing, within which what was put in has to come out."""


class Dice:
    """Numbers at random, by a seed."""

    def __init__(self, seed: int) -> None:
        self._a = 1 + seed % 30268
        self._b = 1 + (seed // 7) % 30306
        self._c = 1 + (seed // 49) % 30322

    def roll(self, sides: int) -> int:
        """0 to ``sides`` - 1."""
        self._a = 171 * self._a % 30269
        self._b = 172 * self._b % 30307
        self._c = 170 * self._c % 30323
        return (self._a + self._b + self._c) % sides


def put(pipe: Pipe, data: bytes, start: int, length: int) -> int:
    """Put at most ``length`` bytes in, as a read would; returns how many it were."""
    view = pipe.inlet()
    length = min(length, len(view), len(data) - start)
    for index in range(length):
        view[index] = data[start + index]
    pipe.took(length)
    return length


def settle(pipe: Pipe, frame: bytes) -> bytes:
    """Put a frame in and take out all there is; raises if it gets stuck."""
    out = bytearray()
    start = 0
    for _ in range(TURNS):
        if start < len(frame) and pipe.has_room():
            start += put(pipe, frame, start, len(frame))
        view = pipe.outlet()
        if view is not None:
            out += view
            pipe.gave(len(view))
        elif start == len(frame):
            return bytes(out)
    raise RuntimeError("stuck")


def sequence(seed: int) -> int:
    """One pipe's life; returns a checksum of all that came out and of all counts."""
    dice = Dice(seed)
    size, depth = 3 + dice.roll(12), 2 + dice.roll(3)
    pipe = Pipe(size, depth)
    data = bytes([dice.roll(5) and 1 + dice.roll(255) for _ in range(160)])
    start = check = 0
    waits_for_room = dice.roll(2)
    for _ in range(STEPS):
        what = dice.roll(16)
        if what == 0:
            pipe.open(1 + dice.roll(size + 2))
        elif what == 1:
            pipe.close()
        elif what < 9:
            if pipe.has_room() or not waits_for_room:
                start += put(pipe, data, start, dice.roll(size + 1))
        else:
            view = pipe.outlet()
            if view is not None:
                if len(view) == 0 or len(view) > pipe.limit:
                    raise RuntimeError("an outlet of the wrong size")
                taken = dice.roll(len(view) + 2) - 1
                for index in range(taken):
                    check = (check * 31 + view[index] + 1) & 0xFFFFFF
                pipe.gave(taken)
    if pipe.limit == 0:
        pipe.open(size)
    frame = bytes([1 + dice.roll(255) for _ in range(1 + dice.roll(2 * size))]) + b"\0"
    settle(pipe, b"\0")
    out = settle(pipe, frame)
    if out[-len(frame) :] != frame or not pipe.is_empty():
        raise RuntimeError("a whole frame did not come out")
    for number in (len(out), pipe.moved, pipe.lost, pipe.unheard):
        check = (check * 31 + number) & 0xFFFFFF
    return check


def other_parts() -> int:
    """Light, line of counts, advertising data: a checksum of what they give."""
    dice = Dice(1)
    light, line = Light(), CountLine("x", ("a", "bc"))
    check = now = moved = lost = 0
    for step in range(3000):
        now = (now + dice.roll(90)) & 0x1FFFFFFF
        moved += dice.roll(2)
        lost += dice.roll(20) == 0
        linked, hosted = step % 500 > 100, step % 300 > 100
        check = (check * 3 + light.lit(now, linked, hosted, moved, lost)) & 0xFFFFFF
        line.put(step % 2, moved * 1000)
    for byte in line.line:
        check = (check * 31 + byte) & 0xFFFFFF
    data = advertisement(1, b"\x06") + advertisement(9, b"pnc-bridge")
    if not advertises(data, (8, 9), b"pnc-bridge") or advertises(data, (8, 9), b"pnc"):
        raise RuntimeError("the name was not found")
    for cut in range(len(data)):
        if advertises(data[:cut], (8, 9), b"pnc-bridge"):
            raise RuntimeError("half a name was found")
    return check


def run(first: int, count: int, chunk: int) -> list[int]:
    """Checksums after every ``chunk`` sequences, the seeds counting up from ``first``."""
    check, checks = 0, []
    for done in range(1, count + 1):
        check = (check * 31 + sequence(first + done - 1)) & 0xFFFFFF
        if done % chunk == 0:
            checks.append(check)
    return checks


def allocated(loops: int) -> int:
    """Bytes the heap grows by in ``loops`` turns of all that happens in the loop; MicroPython."""
    import gc

    pipe, light, line = Pipe(64, 3), Light(), CountLine("x", ("a", "bc"))
    pipe.open(64)
    data = bytes([1 + index % 90 for index in range(63)]) + b"\0"

    def turn(number: int) -> None:
        if pipe.has_room() or number % 7 == 0:
            view = pipe.inlet()
            for index in range(64):
                view[index] = data[index]
            pipe.took(64 if number % 3 else 40)
        waiting = pipe.outlet()
        if waiting is not None:
            pipe.gave(number % 5 and len(waiting) // (number % 5))
        light.lit(number * 10, True, number % 2 == 0, pipe.moved, pipe.lost)
        line.put(0, pipe.moved)

    turn(1)
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()  # type: ignore[attr-defined]
    number = 0
    while number < loops:
        turn(number)
        number += 1
    grown = int(gc.mem_alloc() - before)  # type: ignore[attr-defined]
    gc.enable()
    return grown
