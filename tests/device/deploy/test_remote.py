"""What is done on a device, on a board that is thrown away."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from device.deploy import remote
from device.deploy.plan import Plan, Settings, hash_file, make_plan
from device.deploy.service import service_unit, udev_rule
from pnc.codec.checkpoint import Checkpoint

pytestmark = pytest.mark.timeout(600)

SETTINGS = Settings("belt", "tcp://server:9", "belt", 1.0, "camera")
WAITS: dict[str, Any] = {"wait_s": 120.0, "steady_s": 0.05}


class Remote:
    """The device's side, asked as over ssh."""

    def __init__(self, board: Any) -> None:
        self.board = board
        self.said: list[str] = []

    def ask(self, operation: str, payload: bytes = b"", **request: Any) -> Any:
        line = json.dumps(
            {"operation": operation, "folder": str(self.board.folder), **request}
        ).encode()
        answer = io.BytesIO()
        status = remote.main(io.BytesIO(line + b"\n" + payload), answer)
        found = [json.loads(line) for line in answer.getvalue().splitlines()]
        self.said += [line["say"] for line in found if "say" in line]
        ((kind, content),) = found[-1].items()
        assert status == (kind == "error")
        if kind == "error":
            raise remote.RefusedError(content)
        return content

    def send(self, plan: Plan) -> None:
        files = [{"sha256": sha, "size": path.stat().st_size} for sha, path in plan.sources.items()]
        payload = b"".join(path.read_bytes() for path in plan.sources.values())
        self.ask("receive", payload, files=files)

    def bring(self, plan: Plan) -> dict[str, Any]:
        self.send(plan)
        made = self.ask("install", plan=plan.record)
        unit = service_unit(str(self.board.folder), "me", ["video"], pi_camera=False)
        done: dict[str, Any] = self.ask(
            "activate", number=made["number"], unit=unit, rule=udev_rule(), **WAITS
        )
        return done


@pytest.fixture
def device(board: Any, monkeypatch: pytest.MonkeyPatch) -> Remote:
    for name, value in board.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(remote, "POLL_S", 0.02)
    return Remote(board)


def plan_of(wheel: Path, **options: Any) -> Plan:
    version = wheel.name.split("-")[1]
    return make_plan(SETTINGS, Checkpoint.load("belt"), wheel, version=version, **options)


@pytest.fixture
def plans(wheels: dict[str, Path]) -> dict[str, Plan]:
    return {name: plan_of(wheel) for name, wheel in wheels.items()}


def test_a_fresh_machine_says_what_it_is(device: Remote) -> None:
    facts = device.ask("check")
    assert facts["python"][0] == 3
    assert facts["release"] is None
    assert facts["may_administer"]
    assert not facts["active"]
    assert not device.board.folder.exists(), "looking changes nothing"


def test_a_release_is_installed_and_runs(device: Remote, plans: dict[str, Plan]) -> None:
    assert device.bring(plans["good"]) == {"running": 1}
    board = device.board
    assert board.current == "1"
    health = device.ask("watch", wait_s=1.0, num=3)
    assert health["words"][:2] == ["device", "run"]
    for word in ("--wait-for-link", "tcp://server:9", "camera", "--log-json"):
        assert word in health["words"]
    checkpoint = Checkpoint.load(board.folder / "current" / "checkpoint")
    assert checkpoint.id == Checkpoint.load("belt").id
    assert len(checkpoint.read("encoder.tflite")) > 1000
    unit = (board.system / "etc/systemd/system/pnc-device.service").read_text()
    assert f"ExecStart={board.folder}/current/start" in unit
    assert (board.system / "etc/udev/rules.d/99-pnc-device.rules").exists()
    assert "sudo -n systemctl enable pnc-device" in board.calls
    facts = device.ask("check")
    assert facts["release"]["digest"] == plans["good"].record["digest"]
    assert facts["active"]
    assert facts["release"]["confirmed"]


def test_the_same_plan_makes_no_second_release(device: Remote, plans: dict[str, Plan]) -> None:
    device.bring(plans["good"])
    assert device.ask("install", plan=plans["good"].record) == {"number": 1, "new": False}
    device.board.forget_calls()
    device.bring(plans["good"])
    assert not [call for call in device.board.calls if "install" in call or "reload" in call]


def test_an_upgrade_switches_and_rollback_goes_back(device: Remote, plans: dict[str, Plan]) -> None:
    device.bring(plans["good"])
    assert device.bring(plans["better"]) == {"running": 2}
    assert device.ask("watch", wait_s=1.0, num=3)["version"] == "2.0"
    assert device.ask("rollback", **WAITS) == {"running": 1, "why": None}
    assert device.ask("watch", wait_s=1.0, num=3)["version"] == "1.0"
    with pytest.raises(remote.RefusedError, match="no older release"):
        device.ask("rollback", **WAITS)
    assert device.bring(plans["better"]) == {"running": 2}, "it is there already"


