"""Packets: a stream cut so that each piece decodes on its own or names what it needs.

A packet is a header and a run (see :mod:`pnc.codec.entropy.coder`) that starts at the first symbol
which the packet before it left undetermined. It needs only the coarser layers of the channels that
it carries. Where one of these is missing it ends early, and no other packet is spoiled. Layout in
docs/bitstream.md.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

from pnc.codec.bitstream import MAX_STREAM_BYTES, VERSION
from pnc.codec.entropy.coder import (
    code_picture,
    count_arrived,
    cut_picture,
    decode_run,
    encode_packet_run,
)
from pnc.codec.entropy.prior import LayerPrior
from pnc.codec.layers import Knowledge, LayerPlan
from pnc.errors import BitstreamError, ConfigError, CorruptBitstreamError

PACKET_MAGIC = 0xD0 | VERSION
"""First byte of a packet."""

TAG_BYTES = 2
"""First bytes of the checkpoint's id in each packet: one foreign packet in 65,536 slips through."""

MAX_VARINT_BYTES = 4
"""Bytes of a symbol's place at most, 28 bits: 1024 layers of 4096 positions need 22."""

MIN_MTU_BYTES = 32
"""Below this the header would be more than a fifth of a packet."""

MAX_PACKETS = 4096
"""Packets of one picture at most: the longest stream in the smallest packets."""

MAX_OVERLAP = 4
"""Times that packets may code a picture's symbols, 1 where they are of one cut: bounds the work."""


def packetize_knowledge(
    plan: LayerPlan,
    priors: Sequence[LayerPrior],
    checkpoint_id: str,
    source: Knowledge,
    num_symbols: int,
    mtu_bytes: int,
    max_bytes: int | None = None,
) -> list[bytes]:
    """Cut the first ``num_symbols`` coded symbols of a picture into packets.

    Args:
        plan, priors: the checkpoint's layers and their tables.
        checkpoint_id: eight hexadecimal digits.
        source: all values of the picture at the precision that the symbols reach.
        num_symbols: how far the stream goes.
        mtu_bytes: largest packet.
        max_bytes: all packets together; no limit if absent.

    Returns:
        Packets in priority order.

    Raises:
        ConfigError: ``mtu_bytes`` is below :data:`MIN_MTU_BYTES`.
    """
    if mtu_bytes < MIN_MTU_BYTES:
        raise ConfigError(f"MTU of {mtu_bytes} bytes: packets need at least {MIN_MTU_BYTES}")
    tag = bytes([PACKET_MAGIC]) + bytes.fromhex(checkpoint_id)[:TAG_BYTES]
    picture = cut_picture(plan, code_picture(plan, priors, source), num_symbols)
    packets: list[bytes] = []
    start = 0
    num_left = MAX_PACKETS * mtu_bytes if max_bytes is None else max_bytes
    while start < num_symbols and num_left >= MIN_MTU_BYTES:
        header = tag + encode_varint(start)
        size = min(mtu_bytes, num_left) - len(header)
        run, num_arrived = encode_packet_run(plan, picture, start, size)

        def reach(num_bytes: int, run: bytes = run, start: int = start) -> int:
            return start + count_arrived(plan, picture, start, run[:num_bytes])

        end = start + num_arrived
        if end >= num_symbols:
            cut = bisect_right(range(len(run) + 1), num_symbols, key=reach) - 1
            end = reach(cut)
            run = run[: bisect_left(range(cut), end, key=reach)]
        if end == start:
            break
        packets.append(header + run)
        num_left -= len(packets[-1])
        start = end
    return packets


def decode_packet_set(
    plan: LayerPlan, priors: Sequence[LayerPrior], checkpoint_id: str, packets: Iterable[bytes]
) -> Knowledge:
    """Decode any subset of a picture's packets in any order, repeated ones included.

    Args:
        plan, priors: the checkpoint's layers and their tables.
        checkpoint_id: eight hexadecimal digits.
        packets: those that arrived.

    Raises:
        BitstreamError: a packet is of another checkpoint or version.
        CorruptBitstreamError: one is no packet, or they cannot be of one picture.
    """
    runs: set[tuple[int, bytes]] = set()
    for packet in packets:
        runs.add(parse_packet(plan, checkpoint_id, packet))
        if len(runs) > MAX_PACKETS:
            raise CorruptBitstreamError(
                f"corrupt packets: more than {MAX_PACKETS}, the most that a picture can have"
            )
    knowledge = Knowledge(plan)
    num_symbols = 0
    for start, run in sorted(runs):
        num_symbols += decode_run(plan, priors, knowledge, start, run)
        if num_symbols > MAX_OVERLAP * plan.num_symbols:
            raise CorruptBitstreamError("corrupt packets: they code the same symbols repeatedly")
    return knowledge


def parse_packet(plan: LayerPlan, checkpoint_id: str, packet: bytes) -> tuple[int, bytes]:
    """Split a packet into the place of its first symbol and its run.

    Raises:
        BitstreamError: the packet is of another checkpoint or version.
        CorruptBitstreamError: it is no packet.
    """
    if not packet or packet[0] & 0xF0 != PACKET_MAGIC & 0xF0:
        raise CorruptBitstreamError("corrupt packet: it does not begin with PNC's packet byte")
    if len(packet) > MAX_STREAM_BYTES:
        raise CorruptBitstreamError(
            f"corrupt packet: {len(packet)} bytes, at most {MAX_STREAM_BYTES} are possible"
        )
    if packet[0] != PACKET_MAGIC:
        raise BitstreamError(
            f"the packet has bitstream version {packet[0] & 0x0F}, this PNC reads version "
            f"{VERSION}; use the same release on both sides",
            version=packet[0] & 0x0F,
        )
    tag = packet[1 : 1 + TAG_BYTES].hex()
    if len(tag) == 2 * TAG_BYTES and tag != checkpoint_id[: 2 * TAG_BYTES]:
        raise BitstreamError(
            f"the packet was made by checkpoint {tag}..., this one is {checkpoint_id}; "
            "load the checkpoint that the device uses",
            checkpoint_id=tag,
        )
    start, rest = decode_varint(packet[1 + TAG_BYTES :])
    if start >= plan.num_symbols:
        raise CorruptBitstreamError(
            f"corrupt packet: it starts at symbol {start} of {plan.num_symbols}"
        )
    return start, rest


def encode_varint(value: int) -> bytes:
    """Seven bits a byte, least significant first, the top bit set on all but the last."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_varint(data: bytes) -> tuple[int, bytes]:
    """The number at the start of ``data`` and what follows it.

    Raises:
        CorruptBitstreamError: the number is cut or too long.
    """
    value = 0
    for index, byte in enumerate(data[:MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, data[index + 1 :]
    raise CorruptBitstreamError("corrupt packet: the place of its first symbol is cut or too long")
