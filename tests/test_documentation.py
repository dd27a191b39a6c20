"""What the documents tell people to type exists; what they link to is there."""

from __future__ import annotations

import re
import shlex
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer

from pnc import cli

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "checkpoints").glob("*.md")]
)
BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
TARGET = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)


def extract_commands(text: str) -> list[str]:
    """The lines behind a prompt in console blocks, continued lines joined."""
    blocks = [block.replace("\\\n", " ") for block in BLOCK.findall(text)]
    lines = [line for block in blocks for line in block.splitlines()]
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


def documented_commands() -> list[tuple[str, str]]:
    return [
        (page.relative_to(ROOT).as_posix(), command)
        for page in PAGES
        for command in extract_commands(page.read_text(encoding="utf-8"))
    ]


@cache
def make_targets() -> frozenset[str]:
    return frozenset(TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))


def option_names(command: Any) -> set[str]:
    options = {"--help"}
    for parameter in command.params:
        options.update(parameter.opts)
        options.update(parameter.secondary_opts)
    return options


def check_pnc(words: list[str]) -> str | None:
    """Why ``pnc WORDS`` cannot be a command line, or None."""
    command: Any = typer.main.get_command(cli.app)
    context = command.make_context("pnc", [], resilient_parsing=True)
    waiting = list(words)
    while waiting and hasattr(command, "list_commands"):
        if waiting[0].startswith("-"):
            if waiting.pop(0) not in option_names(command):
                return f"{context.command_path} has not all options of {words}"
            continue
        name = waiting.pop(0)
        if name not in command.list_commands(context):
            return f"{context.command_path} has no command {name}"
        command = command.get_command(context, name)
        context = command.make_context(name, [], parent=context, resilient_parsing=True)
    given = {word.partition("=")[0] for word in waiting if re.match(r"--?[a-z]", word)}
    unknown = given - option_names(command)
    return f"{context.command_path} has no option {sorted(unknown)}" if unknown else None


def check_python(words: list[str]) -> str | None:
    if words[:1] == ["-m"] and words[1] not in ("pytest", "venv", "pip"):
        path = ROOT.joinpath(*words[1].split("."))
        if not (path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()):
            return f"no module {words[1]} to run"
    elif words and not words[0].startswith("-") and not (ROOT / words[0]).is_file():
        return f"no file {words[0]}"
    missing = [word for word in words if word.startswith("tests/") and not (ROOT / word).exists()]
    return f"no {missing}" if missing else None


def check_pip(words: list[str]) -> str | None:
    for flag, word in pairwise(words):
        if flag in ("-r", "-c") and not (ROOT / word).is_file():
            return f"no file {word}"
    return None if words[:1] == ["install"] else f"pip {words} is not expected here"


def check_make(words: list[str]) -> str | None:
    unknown = {word for word in words if "=" not in word} - make_targets()
    return f"no target {sorted(unknown)}" if unknown else None


CHECKS = {"pnc": check_pnc, "python": check_python, "pip": check_pip, "make": check_make}


def check(command: str) -> str | None:
    """Why a documented command line cannot work, or None."""
    for part in re.split(r"\s(?:\||&&)\s", command):
        words = shlex.split(part, comments=True)
        while words and re.match(r"[A-Z_]+=", words[0]):
            words.pop(0)
        program = Path(words[0]).name
        if program not in CHECKS:
            return f"{program} is not a program of this project"
        problem = CHECKS[program](words[1:])
        if problem:
            return problem
    return None


@pytest.mark.parametrize(("page", "command"), documented_commands())
def test_documented_command_exists(page: str, command: str) -> None:
    assert check(command) is None


def test_contributing_has_commands() -> None:
    assert len([page for page, _ in documented_commands() if page == "CONTRIBUTING.md"]) >= 8


@pytest.mark.parametrize(
    "command",
    [
        "make no-such-target",
        "pnc no-such-command",
        "pnc device no-such-command",
        "pnc device run --no-such-option",
        "pnc --no-such-option device",
        "python -m benchmarks.no_such_module",
        "python no_such_file.py",
        ".venv/bin/python -m pytest tests/test_no_such.py",
        "pip install -r no-such-file.txt",
        "pip frobnicate",
        "frobnicate",
    ],
)
def test_checker_catches_a_command_that_does_not_exist(command: str) -> None:
    assert check(command) is not None


def test_commands_are_extracted_from_console_blocks_only() -> None:
    text = "```console\n$ make a \\\n  b\nits output\n```\n```python\n$ no\n```\n"
    assert [shlex.split(command) for command in extract_commands(text)] == [["make", "a", "b"]]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_documents_lead_somewhere(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    inside = [target for target in targets if "://" not in target]
    assert [target for target in inside if not (page.parent / target).exists()] == []


def test_every_decision_is_in_the_list() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = (folder / "README.md").read_text(encoding="utf-8")
    records = sorted(folder.glob("[0-9]*.md"))
    assert [path.name[:4] for path in records] == [f"{n:04}" for n in range(1, len(records) + 1)]
    assert all(path.name in listed for path in records)


def test_every_make_target_is_explained() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    explained = set(re.findall(r"^([a-z][a-z-]*):.*## \S", text, re.MULTILINE))
    assert explained == make_targets()
