"""Options that more than one command has."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["Checkpoint"]

Checkpoint = Annotated[
    str, typer.Option("--checkpoint", "-c", help="Name of a shipped checkpoint, or a folder.")
]
