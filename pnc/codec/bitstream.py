"""Bitstream version 3: four bytes of header and the bits of all planes. Every prefix decodes.

See docs/bitstream.md, which is complete enough to write a second decoder from.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pnc.codec.plane_coder import Knowledge, decode_planes, iter_planes
from pnc.codec.planes import PlanePlan
from pnc.errors import BitstreamError, ConfigError, CorruptBitstreamError

VERSION = 3
MAGIC = 0xC0 | VERSION
"""First byte of a stream; no picture file format begins with it."""

HEADER_BYTES = 4
"""Magic and the first three bytes of the checkpoint's id."""

MAX_STREAM_BYTES = 1 << 16
"""Longest stream that is looked at: three times what the shipped checkpoints make of noise."""


def encode_stream(
    plan: PlanePlan,
    checkpoint_id: str,
    values: NDArray[np.float32],
    max_bytes: int | None = None,
) -> bytes:
    """Code one picture.

    Args:
        plan: the checkpoint's.
        checkpoint_id: eight hexadecimal digits.
        values: float32 ``[height, width, channels]``, symbols without their zero point.
        max_bytes: length of the stream at most, header included.

    Raises:
        ConfigError: ``max_bytes`` leaves no room for the header.
    """
    return b"".join(iter_stream(plan, checkpoint_id, values, max_bytes))


def iter_stream(
    plan: PlanePlan,
    checkpoint_id: str,
    values: NDArray[np.float32],
    max_bytes: int | None = None,
) -> Iterator[bytes]:
    """As :func:`encode_stream`, in parts as they are coded; the first is the header."""
    limit = MAX_STREAM_BYTES if max_bytes is None else min(max_bytes, MAX_STREAM_BYTES)
    if limit < HEADER_BYTES:
        raise ConfigError(f"max_bytes is {limit}: a stream's header takes {HEADER_BYTES} bytes")
    yield bytes([MAGIC]) + bytes.fromhex(checkpoint_id)[: HEADER_BYTES - 1]
    yield from iter_planes(plan, plan.grid.forward(values), limit - HEADER_BYTES)


def decode_stream(plan: PlanePlan, checkpoint_id: str, stream: bytes) -> Knowledge:
    """Decode any prefix of a stream, the empty one included.

    Args:
        plan: the checkpoint's.
        checkpoint_id: eight hexadecimal digits.
        stream: the bytes that arrived.

    Raises:
        BitstreamError: another checkpoint or another version made the stream.
        CorruptBitstreamError: it is no stream at all.
    """
    check_header(checkpoint_id, stream)
    return decode_planes(plan, stream[HEADER_BYTES:])


def check_header(checkpoint_id: str, stream: bytes) -> None:
    """Refuse what is no stream of this checkpoint; a cut header is checked as far as it goes.

    Raises:
        BitstreamError: another checkpoint or another version made the stream.
        CorruptBitstreamError: it is no stream at all.
    """
    if len(stream) > MAX_STREAM_BYTES:
        raise CorruptBitstreamError(
            f"corrupt stream: {len(stream)} bytes, at most {MAX_STREAM_BYTES} are possible"
        )
    if stream and stream[0] != MAGIC:
        if stream[0] & 0xF0 == MAGIC & 0xF0:
            raise BitstreamError(
                f"the stream has bitstream version {stream[0] & 0x0F}, this PNC reads version "
                f"{VERSION}; use the same release on both sides",
                version=stream[0] & 0x0F,
            )
        raise CorruptBitstreamError("corrupt stream: it does not begin with PNC's magic byte")
    found, wanted = stream[1:HEADER_BYTES].hex(), checkpoint_id[: 2 * (HEADER_BYTES - 1)]
    if found != wanted[: len(found)]:
        raise BitstreamError(
            f"the stream was made by checkpoint {found}..., this one is {wanted}...; "
            "load the checkpoint that the device uses",
            checkpoint_id=found,
        )
