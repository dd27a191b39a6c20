from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from pnc.errors import ConfigError
from training import classifier as stage
from training.augment import crop_and_flip, jitter_colour
from training.classifier import (
    STEM,
    ClassifierConfig,
    ClassifierTrainer,
    CosineOverWork,
    Phase,
    accuracy,
    batches,
    build_classifier,
    ease_start,
    start_from,
    teacher_targets,
    train_classifier,
)

LABELS = np.arange(8) % 3


def test_efficientnet_for_any_number_of_classes() -> None:
    model = build_classifier(5)
    assert model.output_shape == (None, 5)
    assert 4_000_000 < model.count_params() < 4_100_000
    assert model.get_layer("avg_pool").output.shape == (None, 1280)


def test_an_eased_network_passes_its_input_on() -> None:
    model = build_classifier(5)
    ease_start(model)
    names = {layer.name for layer in model.layers if layer.name.endswith("_add")}
    assert len(names) == 9
    for name in names:
        last = model.get_layer(name.replace("add", "project_bn"))
        assert not np.any(np.asarray(last.gamma))
    assert np.any(np.asarray(model.get_layer("block2a_project_bn").gamma))
    assert np.all(np.asarray(model.get_layer("block3b_se_expand").bias) == 2)


def test_dropout_can_be_turned_off(
    small_classifier: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "build_classifier", lambda _: small_classifier)
    flat = np.zeros((8, 224, 224, 3), np.uint8)
    phases = (Phase(32, 1, batch_size=8),)
    for drop, rate in ((True, 0.2), (False, 0.0)):
        config = ClassifierConfig(tmp_path / str(drop), phases=phases, drop=drop)
        model, _ = train_classifier(flat, LABELS, flat, LABELS, 3, config)
        assert model.get_layer("top_dropout").rate == rate


def test_a_start_copies_what_fits(
    small_classifier: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_classifier.save(tmp_path / "three.keras")
    source = {weight.path: weight for weight in small_classifier.weights}
    fresh = keras.models.clone_model(small_classifier)
    assert start_from(fresh, tmp_path / "three.keras") == len(source) == 8
    for weight in fresh.weights:
        assert np.array_equal(np.asarray(weight), np.asarray(source[weight.path]))
    wider = keras.models.clone_model(
        small_classifier,
        clone_function=lambda layer: (
            keras.layers.Dense(7, "softmax", name="predictions")
            if layer.name == "predictions"
            else layer.__class__.from_config(layer.get_config())
        ),
    )
    assert start_from(wider, tmp_path / "three.keras") == 6


def test_a_start_from_imagenet_scales_pixels_as_its_file_does(tmp_path: Path) -> None:
    fresh = build_classifier(3)
    stem = fresh.get_layer(STEM)

    def scaled(layer: keras.layers.Layer, *arguments: Any, **options: Any) -> Any:
        if layer.name == stem.name:  # as Keras does for its ImageNet weights
            arguments = (keras.layers.Rescaling([2.1, 2.2, 2.3])(arguments[0]),)
        return layer(*arguments, **options)

    source = keras.models.clone_model(fresh, call_function=scaled)
    (scaling,) = (x for x in source.layers if isinstance(x, keras.layers.Normalization))
    scaling.adapt_mean.assign([0.485, 0.456, 0.406])
    scaling.adapt_variance.assign([0.053, 0.050, 0.051])
    source.save(tmp_path / "imagenet.keras")
    source = keras.models.load_model(tmp_path / "imagenet.keras")
    start_from(fresh, tmp_path / "imagenet.keras")
    pictures = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    stems = [keras.Model(x.input, x.get_layer(STEM).output) for x in (fresh, source)]
    found, expected = (np.asarray(model(pictures)) for model in stems)
    assert np.ptp(expected) > 5
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(fresh(pictures), source(pictures), atol=1e-4)


def test_a_start_that_does_not_fit_is_one_line(small_classifier: Any, tmp_path: Path) -> None:
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="elsewhere")])
    other.save(tmp_path / "other.keras")
    with pytest.raises(ConfigError, match="no layer of it"):
        start_from(small_classifier, tmp_path / "other.keras")
    (tmp_path / "text.keras").write_text("no model")
    for name in ("text.keras", "missing.keras"):
        with pytest.raises(ConfigError, match="not a Keras model") as caught:
            start_from(small_classifier, tmp_path / name)
        assert "\n" not in str(caught.value)


def test_batches_are_pure_functions_of_the_step(pictures: NDArray[np.uint8]) -> None:
    config = ClassifierConfig(
        Path("unused"), phases=(Phase(32, 2, batch_size=4), Phase(48, 1, batch_size=2)), turn=True
    )
    teacher = np.random.default_rng(0).random((8, 5), np.float32)
    make, ends = batches(pictures, LABELS, teacher, config)
    assert ends == [4, 8]
    sizes = [make(step)[0].shape for step in range(8)]
    assert sizes == [(4, 32, 32, 3)] * 4 + [(2, 48, 48, 3)] * 4
    x, (labels, soft) = make(6)
    again, _ = batches(pictures, LABELS, teacher, config)
    assert np.array_equal(again(6)[0], x)
    assert np.array_equal(again(6)[1][0], labels)
    assert soft.shape == (2, 5)
    assert not np.array_equal(again(5)[0], x)
    assert x.min() >= 0
    assert x.max() <= 255
    without, _ = batches(pictures, LABELS, None, config)
    assert len(without(0)[1]) == 1


