"""``pnc encode``, ``decode``, ``classify`` and ``inspect``: the codec on the user's own files.

Inputs are files, folders (searched recursively) or ``-`` for standard input. Outputs are written
whole or not at all, and an existing file is replaced only with ``--force``, as gzip and zstd do.
Exit status: 0, 1 if any input failed (the others are done all the same), 2 for a wrong command
line.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pnc.commands.files import (
    STDIO,
    STREAM_SUFFIX,
    Input,
    Outcome,
    count_noun,
    find_inputs,
    output_path,
    run_batch,
    write_file,
    write_stdout,
)
from pnc.commands.options import Checkpoint
from pnc.commands.segments import describe_segments, print_segments
from pnc.errors import ConfigError, CorruptBitstreamError, PncError

if TYPE_CHECKING:
    from pnc.codec.codec import Codec
    from pnc.codec.image import PictureLike

__all__ = ["classify", "decode", "encode", "inspect"]

Json = Annotated[bool, typer.Option("--json", help="One JSON object per input on stdout.")]
Force = Annotated[bool, typer.Option("--force", "-f", help="Overwrite existing files.")]
Out = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        metavar="DIR|FILE|-",
        help="Folder for the outputs, file for one output, '-' for stdout. "
        "Default: beside each input.",
    ),
]
PrefixBytes = Annotated[
    int | None,
    typer.Option("--bytes", "-n", min=0, help="Use only the first N bytes of each stream."),
]


def encode(
    pictures: Annotated[
        list[str], typer.Argument(metavar="PICTURES...", help="Files, folders, or '-' for stdin.")
    ],
    out: Out = None,
    max_bytes: Annotated[
        int | None, typer.Option("--max-bytes", min=1, help="End each stream after N bytes.")
    ] = None,
    checkpoint: Checkpoint = "belt",
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Encode pictures to streams (.pnc); any beginning of a stream decodes.

    A stream goes beside its picture, or at the same place below --out.

    Existing files are overwritten only with --force.
    """
    from pnc.codec.image import SUFFIXES

    inputs = find_inputs(pictures, SUFFIXES)
    sink = _Sink(out, STREAM_SUFFIX, inputs, force=force, as_json=as_json)
    codec = _load(checkpoint)

    def work(item: Input) -> Outcome:
        target = sink.target(item)
        begin = time.perf_counter()
        with _naming(item):
            stream = codec.encode(item.path or item.read(), max_bytes=max_bytes)
        milliseconds = (time.perf_counter() - begin) * 1e3
        sink.write(target, stream)
        record = {
            "input": item.name,
            "output": sink.name(target),
            "bytes": len(stream),
            "ms": round(milliseconds, 2),
            "checkpoint": codec.checkpoint.id,
        }
        size = count_noun(len(stream), "byte")
        return Outcome(record, f"{item.name} -> {sink.name(target)}  {size}  {milliseconds:.1f} ms")

    run_batch(inputs, work, title="encode", as_json=as_json, lines_on_stdout=False)


