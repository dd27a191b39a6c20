"""Packets: a stream in pieces, and repairs that make up for lost ones.

A piece needs those before it. Where a link loses packets, repairs (:mod:`pnc.codec.erasure`) come
between the pieces: each gives back any one that was lost before it. Layout in docs/bitstream.md.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from pnc.codec import erasure
from pnc.codec.bitstream import HEADER_BYTES, MAGIC, MAX_STREAM_BYTES, VERSION
from pnc.errors import BitstreamError, ConfigError, CorruptBitstreamError

PACKET_MAGIC = 0xD0 | VERSION
"""First byte of a packet."""

_TAG_BYTES = 2
"""First bytes of the checkpoint's id in each packet: one foreign packet in 65,536 slips through."""

_HEADER = struct.Struct(f">B{_TAG_BYTES}sH")

PACKET_HEADER_BYTES = _HEADER.size
"""Magic, checkpoint, number."""

REPAIR = 0x8000
"""Added to the number of a repair."""

MIN_MTU_BYTES = 32
"""Below this the header would be more than a sixth of a packet."""

MAX_PIECES = 1 << 9
"""Pieces of one picture at most: 14 KB in the smallest packets; bounds the work."""

MAX_PACKETS = 2 * MAX_PIECES
"""Packets of one picture at most: its pieces and a repair for each."""


def packetize(
    stream: bytes, mtu_bytes: int, max_bytes: int | None = None, *, redundancy: float = 0.0
) -> list[bytes]:
    """Cut a stream into packets in priority order, as far as :data:`MAX_PIECES` reach.

    Args:
        stream: as of :func:`pnc.codec.bitstream.encode_stream`, or a prefix of one.
        mtu_bytes: largest packet.
        max_bytes: all packets together; the whole stream if absent.
        redundancy: repairs for each piece, 0 to 1.

    Raises:
        ConfigError: the MTU is too small or the redundancy impossible.
    """
    header, bits = stream[:HEADER_BYTES], stream[HEADER_BYTES:]
    return list(iter_packets(header, [bits], mtu_bytes, max_bytes, redundancy=redundancy))


def iter_packets(
    header: bytes,
    parts: Iterable[bytes],
    mtu_bytes: int,
    max_bytes: int | None = None,
    *,
    redundancy: float = 0.0,
) -> Iterator[bytes]:
    """As :func:`packetize`, each packet as soon as what it holds is coded.

    Args:
        header: of the stream.
        parts: what follows it, in parts of any length.
        mtu_bytes, max_bytes, redundancy: as there.

    Raises:
        ConfigError: as there.
    """
    check_packets(mtu_bytes, redundancy)
    tag = header[1 : 1 + _TAG_BYTES]
    size = mtu_bytes - PACKET_HEADER_BYTES
    pieces: list[bytes] = []
    num_left = MAX_PACKETS * mtu_bytes if max_bytes is None else max_bytes
    for number, piece in zip(range(MAX_PIECES), _cut(parts, size), strict=False):
        pieces.append(piece)
        room = num_left - PACKET_HEADER_BYTES
        if room <= 0:
            break
        packet = _HEADER.pack(PACKET_MAGIC, tag, number) + piece[:room]
        num_left -= len(packet)
        yield packet
        is_due = int((number + 1) * redundancy) > int(number * redundancy)
        if is_due and len(piece) == size and num_left >= mtu_bytes:
            repair = erasure.repair(pieces, number)
            yield _HEADER.pack(PACKET_MAGIC, tag, REPAIR | number) + repair
            num_left -= PACKET_HEADER_BYTES + len(repair)


