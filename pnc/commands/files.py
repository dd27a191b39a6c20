"""What the codec commands share: inputs by name, folder or stdin, outputs that are whole or absent.

A command goes over its inputs with :func:`run_batch`: a broken one costs one line on stderr, the
others still go on, and the exit status says that something failed.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import typer

from pnc.errors import ConfigError, PncError, StoreError

__all__ = [
    "STDIO",
    "STREAM_SUFFIX",
    "Input",
    "Outcome",
    "count_noun",
    "find_inputs",
    "list_files",
    "output_path",
    "run_batch",
    "write_file",
    "write_stdout",
]

STDIO = "-"
"""The name that means standard input or standard output."""

STREAM_SUFFIX = ".pnc"

MAX_INPUT_BYTES = 256 * 1024 * 1024
"""Largest input held in memory, bytes; above the file of any picture within the pixel limit."""


@dataclass(frozen=True)
class Input:
    """One thing to work on."""

    path: Path | None
    """The file, or None for standard input."""
    relative: Path
    """Where its output belongs below an output folder."""

    @property
    def name(self) -> str:
        """The name as the user knows it."""
        return STDIO if self.path is None else str(self.path)

    @property
    def is_named_stream(self) -> bool:
        """Whether the file's name says that it is a stream."""
        return self.path is not None and self.path.suffix.lower() == STREAM_SUFFIX

    def read(self) -> bytes:
        """Return the bytes.

        Raises:
            ConfigError: It cannot be read, is larger than ``MAX_INPUT_BYTES``, or nothing came.
        """
        try:
            if self.path is None:
                data = sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
            else:
                with self.path.open("rb") as file:
                    data = file.read(MAX_INPUT_BYTES + 1)
        except OSError as error:
            raise _unreadable(self.name, error) from error
        if len(data) > MAX_INPUT_BYTES:
            limit = MAX_INPUT_BYTES // 2**20
            raise ConfigError(f"{self.name}: larger than {limit} MB; this is no picture or stream")
        if not data and self.path is None:
            raise ConfigError("-: nothing came on standard input; pipe a file into it")
        return data


@dataclass(frozen=True)
class Outcome:
    """What became of one input."""

    record: dict[str, Any]
    """For ``--json``."""
    line: str
    """For people."""


def find_inputs(arguments: Iterable[str], suffixes: Iterable[str]) -> list[Input | PncError]:
    """Turn command-line words into inputs, in order; a folder gives its files, sorted, recursively.

    Args:
        arguments: Files, folders, or ``-`` for standard input.
        suffixes: Which files of a folder count, lower case with the dot.

    Returns:
        The inputs, with an error in place of each word that gives none.
    """
    found: list[Input | PncError] = []
    wanted = frozenset(suffixes)
    for argument in arguments:
        path = Path(argument)
        if argument == STDIO:
            found.append(Input(None, Path("stdin")))
        elif path.is_dir():
            try:
                files = list_files(path, wanted)
            except ConfigError as error:
                found.append(error)
            else:
                found += [Input(file, file.relative_to(path)) for file in files]
        elif path.exists():
            found.append(Input(path, Path(path.name)))
        else:
            found.append(ConfigError(f"{argument}: no such file or folder; check the name"))
    return found


