"""The bridge's pipe, light and counts on CPython."""

from __future__ import annotations

import gc
import random
import tracemalloc

import pytest

from device.firmware.bridge_core import (
    COUNT_MASK,
    TICKS_MASK,
    CountLine,
    Light,
    Pipe,
    advertisement,
    advertises,
    ticks_since,
)
from tests.firmware import exercise
from tests.firmware.fakes import FIRMWARE

MAX_SOURCE_BYTES = 24 * 1024
"""A board's drive is small and its compiler works in memory."""


def put(pipe: Pipe, data: bytes) -> int:
    view = pipe.inlet()
    length = min(len(data), len(view))
    view[:length] = data[:length]
    pipe.took(length)
    return length


def take(pipe: Pipe, at_most: int | None = None) -> bytes:
    view = pipe.outlet()
    if view is None:
        return b""
    data = bytes(view[:at_most])
    pipe.gave(len(data))
    return data


def take_all(pipe: Pipe) -> bytes:
    return b"".join(iter(lambda: take(pipe), b""))


def frames(count: int, seed: int, longest: int = 40) -> list[bytes]:
    dice = random.Random(seed)
    lengths = [dice.randint(3, longest) for _ in range(count)]
    return [
        number.to_bytes(2, "big").replace(b"\0", b"\xff")
        + bytes(dice.randint(1, 255) for _ in range(length))
        for number, length in enumerate(lengths, 1)
    ]


def open_pipe(size: int = 16, depth: int = 4, limit: int | None = None) -> Pipe:
    pipe = Pipe(size, depth)
    pipe.open(size if limit is None else limit)
    return pipe


def test_all_firmware_together_is_small() -> None:
    sizes = {path.name: path.stat().st_size for path in FIRMWARE.glob("*.py")}
    assert set(sizes) == {"boot.py", "bridge_core.py", "code.py"}
    assert sum(sizes.values()) <= MAX_SOURCE_BYTES


def test_the_core_imports_only_what_all_three_have() -> None:
    text = (FIRMWARE / "bridge_core.py").read_text(encoding="utf-8")
    imports = [line for line in text.splitlines() if line.lstrip().startswith(("import", "from"))]
    assert imports == ["from struct import pack_into"]


def test_bytes_come_out_as_they_went_in_after_a_zero() -> None:
    pipe = open_pipe()
    assert put(pipe, b"abc\0def") == 7
    assert put(pipe, b"") == 0
    assert put(pipe, b"\0") == 1
    assert take_all(pipe) == b"\0abc\0def\0"
    assert pipe.is_empty()
    assert (pipe.moved, pipe.lost, pipe.unheard) == (9, 0, 0)


def test_a_writer_that_takes_a_part_gets_the_rest() -> None:
    pipe = open_pipe()
    put(pipe, b"abcdefgh\0")
    assert take(pipe) == b"\0"
    assert [take(pipe, 3), take(pipe, 3), take(pipe, 3), take(pipe)] == [
        b"abc",
        b"def",
        b"gh\0",
        b"",
    ]


@pytest.mark.parametrize("refused", [0, -1])
def test_a_writer_that_takes_nothing_is_offered_the_same_again(refused: int) -> None:
    pipe = open_pipe()
    put(pipe, b"abc\0")
    take(pipe)
    for _ in range(3):
        view = pipe.outlet()
        assert view is not None
        assert bytes(view) == b"abc\0"
        pipe.gave(refused)
    assert pipe.moved == 1


@pytest.mark.parametrize("nothing", [0, -1, -200])
def test_a_read_of_nothing_or_of_too_long_a_packet_changes_nothing(nothing: int) -> None:
    pipe = open_pipe()
    pipe.inlet()
    pipe.took(nothing)
    assert pipe.is_empty()


def test_reads_and_writes_keep_to_the_limit_of_the_link() -> None:
    pipe = open_pipe(size=244, limit=20)
    assert len(pipe.inlet()) == 20
    put(pipe, b"x" * 100)
    take(pipe)
    assert len(take(pipe)) == 20
    pipe.open(1000)
    assert pipe.limit == len(pipe.inlet()) == 244


