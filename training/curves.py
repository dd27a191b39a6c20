"""Training curves from the JSONL that every stage writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from training.progress import read_records


def draw_curves(folders: Sequence[Path], path: Path) -> None:
    """Draw one panel a stage: its training loss and what was evaluated on the way.

    Args:
        folders: those of the stages; one without a record is left out.
        path: the PNG file.
    """
    from matplotlib.figure import Figure

    recorded = {folder.name: read_records(folder) for folder in folders}
    stages = {name: records for name, records in recorded.items() if records}
    figure = Figure(figsize=(3.2 * max(1, len(stages)), 2.6), layout="constrained")
    axes = figure.subplots(1, max(1, len(stages)), squeeze=False)[0]
    for axis, (name, records) in zip(axes, stages.items(), strict=False):
        train = [r for r in records if r["label"] == "train"]
        axis.plot(
            [r["step"] for r in train],
            [r["loss"] for r in train],
            lw=0.8,
            color="#3b6ea5",
            label="loss",
        )
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("step", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.25)
        evaluated = [r for r in records if r["label"] == "evaluation" and r.get("score", -1.0) >= 0]
        if evaluated:
            twin = axis.twinx()
            twin.plot(
                [r["step"] for r in evaluated],
                [r["score"] for r in evaluated],
                "o-",
                ms=3,
                lw=1,
                color="#c4572e",
            )
            twin.set_ylim(0, 1)
            twin.tick_params(labelsize=7, colors="#c4572e")
            twin.set_ylabel("accuracy (tune)", fontsize=8, color="#c4572e")
        axis.set_ylabel("loss", fontsize=8)
    figure.savefig(path, dpi=110)
