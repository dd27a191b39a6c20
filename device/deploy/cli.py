"""``pnc device deploy``, ``upgrade``, ``rollback``, ``logs``, ``status`` and ``remove``."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pnc.commands.options import Checkpoint

if TYPE_CHECKING:
    from device.deploy.actions import Deployment

__all__ = ["add_commands"]

Host = Annotated[str, typer.Argument(metavar="USER@HOST", help="The device, as ssh knows it.")]
SshCommand = Annotated[
    str, typer.Option("--ssh-command", help="The ssh program with its options: 'ssh -p 2222'.")
]
Python = Annotated[str, typer.Option("--python", help="The Python to use on the device.")]
Folder = Annotated[str, typer.Option("--folder", help="Where everything lies on the device.")]
Wheel = Annotated[
    Path | None, typer.Option("--wheel", metavar="FILE", help="Install this wheel of pnc.")
]
Bundle = Annotated[
    Path | None,
    typer.Option(
        "--bundle",
        metavar="DIR",
        help="Send all wheels from this folder, for a device without internet; an empty or new "
        "folder is filled for the device first.",
    ),
]
RunOption = Annotated[
    list[str] | None,
    typer.Option("--option", help="A further option for `pnc device run`; more than once."),
]


def deploy(
    host: Host,
    link: Annotated[
        str, typer.Option("--link", metavar="URL", help="The link, as `pnc device run` takes it.")
    ],
    checkpoint: Checkpoint = "belt",
    source: Annotated[
        str, typer.Option("--source", help="Where pictures come from, on the device.")
    ] = "picamera2://",
    deadline: Annotated[
        float, typer.Option("--deadline", min=0.02, max=3600, help="Seconds a picture has.")
    ] = 1.0,
    name: Annotated[str | None, typer.Option("--name", help="Name of the device.")] = None,
    option: RunOption = None,
    wheel: Wheel = None,
    bundle: Bundle = None,
    ssh_command: SshCommand = "ssh",
    python: Python = "python3",
    folder: Folder = "~/pnc-device",
) -> None:
    """Set a device up over ssh: environment, checkpoint, service; then show its first pictures.

    Doing it again does nothing where nothing changed, and goes on where it was cut off.

    A release that does not run is taken back.
    """
    from device.deploy.plan import Settings

    settings = Settings(checkpoint, link, source, deadline, name, tuple(option or ()))
    with _deployment(host, ssh_command, python, folder) as deployment:
        deployment.deploy(settings, wheel=wheel, bundle=bundle)


def upgrade(
    host: Host,
    checkpoint: Annotated[
        str | None, typer.Option("--checkpoint", "-c", help="Another checkpoint.")
    ] = None,
    link: Annotated[str | None, typer.Option("--link", metavar="URL", help="Another link.")] = None,
    source: Annotated[str | None, typer.Option("--source", help="Another source.")] = None,
    deadline: Annotated[
        float | None, typer.Option("--deadline", min=0.02, max=3600, help="Another deadline.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Another name.")] = None,
    option: RunOption = None,
    wheel: Wheel = None,
    bundle: Bundle = None,
    ssh_command: SshCommand = "ssh",
    python: Python = "python3",
    folder: Folder = "~/pnc-device",
) -> None:
    """Bring a device to this release of PNC, and change what is named; the rest stays."""
    given = {
        "checkpoint": checkpoint,
        "link": link,
        "source": source,
        "deadline_s": deadline,
        "name": name,
        "options": None if option is None else tuple(option),
    }
    changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    with _deployment(host, ssh_command, python, folder) as deployment:
        settings = replace(deployment.settings(), **changes)
        deployment.deploy(settings, wheel=wheel, bundle=bundle)


def rollback(
    host: Host,
    ssh_command: SshCommand = "ssh",
    python: Python = "python3",
    folder: Folder = "~/pnc-device",
) -> None:
    """Go back to the release that ran before."""
    with _deployment(host, ssh_command, python, folder) as deployment:
        deployment.rollback()


def status(
    host: Host,
    ssh_command: SshCommand = "ssh",
    python: Python = "python3",
    folder: Folder = "~/pnc-device",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show a device's releases, its service, and how it is."""
    with _deployment(host, ssh_command, python, folder) as deployment:
        found = deployment.status()
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for line in _describe(found):
        typer.echo(line)


def logs(
    host: Host,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many lines.")] = 50,
    ssh_command: SshCommand = "ssh",
) -> None:
    """Show what a device wrote into its journal."""
    from device.deploy.ssh import Shell

    words = ["journalctl", "-u", "pnc-device", "-o", "cat", "--no-pager", "-n", str(lines)]
    with Shell(host, command=shlex.split(ssh_command)) as shell:
        code = shell.follow(shlex.join([*words, *(["-f"] if follow else [])]))
    if code:
        raise typer.Exit(1)


def remove(
    host: Host,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    ssh_command: SshCommand = "ssh",
    python: Python = "python3",
    folder: Folder = "~/pnc-device",
) -> None:
    """Take service, rule and all releases away from a device."""
    if not yes:
        typer.confirm(f"Remove PNC from {host}?", abort=True)
    with _deployment(host, ssh_command, python, folder) as deployment:
        deployment.remove()


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module to ``pnc device``."""
    for command in (deploy, upgrade, rollback, status, logs, remove):
        app.command()(command)


@contextmanager
def _deployment(host: str, ssh_command: str, python: str, folder: str) -> Iterator[Deployment]:
    from device.deploy.actions import Deployment
    from device.deploy.ssh import Shell

    with Shell(host, command=shlex.split(ssh_command), python=python) as shell:
        yield Deployment(shell, lambda line: typer.echo(f"{host}: {line}"), folder=folder)


def _describe(found: dict[str, Any]) -> Iterator[str]:
    if not found["releases"]:
        yield "nothing is deployed"
        return
    for release in found["releases"]:
        made = datetime.fromtimestamp(release["made_at"]).strftime("%Y-%m-%d %H:%M")
        kept = release["settings"]
        mark = "*" if release["current"] else " "
        yield (
            f"{mark} release {release['number']}  pnc {release['version']}  {made}  "
            f"{kept['checkpoint']} ({kept['checkpoint_id']})  {kept['source']} -> {kept['link']}"
            f"{'' if release['confirmed'] else '  (never ran)'}"
        )
    yield f"service {'runs' if found['active'] else 'does not run'}"
    health = found["health"]
    if health is None:
        yield "the device does not answer; look into `pnc device logs`"
        return
    yield (
        f"{health['state']} for {health['uptime_s']:,.0f} s: {health['pictures']:,} pictures, "
        f"{health['results']:,} results"
    )
    for key in ("link_error", "source_error"):
        if health.get(key):
            yield str(health[key])
    yield from health.get("last_pictures", ())
