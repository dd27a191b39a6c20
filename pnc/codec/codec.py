"""The codec: from a picture to a stream, from any part of a stream to a picture and its class."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pnc.codec.bitstream import MAGIC, VERSION, decode_stream, encode_stream
from pnc.codec.checkpoint import Checkpoint
from pnc.codec.classifier import Classifier, Prediction
from pnc.codec.decoder import Decoder
from pnc.codec.encoder import Encoder
from pnc.codec.entropy.coder import code_picture
from pnc.codec.image import PictureLike, load_picture
from pnc.codec.layers import Knowledge
from pnc.codec.packetizer import decode_packet_set, packetize_knowledge

__all__ = ["Codec", "LayerInfo", "Prediction", "StreamInfo"]


@dataclass(frozen=True)
class LayerInfo:
    """What a stream holds of one layer."""

    index: int
    """Place in the priority order."""
    channel: int
    """Channel that it refines."""
    shift: int
    """Low bits of each value that are still missing after it."""
    num_symbols: int
    """Symbols of the whole layer."""
    num_known: int
    """Symbols that arrived."""
    num_bytes: float
    """Code length of those, bytes."""


@dataclass(frozen=True)
class StreamInfo:
    """What a stream holds."""

    num_bytes: int
    """Length of the stream."""
    checkpoint_id: str
    """The checkpoint that made it."""
    version: int
    """Version of the bitstream."""
    layers: tuple[LayerInfo, ...]
    """Every layer of the checkpoint, also those that did not arrive."""
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
        checkpoint = self.checkpoint
        symbols = self.encoder.encode(self.load_picture(picture))
        return encode_stream(checkpoint.plan, checkpoint.priors, checkpoint.id, symbols, max_bytes)

    def decode(self, stream: bytes) -> NDArray[np.uint8]:
        """Any prefix of a stream as a picture, uint8 RGB ``[224, 224, 3]``.

        Raises:
            BitstreamError: another checkpoint made it.
            CorruptBitstreamError: it is no stream.
        """
        checkpoint = self.checkpoint
        knowledge, _ = decode_stream(checkpoint.plan, checkpoint.priors, checkpoint.id, stream)
        return self.decoder.decode(knowledge)

    def packetize(self, stream: bytes, mtu_bytes: int) -> list[bytes]:
        """A stream, or a prefix of one, as packets in priority order.

        Args:
            mtu_bytes: largest packet, at least 32.

        Raises:
            BitstreamError: another checkpoint made the stream, or it is none.
            ConfigError: the MTU is too small.
        """
        checkpoint = self.checkpoint
        plan, priors = checkpoint.plan, checkpoint.priors
        knowledge, num_symbols = decode_stream(plan, priors, checkpoint.id, stream)
        return packetize_knowledge(plan, priors, checkpoint.id, knowledge, num_symbols, mtu_bytes)

    def encode_packets(
        self, picture: PictureLike, mtu_bytes: int, *, max_bytes: int | None = None
    ) -> list[bytes]:
        """A picture as packets in priority order: for a device, which needs no stream.

        Several times faster than :meth:`encode` and :meth:`packetize`, which has to decode.

        Args:
            picture: file, bytes of a file, array or Pillow image.
            mtu_bytes: largest packet, at least 32.
            max_bytes: all packets together; the whole picture if absent.

        Raises:
            ImageError: the picture cannot be read.
            ConfigError: the MTU is too small.
        """
        checkpoint, plan = self.checkpoint, self.checkpoint.plan
        symbols = self.encoder.encode(self.load_picture(picture))
        source = Knowledge.complete(plan, symbols)
        return packetize_knowledge(
            plan, checkpoint.priors, checkpoint.id, source, plan.num_symbols, mtu_bytes, max_bytes
        )

    def decode_packets(self, packets: Iterable[bytes]) -> NDArray[np.uint8]:
        """Any subset of a picture's packets, in any order, as a picture.

        Raises:
            BitstreamError: a packet is of another checkpoint, or is none.
        """
        checkpoint = self.checkpoint
        return self.decoder.decode(
            decode_packet_set(checkpoint.plan, checkpoint.priors, checkpoint.id, packets)
        )

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
        """What a stream holds, layer by layer.

        Raises:
            BitstreamError: another checkpoint made it, or it is none.
        """
        checkpoint, plan = self.checkpoint, self.checkpoint.plan
        knowledge, num_symbols = decode_stream(plan, checkpoint.priors, checkpoint.id, stream)
        layers = []
        picture = code_picture(plan, checkpoint.priors, knowledge)
        for index, (layer, stretches) in enumerate(zip(plan.layers, picture, strict=True)):
            num_known = min(max(num_symbols - index * plan.num_positions, 0), plan.num_positions)
            bits, num_left = 0.0, num_known
            for table, symbols in stretches:
                bits += float(table.bits[symbols[:num_left]].sum())
                num_left = max(0, num_left - len(symbols))
            layers.append(
                LayerInfo(
                    index=index,
                    channel=layer.channel,
                    shift=layer.shift,
                    num_symbols=plan.num_positions,
                    num_known=num_known,
                    num_bytes=bits / 8,
                )
            )
        return StreamInfo(
            len(stream), checkpoint.id, VERSION, tuple(layers), num_symbols == plan.num_symbols
        )