def test_a_full_pipe_says_so_and_the_writer_can_wait() -> None:
    pipe = open_pipe(depth=3)
    assert put(pipe, b"one\0")
    assert put(pipe, b"two\0")
    assert not pipe.has_room()
    assert take(pipe) == b"\0"
    assert pipe.has_room()
    put(pipe, b"three\0")
    assert take_all(pipe) == b"one\0two\0three\0"
    assert pipe.lost == 0


def test_what_finds_no_room_is_counted_and_the_next_whole_frame_follows() -> None:
    pipe = open_pipe(depth=3)
    put(pipe, b"one\0tw")
    put(pipe, b"o\0three\0")
    put(pipe, b"fo")
    assert take_all(pipe) == b"\0one\0two\0three\0"
    put(pipe, b"ur\0five\0")
    assert pipe.lost == 2 + 3
    assert take_all(pipe) == b"\0five\0"


def test_a_frame_cut_off_is_ended_before_the_next() -> None:
    pipe = open_pipe(depth=3)
    put(pipe, b"one\0")
    put(pipe, b"tw")
    put(pipe, b"o\0")
    assert take_all(pipe) == b"\0one\0tw"
    put(pipe, b"three\0")
    assert take_all(pipe) == b"\0three\0"


def test_the_rest_of_a_lost_frame_is_dropped_over_many_reads() -> None:
    pipe = open_pipe(size=4, depth=2)
    put(pipe, b"aaaa")
    put(pipe, b"aaaa")
    assert take_all(pipe) == b"\0aaaa"
    for piece in (b"aaaa", b"aaaa", b"aa\0"):
        put(pipe, piece)
        assert pipe.is_empty()
    put(pipe, b"b\0")
    assert take_all(pipe) == b"\0b\0"
    assert pipe.lost == 4 + 4 + 4 + 3


def test_nothing_old_comes_out_of_a_pipe_that_was_closed() -> None:
    pipe = open_pipe()
    put(pipe, b"old\0ol")
    assert take(pipe) == b"\0"
    assert take(pipe, 2) == b"ol"
    pipe.close()
    assert pipe.outlet() is None
    put(pipe, b"d\0unheard\0unhe")
    assert pipe.unheard == 4 + 14
    pipe.open(16)
    put(pipe, b"ard\0new\0")
    assert take_all(pipe) == b"\0new\0"


def test_frames_are_lost_only_with_bytes_of_theirs() -> None:
    for seed in range(25):
        dice = random.Random(seed)
        sent = frames(120, seed)
        data = b"\0".join(sent) + b"\0"
        pipe = open_pipe(size=16, depth=dice.choice([2, 3, 8]))
        dropped = bytearray(len(data))
        start, out = 0, bytearray()
        while start < len(data):
            if dice.random() < dice.choice([0.5, 0.7]):
                kept = pipe.has_room()
                length = put(pipe, data[start : start + dice.randint(1, 16)])
                dropped[start : start + length] = bytes([not kept]) * length
                start += length
            else:
                out += take(pipe, dice.randint(1, 16))
        out += take_all(pipe)
        arrived = set(bytes(out).split(b"\0"))
        position = 0
        for frame in sent:
            touched = any(dropped[position : position + len(frame) + 1])
            assert touched or frame in arrived
            position += len(frame) + 1
        assert any(dropped)
        assert len(arrived & set(sent)) > 10


def test_a_link_that_comes_and_goes_costs_the_frames_on_the_way() -> None:
    for seed in range(40):
        dice = random.Random(seed)
        pipe = open_pipe(size=16, depth=3)
        out, begun = bytearray(), False
        whole: list[bytes] = []
        for frame in frames(80, seed):
            data, cut = frame + b"\0", False
            while data:
                if dice.random() < 0.02:
                    pipe.close()
                    cut, whole = True, []
                    out.clear()
                if dice.random() < 0.3 and not pipe.limit:
                    pipe.open(16)
                    begun = True
                    cut = cut or len(data) < len(frame) + 1
                if pipe.has_room() or not pipe.limit:
                    cut = cut or not pipe.limit
                    data = data[put(pipe, data[: dice.randint(1, 16)]) :]
                out += take(pipe)
            if not cut:
                whole.append(frame)
        out += take_all(pipe)
        assert begun
        arrived = bytes(out).split(b"\0")
        assert [frame for frame in arrived if frame in whole] == whole


