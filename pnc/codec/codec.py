"""The codec: from a picture to a stream, from any part of a stream to a picture and its class."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pnc.codec.bitstream import (
    HEADER_BYTES,
    MAGIC,
    MAX_STREAM_BYTES,
    VERSION,
    decode_stream,
    encode_stream,
)
from pnc.codec.checkpoint import Checkpoint
from pnc.codec.classifier import Classifier, Prediction
from pnc.codec.decoder import Decoder
from pnc.codec.encoder import Encoder
from pnc.codec.image import PictureLike, load_picture
from pnc.codec.packetizer import check_mtu, cut_chains, decode_packets, packetize
from pnc.codec.plane_coder import Segment

__all__ = ["Codec", "Prediction", "Segment", "StreamInfo"]


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
        plan = self.checkpoint.plan.whole
        return encode_stream(plan, self.checkpoint.id, self._values(picture), max_bytes)

    def _values(self, picture: PictureLike) -> NDArray[np.float32]:
        symbols = self.encoder.encode(self.load_picture(picture))
        return self.checkpoint.plan.grid.values(symbols)

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        """Any prefix of a stream as a picture, uint8 RGB ``[224, 224, 3]``.

        Raises:
            BitstreamError: another checkpoint made it.
            CorruptBitstreamError: it is no stream.
        """
        plan = self.checkpoint.plan
        knowledge = decode_stream(plan.whole, self.checkpoint.id, stream)
        return self.decoder.decode(*plan.restore([knowledge]))

    def packetize(self, stream: bytes, mtu_bytes: int, *, by_region: bool = True) -> list[bytes]:
        """A stream, or a prefix of one, as packets in priority order.

        Args:
            mtu_bytes: largest packet, at least 32.
            by_region: code the picture anew in four regions, so that a lost packet costs a part
                of one; else the packets are the stream itself, and one needs all before it.

        Raises:
            BitstreamError: another checkpoint made the stream, or it is none.
            ConfigError: the MTU is too small.
        """
        checkpoint, plan = self.checkpoint, self.checkpoint.plan
        check_mtu(mtu_bytes)
        knowledge = decode_stream(plan.whole, checkpoint.id, stream)
        if not (by_region and plan.regions):
            chain = stream[HEADER_BYTES:]
            return cut_chains([chain], checkpoint.id, mtu_bytes, MAX_STREAM_BYTES)
        values, _ = plan.restore([knowledge])
        max_bytes = None if knowledge.is_complete else len(stream)
        return packetize(plan, checkpoint.id, values, mtu_bytes, max_bytes)

    def encode_packets(
        self,
        picture: PictureLike,
        mtu_bytes: int,
        *,
        max_bytes: int | None = None,
        by_region: bool = True,
    ) -> list[bytes]:
        """A picture as packets in priority order: for a device, which needs no stream.

        Args:
            picture: file, bytes of a file, array or Pillow image.
            mtu_bytes: largest packet, at least 32.
            max_bytes: all packets together; the whole picture if absent.
            by_region: as for :meth:`packetize`.

        Raises:
            ImageError: the picture cannot be read.
            ConfigError: the MTU is too small.
        """
        checkpoint = self.checkpoint
        check_mtu(mtu_bytes)
        values = self._values(picture)
        return packetize(
            checkpoint.plan, checkpoint.id, values, mtu_bytes, max_bytes, by_region=by_region
        )

    def decode_packets(self, packets: Iterable[bytes]) -> NDArray[np.uint8]:
        """Any subset of a picture's packets, in any order, as a picture.

        Raises:
            BitstreamError: a packet is of another checkpoint, or is none.
        """
        plan = self.checkpoint.plan
        return self.decoder.decode(*plan.restore(decode_packets(plan, self.checkpoint.id, packets)))

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
        knowledge = decode_stream(checkpoint.plan.whole, checkpoint.id, stream)
        return StreamInfo(
            len(stream), checkpoint.id, VERSION, tuple(knowledge.segments), knowledge.is_complete
        )