def _cut(parts: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Pieces of equal size, and a last one with what is left."""
    waiting = b""
    for part in parts:
        waiting += part
        while len(waiting) >= size:
            yield waiting[:size]
            waiting = waiting[size:]
    if waiting:
        yield waiting


def join_packets(checkpoint_id: str, packets: Iterable[bytes]) -> bytes:
    """The beginning of a stream that packets tell, any subset in any order, repeated ones included.

    Args:
        checkpoint_id: eight hexadecimal digits.
        packets: those that arrived, of one picture.

    Returns:
        A prefix of the stream that was cut, at least its header.

    Raises:
        BitstreamError: a packet is of another checkpoint or version.
        CorruptBitstreamError: one is no packet, or they cannot be of one picture.
    """
    pieces: dict[int, bytes] = {}
    repairs: dict[int, bytes] = {}
    for count, packet in enumerate(packets):
        if count >= MAX_PACKETS:
            raise CorruptBitstreamError(
                f"corrupt packets: more than {MAX_PACKETS}, the most that a picture can have"
            )
        number, payload = parse_packet(checkpoint_id, packet)
        found = repairs if number & REPAIR else pieces
        if len(payload) > len(found.get(number & ~REPAIR, b"")):
            found[number & ~REPAIR] = payload
    size = max(map(len, [*pieces.values(), *repairs.values()]), default=0)
    if max([*pieces, *repairs], default=0) * size > MAX_STREAM_BYTES:
        raise CorruptBitstreamError(
            f"corrupt packets: of a stream of more than {MAX_STREAM_BYTES} bytes"
        )
    if any(len(repair) < size for repair in repairs.values()):
        raise CorruptBitstreamError("corrupt packets: a repair is shorter than a piece")
    if repairs:
        whole = {number: piece for number, piece in pieces.items() if len(piece) == size}
        pieces |= erasure.recover(whole, repairs)
    header = bytes([MAGIC]) + bytes.fromhex(checkpoint_id)[: HEADER_BYTES - 1]
    return (header + _beginning(pieces, size))[:MAX_STREAM_BYTES]


def _beginning(pieces: dict[int, bytes], size: int) -> bytes:
    """What pieces tell without a gap from the first one on; a short one is the last."""
    joined = bytearray()
    for number in range(len(pieces)):
        piece = pieces.get(number, b"")
        joined += piece
        if len(piece) < size:
            break
    return bytes(joined)


def parse_packet(checkpoint_id: str, packet: bytes) -> tuple[int, bytes]:
    """Split a packet into its number, :data:`REPAIR` added for a repair, and what it carries.

    Raises:
        BitstreamError: the packet is of another checkpoint or version.
        CorruptBitstreamError: it is no packet.
    """
    if not packet or packet[0] & 0xF0 != PACKET_MAGIC & 0xF0:
        raise CorruptBitstreamError("corrupt packet: it does not begin with PNC's packet byte")
    if packet[0] != PACKET_MAGIC:
        raise BitstreamError(
            f"the packet has bitstream version {packet[0] & 0x0F}, this PNC reads version "
            f"{VERSION}; use the same release on both sides",
            version=packet[0] & 0x0F,
        )
    if len(packet) < PACKET_HEADER_BYTES:
        raise CorruptBitstreamError(f"corrupt packet: {len(packet)} bytes are no header")
    _, tag, number = _HEADER.unpack_from(packet)
    if tag.hex() != checkpoint_id[: 2 * _TAG_BYTES]:
        raise BitstreamError(
            f"the packet was made by checkpoint {tag.hex()}..., this one is {checkpoint_id}; "
            "load the checkpoint that the device uses",
            checkpoint_id=tag.hex(),
        )
    if number & ~REPAIR >= MAX_PIECES:
        raise CorruptBitstreamError(f"corrupt packet: a picture has at most {MAX_PIECES} pieces")
    return number, packet[PACKET_HEADER_BYTES:]


def check_packets(mtu_bytes: int, redundancy: float = 0.0) -> None:
    """Refuse packets that cannot be.

    Raises:
        ConfigError: the MTU is below :data:`MIN_MTU_BYTES` or the redundancy not 0 to 1.
    """
    if mtu_bytes < MIN_MTU_BYTES:
        raise ConfigError(f"MTU of {mtu_bytes} bytes: packets need at least {MIN_MTU_BYTES}")
    if not 0 <= redundancy <= 1:
        raise ConfigError(f"redundancy of {redundancy:g}: give repairs for each piece, 0 to 1")
