"""``pnc doctor``: what it finds, and the exit status."""

from __future__ import annotations

import json
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from pnc.commands import doctor
from pnc.commands.doctor import Finding
from pnc.errors import CheckpointError

Run = Callable[..., Any]


class GoodCodec:
    def __init__(self, folder: Path, altered: str) -> None:
        def read(file: str) -> bytes:
            if file == altered:
                raise CheckpointError(f"bad: {file} was altered; copy the folder again")
            return (folder / file).read_bytes()

        self.checkpoint = SimpleNamespace(
            id="1234abcd",
            classes=("a", "b"),
            folder=folder,
            files=doctor.DEVICE_FILES + doctor.SERVER_FILES,
            read=read,
        )

    def encode(self, picture: Any) -> bytes:
        return b"stream"

    def decode(self, stream: bytes) -> Any:
        return stream

    def classify(self, picture: Any, *, top: int) -> list[Any]:
        return []


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A healthy machine; the folder of its checkpoint."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for file in doctor.DEVICE_FILES + doctor.SERVER_FILES:
        (folder / file).write_bytes(b"content")

    def load(name: str) -> GoodCodec:
        return GoodCodec(folder, altered="encoder.tflite" if name == "bad" else "")

    module = ModuleType("pnc.codec.codec")
    module.Codec = SimpleNamespace(load=load)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pnc.codec.codec", module)
    monkeypatch.setattr(doctor, "_shipped_checkpoints", lambda: ["belt"])
    monkeypatch.setattr(doctor, "_version", lambda package: "1.0")
    monkeypatch.setattr("serial.tools.list_ports.comports", list)
    return folder


def findings(what: str, checkpoints: list[str] | None = None) -> list[Finding]:
    return [finding for finding in doctor.check_all(checkpoints) if finding.what.startswith(what)]


def test_a_healthy_machine_ends_with_status_0(pnc: Run) -> None:
    ended = pnc("doctor")
    assert ended.status == 0
    assert "0 problems" in ended.out
    assert "1234abcd, 2 classes, 4 hashes match" in ended.out


def test_a_problem_ends_with_status_1_and_says_what_to_do(pnc: Run) -> None:
    ended = pnc("doctor", "bad", "--json")
    assert ended.status == 1
    record = json.loads(ended.out)
    assert record["ok"] is False
    (finding,) = [entry for entry in record["findings"] if entry["state"] == "problem"]
    assert finding["what"] == "checkpoint bad"
    assert finding["text"] == "bad: encoder.tflite was altered; copy the folder again"


def test_no_runtime_and_no_package_are_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_version", lambda package: None)
    (runtime,) = findings("runtime")
    (numpy,) = findings("numpy")
    (extra,) = findings("extra server")
    assert (runtime.state, numpy.state, extra.state) == ("problem", "problem", "ok")
    assert "pip install 'pnc[device]'" in runtime.text


def test_tensorflow_counts_under_its_other_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        doctor, "_version", lambda package: "2.21" if package == "tensorflow-cpu" else None
    )
    (runtime,) = findings("runtime")
    assert runtime.text == "tensorflow 2.21 (used)"


def test_no_checkpoint_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_shipped_checkpoints", list)
    (finding,) = findings("checkpoint")
    assert finding.state == "problem"


def test_a_checkpoint_for_devices_is_a_warning(folder: Path) -> None:
    (folder / "classifier.tflite").unlink()
    (finding,) = findings("checkpoint")
    assert finding.state == "warning"
    assert "3 hashes match" in finding.text
    assert "no classifier.tflite: enough for a device" in finding.text


def test_shipped_checkpoints_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "manifest.json").write_text("{}")
    monkeypatch.undo()
    monkeypatch.setenv("PNC_CHECKPOINTS", str(tmp_path))
    assert "mine" in doctor._shipped_checkpoints()


def test_a_port_that_is_not_permitted_names_the_group(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    good, bad, virtual = (
        SimpleNamespace(device=str(tmp_path / name), description=name, hwid=hwid)
        for name, hwid in (("good", "USB"), ("bad", "USB"), ("virtual", "n/a"))
    )
    Path(good.device).touch()
    Path(bad.device).touch()
    monkeypatch.setattr("pnc.commands.doctor.os.access", lambda path, mode: path == good.device)
    monkeypatch.setattr(doctor, "_group_of", lambda device: "dialout")
    monkeypatch.setattr("serial.tools.list_ports.comports", lambda: [good, bad, virtual])
    refused, fine = findings("port")
    assert (fine.state, refused.state) == ("ok", "problem")
    assert "usermod -a -G dialout $USER" in refused.text


def test_the_group_of_a_port_is_read(tmp_path: Path) -> None:
    path = tmp_path / "port"
    path.touch()
    assert doctor._group_of(str(path)) == path.group()
    assert doctor._group_of(str(tmp_path / "gone")) == "dialout"


def test_little_disk_and_memory_are_warnings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pnc: Run
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("pnc.commands.doctor.shutil.disk_usage", lambda folder: usage(10, 9, 1))
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 512000 kB\nMemAvailable: 90000 kB\n")
    monkeypatch.setattr(doctor, "MEMINFO", meminfo)
    ended = pnc("doctor")
    assert ended.status == 0
    assert "2 warnings" in ended.out
    assert "88 MB of 500 MB available; a device needs 150 MB" in ended.out
    meminfo.write_text("nothing")
    assert findings("memory") == []


def test_a_folder_that_cannot_be_written_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(**options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pnc.commands.doctor.tempfile.TemporaryFile", refuse)
    (finding,) = findings("disk")
    assert finding.state == "warning"
    assert "permission denied" in finding.text
