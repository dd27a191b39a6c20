from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from benchmarks import gallery
from benchmarks.cli import main
from pnc.replay.baselines import find_missing


@pytest.mark.skipif(bool(find_missing(gallery.RIVALS)), reason="Pillow lacks a rival")
def test_every_codec_is_shown_at_every_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery, "PICTURES", (2,))
    monkeypatch.setattr(gallery, "BUDGETS", (30, 2048))
    figure = Figure()
    gallery.draw_gallery(figure)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[0] == "gear, undamaged"
    assert [bool(title) for title in titles] == [
        True, True, True, False, False, True, False, False, True
    ]  # fmt: skip
    assert "2,048 B: gear" in titles
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert texts == ["PNC, belt", "WebP, method 6", "AVIF, container stripped"]
    out = tmp_path / "new" / "look.png"
    assert main(["gallery", "--out", str(out)]) == 0
    assert out.is_file()