def test_counts_wrap_before_they_become_objects() -> None:
    pipe = open_pipe()
    pipe.moved = COUNT_MASK
    put(pipe, b"ab")
    take_all(pipe)
    assert pipe.moved == 2


def test_nothing_is_allocated_once_the_pipe_is_open() -> None:
    pipe, light, line = open_pipe(244, 8, 244), Light(), CountLine("x", ("a", "b"))
    data = bytearray(b"a" * 243 + b"\0")

    def turn(number: int) -> None:
        pipe.inlet()[:] = data
        pipe.took(244 if number % 3 else 100)
        waiting = pipe.outlet()
        if number % 5 and waiting is not None:
            pipe.gave(min(100, len(waiting)))
        light.lit(number, True, True, pipe.moved, pipe.lost)
        line.put(0, pipe.moved)

    def grown(loops: int) -> int:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(loops):
            turn(number)
        return tracemalloc.get_traced_memory()[0] - before

    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        grown(1000)
        assert grown(1000) < 256
        assert gc.get_count()[0] < gc.get_threshold()[0]
    finally:
        tracemalloc.stop()
        gc.enable()


def lit_ms(light: Light, start: int, **state: bool) -> int:
    moved = lost = 0
    count = 0
    for now in range(start, start + 1000):
        moved += state.get("moving", False) and now % 20 == 0
        lost += state.get("losing", False) and now % 100 == 0
        count += light.lit(now, state["linked"], state.get("hosted", True), moved, lost)
    return count


def test_the_light_tells_its_states_apart() -> None:
    light = Light()
    shares = [
        lit_ms(light, 0, linked=False),
        lit_ms(light, 1000, linked=True, hosted=False),
        lit_ms(light, 2000, linked=True),
        lit_ms(light, 3000, linked=True, moving=True),
        lit_ms(light, 6000, linked=True, moving=True, losing=True),
    ]
    assert shares == pytest.approx([100, 200, 1000, 750, 500], abs=60)


def test_the_light_rests_when_nothing_moves_any_more() -> None:
    light = Light()
    assert {light.lit(now, True, True, now, 0) for now in range(1000)} == {True, False}
    assert all(light.lit(now, True, True, 999, 0) for now in range(1200, 2000))


def test_time_goes_on_where_the_ticks_wrap() -> None:
    assert ticks_since(TICKS_MASK, 4) == 5
    assert ticks_since(10, 25) == 15


def test_the_line_of_counts_is_written_in_its_place() -> None:
    line = CountLine("pnc-bridge 1", ("up", "lost"))
    before = line.line
    line.put(0, 12)
    line.put(1, COUNT_MASK)
    assert line.line is before
    assert bytes(line.line) == b"pnc-bridge 1 up=000000012 lost=536870911\r\n"
    line.put(1, 0)
    assert bytes(line.line).endswith(b"lost=000000000\r\n")


def test_a_name_is_found_in_what_is_advertised() -> None:
    data = advertisement(1, b"\x06") + advertisement(9, b"pnc-bridge")
    assert data == b"\x02\x01\x06\x0b\x09pnc-bridge"
    assert advertises(data, (8, 9), b"pnc-bridge")
    assert not advertises(data, (8, 9), b"pnc")
    assert not advertises(data, (7,), b"pnc-bridge")


def test_any_advertising_data_is_read_without_harm() -> None:
    dice = random.Random(3)
    for _ in range(3000):
        data = dice.randbytes(dice.randint(0, 31))
        assert not advertises(data, (8, 9), b"pnc-bridge")
    assert not advertises(bytes(31), (8, 9), b"pnc-bridge")


def test_random_lives_of_pipes_end_well() -> None:
    assert len(exercise.run(10**6, 200, 100)) == 2
    assert exercise.other_parts() == exercise.other_parts()
