"""Who says what is on a picture: classifiers that predict from uint8 RGB [224, 224, 3].

    NAME                          the classifier of a checkpoint, by name or folder
    NAME=FILE.tflite              uint8, int8 or float32 input of any side; floats get 0 to 255
    NAME=FILE.keras               converted once to a float32 .tflite, then the same
    NAME=FILE,crop=0.875          look at the middle only, as its training did
    NAME=FILE,report-only         rivals' settings are never chosen by it
    NAME,index=FILE               a class index: tells a checkpoint's classes from WordNet ids

The classes of a file are those of ``imagenet_class_index.json`` beside it, as WordNet ids; one
output more than classes means that the first is the background.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pnc.codec.checkpoint import Checkpoint, find_folder
from pnc.codec.image import RESAMPLING
from pnc.codec.interpreter import Model
from pnc.errors import ConfigError
from pnc.replay.metrics import top_k

CLASS_INDEX = "imagenet_class_index.json"
"""Maps "0", "1", ... to [WordNet id, name]: the file that Keras publishes."""

NUM_PREDICTIONS = 5
"""Predictions that are kept of each picture."""


@dataclass(frozen=True)
class JudgeSpec:
    """A judge that can be named to another process."""

    name: str
    """As tables call it."""
    path: Path
    """A .tflite file."""
    classes: tuple[str, ...]
    """Labels by index, without the background."""
    digest: str
    """Hash of the file."""
    crop: float = 1.0
    """Share of the side that it looks at."""
    report_only: bool = False
    """Never choose by it."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever its predictions may: the key of caches."""
        return f"{self.digest} {self.crop}"

    def describe(self) -> dict[str, Any]:
        """Return what results say of it."""
        return {
            "name": self.name,
            "sha256": self.digest,
            "num_classes": len(self.classes),
            "crop": self.crop,
            "report_only": self.report_only,
        }


