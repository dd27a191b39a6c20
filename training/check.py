"""What is wrong with pictures before an hour is spent on them: counts, duplicates, leaks.

Two pictures are *exact duplicates* when their files hold the same bytes, and *near duplicates* when
they look the same (:mod:`training.duplicates`). A *leak* is a training picture with a duplicate
among those that are reported on or that choose between models: whoever keeps it measures memory.
Leaks are left out of training; all else is only told.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from pnc.errors import ConfigError
from training.data import Data
from training.duplicates import THUMBNAIL, connected, near_duplicates
from training.files import write_json

SPLITS = ("train", "tune", "val", "extra")
"""As :class:`training.data.Data` names them."""

FEW_TRAIN, FEW_VAL = 20, 5
"""Below so many pictures a class is learned, or reported on, by luck."""


@dataclass(frozen=True)
class Leak:
    """A picture that training must not see."""

    picture: str
    """Its name."""
    split: str
    """``train``, ``tune`` or ``extra``: where it was."""
    twin: str
    """The picture that it shows again."""
    twin_split: str
    """``val`` or ``tune``: where that one stays."""
    exact: bool
    """Whether the files hold the same bytes."""


@dataclass(frozen=True)
class DataCheck:
    """What was found."""

    data: str
    """What was opened."""
    classes: tuple[str, ...]
    """Class names in label order."""
    counts: dict[str, list[int]]
    """Pictures of each class in ``train``, ``tune`` and ``val``, before anything was left out."""
    num_extra: int
    """Unlabeled pictures."""
    unreadable: tuple[str, ...]
    """One line for each file that could not be read."""
    exact: tuple[tuple[str, ...], ...]
    """Groups of pictures with the same bytes."""
    near: tuple[tuple[str, ...], ...]
    """Groups of near duplicates, exact ones among them, that are no group of :attr:`exact`."""
    two_classes: tuple[tuple[str, ...], ...]
    """Groups of duplicates that carry different labels: one of them is wrong."""
    leaks: tuple[Leak, ...]
    """Pictures left out of training."""
    warnings: tuple[str, ...]
    """One line for each thing to look at."""

    @property
    def left_out(self) -> frozenset[str]:
        """Names of the pictures that training must not see."""
        return frozenset(leak.picture for leak in self.leaks)

    def save(self, path: Path) -> None:
        """Write everything as JSON, in one step."""
        write_json(path, asdict(self))


def check_data(data: Data, *, on_progress: Callable[[int, int], None] | None = None) -> DataCheck:
    """Look at every picture of a data set.

    Args:
        data: the opened data.
        on_progress: called with pictures done and all.
    """
    used = np.concatenate([getattr(data, split) for split in SPLITS])
    sizes = [_file_size(data, int(index)) for index in used]
    shared = {size for size, count in Counter(sizes).items() if count > 1}
    contents: list[bytes] = []
    thumbnails = np.empty((len(used), THUMBNAIL, THUMBNAIL, 3), np.float32)
    for place, index in enumerate(used):
        picture = data.load(int(index))
        contents.append(
            _content(data, int(index), picture) if sizes[place] in shared else b"%d" % place
        )
        small = Image.fromarray(picture).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
        thumbnails[place] = np.asarray(small)
        if on_progress:
            on_progress(place + 1, len(used))
    near_pairs = near_duplicates(thumbnails)
    first: dict[bytes, int] = {}
    exact_pairs = [
        (before, place)
        for place, content in enumerate(contents)
        if (before := first.setdefault(content, place)) != place
    ]
    split_of = {int(i): split for split in SPLITS for i in getattr(data, split)}
    exact = connected(exact_pairs)
    every = connected([*exact_pairs, *near_pairs.tolist()])
    near = [group for group in every if group not in exact]

    def names(group: Iterable[int]) -> tuple[str, ...]:
        return tuple(sorted(data.names[used[place]] for place in group))

    def labels(group: Iterable[int]) -> set[int]:
        return {int(data.labels[used[place]]) for place in group} - {-1}

    leaks = [
        leak
        for group in every
        for leak in _leaks([int(used[place]) for place in group], data, split_of, contents, used)
    ]
    two_classes = tuple(names(group) for group in every if len(labels(group)) > 1)
    counts = {
        split: np.bincount(data.labels[getattr(data, split)], minlength=len(data.classes)).tolist()
        for split in SPLITS[:-1]
    }
    check = DataCheck(
        data=data.name,
        classes=data.classes,
        counts=counts,
        num_extra=len(data.extra),
        unreadable=data.skipped,
        exact=tuple(names(group) for group in exact),
        near=tuple(names(group) for group in near),
        two_classes=two_classes,
        leaks=tuple(sorted(leaks, key=lambda leak: leak.picture)),
        warnings=(),
    )
    return replace(check, warnings=tuple(_warnings(check)))


def _path(data: Data, index: int) -> Path:
    path = Path(data.names[index])
    return Path(data.name) / path if data.labels[index] >= 0 else path


def _file_size(data: Data, index: int) -> int:
    """Bytes of a picture's file, -1 where there is none: only files of one size can be the same."""
    try:
        return _path(data, index).stat().st_size
    except OSError:
        return -1


