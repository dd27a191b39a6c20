from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pnc.errors import ConfigError
from training import run as module
from training.autoencoder import Autoencoder
from training.classifier import Phase
from training.files import load_keras
from training.recipe import Recipe
from training.run import STAGES, Run, run_stages


def snapshot(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_every_stage_leaves_its_result(tiny_run: Any) -> None:
    for place in (
        "recipe.json",
        "classifier/classifier.keras",
        "pretrain/weights/autoencoder.json",
        "distill/weights/autoencoder.json",
        "finetune/decoded.npy",
        "finetune/classifier.keras",
    ):
        assert (tiny_run.folder / place).is_file(), place
    for stage in STAGES[:-1]:
        assert (tiny_run.folder / stage / "state.npz").is_file()
        assert list((tiny_run.folder / stage / "tensorboard").iterdir())
    decoded = np.load(tiny_run.folder / "finetune" / "decoded.npy")
    assert decoded.shape == (6, 224, 224, 3)
    assert decoded.std() > 1


def test_finetune_that_harms_is_left_out(
    tiny_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(tiny_run.folder, folder)
    (folder / "finetune" / "classifier.keras").unlink()
    shares = iter((0.75, 0.5))
    monkeypatch.setattr("training.run.accuracy", lambda *_: next(shares))
    with tiny_run.with_its_models(), caplog.at_level("INFO"):
        kept = Run(tiny_run.recipe, folder, cache=tiny_run.cache).finetune()
    before = load_keras(folder / "classifier" / "classifier.keras")
    for mine, theirs in zip(kept.get_weights(), before.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert "0.750 before: the one before stays" in caplog.text


def test_finished_stages_are_skipped(tiny_run: Any) -> None:
    before = snapshot(tiny_run.folder)
    with tiny_run.with_its_models():
        run_stages(tiny_run.open(), STAGES[:-1], tiny_run.checkpoint)
    after = snapshot(tiny_run.folder)
    del before[tiny_run.folder / "recipe.json"], after[tiny_run.folder / "recipe.json"]
    assert after == before


def test_another_recipe_needs_another_folder(tiny_run: Any) -> None:
    other = replace(tiny_run.recipe, seed=1, pretrain_steps=9)
    with pytest.raises(ConfigError, match="seed") as caught:
        Run(other, tiny_run.folder, cache=tiny_run.cache).begin()
    assert "\n" not in str(caught.value)
    record = json.loads((tiny_run.folder / "recipe.json").read_text(encoding="utf-8"))
    assert record["seed"] == 0


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"data": "no-such-folder"}, "no-such-folder"),
        ({"teacher": "none.keras"}, "none.keras: no such file"),
        ({"judges": ("none.keras",)}, "none.keras: no such file"),
        ({"judges": (__file__,)}, "not a Keras model file"),
    ],
)
def test_a_recipe_that_names_what_is_not_there_leaves_the_folder_free(
    tiny_run: Any, tmp_path: Path, wrong: dict[str, Any], line: str
) -> None:
    with pytest.raises(ConfigError, match=line):
        run_stages(Run(replace(tiny_run.recipe, **wrong), tmp_path), ["classifier"], tmp_path)
    right = Run(replace(tiny_run.recipe, seed=1), tmp_path, cache=tiny_run.cache)
    run_stages(right, [], tmp_path)
    assert json.loads((tmp_path / "recipe.json").read_text(encoding="utf-8"))["seed"] == 1


def test_what_another_version_left_is_one_line(tiny_run: Any, tmp_path: Path) -> None:
    shutil.copytree(tiny_run.folder / "pretrain", tmp_path / "pretrain")
    (tmp_path / "pretrain" / "weights" / "encoder.weights.h5").write_bytes(b"other")
    with pytest.raises(ConfigError, match=r"of another version .* delete the folder") as caught:
        Run(tiny_run.recipe, tmp_path, cache=tiny_run.cache).pretrain()
    assert "\n" not in str(caught.value)


def test_the_teacher_judges_and_helps(
    tiny_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = tiny_run.folder / "classifier" / "classifier.keras"
    recipe = replace(tiny_run.recipe, teacher=str(teacher), initial=str(teacher), distill_steps=0)
    seen: dict[str, Any] = {}

    def record(*arguments: Any, **options: Any) -> Any:
        seen.update(options)
        return load_keras(teacher), None

    monkeypatch.setattr(module, "train_classifier", record)
    run = Run(recipe, tmp_path / "run", cache=tiny_run.cache)
    run.classifier()
    targets = seen["teacher"]
    assert targets.shape == (len(run.pictures.data.train), 3)
    (tmp_path / "run" / "classifier" / "classifier.keras").unlink()
    monkeypatch.delattr(module, "teacher_targets")
    run.classifier()
    assert np.array_equal(seen["teacher"], targets)
    assert seen["initial"] == teacher
    weights = tmp_path / "run" / "pretrain" / "weights"
    weights.parent.mkdir()
    weights.symlink_to(tiny_run.folder / "pretrain" / "weights")
    loaded: list[Path] = []
    monkeypatch.setattr(Autoencoder, "load", loaded.append)
    run.distill()
    assert loaded == [weights]


def test_a_run_has_one_process_at_a_time(
    tiny_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start_again(run: Run) -> None:
        run_stages(run, ["pretrain"], tmp_path / "out")

    monkeypatch.setattr(Run, "classifier", start_again)
    with pytest.raises(ConfigError, match="another process"):
        run_stages(Run(tiny_run.recipe, tmp_path / "run"), ["classifier"], tmp_path / "out")


@pytest.mark.slow
def test_a_whole_run_with_the_real_models(photos: Path, tmp_path: Path) -> None:
    phase = (Phase(32, 1, batch_size=8),)
    recipe = Recipe(
        "tiny",
        str(photos),
        phases=phase,
        pretrain_steps=3,
        distill_steps=3,
        finetune_phases=phase,
        finetune_pictures=8,
        report_pictures=3,
    )
    out = tmp_path / "tiny"
    run_stages(Run(recipe, tmp_path / "run", cache=tmp_path / "cache"), STAGES, out)
    card = json.loads((out / "card.json").read_text(encoding="utf-8"))
    assert card["encoder_parity"]["equal"] >= 0.999
    assert sum(path.stat().st_size for path in out.iterdir()) < 12 * 1024**2
    before = snapshot(tmp_path / "run")
    run_stages(Run(recipe, tmp_path / "run", cache=tmp_path / "cache"), STAGES[:-1], out)
    del before[tmp_path / "run" / "recipe.json"]
    after = snapshot(tmp_path / "run")
    del after[tmp_path / "run" / "recipe.json"]
    assert after == before
