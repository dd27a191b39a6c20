"""The codec: from a picture to a stream, from any part of a stream to a picture and its class."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pnc.codec.bitstream import (
    HEADER_BYTES,
    MAGIC,
    VERSION,
    check_header,
    decode_stream,
    encode_stream,
    iter_stream,
)
from pnc.codec.checkpoint import Checkpoint
from pnc.codec.classifier import Classifier, Prediction
from pnc.codec.decoder import Decoder
from pnc.codec.encoder import Encoder
from pnc.codec.image import PictureLike, load_picture
from pnc.codec.packetizer import check_packets, iter_packets, join_packets, packetize
from pnc.codec.plane_coder import Segment

__all__ = ["Codec", "Prediction", "Segment", "StreamInfo"]

REDUNDANCY = 0.25
"""Repairs for each piece unless told otherwise: what a tenth of the packets lost calls for."""


@dataclass(frozen=True)
class StreamInfo:
    """What a stream holds."""

    num_bytes: int
    """Length of the stream."""
    checkpoint_id: str
    """The checkpoint that made it."""
    version: int
    """Version of the bitstream."""
    segments: tuple[Segment, ...]
    """What it tells, in order; the last one may be cut."""
    complete: bool
    """Whether nothing is missing."""


class Codec:
    """Encoder, bitstream, decoder and classifier of a checkpoint.

    Interpreters are made when first used: a device only ever loads the encoder. Not thread-safe;
    one a thread.

    Args:
        checkpoint: what to work with.
        num_threads: threads of one inference.
        runtime: distribution of the interpreter, see :func:`pnc.codec.interpreter.find_runtime`.

    Example::

        codec = Codec.load("belt")
        stream = codec.encode("photo.jpg")
        codec.classify(stream[:700])      # what 700 bytes are enough for
    """

    def __init__(
        self, checkpoint: Checkpoint, *, num_threads: int = 1, runtime: str | None = None
    ) -> None:
        self.checkpoint = checkpoint
        self._num_threads = num_threads
        self._runtime = runtime

    @classmethod
    def load(
        cls, name_or_folder: str | os.PathLike[str] = "belt", *, num_threads: int = 1
    ) -> Codec:
        """Open a checkpoint by folder or by name.

        Raises:
            CheckpointError: it is missing, incomplete or altered.
        """
        return cls(Checkpoint.load(name_or_folder), num_threads=num_threads)

    @cached_property
    def encoder(self) -> Encoder:
        """The analysis transform."""
        return Encoder(self.checkpoint, num_threads=self._num_threads, runtime=self._runtime)

    @cached_property
    def decoder(self) -> Decoder:
        """The synthesis transform."""
        return Decoder(self.checkpoint, num_threads=self._num_threads, runtime=self._runtime)

    @cached_property
    def classifier(self) -> Classifier:
        """The classifier."""
        return Classifier(self.checkpoint, num_threads=self._num_threads, runtime=self._runtime)

    def load_picture(self, picture: PictureLike) -> NDArray[np.uint8]:
        """A picture as this checkpoint's encoder takes it: uint8 RGB ``[224, 224, 3]``.

        Raises:
            ImageError: it cannot be read.
        """
        return load_picture(picture, fit=self.checkpoint.fit)

    def encode(self, picture: PictureLike, *, max_bytes: int | None = None) -> bytes:
        """A picture as a stream of which every prefix decodes.

        Args:
            picture: file, bytes of a file, array or Pillow image.
            max_bytes: cut the stream here; whole if absent.

        Raises:
            ImageError: the picture cannot be read.
            ConfigError: ``max_bytes`` leaves no room for the stream's header.
        """
        symbols = self.encoder.encode(self.load_picture(picture))
        plan = self.checkpoint.plan.planes
        return encode_stream(plan, self.checkpoint.id, plan.grid.values(symbols), max_bytes)

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        """Any prefix of a stream as a picture, uint8 RGB ``[224, 224, 3]``.

        Raises:
            BitstreamError: another checkpoint made it.
            CorruptBitstreamError: it is no stream.
        """
        plan = self.checkpoint.plan
        knowledge = decode_stream(plan.planes, self.checkpoint.id, stream)
        return self.decoder.decode(*knowledge.restore(plan.points))

    def packetize(
        self, stream: bytes, mtu_bytes: int, *, redundancy: float = REDUNDANCY
    ) -> list[bytes]:
        """A stream, or a prefix of one, as packets in priority order.

        Args:
            mtu_bytes: largest packet, at least 32.
            redundancy: repairs for each piece of the stream, 0 to 1, each of which makes up for a
                lost packet before it; 0 where the link loses none.

        Raises:
            BitstreamError: another checkpoint made the stream, or it is none.
            ConfigError: the MTU is too small or the redundancy impossible.
        """
        check_header(self.checkpoint.id, stream)
        return packetize(stream, mtu_bytes, redundancy=redundancy)

    def encode_packets(
        self,
        picture: PictureLike,
        mtu_bytes: int,
        *,
        max_bytes: int | None = None,
        redundancy: float = REDUNDANCY,
    ) -> list[bytes]:
        """A picture as packets in priority order, without coding more than they hold.

        Args:
            picture: file, bytes of a file, array or Pillow image.
            mtu_bytes: largest packet, at least 32.
            max_bytes: all packets together; the whole picture if absent.
            redundancy: as for :meth:`packetize`.

        Raises:
            ImageError: the picture cannot be read.
            ConfigError: the MTU is too small or the redundancy impossible.
        """
        return list(
            self.iter_packets(picture, mtu_bytes, max_bytes=max_bytes, redundancy=redundancy)
        )

    def iter_packets(
        self,
        picture: PictureLike,
        mtu_bytes: int,
        *,
        max_bytes: int | None = None,
        redundancy: float = REDUNDANCY,
    ) -> Iterator[bytes]:
        """As :meth:`encode_packets`, each packet as soon as what it holds is coded."""
        check_packets(mtu_bytes, redundancy)
        needed = None if max_bytes is None else max(max_bytes, HEADER_BYTES)
        symbols = self.encoder.encode(self.load_picture(picture))
        plan = self.checkpoint.plan.planes
        parts = iter_stream(plan, self.checkpoint.id, plan.grid.values(symbols), needed)
        yield from iter_packets(next(parts), parts, mtu_bytes, max_bytes, redundancy=redundancy)

    def decode_packets(self, packets: Iterable[bytes]) -> NDArray[np.uint8]:
        """Any subset of a picture's packets, in any order, as a picture.

        Raises:
            BitstreamError: a packet is of another checkpoint, or is none.
        """
        return self.decode(join_packets(self.checkpoint.id, packets))

    def classify(self, picture: PictureLike, *, top: int = 5) -> list[Prediction]:
        """What is on a picture, likeliest class first.

        Args:
            picture: as for :meth:`encode`, a decoded picture, or any prefix of a stream: bytes are
                taken for one if they begin with its magic byte, which no picture file does.
            top: how many classes, at most.

        Raises:
            ImageError: the picture cannot be read.
            BitstreamError: another checkpoint made the stream, or it is none.
        """
        if isinstance(picture, bytes | bytearray | memoryview):
            picture = bytes(picture)
        if isinstance(picture, bytes) and picture[:1] == bytes([MAGIC]):
            pixels = self.decode(picture)
        else:
            pixels = self.load_picture(picture)
        return self.classifier.classify(pixels, top)

    def info(self, stream: bytes) -> StreamInfo:
        """What a stream holds, segment by segment.

        Raises:
            BitstreamError: another checkpoint made it, or it is none.
        """
        checkpoint = self.checkpoint
        knowledge = decode_stream(checkpoint.plan.planes, checkpoint.id, stream)
        return StreamInfo(
            len(stream), checkpoint.id, VERSION, tuple(knowledge.segments), knowledge.is_complete
        )
