"""Exported files against the models that they were made of."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pnc.codec.bitstream import decode_stream
from pnc.codec.checkpoint import Checkpoint
from pnc.codec.codec import Codec
from pnc.codec.decoder import received
from pnc.codec.interpreter import Model
from training.autoencoder import Autoencoder
from training.export import encoder_parity

MIN_AGREEMENT = 0.95
"""Share of pictures that file and model must classify alike, and of symbols that must be equal."""

MAX_DOUBT = 0.01
"""File and model classify alike, too, when each gives the other's class a probability so close to
its own best: half precision decides between classes that are as good as tied."""

MAX_GREY_LEVELS = 2.0
"""Largest mean difference of decoded pictures."""

VERIFIED_BYTES = (512, 2048, None)
"""Lengths of the streams that are decoded by file and model; None: whole."""

NUM_DECODED = 8
"""Pictures that are."""


@dataclass(frozen=True)
class Verification:
    """How far files and models agree on some pictures."""

    symbols_equal: float
    """Share of the encoder's symbols that are the same."""
    decoder_grey_levels: float
    """Mean difference of decoded pictures, of the length of streams where it is largest."""
    classifier_agreement: float
    """Share of pictures that get the same class, or one of two as good as tied."""
    num_pictures: int
    """Pictures compared."""

    @property
    def passed(self) -> bool:
        """Whether the files do what was trained."""
        return (
            self.symbols_equal >= MIN_AGREEMENT
            and self.decoder_grey_levels <= MAX_GREY_LEVELS
            and self.classifier_agreement >= MIN_AGREEMENT
        )

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "passed": self.passed}


def verify_export(
    checkpoint: Checkpoint,
    autoencoder: Autoencoder,
    classifier: keras.Model,
    images: NDArray[np.uint8],
) -> Verification:
    """Compare a checkpoint's files with what was trained.

    Args:
        checkpoint: the exported folder.
        autoencoder, classifier: the models.
        images: uint8 ``[n, 224, 224, 3]``.
    """
    return Verification(
        encoder_parity(autoencoder, checkpoint.read("encoder.tflite"), images).equal,
        stream_difference(checkpoint, autoencoder, images[:NUM_DECODED]),
        classifier_agreement(classifier, checkpoint.read("classifier.tflite"), images),
        len(images),
    )


def stream_difference(
    checkpoint: Checkpoint, autoencoder: Autoencoder, images: NDArray[np.uint8]
) -> float:
    """Mean difference of decoded streams by a checkpoint and by the model, grey levels.

    The largest over :data:`VERIFIED_BYTES`.
    """
    codec, plan = Codec(checkpoint), checkpoint.plan
    differences = []
    for max_bytes in VERIFIED_BYTES:
        streams = [codec.encode(picture, max_bytes=max_bytes) for picture in images]
        known = [decode_stream(plan.planes, checkpoint.id, stream) for stream in streams]
        values, spreads = zip(*[each.restore(plan.points) for each in known], strict=True)
        arrived = np.stack([received(spread) for spread in spreads])
        mine = np.clip(np.asarray(autoencoder.synthesise(np.stack(values), arrived)), 0, 255)
        theirs = np.stack([codec.decode(stream) for stream in streams])
        differences.append(float(np.abs(mine - theirs).mean()))
    return max(differences)


def decoder_difference(
    autoencoder: Autoencoder, content: bytes, images: NDArray[np.uint8]
) -> float:
    """Mean difference of whole pictures decoded by a TFLite file and by the model, grey levels."""
    zero = autoencoder.architecture.zero_point
    values = autoencoder.symbols(images).astype(np.float32) - zero
    inputs = [values, np.ones_like(values)]
    mine = np.asarray(autoencoder.decoder.predict_on_batch(inputs))
    file = Model(content, name="decoder.tflite")
    order = [1 if "received" in details["name"] else 0 for details in file.inputs]
    theirs = [file.run(*(inputs[k][index] for k in order)) for index in range(len(images))]
    return float(np.abs(np.clip(mine, 0, 255) - np.clip(np.stack(theirs), 0, 255)).mean())


def classifier_agreement(model: keras.Model, content: bytes, images: NDArray[np.uint8]) -> float:
    """Share of pictures that a TFLite file and the model put into the same class.

    Classes that both hold within :data:`MAX_DOUBT` of their best count as the same.
    """
    file = Model(content, name="classifier.tflite")
    pictures = images.astype(np.float32)
    theirs = np.stack([file.run(picture) for picture in pictures])
    mine = np.concatenate(
        [
            np.asarray(model.predict_on_batch(pictures[start : start + 16]))
            for start in range(0, len(pictures), 16)
        ]
    )
    places = np.arange(len(images))
    doubt_of_mine = mine.max(-1) - mine[places, theirs.argmax(-1)]
    doubt_of_theirs = theirs.max(-1) - theirs[places, mine.argmax(-1)]
    return float((np.maximum(doubt_of_mine, doubt_of_theirs) <= MAX_DOUBT).mean())
