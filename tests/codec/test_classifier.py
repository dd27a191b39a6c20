"""The classifier: likeliest first, names of the manifest, as many as there are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pnc.codec.classifier import Classifier
from pnc.codec.codec import Codec
from pnc.errors import CheckpointError
from tests.codec.altered import altered


def test_predictions_come_likeliest_first_under_their_names(
    codec: Codec, picture: NDArray[np.uint8]
) -> None:
    probabilities = codec.classifier.probabilities(picture)
    assert probabilities.shape == (len(codec.checkpoint.classes),)
    assert float(probabilities.sum()) == pytest.approx(1, abs=1e-3)
    predictions = codec.classifier.classify(picture, 3)
    assert len(predictions) == 3
    for prediction in predictions:
        assert prediction.label == codec.checkpoint.classes[prediction.index]
        assert prediction.probability == float(probabilities[prediction.index])
    found = [prediction.probability for prediction in predictions]
    assert found == sorted(probabilities.tolist(), reverse=True)[:3]


@pytest.mark.parametrize(("top", "number"), [(-1, 0), (0, 0), (1, 1), (12, 12), (99, 12)])
def test_top_is_how_many_there_are_at_most(
    codec: Codec, picture: NDArray[np.uint8], top: int, number: int
) -> None:
    assert len(codec.classifier.classify(picture, top)) == number


def test_another_number_of_classes_is_refused(codec: Codec, tmp_path: Path) -> None:
    checkpoint = altered(codec.checkpoint, tmp_path, classes=("one", "two"))
    with pytest.raises(CheckpointError, match="12 classes, the manifest names 2"):
        Classifier(checkpoint)


def test_another_model_in_its_place_is_refused(codec: Codec, tmp_path: Path) -> None:
    checkpoint = altered(codec.checkpoint, tmp_path, files={"classifier.tflite": "decoder.tflite"})
    with pytest.raises(CheckpointError, match="its input is"):
        Classifier(checkpoint)