def list_files(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """Return the files below a folder that end in one of the suffixes, sorted; hidden ones not.

    Raises:
        ConfigError: There is none, or the folder cannot be read.
    """
    wanted = tuple(suffixes)
    files = []
    try:
        for parent, folders, names in os.walk(folder, onerror=_raise):
            folders[:] = [name for name in folders if not name.startswith(".")]
            files += [
                Path(parent, name)
                for name in names
                if not name.startswith(".") and name.lower().endswith(wanted)
            ]
    except OSError as error:
        raise _unreadable(str(folder), error) from error
    if not files:
        kind = "stream" if wanted == (STREAM_SUFFIX,) else "picture"
        raise ConfigError(f"{folder}: no {kind} in this folder; looked for {_some(wanted)}")
    return sorted(files)


def output_path(item: Input, out: Path | None, suffix: str) -> Path:
    """Return where an input's output goes: beside it, or at the same place below ``out``."""
    source = item.path or item.relative
    return (source if out is None else out / item.relative).with_suffix(suffix)


def write_file(path: Path, data: bytes, *, overwrite: bool) -> None:
    """Write a file so that it is there whole or not at all; folders are made as needed.

    Args:
        path: The file.
        data: Its bytes.
        overwrite: Whether an existing file is replaced.

    Raises:
        ConfigError: The file exists and ``overwrite`` is false.
        StoreError: It cannot be written: disk full, not permitted, ...
    """
    if path.exists() and not overwrite:
        raise ConfigError(f"{path}: exists already; --force overwrites it", path=path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()
        raise StoreError(_unwritable(str(path), error), path=path, errno=error.errno) from error


def write_stdout(data: bytes, *, allow_terminal: bool) -> None:
    """Write bytes to standard output.

    Raises:
        ConfigError: Standard output is a terminal and ``allow_terminal`` is false.
        StoreError: It cannot be written, for example because the disk behind it is full.
    """
    stream: BinaryIO = sys.stdout.buffer
    if stream.isatty() and not allow_terminal:
        raise ConfigError("-: binary data is not written to a terminal; redirect it or use --force")
    try:
        stream.write(data)
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StoreError(_unwritable(STDIO, error), errno=error.errno) from error


def run_batch(
    inputs: Sequence[Input | PncError],
    work: Callable[[Input], Outcome],
    *,
    title: str,
    as_json: bool,
    lines_on_stdout: bool,
) -> None:
    """Do ``work`` on every input and report: bar on a terminal, else a line each.

    Args:
        inputs: From :func:`find_inputs`.
        work: Does one input. Any :class:`PncError` but :class:`StoreError` costs only this input.
        title: What is being done, for the bar.
        as_json: Print one JSON object per input on stdout instead of lines.
        lines_on_stdout: Whether the lines are the result (stdout) or a report (stderr).

    Raises:
        typer.Exit: With status 1 after all inputs, if one failed.
        StoreError: An output cannot be written; the next one could not be either.
    """
    num_failed = 0
    with _progress(title, len(inputs)) as advance:
        for item in inputs:
            try:
                if isinstance(item, PncError):
                    raise item
                outcome = work(item)
            except StoreError:
                raise
            except PncError as error:
                num_failed += 1
                if as_json:
                    name = item.name if isinstance(item, Input) else None
                    typer.echo(json.dumps({"input": name, "error": str(error)}))
                advance(f"pnc: error: {error}", True)
                continue
            if as_json:
                typer.echo(json.dumps(outcome.record))
                advance(None, True)
            else:
                advance(outcome.line, not lines_on_stdout)
    if num_failed:
        if len(inputs) > 1:
            typer.echo(f"pnc: {num_failed} of {len(inputs)} inputs failed", err=True)
        raise typer.Exit(1)


def count_noun(count: int, noun: str) -> str:
    """Return ``1 byte``, ``2 bytes``, ``1,834 bytes``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


@contextmanager
def _progress(title: str, total: int) -> Iterator[Callable[[str | None, bool], None]]:
    """Give a function that prints a line (or None), to stderr or not, and counts one input."""

    def echo(line: str | None, to_stderr: bool) -> None:
        if line is not None:
            typer.echo(line, err=to_stderr)

    if total < 2 or not sys.stderr.isatty():
        yield echo
        return

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    console = Console(stderr=True)
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), Remaining())
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as bar:
        task = bar.add_task(title, total=total)

        def advance(line: str | None, to_stderr: bool) -> None:
            if line is not None and (to_stderr or sys.stdout.isatty()):
                console.print(line, markup=False, highlight=False, soft_wrap=True)
            else:
                echo(line, to_stderr)
            bar.advance(task)

        yield advance


def _raise(error: OSError) -> None:
    raise error


def _unreadable(name: str, error: OSError) -> ConfigError:
    reason = (error.strerror or type(error).__name__).lower()
    return ConfigError(f"{name}: cannot be read ({reason}); check the name and its permissions")


def _unwritable(name: str, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{name}: the disk is full, nothing was left there; free some space and try again"
    reason = (error.strerror or type(error).__name__).lower()
    return f"{name}: cannot be written ({reason}); choose another place with --out"


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _some(suffixes: Sequence[str]) -> str:
    shown = [name for name in (".jpg", ".png", ".webp", STREAM_SUFFIX) if name in suffixes]
    return ", ".join(shown) + (", ..." if len(suffixes) > len(shown) else "")
