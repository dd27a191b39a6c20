from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import judges
from benchmarks.judges import CLASS_INDEX, Judge, JudgeSpec, Labels, open_judges
from pnc import belt
from pnc.errors import CheckpointError, ConfigError


def test_background_is_no_class(judge_file: Path, tmp_path: Path) -> None:
    (spec,), labels = open_judges([f"teacher={judge_file}"], tmp_path)
    pixels, label = belt.render(1, seed=3)
    assert Judge(spec).guess(pixels)[0][0] == label
    assert labels.index(spec, f"n{label:08}") == label


def test_label_is_found_by_wordnet_id_or_name() -> None:
    labels = Labels({"n02102040": "English_springer"})
    spec = JudgeSpec("j", Path("j"), ("tench", "English springer"), "0")
    assert labels.index(spec, "n02102040") == 1
    assert labels.index(spec, "Tench") == 0
    assert labels.index(spec, "n01440764") is None


def test_options_are_read(judge_file: Path, tmp_path: Path) -> None:
    (spec,), _ = open_judges([f"{judge_file},crop=0.875,report-only"], tmp_path)
    assert (spec.name, spec.crop, spec.report_only) == ("judge", 0.875, True)
    (plain,), _ = open_judges([str(judge_file)], tmp_path)
    assert plain.fingerprint != spec.fingerprint


def test_crop_looks_at_the_middle(judge_file: Path, tmp_path: Path) -> None:
    (spec,), _ = open_judges([f"{judge_file},crop=0.5"], tmp_path)
    picture = np.zeros((224, 224, 3), np.uint8)
    picture[56:168, 56:168] = 200
    seen = Judge(spec)._fit(picture)
    assert (seen[2:-2, 2:-2] == 200).all()
    assert seen.min() > 100


@pytest.mark.parametrize(
    ("option", "reason"),
    [("crop=2", "known are"), ("crop=x", "known are"), ("crop", "known are"), ("x", "known are")],
)
def test_unknown_option_is_one_line(
    judge_file: Path, tmp_path: Path, option: str, reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        open_judges([f"{judge_file},{option}"], tmp_path)


def test_missing_things_are_one_line(judge_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no file"):
        open_judges([f"x={tmp_path / 'none.tflite'}"], tmp_path)
    with pytest.raises(CheckpointError, match="no such folder or name"):
        open_judges(["no-such-checkpoint"], tmp_path)
    with pytest.raises(ConfigError, match="one name"):
        open_judges([str(judge_file), str(judge_file)], tmp_path)
    (tmp_path / CLASS_INDEX).write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match="class index"):
        open_judges([str(judge_file)], tmp_path)


def test_wrong_number_of_classes_is_refused(judge_file: Path, tmp_path: Path) -> None:
    index = {str(i): [f"n{i}", f"name {i}"] for i in range(5)}
    (tmp_path / CLASS_INDEX).write_text(json.dumps(index), encoding="utf-8")
    (spec,), _ = open_judges([str(judge_file)], tmp_path)
    with pytest.raises(ConfigError, match="13 outputs, 5 classes"):
        Judge(spec)


def test_int8_input_is_shifted(
    judge_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    class Signed:
        inputs = ({"shape": (1, 224, 224, 3), "dtype": np.int8},)
        outputs = ({"shape": (1, 12), "quantization": (1 / 256, -128)},)

        def __init__(self, content: bytes, **_: object) -> None: ...

        def run(self, pixels: Any) -> Any:
            seen.append(pixels)
            return np.full(12, -64, np.int8)

    monkeypatch.setattr(judges, "Model", Signed)
    (spec,), _ = open_judges([str(judge_file)], tmp_path)
    probabilities = Judge(spec).probabilities(np.full((224, 224, 3), 255, np.uint8))
    assert np.array_equal(probabilities, np.full(12, 0.25))
    assert seen[0].dtype == np.int8
    assert (seen[0] == 127).all()
