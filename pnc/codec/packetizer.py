"""Packets: pieces of a picture of which a lost one costs no more than what it carried and later.

A picture's packets are pieces of *chains*: either one chain for the whole picture, for links that
lose nothing, or one for each of the four regions (:mod:`pnc.codec.regions`). A packet names its
chain and the place where it starts there. It needs the packets before it in the same chain, and
nothing of any other. Layout in docs/bitstream.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from pnc.codec.bitstream import MAX_STREAM_BYTES, VERSION
from pnc.codec.plan import CodingPlan
from pnc.codec.plane_coder import Knowledge, decode_planes, encode_planes
from pnc.codec.planes import PlanePlan
from pnc.codec.regions import NUM_REGIONS
from pnc.errors import BitstreamError, ConfigError, CorruptBitstreamError

PACKET_MAGIC = 0xD0 | VERSION
"""First byte of a packet."""

TAG_BYTES = 2
"""First bytes of the checkpoint's id in each packet: one foreign packet in 65,536 slips through."""

NUM_CHAINS = 1 + NUM_REGIONS
"""Chain 0 is the whole picture, the others are the regions."""

MAX_VARINT_BYTES = 3
"""Bytes of a packet's place at most, 21 bits: five chains of 131,072 bytes need 20."""

MIN_MTU_BYTES = 32
"""Below this the header would be more than a sixth of a packet."""

MAX_PACKETS = 4096
"""Packets of one picture at most: the longest stream in the smallest packets."""


