"""A second decoder, slow and obvious, written from docs/bitstream.md and from nothing else.

It takes a *case*: a dictionary as in ``tests/golden/streams``, with the grid, the steps, the tables
and the checkpoint's id.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Any

Case = dict[str, Any]


class NotCodedError(Exception):
    """The page calls these bytes an error."""


class Picture:
    """What is known of a picture: for each channel, in scan order, values and their shifts."""

    def __init__(self, case: Case) -> None:
        num_positions = case["height"] * case["width"]
        self.values = [[0] * num_positions for _ in range(case["num_channels"])]
        self.shifts = [[8] * num_positions for _ in range(case["num_channels"])]


class Run:
    """The interval of a range coder, in integers without limit, against the bytes of a run."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.lower = 0
        self.range = 2**64 - 1
        self.num_bits = 64

    def next_symbol(self, begins: list[int]) -> int | None:
        known = self.data[: self.num_bits // 8]
        unknown = self.num_bits - 8 * len(known)
        first = int.from_bytes(known, "big") << unknown
        last = first + 2**unknown - 1
        scale = self.range >> 24
        for symbol in range(len(begins) - 1):
            begin = self.lower + scale * begins[symbol]
            end = self.lower + scale * begins[symbol + 1]
            if begin <= first and last < end:
                self.lower, self.range = begin, end - begin
                if self.range < 2**32:
                    self.lower <<= 32
                    self.range <<= 32
                    self.num_bits += 32
                return symbol
        if unknown == 0:
            raise NotCodedError("no encoder writes such bytes")
        return None

    def check_end(self) -> None:
        word = (self.lower + 2**32 - 1) >> 32
        sealed = word.to_bytes((self.num_bits - 32) // 8, "big")
        if (self.lower + self.range) >> 32 == word:
            sealed += bytes(4)
        if not sealed.startswith(self.data):
            raise NotCodedError("surplus bytes")


def lefts(table: list[int]) -> list[int]:
    """Where each symbol begins, and at last ``2**24``."""
    begins, total = [], 0
    for symbol, frequency in enumerate([*table, 0]):
        begins.append(total * (2**24 - len(table)) // 2**16 + symbol)
        total += frequency
    return begins


def checkpoint_id(case: Case, encoder: bytes, tables: bytes) -> str:
    hashes = f'"{sha256(encoder).hexdigest()}", "{sha256(tables).hexdigest()}"'
    grid = f"{case['height']}, {case['width']}, {case['num_channels']}, {case['zero_point']}"
    steps = ", ".join(f"[{channel}, {shift}]" for channel, shift in case["steps"])
    return sha256(f"[{hashes}, {grid}, [{steps}]]".encode()).hexdigest()[:8]


def scan_order(case: Case) -> list[int]:
    height, width = case["height"], case["width"]

    def rank(number: int) -> tuple[int, int, int]:
        row, column = number // width, number % width
        level = max(step for step in (8, 4, 2, 1) if row % step == 0 and column % step == 0)
        distance = (2 * row - height + 1) ** 2 + (2 * column - width + 1) ** 2
        return -level, distance, number

    return sorted(range(height * width), key=rank)


def decode_run(case: Case, picture: Picture, place: int, data: bytes) -> list[int]:
    """Decode a run into a picture; the symbols in coded order come back."""
    run = Run(data)
    symbols: list[int] = []
    num_positions = case["height"] * case["width"]
    top = max(case["zero_point"], 255 - case["zero_point"])
    reached = [8] * case["num_channels"]
    for index, (channel, shift) in enumerate(case["steps"]):
        from_shift, reached[channel] = reached[channel], shift
        if index < place // num_positions:
            continue
        values, shifts = picture.values[channel], picture.shifts[channel]
        if max(shifts) > from_shift:
            return symbols
        num_bits = from_shift - shift
        largest = min(2**num_bits - 1, top >> shift)
        old = [
            sign(value) * (abs(value) >> (from_shift - known))
            for value, known in zip(values, shifts, strict=True)
        ]
        significance = lefts(case["priors"][index]["significance"])
        refinement = lefts(case["priors"][index]["refinement"] or [])
        zeros = [position for position in range(num_positions) if old[position] == 0]
        others = [position for position in range(num_positions) if old[position] != 0]
        for offset, position in enumerate(zeros + others):
            if index * num_positions + offset < place:
                continue
            if old[position] == 0:
                symbol = run.next_symbol(significance)
                new = None if symbol is None else symbol - (largest if case["zero_point"] else 0)
            else:
                symbol = run.next_symbol(refinement)
                new = (
                    None
                    if symbol is None
                    else sign(old[position]) * (abs(old[position]) * 2**num_bits + symbol)
                )
            if symbol is None or new is None:
                return symbols
            symbols.append(symbol)
            if shifts[position] > shift:
                values[position], shifts[position] = new, shift
    run.check_end()
    return symbols


def sign(value: int) -> int:
    return (value > 0) - (value < 0)


def decode_stream(case: Case, stream: bytes) -> tuple[Picture, list[int]]:
    header = b"\xc1" + bytes.fromhex(case["checkpoint_id"])[:3]
    if stream[:4] != header[: len(stream)] or len(stream) > 131072:
        raise NotCodedError("another version, another checkpoint, or no stream")
    picture = Picture(case)
    return picture, decode_run(case, picture, 0, stream[4:])


def decode_packets(case: Case, packets: Iterable[bytes]) -> Picture:
    runs = set()
    for packet in packets:
        if packet[:3] != b"\xd1" + bytes.fromhex(case["checkpoint_id"])[:2]:
            raise NotCodedError("another version, another checkpoint, or no packet")
        place, rest = 0, packet[3:]
        for index in range(4):
            if index == len(rest):
                raise NotCodedError("the place does not end")
            place += (rest[index] & 0x7F) << 7 * index
            if rest[index] < 0x80:
                rest = rest[index + 1 :]
                break
        else:
            raise NotCodedError("the place does not end")
        if place >= len(case["steps"]) * case["height"] * case["width"]:
            raise NotCodedError("the place is beyond the picture")
        runs.add((place, rest))
    if len(runs) > 4096:
        raise NotCodedError("too many packets")
    picture = Picture(case)
    for place, run in sorted(runs):
        decode_run(case, picture, place, run)
    return picture
