"""Whether a machine can be a device, and the wheels that it needs."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from device.deploy.plan import Settings
from device.deploy.service import service_unit, udev_rule
from device.deploy.ssh import DeployError
from device.deploy.wheels import Target, build_wheel, check_target, fill_bundle
from pnc.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]

PI: dict[str, Any] = {
    "python": [3, 11, 2],
    "machine": "aarch64",
    "libc": ["glibc", "2.36"],
    "has_venv": True,
    "has_picamera2": True,
    "has_systemd": True,
    "may_administer": True,
    "user": "pi",
    "folder": "/home/pi/pnc-device",
    "free_mb": 9000,
}


def test_a_raspberry_pi_can_be_a_device() -> None:
    target = check_target("pi", PI, needs_camera=True)
    assert target == Target("aarch64", (3, 11), (2, 36))
    assert target.platforms[0] == "manylinux_2_36_aarch64"
    assert "manylinux2014_aarch64" in target.platforms


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"python": [3, 9, 2]}, "has Python 3.9, PNC needs 3.11"),
        ({"machine": "armv6l"}, r"its processor \(armv6l\) has no TFLite interpreter"),
        ({"machine": "armv7l", "python": [3, 13, 1]}, "install the 64-bit system"),
        ({"libc": ["", ""]}, "use a system with glibc"),
        ({"libc": ["musl", "1.2"]}, "use a system with glibc"),
        ({"has_venv": False}, "sudo apt install python3-venv"),
        ({"has_systemd": False}, "has no systemd"),
        ({"may_administer": False}, "NOPASSWD"),
        ({"has_picamera2": False}, "sudo apt install python3-picamera2"),
        ({"free_mb": 80}, "80 MB free"),
    ],
)
def test_what_stands_in_the_way_is_one_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DeployError, match=message) as caught:
        check_target("pi", {**PI, **change}, needs_camera=True)
    assert "\n" not in str(caught.value)


def test_32_bit_arm_with_its_last_python_will_do() -> None:
    check_target("pi", {**PI, "machine": "armv7l"}, needs_camera=False)


@pytest.mark.parametrize(
    ("source", "link", "extras"),
    [
        ("picamera2://", "serial:///dev/ttyACM0", ["device"]),
        ("/dev/video0?width=640", "ble://pnc", ["device", "camera", "ble"]),
        ("film.MP4", "ws://server:9/?token=x", ["device", "video", "websocket"]),
    ],
)
def test_extras_follow_from_source_and_link(source: str, link: str, extras: list[str]) -> None:
    assert Settings("belt", link, source, 1.0).extras == extras


def test_a_bundle_for_32_bit_arm_has_to_be_made_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has to be made there"):
        fill_bundle(tmp_path, tmp_path, ["device"], Target("armv7l", (3, 11), (2, 36)))


def test_the_unit_is_hardened_and_names_what_exists() -> None:
    unit = service_unit("/home/pi/pnc-device", "pi", ["video", "dialout"], pi_camera=False)
    for line in (
        "Type=notify",
        "ExecStart=/home/pi/pnc-device/current/start",
        "User=pi",
        "SupplementaryGroups=video dialout",
        "ProtectSystem=strict",
        "NoNewPrivileges=yes",
        "DevicePolicy=closed",
        "StartLimitIntervalSec=0",
    ):
        assert line in unit.splitlines()
    bare = service_unit("/x", "pi", [], pi_camera=True)
    assert "SupplementaryGroups" not in bare
    assert "DevicePolicy" not in bare


def test_the_rule_names_every_vendor_once() -> None:
    lines = [line for line in udev_rule().splitlines() if not line.startswith("#")]
    assert len({line.split('idVendor}=="')[1][:4] for line in lines}) == len(lines) == 4


@pytest.mark.slow
def test_the_wheel_is_built_from_the_source(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="needs hatchling, or a registry to fetch it from")
    wheel = build_wheel(tmp_path)
    assert wheel.name.startswith("pnc-")
    assert wheel.read_bytes()[:2] == b"PK"


@pytest.mark.slow
@pytest.mark.parametrize("python", [(3, 11), (3, 13)])
def test_every_wheel_of_the_device_extra_exists_for_a_raspberry_pi(
    tmp_path: Path, python: tuple[int, int], wheel_maker: Callable[..., Path]
) -> None:
    """Needs a package registry, and says so where there is none."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    tried = subprocess.run(
        [*pip, "--dest", tmp_path / "try", "pyserial"], capture_output=True, check=False
    )
    if tried.returncode:
        pytest.skip("needs a package registry; pip reaches none here")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = []
    for line in project["optional-dependencies"]["device"]:
        name, _, marker = line.partition("; ")
        condition = f"({marker}) and " if marker else ""
        extra.append(f"{name}; {condition}extra == 'device'")
    wheel = wheel_maker(tmp_path, "1.0", requires=[*project["dependencies"], *extra])
    fill_bundle(tmp_path / "bundle", wheel, ["device"], Target("aarch64", python, (2, 36)))
    names = {path.name.split("-")[0] for path in (tmp_path / "bundle").glob("*.whl")}
    assert {"numpy", "pillow", "pyserial", "rich", "typer", "ai_edge_litert", "pnc"} <= names
    binary = [path.name for path in (tmp_path / "bundle").glob("numpy-*.whl")]
    assert "aarch64" in binary[0]
