"""Recipes: everything that decides a checkpoint besides the pictures themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pnc.codec.image import SIZE, Fit
from pnc.errors import ConfigError
from training.classifier import Phase


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a checkpoint besides the pictures themselves."""

    name: str
    """Name of the checkpoint."""
    data: str
    """``belt``, a folder of class folders, or a folder with train/ and val/."""
    extra: tuple[str, ...] = ()
    """Folders of unlabeled pictures for the autoencoder."""
    exclude: tuple[str, ...] = ()
    """Names of pictures that training must not see."""
    rename: tuple[str, ...] = ()
    """``FOLDER=NAME``: what a class is called where its folder's name says little."""
    fit: Fit = "crop"
    """How pictures become square."""
    architecture: str = "lapped"
    """Of the autoencoder, see :mod:`training.architectures`."""
    phases: tuple[Phase, ...] = (Phase(96, 6), Phase(128, 6), Phase(160, 2, min_area=0.5))
    """Progressive resizing of the classifier."""
    turn: bool = False
    """Whether the classifier may see pictures turned by quarters."""
    drop: bool = True
    """Whether the classifier's dropout and stochastic depth act."""
    classifier_learning_rate: float = 2e-3
    """Peak learning rate of the classifier."""
    initial: str | None = None
    """A Keras file of an EfficientNetB0 to start the classifier from."""
    teacher: str | None = None
    """A Keras classifier that helps the classifier and judges the autoencoder."""
    judges: tuple[str, ...] = ()
    """More Keras classifiers that judge the autoencoder, each a part of every batch."""
    window: int = SIZE
    """Side of the windows that ``pretrain`` sees, pixels; 56 makes `rtss23` affordable."""
    batch_size: int = 16
    """Pictures a step of ``pretrain`` and ``distill``."""
    pretrain_steps: int = 300
    """Steps on squared error."""
    distill_steps: int = 1200
    """Steps through the frozen classifier."""
    stream_bytes: int = 8192
    """Mean size of whole streams at most when ``distill`` begins (experiment 0027)."""
    distill_loss: Literal["published", "features"] = "features"
    """The loss of arXiv 2310.05306 or the one with middle layers."""
    finetune_phases: tuple[Phase, ...] = (Phase(160, 1, min_area=0.5),)
    """The classifier on all undamaged pictures and some decoded ones."""
    finetune_learning_rate: float = 2.5e-4
    """Its peak learning rate."""
    finetune_pictures: int = 6000
    """Training pictures that are decoded for it."""
    report_pictures: int = 600
    """Pictures of the reported split that the card is measured on."""
    patience: int = 0
    """Evaluations (eight a stage) without a better score after which a stage stops; 0: never."""
    seed: int = 0
    """Seed of everything random."""
    notes: tuple[str, ...] = field(default=())
    """Said in the card."""
    initial_autoencoder: str | None = None
    """A folder of :meth:`training.autoencoder.Autoencoder.save` to start the autoencoder from."""

    def __post_init__(self) -> None:
        """Refuse windows that the architecture cannot see."""
        multiple = "a multiple of 7" if self.architecture == "rtss23" else str(SIZE)
        if self.window != SIZE and (self.architecture != "rtss23" or self.window % 7):
            raise ConfigError(
                f"windows of {self.window} pixels: {self.architecture} needs {multiple}"
            )


BELT = Recipe(
    name="belt",
    data="belt",
    phases=(
        Phase(64, 3, min_area=0.5, jitter=0.0),
        Phase(96, 5, min_area=0.35, jitter=0.1),
        Phase(128, 2, min_area=0.35, jitter=0.1),
        Phase(192, 0.6, min_area=0.5, jitter=0.1),
    ),
    turn=True,
    drop=False,
    classifier_learning_rate=6e-3,
    pretrain_steps=50,
    distill_steps=240,
    stream_bytes=4096,
    finetune_pictures=4000,
    finetune_phases=(Phase(192, 0.8, min_area=0.5, jitter=0.1),),
    finetune_learning_rate=2e-3,
)
"""From nothing but a seed, in about an hour on two cores.

Crops down to a third of the picture show parts as large as they are at 224 pixels, at half the
cost. What lies beyond 4 KB of a stream tells its classifier nothing (experiment 0015).
"""


def rename_classes(recipe: Recipe, classes: Sequence[str]) -> tuple[str, ...]:
    """Names of classes, renamed as a recipe says.

    Raises:
        ConfigError: a renaming names no class or no new name, or two classes get one name.
    """
    names = dict(entry.partition("=")[::2] for entry in recipe.rename)
    unknown = sorted(set(names) - set(classes))
    if unknown:
        raise ConfigError(f"--rename {unknown[0]}: no class of {recipe.data} has this name")
    empty = sorted(name for name, new in names.items() if not new)
    if empty:
        raise ConfigError(f"--rename {empty[0]}: says no new name; give FOLDER=NAME")
    renamed = tuple(names.get(name, name) for name in classes)
    twice = sorted(name for name in set(renamed) if renamed.count(name) > 1)
    if twice:
        raise ConfigError(
            f"--rename: two classes would be called {twice[0]}; put their pictures into one folder"
        )
    return renamed


def without_folders(recipe: Recipe) -> dict[str, Any]:
    """A recipe for publication: data and models by name, since their places are private."""
    record = asdict(recipe)
    for key in ("data", "initial", "initial_autoencoder", "teacher"):
        record[key] = record[key] and Path(record[key]).name
    for key in ("extra", "judges"):
        record[key] = [Path(entry).name for entry in record[key]]
    return record
