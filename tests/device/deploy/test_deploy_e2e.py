"""``pnc device deploy`` and its kind, over the system's ssh to a real server."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from device.deploy import actions
from device.deploy.actions import Deployment
from device.deploy.plan import Settings
from device.deploy.ssh import DeployError, Shell
from pnc import cli

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

SETTINGS = Settings("belt", "tcp://server:9", "belt", 1.0, "camera")


class Server:
    """The server's process, and how the system's ssh finds it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "config"

    @property
    def command(self) -> str:
        """For ``--ssh-command``."""
        return f"ssh -F {self.config}"

    def host(self, board: Any) -> str:
        """Make a board known, and return its name."""
        link = self.folder / board.root.name
        if not link.exists():
            link.symlink_to(board.root)
        (board.root / "environment").write_text(json.dumps(board.environment))
        return f"{board.root.name}@127.0.0.1"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pytest.importorskip("asyncssh", reason="needs asyncssh, of the extra `dev`")
    if shutil.which("ssh") is None:
        pytest.skip("needs the system's ssh")
    server = Server(tmp_path_factory.mktemp("ssh"))
    folder = server.folder
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "client"], check=True
    )
    process = subprocess.Popen([sys.executable, Path(__file__).with_name("ssh_server.py"), folder])
    try:
        for _ in range(600):
            if (folder / "port").exists() or process.poll() is not None:
                break
            time.sleep(0.1)
        port, key = (folder / "port").read_text(), (folder / "host.pub").read_text()
        (folder / "known").write_text(f"[127.0.0.1]:{port} {key}")
        settings = {
            "Port": port,
            "IdentityFile": folder / "client",
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": folder / "known",
            "GlobalKnownHostsFile": "/dev/null",
        }
        lines = [f"{name} {value}" for name, value in settings.items()]
        server.config.write_text("\n".join(lines) + "\n")
        yield server
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less of it: what runs here ends at once or not at all."""
    monkeypatch.setattr(actions, "START_S", 120.0)
    monkeypatch.setattr(actions, "STEADY_S", 0.1)
    monkeypatch.setattr(actions, "PICTURES_S", 5.0)


def pnc(server: Server, *words: str | Path) -> int:
    options = ["--ssh-command", server.command]
    return cli.main(["device", *map(str, words), *options])


def test_a_device_from_first_to_last(
    server: Server, board: Any, wheels: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    host = server.host(board)
    where = ("--link", "tcp://server:9", "--source", "belt", "--name", "camera")
    assert pnc(server, "deploy", host, *where, "--wheel", wheels["good"]) == 0
    told = capsys.readouterr().out
    for line in ("sending 5 of 5 files", "installing pnc 1.0", "release 1 runs", "1 gear"):
        assert line in told
    assert board.current == "1"

    board.forget_calls()
    assert pnc(server, "deploy", host, *where, "--wheel", wheels["good"]) == 0
    assert "release 1 is the same and runs: nothing to do" in capsys.readouterr().out
    assert board.calls == ["sudo -n true"]

    assert pnc(server, "upgrade", host, "--wheel", wheels["better"], "--deadline", "0.5") == 0
    told = capsys.readouterr().out
    assert "sending 1 of 5 files" in told
    assert "release 2 runs" in told
    start = (board.folder / "current" / "start").read_text()
    assert "--deadline 0.5" in start
    assert "--name camera" in start

    assert pnc(server, "upgrade", host, "--wheel", wheels["cannot encode"]) == 1
    assert "this release is broken" in capsys.readouterr().err
    assert board.current == "2"

    assert pnc(server, "rollback", host) == 0
    assert board.current == "1"
    assert pnc(server, "status", host) == 0
    told = capsys.readouterr().out
    assert "* release 1  pnc 1.0" in told
    assert "service runs" in told
    assert "connected for" in told

    (board.root / "journal").write_text("a line of the journal\n")
    assert pnc(server, "logs", host, "-n", "3") == 0
    assert any(call.startswith("journalctl -u pnc-device") for call in board.calls)

    assert pnc(server, "remove", host, "--yes") == 0
    assert not board.folder.exists()
    assert pnc(server, "status", host) == 0
    assert "nothing is deployed" in capsys.readouterr().out


@pytest.mark.slow
def test_an_upgrade_that_does_not_run_is_taken_back(
    server: Server, board: Any, wheels: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    host = server.host(board)
    where = ("--link", "tcp://server:9", "--source", "belt")
    assert pnc(server, "deploy", host, *where, "--wheel", wheels["good"]) == 0
    assert pnc(server, "upgrade", host, "--wheel", wheels["cannot run"]) == 1
    said = capsys.readouterr()
    assert "did not run steadily" in said.out + said.err
    assert board.current == "1"
    assert pnc(server, "status", host) == 0
    assert "service runs" in capsys.readouterr().out


def test_a_deployment_that_is_cut_off_goes_on_where_it_was(
    server: Server, board: Any, wheels: dict[str, Path]
) -> None:
    host = server.host(board)
    command = server.command.split()
    (board.root / "hold-pip").touch()
    said: list[str] = []

    with Shell(host, command=command) as shell:

        def cut(line: str) -> None:
            said.append(line)
            if line.startswith("installing"):
                assert shell._master is not None
                shell._master.kill()

        with pytest.raises(DeployError, match="the connection broke"):
            Deployment(shell, cut).deploy(SETTINGS, wheel=wheels["good"])
    assert not (board.folder / "current").exists()
    (board.root / "hold-pip").unlink()

    said.clear()
    with Shell(host, command=command) as shell:
        Deployment(shell, said.append).deploy(SETTINGS, wheel=wheels["good"])
    assert board.current == "1"
    assert not [line for line in said if line.startswith("sending")], "all files were there"


@pytest.mark.slow
def test_a_real_environment_from_a_bundle_without_a_registry(
    server: Server, board: Any, wheels: dict[str, Path], tmp_path: Path
) -> None:
    shutil.rmtree(board.root / "fake")
    host = server.host(board)
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    shutil.copy(wheels["good"], bundle)
    with Shell(host, command=server.command.split()) as shell:
        Deployment(shell, lambda line: None).deploy(SETTINGS, wheel=wheels["good"], bundle=bundle)
        health = shell.call("watch", folder="~/pnc-device", wait_s=1.0, num=3)
    assert health["version"] == "1.0"
    assert (board.folder / "current" / "venv" / "pyvenv.cfg").exists()


def test_what_is_in_the_way_is_one_line(
    server: Server, board: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    host = server.host(board)
    assert pnc(server, "rollback", host) == 1
    assert "nothing is deployed here" in capsys.readouterr().err
    assert pnc(server, "upgrade", host) == 1
    assert "nothing is deployed; use `pnc device deploy`" in capsys.readouterr().err
    assert pnc(server, "status", host, "--python", "python3.4") == 1
    assert "has no python3.4" in capsys.readouterr().err
    (board.root / "no-sudo").touch()
    assert pnc(server, "deploy", host, "--link", "x://", "--source", "belt") == 1
    assert "may not use sudo without a password" in capsys.readouterr().err
    (server.folder / board.root.name).unlink()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["status", "me@127.0.0.1", "--ssh-command", "ssh -p 1"], "ssh cannot connect"),
        (["status", "me@h", "--ssh-command", "no-such-ssh"], "cannot be started"),
        (["status", "-oProxyCommand=x"], "no such option"),
        (["status", "a b"], "not the name of a host"),
    ],
)
def test_a_host_that_cannot_be_reached_is_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["device", *words]) in (1, 2)
    told = capsys.readouterr().err.lower()
    assert message in told
    assert len(told.splitlines()) == 1