def decode(
    streams: Annotated[
        list[str], typer.Argument(metavar="STREAMS...", help="Files, folders, or '-' for stdin.")
    ],
    prefix_bytes: PrefixBytes = None,
    out: Out = None,
    checkpoint: Checkpoint = "belt",
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Decode streams, or their first bytes, to PNG pictures of 224 x 224 pixels.

    A picture goes beside its stream, or at the same place below --out.

    Existing files are overwritten only with --force.
    """
    inputs = find_inputs(streams, (STREAM_SUFFIX,))
    sink = _Sink(out, ".png", inputs, force=force, as_json=as_json)
    codec = _load(checkpoint)

    from pnc.codec.image import encode_png

    def work(item: Input) -> Outcome:
        target = sink.target(item)
        stream = item.read()[:prefix_bytes]
        begin = time.perf_counter()
        with _naming(item):
            pixels = codec.decode(stream)
        milliseconds = (time.perf_counter() - begin) * 1e3
        sink.write(target, encode_png(pixels))
        record = {
            "input": item.name,
            "output": sink.name(target),
            "bytes": len(stream),
            "ms": round(milliseconds, 2),
            "checkpoint": codec.checkpoint.id,
        }
        size = count_noun(len(stream), "byte")
        return Outcome(record, f"{item.name}  {size} -> {sink.name(target)}  {milliseconds:.1f} ms")

    run_batch(inputs, work, title="decode", as_json=as_json, lines_on_stdout=False)


def classify(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="PICTURES|STREAMS...", help="Files, folders, or '-' for stdin (either kind)."
        ),
    ],
    top: Annotated[int, typer.Option("--top", "-k", min=1, help="How many classes to name.")] = 5,
    prefix_bytes: PrefixBytes = None,
    checkpoint: Checkpoint = "belt",
    as_json: Json = False,
) -> None:
    """Name what pictures or streams show.

    With --bytes N a picture is encoded first, and judged by N bytes of it.
    """
    from pnc.codec.image import SUFFIXES

    items = find_inputs(inputs, {*SUFFIXES, STREAM_SUFFIX})
    codec = _load(checkpoint)

    def work(item: Input) -> Outcome:
        begin = time.perf_counter()
        with _naming(item):
            stream, picture = _read_either(codec, item)
            if stream is None and prefix_bytes is not None:
                stream = codec.encode(picture)
            if stream is not None:
                stream = stream[:prefix_bytes]
                picture = codec.decode(stream)
            predictions = codec.classify(picture, top=top)
        milliseconds = (time.perf_counter() - begin) * 1e3
        num_bytes = None if stream is None else len(stream)
        record = {
            "input": item.name,
            "bytes": num_bytes,
            "top": [
                {"label": p.label, "index": p.index, "probability": round(p.probability, 6)}
                for p in predictions
            ],
            "ms": round(milliseconds, 2),
            "checkpoint": codec.checkpoint.id,
        }
        size = "" if num_bytes is None else f" ({count_noun(num_bytes, 'byte')})"
        named = ", ".join(f"{p.label} {p.probability:.1%}" for p in predictions)
        return Outcome(record, f"{item.name}{size}: {named}")

    run_batch(items, work, title="classify", as_json=as_json, lines_on_stdout=True)


def inspect(
    stream: Annotated[
        str, typer.Argument(metavar="STREAM", help="A stream, a picture, or '-' for stdin.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="PNG", help="Draw bytes and prefixes to this file."),
    ] = None,
    show_all: Annotated[
        bool, typer.Option("--all", "-a", help="One row for each class of each plane.")
    ] = False,
    checkpoint: Checkpoint = "belt",
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Show what a stream holds, plane by plane. A picture is encoded first.

    With --out also as a picture: bytes by plane, and what beginnings look like.
    """
    from pnc.codec.image import SUFFIXES

    (item,) = find_inputs([stream], {*SUFFIXES, STREAM_SUFFIX})
    if isinstance(item, PncError):
        raise item
    codec = _load(checkpoint)
    with _naming(item):
        found, picture = _read_either(codec, item)
        data = codec.encode(picture) if found is None else found
        info = codec.info(data)
    if out is not None:
        from pnc.codec.image import encode_png
        from pnc.commands.drawing import draw_stream

        drawing = draw_stream(codec, data, info, title=Path(item.name).name)
        write_file(out, encode_png(drawing), overwrite=force)
    if as_json:
        output = None if out is None else str(out)
        typer.echo(json.dumps({"input": item.name, "output": output, **describe_segments(info)}))
    else:
        print_segments(item.name, info, show_all=show_all)
    if out is not None:
        typer.echo(f"{out}: written", err=True)


class _Sink:
    """Where the outputs of one command go."""

    def __init__(
        self,
        out: str | None,
        suffix: str,
        inputs: list[Input | PncError],
        *,
        force: bool,
        as_json: bool,
    ) -> None:
        only_stdin = all(isinstance(item, Input) and item.path is None for item in inputs)
        self._to_stdout = out == STDIO or (out is None and only_stdin)
        place = None if out in (None, STDIO) else Path(str(out))
        self._file: Path | None = None
        if place is not None and place.suffix.lower() == suffix and not place.is_dir():
            self._file, place = place, None
        self._folder = place
        self._suffix = suffix
        self._force = force
        self._written: set[Path] = set()
        if self._to_stdout and len(inputs) != 1:
            raise typer.BadParameter("stdout holds one output; use --out DIR for several inputs")
        if self._to_stdout and as_json:
            raise typer.BadParameter("stdout cannot hold the output and --json; use --out DIR")
        if self._file is not None and len(inputs) != 1:
            raise typer.BadParameter(f"--out {out}: a file holds one output; name a folder")
        if self._folder is not None and self._folder.exists() and not self._folder.is_dir():
            raise typer.BadParameter(f"--out {self._folder}: not a folder")

    def target(self, item: Input) -> Path | None:
        """Return the output file, None for stdout; refuse at once what could not be written."""
        if self._to_stdout:
            return None
        path = self._file or output_path(item, self._folder, self._suffix)
        if path in self._written:
            raise ConfigError(f"{item.name}: another input already gave {path}; rename one of them")
        if path.exists() and not self._force:
            raise ConfigError(f"{path}: exists already; --force overwrites it")
        return path

    def write(self, path: Path | None, data: bytes) -> None:
        """Write one output."""
        if path is None:
            write_stdout(data, allow_terminal=self._force)
        else:
            write_file(path, data, overwrite=self._force)
            self._written.add(path)

    def name(self, path: Path | None) -> str:
        """Return the output's name for the report."""
        return STDIO if path is None else str(path)


def _load(checkpoint: str) -> Codec:
    from pnc.codec.codec import Codec

    return Codec.load(checkpoint)


def _read_either(codec: Codec, item: Input) -> tuple[bytes | None, PictureLike]:
    """Return an input as a stream, or None if it is none, and as what Codec takes for a picture."""
    if item.path is not None and not item.is_named_stream:
        return None, item.path
    data = item.read()
    if not item.is_named_stream:
        try:
            codec.info(data)
        except CorruptBitstreamError:
            return None, data
    return data, data


@contextmanager
def _naming(item: Input) -> Iterator[None]:
    """Let every error that arises name the input."""
    try:
        yield
    except PncError as error:
        if item.name in str(error):
            raise
        raise type(error)(f"{item.name}: {error}", **error.facts) from error
