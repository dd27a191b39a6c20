from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pnc.replay.rtss23 import NUM_LEVELS, dequantise, quantise
from pnc.replay.rtss23_network import WEIGHTS, open_network
from tests.training.conftest import tiny_recipe
from training import architectures
from training.run import Run, run_stages


@pytest.fixture(scope="module", autouse=True)
def narrow() -> Iterator[None]:
    """The published decoder takes a second a picture; this one has a 200th of the work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(architectures, "RTSS23_WIDTH", 4)
        yield


@pytest.fixture(scope="module")
def run(photos: Path, narrow: None, tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = tiny_recipe(
        photos,
        architecture="rtss23",
        window=28,
        batch_size=2,
        pretrain_steps=3,
        distill_steps=0,
        report_pictures=1,
    )
    place = tmp_path_factory.mktemp("rtss23")
    return Run(recipe, place / "run", cache=place / "cache")


@pytest.fixture(scope="module")
def folder(run: Run) -> Path:
    out = run.folder.parent / "published"
    run_stages(run, ["export"], out)
    return out


def test_the_exported_network_is_the_trained_one(
    run: Run, folder: Path, pictures: NDArray[np.uint8]
) -> None:
    autoencoder, network = run.distill(), open_network(str(folder))
    symbols = autoencoder.symbols(pictures[:1])
    assert np.abs(symbols[0].astype(int) - network.encode(pictures[0])).max() <= 1
    values = dequantise(quantise(symbols))
    trained = np.asarray(autoencoder.decoder.predict_on_batch(values))[0]
    assert np.abs(trained - network.decode(values[0])).max() < 2


def test_tables_come_with_the_weights(folder: Path) -> None:
    lengths = open_network(str(folder)).huffman_lengths
    assert lengths is not None
    assert np.array(lengths).shape == (10, NUM_LEVELS)
    assert min(map(min, lengths)) < 6 < max(map(max, lengths))


def test_the_card_says_how_little_it_was_trained(run: Run, folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {
        WEIGHTS,
        "README.md",
        "card.json",
        "curves.png",
    }
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    assert card["accuracy"]["n"] == 1
    assert card["accuracy"]["psnr_db"] > 0
    assert card["encoder_parity"]["equal"] > 0.99
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "far less than the published one" in text
    assert "3 steps of 2 windows of 28 x 28 pixels" in text
    assert str(run.folder.parent) not in text + json.dumps(card)


def test_no_classifier_is_made_for_it(run: Run, folder: Path) -> None:
    assert not (run.folder / "classifier").exists()
