"""The root of the ``pnc`` command: listing, loading, and one line for every error."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import Any

import pytest
import typer

import pnc
from pnc import cli
from pnc.errors import ImageError

Install = Callable[..., None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Replace the registered commands by objects, or by exceptions their loading raises."""

    def replace(**commands: Any) -> None:
        class Entry(EntryPoint):
            def load(self) -> Any:
                target = commands[self.name]
                if isinstance(target, BaseException):
                    raise target
                return target

        entries = [Entry(name, f"somewhere:{name}", cli.ENTRY_POINT_GROUP) for name in commands]
        monkeypatch.setattr(cli, "entry_points", lambda group: entries)
        monkeypatch.delenv("PNC_DEBUG", raising=False)

    return replace


def missing(module: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(f"No module named {module!r}", name=module)


def raising(error: BaseException) -> Callable[[], None]:
    def command() -> None:
        raise error

    return command


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"pnc {pnc.__version__}\n"


def test_help_lists_every_command_and_loads_none(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install(serve=missing("fastapi"), train=missing("keras"), extra=RuntimeError("loaded"))
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("serve", "train", "extra", "the edge server"))
    assert out.index("serve ") < out.index("train ") < out.index("extra ")


def test_no_words_show_the_help_and_a_usage_status(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install(serve=raising(RuntimeError()))
    assert cli.main([]) == 2
    out, err = capsys.readouterr()
    assert "Usage" in out + err


def test_function_becomes_one_command(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    def encode(path: str, *, quality: int = 3) -> None:
        typer.echo(f"{path} at {quality}")

    install(encode=encode)
    assert cli.main(["encode", "a.png", "--quality", "5"]) == 0
    assert capsys.readouterr().out == "a.png at 5\n"


def test_typer_becomes_a_group_even_with_one_command(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    app = typer.Typer()

    @app.command()
    def run() -> None:
        typer.echo("running")

    install(device=app)
    assert cli.main(["device", "run"]) == 0
    assert capsys.readouterr().out == "running\n"


def test_help_of_a_command_leaves_out_sections_for_developers(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    def encode() -> None:
        """Encode pictures.

        Raises:
            ImageError: Not a picture.
        """

    install(encode=encode)
    assert cli.main(["encode", "--help"]) == 0
    out = capsys.readouterr().out
    assert "Encode pictures." in out
    assert "Raises" not in out


def test_help_of_a_group_leaves_out_sections_for_developers(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    app = typer.Typer(help="Be a device.\n\nArgs:\n    none: at all.")

    @app.command()
    def run() -> None:
        """Run it.

        Args:
            none: at all.
        """

    install(device=app)
    assert cli.main(["device", "--help"]) == 0
    assert cli.main(["device", "run", "--help"]) == 0
    out = capsys.readouterr().out
    assert "Run it." in out
    assert "Args" not in out


@pytest.mark.parametrize(
    ("module", "extra"),
    [("fastapi", "server"), ("keras.ops", "train"), ("ai_edge_litert", "device")],
)
def test_missing_packages_are_named_with_their_extra(
    install: Install, capsys: pytest.CaptureFixture[str], module: str, extra: str
) -> None:
    install(serve=missing(module))
    assert cli.main(["serve"]) == 1
    name = module.partition(".")[0]
    assert capsys.readouterr().err == (
        f"pnc: error: `pnc serve` needs packages that are not installed ({name}); "
        f"install them with: pip install 'pnc[{extra}]'\n"
    )


def test_package_missing_only_when_the_command_runs_is_named_too(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install(serve=raising(missing("uvicorn")))
    assert cli.main(["serve"]) == 1
    assert "`pnc serve` needs packages" in capsys.readouterr().err


def test_missing_part_of_the_house_says_so(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install(serve=missing("edge_server"))
    assert cli.main(["serve"]) == 1
    assert "the installation is incomplete" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ImageError("a.png: not a picture;\n give a PNG"), "a.png: not a picture; give a PNG"),
        (FileNotFoundError(2, "No such file", "a.png"), "a.png: No such file"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("odd"), "odd"),
    ],
)
def test_error_is_one_line_and_status_1(
    install: Install, capsys: pytest.CaptureFixture[str], error: Exception, line: str
) -> None:
    install(serve=raising(error))
    assert cli.main(["serve"]) == 1
    assert capsys.readouterr().err == f"pnc: error: {line}\n"


def test_defect_is_one_line_that_says_how_to_see_more(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install(serve=raising(KeyError("x")))
    assert cli.main(["serve"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("pnc: error: unexpected KeyError: 'x'; run `pnc --debug")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("way", ["option", "variable"])
def test_debug_shows_the_trace_above_the_line(
    install: Install,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    install(serve=raising(ImageError("bad")))
    if way == "variable":
        monkeypatch.setenv("PNC_DEBUG", "1")
    assert cli.main(["--debug", "serve"] if way == "option" else ["serve"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-1] == "pnc: error: bad"


def test_debug_shows_the_trace_of_a_failed_load(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install(serve=missing("fastapi"))
    assert cli.main(["--debug", "serve"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["serv"], "No such command 'serv'. Did you mean 'serve'? (try `pnc --help`)"),
        (["serve", "--nope"], "No such option: --nope (try `pnc serve --help`)"),
        (["serve", "--port", "x"], "(try `pnc serve --help`)"),
    ],
)
def test_wrong_command_line_is_one_line_and_status_2(
    install: Install, capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    def serve(*, port: int = 1) -> None:
        raise AssertionError(port)

    install(serve=serve)
    assert cli.main(words) == 2
    err = capsys.readouterr().err
    assert err.startswith("pnc: error: ")
    assert err.endswith(line + "\n")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt(), typer.Abort()])
def test_interruption_is_quiet_with_status_130(
    install: Install, capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    install(serve=raising(error))
    assert cli.main(["serve"]) == 130
    assert "rror" not in capsys.readouterr().err


def test_exit_status_of_a_command_is_kept(install: Install) -> None:
    install(doctor=raising(typer.Exit(3)), serve=lambda: None)
    assert cli.main(["doctor"]) == 3
    assert cli.main(["serve"]) == 0


def test_names_complete_without_loading_anything(install: Install) -> None:
    install(serve=RuntimeError("loaded"), demo=RuntimeError("loaded"))
    group = typer.main.get_command(cli.app)
    with group.make_context("pnc", [], resilient_parsing=True) as context:
        assert [item.value for item in group.shell_complete(context, "se")] == ["serve"]


@pytest.mark.e2e
@pytest.mark.parametrize("module", ["pnc", "pnc.cli"])
def test_module_runs_as_the_command(module: str) -> None:
    words = [sys.executable, "-m", module, "no-such-command"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("pnc: error: No such command")