def _content(data: Data, index: int, picture: NDArray[np.uint8]) -> bytes:
    """Hash of a picture's file, or of its pixels where there is no file: the belt is rendered."""
    try:
        return hashlib.sha256(_path(data, index).read_bytes()).digest()
    except OSError:
        return hashlib.sha256(picture.tobytes()).digest()


def _leaks(
    group: list[int],
    data: Data,
    split_of: dict[int, str],
    contents: list[bytes],
    used: NDArray[np.int64],
) -> list[Leak]:
    content = dict(zip(used.tolist(), contents, strict=True))
    splits = {split_of[index] for index in group}
    guarded = "val" if "val" in splits else "tune"
    if guarded not in splits:
        return []
    twins = [index for index in group if split_of[index] == guarded]
    found = []
    for index in group:
        if split_of[index] in ("val", guarded):
            continue
        same = [twin for twin in twins if content[twin] == content[index]]
        twin = (same or twins)[0]
        found.append(
            Leak(data.names[index], split_of[index], data.names[twin], guarded, bool(same))
        )
    return found


def _warnings(check: DataCheck) -> list[str]:
    lines = []
    if check.unreadable:
        lines.append(f"{_count(len(check.unreadable), 'file')} skipped: cannot be read")
    if check.leaks:
        lines.append(
            f"{_count(len(check.leaks), 'picture')} left out of training: the same picture is "
            "among those to report or choose by"
        )
    if check.two_classes:
        lines.append(
            f"{_count(len(check.two_classes), 'picture')} in two classes each, such as "
            f"{' and '.join(check.two_classes[0][:2])}: delete the wrong one"
        )
    apart = [group for group in check.exact if not any(set(group) <= set(n) for n in check.near)]
    copies = sum(len(group) - 1 for group in (*apart, *check.near))
    if copies:
        lines.append(f"{_count(copies, 'copy', 'copies')} of other pictures, exact or nearly so")
    for name, train, val in zip(
        check.classes, check.counts["train"], check.counts["val"], strict=True
    ):
        if train < FEW_TRAIN:
            lines.append(f"class {name}: {train} to train on are few; {FEW_TRAIN} are safer")
        if val < FEW_VAL:
            lines.append(f"class {name}: {val} to report on say little; {FEW_VAL} say more")
    train_counts = check.counts["train"]
    if max(train_counts) > 10 * max(1, min(train_counts)):
        lines.append(
            f"the largest class has {max(train_counts)} training pictures, the smallest "
            f"{min(train_counts)}: what is rare will be recognised less"
        )
    return lines


def _count(number: int, noun: str, plural: str = "") -> str:
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def leave_out(data: Data, names: Collection[str]) -> Data:
    """A data set without some pictures in ``train``, ``tune`` and ``extra``.

    Raises:
        ConfigError: a class, or all that chooses between models, would be empty.
    """
    gone = frozenset(names)
    if not gone:
        return data
    kept = {
        split: np.array([i for i in getattr(data, split) if data.names[i] not in gone], np.int64)
        for split in ("train", "tune", "extra")
    }
    counts = np.bincount(data.labels[kept["train"]], minlength=len(data.classes))
    if counts.min() == 0:
        raise ConfigError(
            f"{data.name}: class {data.classes[int(counts.argmin())]} has no training picture left "
            "once those that val or tune hold, too, are taken out; add pictures that differ"
        )
    if not len(kept["tune"]):
        raise ConfigError(
            f"{data.name}: no picture is left in tune once those that val holds, too, are taken "
            "out; add pictures that differ"
        )
    return replace(data, train=kept["train"], tune=kept["tune"], extra=kept["extra"])


def show_check(check: DataCheck, console: Console) -> None:
    """Tell people: a table on a terminal, plain lines elsewhere."""
    if console.is_terminal:
        table = Table(title=f"Pictures of {check.data}", title_justify="left")
        table.add_column("class")
        for split in SPLITS[:-1]:
            table.add_column(split, justify="right")
        rows = zip(check.classes, *(check.counts[split] for split in SPLITS[:-1]), strict=True)
        for name, *numbers in rows:
            table.add_row(name, *(_coloured(n, s) for n, s in zip(numbers, SPLITS, strict=False)))
        table.add_section()
        table.add_row("all", *(str(sum(check.counts[split])) for split in SPLITS[:-1]))
        console.print(table)
    else:
        for split in SPLITS[:-1]:
            numbers = check.counts[split]
            each = ", ".join(f"{c} {n}" for c, n in zip(check.classes, numbers, strict=True))
            console.print(f"{split}: {sum(numbers)} ({each})", soft_wrap=True, highlight=False)
    if check.num_extra:
        console.print(f"unlabeled: {check.num_extra}", highlight=False)
    for line in check.warnings:
        text = f"[yellow]![/yellow] {line}" if console.is_terminal else f"warning: {line}"
        console.print(text, soft_wrap=True, highlight=False)
    if not check.warnings:
        console.print("nothing wrong was found", highlight=False)


def _coloured(number: int, split: str) -> str:
    few = {"train": FEW_TRAIN, "val": FEW_VAL}.get(split, 0)
    return f"[yellow]{number}[/yellow]" if number < few else str(number)
