"""The ``pnc`` command: one root, sub-commands found through entry points.

Every package registers its own commands in the entry-point group ``pnc.commands``, so the core
imports none of them. An entry is a :class:`typer.Typer` (a group of commands) or a function (one
command). It loads when it is called, never for ``pnc --help``.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from pnc import __version__
from pnc.errors import ConfigError, PncError

__all__ = ["ENTRY_POINT_GROUP", "RootGroup", "app", "main"]

ENTRY_POINT_GROUP = "pnc.commands"

EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
"""128 + SIGINT, the convention of shells."""

_SUMMARIES = {
    "demo": "Show the whole idea at work: camera, jammed radio and edge server on this machine.",
    "encode": "Pictures to streams.",
    "decode": "Streams, or any beginning of them, to pictures.",
    "classify": "Name what a picture or a stream shows.",
    "inspect": "Show what a stream holds, layer by layer.",
    "device": "Take pictures, encode them and send them before the deadline.",
    "serve": "Receive, decode, classify, store and show: the edge server.",
    "link": "List, test, record and play links.",
    "train": "Make a checkpoint, stage by stage.",
    "bench": "Measure accuracy by bytes, beside the rivals, and what encoding costs.",
    "doctor": "Check runtimes, checkpoints, ports and permissions, and say what to do.",
}
"""Help lines of the root, in order: listing commands must not load what they need."""

_EXTRA_OF_MODULE = {
    "ai_edge_litert": "device",
    "tflite_runtime": "device",
    "fastapi": "server",
    "pydantic": "server",
    "starlette": "server",
    "uvicorn": "server",
    "keras": "train",
    "matplotlib": "train",
    "tensorboard": "train",
    "tensorflow": "train",
}

_USAGE_ERROR = cast("type[Exception]", typer.BadParameter.__mro__[1])
"""What a wrong command line raises; Typer names it in no public place."""


@dataclass
class _Settings:
    """Options of the root that the error report needs after the commands are gone."""

    debug: bool = False


class RootGroup(TyperGroup):
    """A command group that loads each sub-command from its entry point when it is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self._entries = {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}
        self._is_listing = False
        names = [name for name in _SUMMARIES if name in self._entries]
        names += sorted(self._entries.keys() - _SUMMARIES.keys())
        for name in names:
            summary = _SUMMARIES.get(name, f"From {self._entries[name].module}.")
            self.add_command(TyperCommand(name, help=summary))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of that name: its line in a listing, else loaded from its entry.

        Raises:
            ConfigError: Its packages are not installed.
        """
        if self._is_listing or cmd_name not in self._entries:
            return super().get_command(ctx, cmd_name)
        try:
            return _load_command(self._entries[cmd_name])
        except ModuleNotFoundError as error:
            raise _explain_missing(error, cmd_name) from error

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help page without loading any command."""
        with self._listing():
            super().format_help(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Complete names of commands without loading any."""
        with self._listing():
            return super().shell_complete(ctx, incomplete)

    def invoke(self, ctx: Any) -> Any:
        """Run the sub-command.

        Raises:
            ConfigError: It needs a package that is not installed.
        """
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            raise _explain_missing(error, ctx.invoked_subcommand) from error

    @contextmanager
    def _listing(self) -> Iterator[None]:
        self._is_listing = True
        try:
            yield
        finally:
            self._is_listing = False


def _load_command(entry: EntryPoint) -> Any:
    target = entry.load()
    if isinstance(target, typer.Typer):
        command: Any = get_group(target)
    else:
        single = typer.Typer(add_completion=False)
        single.command(entry.name)(target)
        command = get_command(single)
    _hide_developer_help(command)
    return command


def _hide_developer_help(command: Any) -> None:
    """Cut the sections for developers (Args:, Raises:) from help made of docstrings."""
    for section in ("Args:", "Returns:", "Raises:"):
        if command.help:
            command.help = command.help.partition(f"\n\n{section}\n")[0]
    for child in getattr(command, "commands", {}).values():
        _hide_developer_help(child)


def _explain_missing(error: ModuleNotFoundError, command: str | None) -> ConfigError:
    """Say which packages a command lacks and how to install them."""
    module = (error.name or "").partition(".")[0]
    extra = _EXTRA_OF_MODULE.get(module)
    if extra is None:
        line = (
            f"`pnc {command}` cannot start: {error}; the installation is incomplete, install again"
        )
    else:
        line = (
            f"`pnc {command}` needs packages that are not installed ({module}); "
            f"install them with: pip install 'pnc[{extra}]'"
        )
    return ConfigError(line, module=module, extra=extra)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pnc {__version__}")
        raise typer.Exit


def _set_debug(ctx: typer.Context, wanted: bool) -> None:
    if wanted:
        ctx.ensure_object(_Settings).debug = True


app = typer.Typer(cls=RootGroup, no_args_is_help=True)


@app.callback()
def _root(
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            callback=_set_debug,
            is_eager=True,
            help="Show the trace of an error; PNC_DEBUG=1 does the same.",
        ),
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Pictures over links that may stop at any moment: every byte that arrives in time counts."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the ``pnc`` command.

    Args:
        arguments: The words after ``pnc``; those of the process if None.

    Returns:
        The exit status: 0, 1 for an error, 2 for a wrong command line, 130 after Ctrl-C.
    """
    settings = _Settings(debug=os.environ.get("PNC_DEBUG", "") not in ("", "0"))
    words = None if arguments is None else list(arguments)
    try:
        status = get_command(app)(args=words, prog_name="pnc", standalone_mode=False, obj=settings)
    except _USAGE_ERROR as error:
        return _report_usage(error)
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_INTERRUPTED
    except PncError as error:
        return _report(str(error), error, settings)
    except OSError as error:
        return _report(_describe_os_error(error), error, settings)
    except Exception as error:  # noqa: BLE001 - the top of the program
        line = f"unexpected {type(error).__name__}: {error}; run `pnc --debug ...` to see where"
        return _report(line, error, settings)
    return status if isinstance(status, int) else 0


def _report(line: str, error: BaseException, settings: _Settings) -> int:
    if settings.debug:
        typer.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    typer.echo(f"pnc: error: {' '.join(line.split())}", err=True)
    return EXIT_ERROR


def _report_usage(error: Any) -> int:
    if not error.message:
        error.show()
        return EXIT_USAGE
    command = error.ctx.command_path if error.ctx else "pnc"
    line = error.format_message().rstrip(".")
    typer.echo(f"pnc: error: {line} (try `{command} --help`)", err=True)
    return EXIT_USAGE


def _describe_os_error(error: OSError) -> str:
    what = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {what}" if error.filename else what


if __name__ == "__main__":
    sys.exit(main())