class Judge:
    """A loaded classifier."""

    def __init__(self, spec: JudgeSpec) -> None:
        self.spec = spec
        self._model = Model(spec.path.read_bytes(), name=str(spec.path), num_threads=1)
        shape, kind = self._model.inputs[0]["shape"], self._model.inputs[0]["dtype"]
        if len(shape) != 4 or shape[3] != 3 or kind not in (np.uint8, np.int8, np.float32):
            raise ConfigError(f"{spec.path}: not a classifier of RGB pictures")
        num_outputs = int(self._model.outputs[0]["shape"][-1])
        self._offset = num_outputs - len(spec.classes)
        if self._offset not in (0, 1):
            raise ConfigError(f"{spec.path}: {num_outputs} outputs, {len(spec.classes)} classes")
        self._side, self._kind = int(shape[1]), kind

    def guess(self, picture: NDArray[np.uint8]) -> tuple[list[int], float]:
        """Return the likeliest classes of uint8 RGB [H, W, 3], and the probability of the first."""
        probabilities = self.probabilities(picture)
        best = top_k(probabilities, NUM_PREDICTIONS)
        return best, float(probabilities[best[0]])

    def probabilities(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return those of all classes of uint8 RGB [H, W, 3]."""
        pixels: NDArray[Any] = self._fit(picture)
        if self._kind == np.int8:
            pixels = (pixels.astype(np.int16) - 128).astype(np.int8)
        answer = self._model.run(pixels)[self._offset :].astype(np.float32)
        scale, zero_point = self._model.outputs[0]["quantization"]
        return (answer - zero_point) * np.float32(scale) if scale else answer

    def _fit(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width = picture.shape[:2]
        margin_y, margin_x = (side * (1 - self.spec.crop) / 2 for side in (height, width))
        if (height, width) == (self._side, self._side) and self.spec.crop == 1.0:
            return picture
        box = (margin_x, margin_y, width - margin_x, height - margin_y)
        image = Image.fromarray(picture).resize((self._side, self._side), RESAMPLING, box)
        return np.array(image, np.uint8)


class Labels:
    """Finds a picture's label among a judge's classes, whichever of its names either uses.

    Args:
        names: From WordNet id to name.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = dict(names)
        self._known: dict[tuple[str, ...], dict[str, int]] = {}

    def index(self, spec: JudgeSpec, label: str) -> int | None:
        """Return the class of a label, None if the judge does not know it."""
        known = self._known.setdefault(spec.classes, {})
        if not known:
            for form in (lambda text: text, self._name):
                for index, text in enumerate(spec.classes):
                    known.setdefault(_normalize(form(text)), index)
        return known.get(_normalize(label), known.get(_normalize(self._name(label))))

    def _name(self, label: str) -> str:
        return self._names.get(label, label)


def open_judges(texts: Iterable[str], cache: Path) -> tuple[list[JudgeSpec], Labels]:
    """Return the judges named and what is known about labels.

    Args:
        texts: See the module.
        cache: Folder for converted .keras files.

    Raises:
        ConfigError: Not such a text, a missing file, or no class index beside it.
        CheckpointError: No such checkpoint.
    """
    specs: list[JudgeSpec] = []
    names: dict[str, str] = {}
    for text in texts:
        head, *options = text.split(",")
        name, equals, value = head.partition("=")
        target = value if equals else name
        crop, report_only, index_path = _read_options(text, options)
        if index_path is not None:
            names.update(_read_class_index(index_path))
        if Path(target).suffix not in (".tflite", ".keras"):
            checkpoint = Checkpoint.load(target)
            path, classes = find_folder(target) / "classifier.tflite", checkpoint.classes
            title = name if equals else f"{checkpoint.name} classifier"
        else:
            path, title = Path(target), name if equals else Path(target).stem
            if not path.is_file():
                raise ConfigError(f"{text}: no file {path}; check the path")
            index = _read_class_index(path.with_name(CLASS_INDEX))
            names.update(index)
            classes = tuple(wordnet_id for wordnet_id, _ in index)
            path = _convert(path, cache) if path.suffix == ".keras" else path
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:32]
        specs.append(JudgeSpec(title, path, classes, digest, crop, report_only))
    if len({spec.name for spec in specs}) < len(specs):
        raise ConfigError("two judges have one name; write NAME=FILE")
    return specs, Labels(names)


def _read_options(text: str, options: list[str]) -> tuple[float, bool, Path | None]:
    crop, report_only, index = 1.0, False, None
    for option in options:
        key, _, value = option.partition("=")
        if key == "report-only" and not value:
            report_only = True
        elif key == "crop" and value.replace(".", "", 1).isdigit() and 0 < float(value) <= 1:
            crop = float(value)
        elif key == "index" and value:
            index = Path(value)
        else:
            raise ConfigError(
                f"{text}: option {option!r}; known are crop=0.875, index=FILE and report-only"
            )
    return crop, report_only, index


def _read_class_index(path: Path) -> list[tuple[str, str]]:
    """Return (WordNet id, name) by index."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [(str(content[str(i)][0]), str(content[str(i)][1])) for i in range(len(content))]
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise ConfigError(f"{path}: no readable class index; put it beside the judge") from error


def _convert(path: Path, cache: Path) -> Path:
    """Return a .keras file as float32 .tflite, made once."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:32]
    target = cache / f"{path.stem}-{digest}.tflite"
    if not target.is_file():
        import keras
        import tensorflow

        try:
            model = keras.models.load_model(path, compile=False)
        except (OSError, ValueError, TypeError) as error:
            reason = str(error).partition("\n")[0]
            raise ConfigError(f"{path}: not a Keras model file ({reason}); give another") from error
        entry = keras.Input(model.input_shape[1:], batch_size=1)
        converter = tensorflow.lite.TFLiteConverter.from_keras_model(
            keras.Model(entry, model(entry))
        )
        with contextlib.redirect_stdout(io.StringIO()):  # results go there
            content = converter.convert()
        cache.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".partial")
        partial.write_bytes(content)
        partial.replace(target)
    return target


def _normalize(label: str) -> str:
    return label.replace("_", " ").strip().lower()
