"""The model card: what a checkpoint is, what it was made of, what it measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pnc.codec.checkpoint import Checkpoint, write_manifest
from training.export import MODEL_FILES
from training.files import write_json, write_text

CARD_FILES = ("card.json", "README.md", "curves.png")
"""What tells of a checkpoint; sealed by :func:`seal_card`."""


def seal_card(folder: Path, card: Mapping[str, Any]) -> None:
    """Add the model card to an exported folder and write its manifest again."""
    checkpoint = Checkpoint.load(folder)
    sizes = {file: (folder / file).stat().st_size for file in MODEL_FILES}
    full = {**card, "sizes": sizes}
    write_json(folder / "card.json", full)
    about = (
        f"Autoencoder `{checkpoint.architecture}` with EfficientNetB0 for "
        f"{len(checkpoint.classes)} classes: {', '.join(checkpoint.classes)}."
    )
    write_text(folder / "README.md", render_card(checkpoint.name, about, full))
    write_manifest(
        folder,
        name=checkpoint.name,
        architecture=checkpoint.architecture,
        fit=checkpoint.fit,
        classes=checkpoint.classes,
        files=[*MODEL_FILES, *(file for file in CARD_FILES if (folder / file).exists())],
    )


def render_card(name: str, about: str, card: Mapping[str, Any]) -> str:
    """The model card as Markdown: what it is, what it was trained on, what it measured."""
    lines = [
        f"# Checkpoint `{name}`",
        "",
        about,
        "",
        "![Training curves](curves.png)",
        "",
    ]
    for title, content in card.items():
        lines.append(f"## {title.replace('_', ' ').capitalize()}")
        lines.append("")
        if isinstance(content, Mapping):
            lines += [
                "| | |",
                "|---|---|",
                *(f"| {key} | {_cell(value)} |" for key, value in content.items()),
            ]
        elif isinstance(content, list):
            lines += [f"- {item}" for item in content] or ["none"]
        else:
            lines.append(_cell(content))
        lines.append("")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_cell(item)}" for key, item in value.items())
    return str(value)
