"""A start from a finished checkpoint: its TFLite files read back into Keras models.

Once filled, the models are compared with the files, and a start that does not agree is none
(decision 0016).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from pnc.codec.checkpoint import Checkpoint
from pnc.errors import CheckpointError, ConfigError
from training import classifier as classifiers
from training.architectures import ARCHITECTURES
from training.autoencoder import Autoencoder
from training.export import UNIT, encoder_parity
from training.files import load_keras, read_json, save_keras, write_json
from training.pictures import Pictures
from training.projection import directions_of
from training.tflite_weights import (
    fill_model,
    open_normalisation,
    read_operations,
    undo_rescaling,
)
from training.verify import (
    MAX_GREY_LEVELS,
    MIN_AGREEMENT,
    classifier_agreement,
    decoder_difference,
)

NUM_PICTURES = 48
"""Pictures that the models are compared on, and that normalisation is laid open with."""

DEFAULT_START = "photo"
"""Shipped; where it is missing, training begins with fresh weights."""

_MISFITS = (CheckpointError, ValueError, LookupError, TypeError, AttributeError, RuntimeError)
"""What reading a file back can raise: it is damaged, of another architecture, or of a converter or
interpreter that lists operations otherwise."""


@dataclass(frozen=True)
class Start:
    """What training begins with."""

    classifier: Path | None
    """A Keras file for :func:`training.classifier.start_from`."""
    autoencoder: Path | None
    """A folder for :meth:`training.autoencoder.Autoencoder.load`."""
    lines: tuple[str, ...]
    """What to tell the user, one line each."""


def open_start(start: str, folder: Path, images: Pictures, architecture: str) -> Start:
    """Find or make the start of a run; a part that cannot be read back falls back to a fresh one.

    Args:
        start: ``none``, a checkpoint by name or folder, or a Keras file of an EfficientNetB0.
        folder: gets what was made; found there again when a run goes on.
        images: training pictures.
        architecture: the autoencoder's.

    Raises:
        ConfigError: a Keras file that does not exist or is none.
        CheckpointError: a checkpoint that does not exist, other than :data:`DEFAULT_START`.
    """
    record = folder / "start.json"
    facts = read_json(record, "delete it") if record.exists() else {}
    if facts.get("start") == start:
        paths = [Path(facts[key]) if facts[key] else None for key in ("classifier", "autoencoder")]
        return Start(paths[0], paths[1], tuple(facts["lines"]))
    folder.mkdir(parents=True, exist_ok=True)
    if start == "none":
        found = Start(None, None, ("start: fresh weights",))
    elif start.endswith(".keras"):
        if not Path(start).is_file():
            raise ConfigError(
                f"--start {start}: no such file; name a checkpoint, a .keras file or none"
            )
        load_keras(Path(start))
        line = f"start: classifier from {start}, fresh autoencoder"
        found = Start(Path(start), None, (line,))
    else:
        found = _read_checkpoint(start, folder, images, architecture)
    facts = {
        "start": start,
        "classifier": found.classifier and str(found.classifier),
        "autoencoder": found.autoencoder and str(found.autoencoder),
        "lines": found.lines,
    }
    write_json(record, facts)
    return found


def _read_checkpoint(start: str, folder: Path, images: Pictures, architecture: str) -> Start:
    sample = images[:NUM_PICTURES]
    lines = []
    paths: list[Path | None] = []
    try:
        checkpoint = Checkpoint.load(start)
    except CheckpointError as error:
        if start != DEFAULT_START:
            raise
        return Start(None, None, (f"start: fresh weights, since {error}",))
    for part in ("classifier", "autoencoder"):
        path = folder / ("classifier.keras" if part == "classifier" else "weights")
        try:
            if part == "classifier":
                save_keras(read_classifier(checkpoint, sample), path)
            else:
                read_autoencoder(checkpoint, images, architecture).save(path)
            lines.append(f"start: {part} from checkpoint {checkpoint.name}")
            paths.append(path)
        except _MISFITS as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            lines.append(f"start: fresh {part}, since {checkpoint.name} gave none ({reason})")
            paths.append(None)
    return Start(paths[0], paths[1], tuple(lines))


def read_classifier(checkpoint: Checkpoint, images: NDArray[np.uint8]) -> keras.Model:
    """The classifier of a checkpoint as a Keras model that can go on learning.

    Args:
        checkpoint: where it lies.
        images: uint8 ``[n, 224, 224, 3]``.

    Raises:
        CheckpointError: the model does not answer as the file does.
        ValueError: it has another architecture.
    """
    content = checkpoint.read("classifier.tflite")
    model = classifiers.build_classifier(len(checkpoint.classes))
    operations = read_operations(content)
    fill_model(model, operations)
    undo_rescaling(model, operations)
    open_normalisation(model, images)
    agreement = classifier_agreement(model, content, images)
    if agreement < MIN_AGREEMENT:
        raise CheckpointError(f"its classifier agrees on {agreement:.0%} of pictures only")
    return model


def read_autoencoder(checkpoint: Checkpoint, images: Pictures, architecture: str) -> Autoencoder:
    """Encoder and decoder of a checkpoint as Keras models, with a plan fitted to ``images``.

    Args:
        checkpoint: where they lie.
        images: training pictures, uint8 ``[n, 224, 224, 3]``.
        architecture: the one that is wanted.

    Raises:
        CheckpointError: another architecture, or the models do not do as the files do.
        ValueError: the files' layers do not fit.
    """
    if checkpoint.architecture != architecture or not ARCHITECTURES[architecture].tells_received:
        raise CheckpointError(f"its architecture is {checkpoint.architecture}, not {architecture}")
    encoder, decoder = (checkpoint.read(f"{part}.tflite") for part in ("encoder", "decoder"))
    kernels = [x.constants[0] for x in read_operations(encoder) if x.kind == "CONV_2D"]
    _, rows = kernels
    autoencoder = Autoencoder(ARCHITECTURES[architecture])
    directions, steps = directions_of(rows.reshape(len(rows), -1).T / UNIT)
    projection = autoencoder.encoder.get_layer("projection")
    projection.directions.assign(directions * np.sqrt(len(directions)))
    projection.steps.assign(steps)
    fill_model(autoencoder.decoder, read_operations(decoder))
    sample = images[:NUM_PICTURES]
    equal = encoder_parity(autoencoder, encoder, sample).equal
    if equal < MIN_AGREEMENT:
        raise CheckpointError(f"{equal:.0%} of its symbols only are those of the model")
    difference = decoder_difference(autoencoder, decoder, sample[:4])
    if difference > MAX_GREY_LEVELS:
        raise CheckpointError(f"its decoder differs by {difference:.1f} grey levels")
    autoencoder.fit_plan(sample)
    return autoencoder