def packetize(
    plan: CodingPlan,
    checkpoint_id: str,
    values: NDArray[np.float32],
    mtu_bytes: int,
    max_bytes: int | None = None,
    *,
    by_region: bool = True,
) -> list[bytes]:
    """Code one picture as packets.

    Args:
        plan: the checkpoint's.
        checkpoint_id: eight hexadecimal digits.
        values: float32 ``[height, width, channels]``, symbols without their zero point.
        mtu_bytes: largest packet.
        max_bytes: all packets together; the whole picture if absent.
        by_region: one chain for each region, where the plan has regions, else one for all.

    Returns:
        Packets in priority order.

    Raises:
        ConfigError: ``mtu_bytes`` is below :data:`MIN_MTU_BYTES`.
    """
    check_mtu(mtu_bytes)
    limit = MAX_STREAM_BYTES if max_bytes is None else min(max_bytes, MAX_STREAM_BYTES)
    by_region = by_region and bool(plan.regions)
    plans: Sequence[PlanePlan] = plan.regions if by_region else [plan.whole]
    parts = plan.split(values) if by_region else [values]
    share = -(-limit // len(plans)) + mtu_bytes
    chains = _encode_chains(plans, parts, share)
    if min(map(len, chains)) < share <= max(map(len, chains)):
        chains = _encode_chains(plans, parts, limit)
    return cut_chains(chains, checkpoint_id, mtu_bytes, limit)


def _encode_chains(
    plans: Sequence[PlanePlan], parts: Sequence[NDArray[np.float32]], max_bytes: int
) -> list[bytes]:
    """The bits of each part, at most so many bytes of each."""
    return [
        encode_planes(plan, plan.grid.forward(part), max_bytes)
        for plan, part in zip(plans, parts, strict=True)
    ]


def cut_chains(
    chains: Sequence[bytes], checkpoint_id: str, mtu_bytes: int, max_bytes: int
) -> list[bytes]:
    """Pieces of chains in turn, each behind its header.

    Args:
        chains: one of the whole picture, or those of its regions.
        checkpoint_id: eight hexadecimal digits.
        mtu_bytes: largest packet.
        max_bytes: all packets together.

    Raises:
        ConfigError: ``mtu_bytes`` is below :data:`MIN_MTU_BYTES`.
    """
    check_mtu(mtu_bytes)
    tag = bytes([PACKET_MAGIC]) + bytes.fromhex(checkpoint_id)[:TAG_BYTES]
    first = 0 if len(chains) == 1 else 1
    starts = [0] * len(chains)
    packets: list[bytes] = []
    num_left = max_bytes
    while any(start < len(chain) for start, chain in zip(starts, chains, strict=True)):
        for index, chain in enumerate(chains):
            header = tag + encode_varint(starts[index] * NUM_CHAINS + first + index)
            size = min(mtu_bytes, num_left) - len(header)
            piece = chain[starts[index] : starts[index] + max(size, 0)]
            if starts[index] < len(chain) and not piece:
                return packets
            if piece:
                packets.append(header + piece)
                num_left -= len(packets[-1])
                starts[index] += len(piece)
    return packets


def decode_packets(
    plan: CodingPlan, checkpoint_id: str, packets: Iterable[bytes]
) -> list[Knowledge]:
    """Decode any subset of a picture's packets in any order, repeated ones included.

    Args:
        plan: the checkpoint's.
        checkpoint_id: eight hexadecimal digits.
        packets: those that arrived.

    Returns:
        What is known of the whole picture, or of each of its regions.

    Raises:
        BitstreamError: a packet is of another checkpoint or version.
        CorruptBitstreamError: one is no packet, or they cannot be of one picture.
    """
    pieces: dict[int, dict[int, bytes]] = defaultdict(dict)
    for number, packet in enumerate(packets):
        if number >= MAX_PACKETS:
            raise CorruptBitstreamError(
                f"corrupt packets: more than {MAX_PACKETS}, the most that a picture can have"
            )
        chain, start, piece = parse_packet(plan, checkpoint_id, packet)
        if len(piece) > len(pieces[chain].get(start, b"")):
            pieces[chain][start] = piece
    if set(pieces) <= {0}:
        return [decode_planes(plan.whole, _join(pieces[0]))]
    if 0 in pieces:
        raise CorruptBitstreamError("corrupt packets: of a whole picture and of regions of one")
    return [
        decode_planes(region, _join(pieces[index])) for index, region in enumerate(plan.regions, 1)
    ]


def _join(pieces: dict[int, bytes]) -> bytes:
    """What a chain's pieces tell without a gap from its beginning."""
    joined = b""
    for start, piece in sorted(pieces.items()):
        if start > len(joined):
            break
        joined += piece[len(joined) - start :]
    return joined


def parse_packet(plan: CodingPlan, checkpoint_id: str, packet: bytes) -> tuple[int, int, bytes]:
    """Split a packet into its chain, its place there and its piece.

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
    tag = packet[1 : 1 + TAG_BYTES].hex()
    if len(tag) == 2 * TAG_BYTES and tag != checkpoint_id[: 2 * TAG_BYTES]:
        raise BitstreamError(
            f"the packet was made by checkpoint {tag}..., this one is {checkpoint_id}; "
            "load the checkpoint that the device uses",
            checkpoint_id=tag,
        )
    place, piece = decode_varint(packet[1 + TAG_BYTES :])
    start, chain = divmod(place, NUM_CHAINS)
    if start + len(piece) > MAX_STREAM_BYTES:
        raise CorruptBitstreamError(
            f"corrupt packet: it ends at byte {start + len(piece)}, at most {MAX_STREAM_BYTES} "
            "are possible"
        )
    if chain > len(plan.regions):
        raise CorruptBitstreamError(
            f"corrupt packet: of region {chain - 1}, this checkpoint has {len(plan.regions)}"
        )
    return chain, start, piece


def check_mtu(mtu_bytes: int) -> None:
    """Refuse an MTU that is too small for packets.

    Raises:
        ConfigError: it is below :data:`MIN_MTU_BYTES`.
    """
    if mtu_bytes < MIN_MTU_BYTES:
        raise ConfigError(f"MTU of {mtu_bytes} bytes: packets need at least {MIN_MTU_BYTES}")


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
    raise CorruptBitstreamError("corrupt packet: its place is cut or too long")