def test_a_release_that_does_not_run_is_taken_back(
    device: Remote, plans: dict[str, Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    device.bring(plans["good"])
    monkeypatch.setitem(WAITS, "wait_s", 4.0)
    done = device.bring(plans["cannot run"])
    assert done["running"] == 1
    assert "did not run steadily" in done["why"]
    assert done["log"][-1] == "pnc: error: this release ends at once"
    assert device.board.current == "1"
    assert [release["number"] for release in device.ask("status")["releases"]] == [1]


def test_a_first_release_that_does_not_run_leaves_nothing_running(
    device: Remote, plans: dict[str, Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(WAITS, "wait_s", 0.5)
    assert device.bring(plans["cannot run"])["running"] is None
    assert not (device.board.folder / "current").exists()
    assert not device.ask("check")["active"]


def test_a_release_that_cannot_encode_is_never_switched_to(
    device: Remote, plans: dict[str, Plan]
) -> None:
    device.bring(plans["good"])
    with pytest.raises(remote.RefusedError, match="this release is broken"):
        device.bring(plans["cannot encode"])
    assert device.board.current == "1"
    assert not (device.board.folder / "releases" / "2").exists()


def test_wheels_that_are_missing_are_one_line(device: Remote, plans: dict[str, Plan]) -> None:
    (device.board.root / "no-network").touch()
    with pytest.raises(remote.RefusedError, match=r"pnc cannot be installed: ERROR: No matching"):
        device.bring(plans["good"])


def test_files_that_were_cut_off_are_not_kept_and_the_rest_is_not_sent_again(
    device: Remote, plans: dict[str, Plan]
) -> None:
    sources = list(plans["good"].sources.items())
    files = [{"sha256": sha, "size": path.stat().st_size} for sha, path in sources]
    payload = b"".join(path.read_bytes() for _, path in sources)
    cut = sum(path.stat().st_size for _, path in sources[:2]) + 5
    with pytest.raises(remote.RefusedError, match="in the middle of a file"):
        device.ask("receive", payload[:cut], files=files)
    assert set(device.ask("check")["stored"]) == {sha for sha, _ in sources[:2]}
    with pytest.raises(remote.RefusedError, match=r"has not arrived; run it again"):
        device.ask("install", plan=plans["good"].record)
    device.bring(plans["good"])
    assert not list((device.board.folder / "store").glob("*.part"))


def test_a_file_that_is_not_what_its_hash_says_is_refused(device: Remote) -> None:
    with pytest.raises(remote.RefusedError, match="arrived damaged"):
        device.ask("receive", b"abc", files=[{"sha256": "0" * 64, "size": 3}])
    assert device.ask("check")["stored"] == []


@pytest.mark.parametrize("when", ["install", "activate"])
def test_what_a_cut_left_behind_does_no_harm(
    device: Remote, plans: dict[str, Plan], when: str
) -> None:
    device.bring(plans["good"])
    if when == "install":
        half = device.board.folder / "releases" / "2"
        (half / "venv").mkdir(parents=True)
    else:
        device.send(plans["better"])
        device.ask("install", plan=plans["better"].record)
    assert device.bring(plans["better"]) == {"running": 2}
    assert (device.board.folder / "current" / "release.json").exists()


def test_old_releases_and_their_files_go(
    device: Remote, plans: dict[str, Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "KEEP_RELEASES", 1)
    device.bring(plans["good"])
    device.bring(plans["better"])
    status = device.ask("status")
    assert [release["number"] for release in status["releases"]] == [2]
    names = {path.name for path in (device.board.folder / "store").iterdir()}
    assert names == set(plans["better"].sources)


def test_remove_leaves_nothing_and_may_be_done_again(
    device: Remote, plans: dict[str, Plan]
) -> None:
    device.bring(plans["good"])
    assert device.ask("remove") == {"removed": True}
    assert not device.board.folder.exists()
    assert not list((device.board.system / "etc").rglob("*pnc*"))
    assert device.ask("remove") == {"removed": False}


def test_a_folder_of_somebody_else_is_not_removed(device: Remote) -> None:
    device.board.folder.mkdir()
    (device.board.folder / "thesis.tex").write_text("")
    with pytest.raises(remote.RefusedError, match="nothing was removed"):
        device.ask("remove")
    assert (device.board.folder / "thesis.tex").exists()


def test_without_sudo_nothing_is_administered(device: Remote) -> None:
    (device.board.root / "no-sudo").touch()
    assert not device.ask("check")["may_administer"]


def test_the_same_files_make_the_same_plan(wheels: dict[str, Path]) -> None:
    digests = {plan_of(wheels["good"]).record["digest"] for _ in range(2)}
    assert len(digests) == 1
    other = plan_of(wheels["good"], bundle=[wheels["better"]])
    assert other.record["digest"] not in digests
    assert other.record["offline"]
    assert other.record["files"]["wheels/" + wheels["better"].name] == hash_file(wheels["better"])


def test_the_program_is_understood_by_an_older_python() -> None:
    import ast

    source = Path(remote.__file__).read_text()
    tree = ast.parse(source, feature_version=(3, 9))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not [name for name in imported if name and name.startswith(("pnc", "device"))]
    assert not re.search(r"^import (pnc|device)", source, re.MULTILINE)


def test_an_unknown_module_is_not_there() -> None:
    assert not remote._has_module("no_such_module_at_all")
