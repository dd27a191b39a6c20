from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pnc.cli import main
from pnc.codec.checkpoint import Checkpoint
from pnc.codec.codec import Codec
from pnc.codec.planes import NUM_CLASSES
from training.ablation import PARTS, write_ablation


@pytest.fixture(scope="module")
def written(
    tiny_run: Any, pictures: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    checkpoint = Checkpoint.load(tiny_run.checkpoint)
    folders = write_ablation(checkpoint, pictures, tmp_path_factory.mktemp("ablation"))
    return {folder.name: folder for folder in folders}


def test_each_part_is_left_out_of_one_checkpoint(written: dict[str, Path]) -> None:
    assert set(written) == {"whole", *(f"no-{part}" for part in PARTS)}
    plans = {name: Checkpoint.load(folder).plan for name, folder in written.items()}
    contexts = {
        name: [prior.context for prior in plan.planes.priors] for name, plan in plans.items()
    }
    assert not any(context.outer.any() for context in contexts["no-predictions"])
    for context in contexts["no-neighbours"]:
        assert not context.neighbours.any()
        assert not context.inner[1].any()
    assert all(p.refined_after == NUM_CLASSES for p in plans["no-early-refinement"].planes.priors)
    assert plans["no-second-transform"].grid.smooth == ()
    assert np.ptp(plans["no-scales"].grid.scale, axis=(0, 1)).max() == 0
    assert (plans["no-points"].points[:, 1:] == 0.5).all()
    assert any(context.outer.any() and context.inner[1].any() for context in contexts["whole"])
    assert len({Checkpoint.load(folder).id for folder in written.values()}) == len(written)


def test_all_of_them_send_pictures(written: dict[str, Path], pictures: NDArray[np.uint8]) -> None:
    sizes = {}
    for name, folder in written.items():
        codec = Codec.load(folder)
        stream = codec.encode(pictures[0])
        sizes[name] = len(stream)
        assert codec.decode(stream).shape == pictures[0].shape
    assert sizes["whole"] == sizes["no-points"] == sizes["no-early-refinement"]


def test_command(tiny_run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = f"train ablate {tiny_run.checkpoint} --data {tiny_run.recipe.data} --out {tmp_path}"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert main(words.split()) == 0
    assert capsys.readouterr().out.splitlines()[0] == str(tmp_path / "whole")