def test_learning_rate_falls_with_the_work_done() -> None:
    schedule = CosineOverWork(1.0, [400, 100], [1.0, 12.0])
    assert float(schedule(0)) == pytest.approx(1 / 25)
    assert float(schedule(24)) == pytest.approx(1, abs=1e-3)
    quarter = 0.505 + 0.495 * np.cos(np.pi / 4)
    assert float(schedule(400)) == pytest.approx(quarter, abs=1e-6)
    assert float(schedule(500)) == pytest.approx(0.01, abs=1e-6)
    again = CosineOverWork.from_config(schedule.get_config())
    assert float(again(450)) == float(schedule(450))


def test_jitter_is_the_phases(pictures: NDArray[np.uint8]) -> None:
    phase = Phase(224, 1, batch_size=8, min_area=1.0, jitter=0.0)
    make, _ = batches(
        np.full_like(pictures, 90), LABELS, None, ClassifierConfig(Path("unused"), phases=(phase,))
    )
    assert np.allclose(make(0)[0], 90, atol=1e-3)


def test_crops_stay_in_the_picture(pictures: NDArray[np.uint8]) -> None:
    rng = np.random.default_rng(0)
    results = [crop_and_flip(pictures[0], 40, rng, 0.1, turn=True) for _ in range(50)]
    assert {result.shape for result in results} == {(40, 40, 3)}
    assert len({result.tobytes() for result in results}) == 50
    flat = np.full((30, 50, 3), 7, np.uint8)
    assert (crop_and_flip(flat, 16, rng, 0.2) == 7).all()
    whole = [crop_and_flip(pictures[0], 224, rng, 1.0) for _ in range(20)]
    assert all(abs(w.mean() - pictures[0].mean()) < 8 for w in whole)


def test_colour_varies_by_picture(pictures: NDArray[np.uint8]) -> None:
    x = pictures.astype(np.float32)
    same = jitter_colour(x.copy(), np.random.default_rng(0), 0.0)
    assert np.allclose(same, x, atol=1e-2)
    varied = jitter_colour(x.copy(), np.random.default_rng(0), 0.3)
    assert varied.min() >= 0
    assert varied.max() <= 255
    ratios = varied.mean((1, 2, 3)) / x.mean((1, 2, 3))
    assert len(np.unique(ratios.round(3))) == len(x)


def test_a_teacher_is_softened(pictures: NDArray[np.uint8], small_classifier: Any) -> None:
    targets = teacher_targets(small_classifier, pictures)
    assert targets.shape == (8, 3)
    assert np.allclose(targets.sum(-1), 1, atol=1e-5)
    hard = np.asarray(small_classifier.predict_on_batch(pictures.astype(np.float32)))
    assert (targets.max(-1) <= hard.max(-1) + 1e-6).all()


def test_the_loss_is_least_for_the_truth(small_classifier: Any) -> None:
    config = ClassifierConfig(Path("unused"), label_smoothing=0.0)
    trainer = ClassifierTrainer(small_classifier, 2, config)
    labels = np.array([0, 2])
    sure = np.eye(3, dtype=np.float32)[labels] * 0.98 + 0.005
    logits = np.array([[9.0, 0.0], [0.0, 9.0]], np.float32)
    soft = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    good = float(trainer.compute_loss(y=(labels, soft), y_pred=(sure, logits)))
    bad = float(trainer.compute_loss(y=(labels, soft), y_pred=(sure, -logits)))
    wrong = float(trainer.compute_loss(y=(labels[::-1], soft), y_pred=(sure, logits)))
    assert good < 0.1 < min(bad, wrong)


def test_training_with_a_teacher_learns(
    pictures: NDArray[np.uint8],
    small_classifier: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stage, "build_classifier", lambda _: small_classifier)
    small_classifier.save(tmp_path / "initial.keras")
    flat = np.stack([np.full((224, 224, 3), 40 + 80 * label, np.uint8) for label in LABELS])
    config = ClassifierConfig(
        tmp_path / "run", phases=(Phase(32, 40, batch_size=8),), learning_rate=3e-2
    )
    model, state = train_classifier(
        flat,
        LABELS,
        flat,
        LABELS,
        3,
        config,
        teacher=np.eye(3, dtype=np.float32)[LABELS],
        initial=tmp_path / "initial.keras",
    )
    assert state.finished
    again = accuracy(model.predict_on_batch, flat, LABELS)
    assert again == state.history[-1]["score"]
    assert state.history[-1]["score"] >= 0.6
