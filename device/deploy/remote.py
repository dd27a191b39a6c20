"""What is done on the device: sent there over ssh and run by its Python.

Standard library only, and no syntax newer than Python 3.9, so that an older machine can say that it
is too old. It reads one JSON line with the request, then the files that belong to it, and writes
JSON lines: ``{"say": TEXT}`` any number of times, then ``{"result": ...}`` or ``{"error": TEXT}``.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import pwd
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

SERVICE = "pnc-device"
UNIT_PATH = "/etc/systemd/system/pnc-device.service"
RULE_PATH = "/etc/udev/rules.d/99-pnc-device.rules"

MARKER = ".pnc-device"
"""Lies in the folder, so that no other folder is ever removed."""

KEEP_RELEASES = 3
"""The current release and those that ``rollback`` can go to."""

PIECE_BYTES = 1 << 20

LOCK_S = 60.0
"""How long another deployment is waited for: that of a connection that was just cut ends soon."""

HEALTH_TIMEOUT_S = 3.0

POLL_S = 0.25

GROUPS = ("dialout", "plugdev", "video", "render", "bluetooth", "gpio", "i2c")
"""Groups that open serial ports, cameras and adapters, where they exist."""


class RefusedError(Exception):
    """Something that cannot be done, in one line."""


class Device:
    """The folder of releases and the service on this machine.

    Args:
        folder: Where everything lies.
        say: Tells the user what is being done.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder = folder
        self.say = say
        self.releases = folder / "releases"
        self.store = folder / "store"
        self.current = folder / "current"
        self.health_path = folder / "run" / "health.sock"

    def check(self) -> dict[str, Any]:
        """Return what a deployment has to know about this machine."""
        there = self.folder
        while not there.exists():
            there = there.parent
        current = self.current_number()
        return {
            "python": list(sys.version_info[:3]),
            "machine": platform.machine(),
            "libc": list(platform.libc_ver()),
            "model": _text(Path("/proc/device-tree/model")).strip("\0\n ") or platform.node(),
            "has_venv": _has_module("venv") and _has_module("ensurepip"),
            "has_picamera2": _has_module("picamera2"),
            "has_systemd": shutil.which("systemctl") is not None,
            "may_administer": _may_administer(),
            "user": pwd.getpwuid(os.getuid()).pw_name,
            "groups": _groups(),
            "folder": str(self.folder),
            "free_mb": shutil.disk_usage(there).free // 2**20,
            "stored": sorted(path.name for path in self.store.glob("?" * 64)),
            "release": None if current is None else self.read(current),
            "active": self.is_active(),
        }

    def receive(self, files: Sequence[Mapping[str, Any]], source: BinaryIO) -> int:
        """Put files into the store, each only once it is whole; return their number."""
        self._prepare()
        for file in files:
            digest, left = hashlib.sha256(), int(file["size"])
            partial = self.store / (file["sha256"] + ".part")
            with partial.open("wb") as target:
                while left:
                    piece = source.read(min(left, PIECE_BYTES))
                    if not piece:
                        raise RefusedError("the connection ended in the middle of a file")
                    digest.update(piece)
                    target.write(piece)
                    left -= len(piece)
                target.flush()
                os.fsync(target.fileno())
            if digest.hexdigest() != file["sha256"]:
                partial.unlink()
                raise RefusedError("a file arrived damaged; run it again")
            partial.replace(self.store / file["sha256"])
        return len(files)

    def install(self, plan: Mapping[str, Any]) -> dict[str, Any]:
        """Make a release that is not yet used, or find the complete one of the same plan."""
        self._prepare()
        with self._locked():
            self._clear_incomplete()
            for number in reversed(self.numbers()):
                if self.read(number)["digest"] == plan["digest"]:
                    return {"number": number, "new": False}
            number = max([*self.numbers(), 0]) + 1
            folder = self.releases / str(number)
            try:
                encode = self._build(folder, plan)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            record = {**plan, "number": number, "made_at": int(time.time()), "encode": encode}
            _write(folder / "release.json", json.dumps(record, indent=2))
            return {"number": number, "new": True, "encode": encode}

    def activate(
        self, number: int, unit: str, rule: str, wait_s: float, steady_s: float
    ) -> dict[str, Any]:
        """Switch to a release, and back if it does not run."""
        with self._locked():
            before = self.current_number()
            self._install_service(unit, rule)
            self.say(f"starting release {number}")
            why = self._run_release(number, wait_s, steady_s)
            if why is None:
                (self.releases / str(number) / "confirmed").touch()
                self._collect_garbage()
                return {"running": number}
            log = self._log_tail()
            back = self._last_good(number, before)
            if back is None:
                self._administer("systemctl", "disable", "--now", SERVICE)
                self.current.unlink()
            else:
                self.say(f"release {number} does not run; going back to {back}")
                self._run_release(back, wait_s, steady_s)
            shutil.rmtree(self.releases / str(number), ignore_errors=True)
            return {"running": back, "why": why, "log": log}

    def rollback(self, wait_s: float, steady_s: float) -> dict[str, Any]:
        """Switch to the release before the current one."""
        with self._locked():
            now = self.current_number()
            older = [n for n in self.numbers() if self.confirmed(n) and (now is None or n < now)]
            if not older:
                raise RefusedError("there is no older release to go back to; `status` lists them")
            self.say(f"going back to release {older[-1]}")
            why = self._run_release(older[-1], wait_s, steady_s)
            if why is not None and now is not None:
                log = self._log_tail()
                self._run_release(now, wait_s, steady_s)
                return {"running": now, "why": why, "log": log}
            return {"running": older[-1], "why": why}

    def status(self) -> dict[str, Any]:
        """Return the releases, the state of the service, and the health of the device."""
        current = self.current_number()
        releases = [
            {
                **{
                    key: self.read(n).get(key)
                    for key in ("number", "version", "made_at", "settings")
                },
                "confirmed": self.confirmed(n),
                "current": n == current,
            }
            for n in self.numbers()
        ]
        return {
            "folder": str(self.folder),
            "releases": releases,
            "active": self.is_active(),
            "health": self.read_health(),
        }

    def remove(self) -> dict[str, Any]:
        """Take away the service, the rule and the folder."""
        found = (self.folder / MARKER).exists()
        if self.folder.exists() and not found and any(self.folder.iterdir()):
            raise RefusedError(
                f"{self.folder}: was not made by `pnc device deploy`; nothing was removed"
            )
        with contextlib.suppress(RefusedError):
            self._administer("systemctl", "disable", "--now", SERVICE)
        self._administer("rm", "-f", UNIT_PATH, RULE_PATH)
        self._administer("systemctl", "daemon-reload")
        with contextlib.suppress(RefusedError):
            self._administer("udevadm", "control", "--reload")
        shutil.rmtree(self.folder, ignore_errors=True)
        return {"removed": found}

    def numbers(self) -> list[int]:
        """Return the complete releases, oldest first."""
        found = self.releases.glob("*/release.json")
        return sorted(int(path.parent.name) for path in found if path.parent.name.isdigit())

    def read(self, number: int) -> dict[str, Any]:
        """Return what was written about a release."""
        record: dict[str, Any] = json.loads(_text(self.releases / str(number) / "release.json"))
        return {**record, "confirmed": self.confirmed(number)}

    def confirmed(self, number: int) -> bool:
        """Whether a release has run."""
        return (self.releases / str(number) / "confirmed").exists()

    def current_number(self) -> int | None:
        """Return the release that is switched to, if it is complete."""
        try:
            number = int(Path(os.readlink(self.current)).name)  # noqa: PTH115 - not resolved
        except (OSError, ValueError):
            return None
        return number if number in self.numbers() else None

    def is_active(self) -> bool:
        """Whether the service runs."""
        try:
            done = subprocess.run(
                ["systemctl", "is-active", SERVICE], capture_output=True, text=True, check=False
            )
        except OSError:
            return False
        return done.stdout.strip() == "active"

    def read_health(self) -> dict[str, Any] | None:
        """Ask the running device how it is."""
        answer = b""
        try:
            with socket.socket(socket.AF_UNIX) as asker:
                asker.settimeout(HEALTH_TIMEOUT_S)
                asker.connect(str(self.health_path))
                while True:
                    piece = asker.recv(1 << 16)
                    if not piece:
                        break
                    answer += piece
            found = json.loads(answer)
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def watch(self, wait_s: float, num: int) -> dict[str, Any] | None:
        """Wait until the device has reported some pictures; return its health then."""
        end = time.monotonic() + wait_s
        while True:
            health = self.read_health()
            enough = health is not None and health.get("pictures", 0) >= num
            if enough or time.monotonic() >= end:
                return health
            time.sleep(POLL_S)

    def _prepare(self) -> None:
        try:
            for folder in (self.store, self.releases, self.folder / "run"):
                folder.mkdir(parents=True, exist_ok=True)
            (self.folder / MARKER).touch()
        except OSError as error:
            raise RefusedError(f"{error.filename}: cannot be written ({error.strerror})") from error
        for partial in self.store.glob("*.part"):
            partial.unlink()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one deployment at a time change anything."""
        if not self.folder.exists():
            raise RefusedError("nothing is deployed here; do that first: pnc device deploy")
        with (self.folder / "lock").open("w") as lock:
            end = time.monotonic() + LOCK_S
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError as error:
                    if time.monotonic() >= end:
                        raise RefusedError(
                            "another deployment is at work; wait for its end"
                        ) from error
                    time.sleep(POLL_S)
            yield

    def _clear_incomplete(self) -> None:
        complete = {str(number) for number in self.numbers()}
        for folder in self.releases.iterdir():
            if folder.name not in complete:
                shutil.rmtree(folder, ignore_errors=True)

    def _build(self, folder: Path, plan: Mapping[str, Any]) -> Any:
        folder.mkdir()
        for name, sha256 in plan["files"].items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(self.store / sha256, target)
            except FileNotFoundError as error:
                raise RefusedError(f"{name} has not arrived; run it again") from error
            except OSError:
                shutil.copyfile(self.store / sha256, target)
        self.say("making a virtual environment")
        system = ["--system-site-packages"] if plan["system_site_packages"] else []
        venv = folder / "venv"
        _run([sys.executable, "-m", "venv", *system, str(venv)], "no virtual environment")
        self.say(f"installing pnc {plan['version']}")
        source = ["--no-index", "--find-links", str(folder / "wheels")] if plan["offline"] else []
        wheel = f"pnc[{','.join(plan['extras'])}] @ file://{folder / plan['wheel']}"
        pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--no-input", "--quiet"]
        _run(
            [*pip, "--disable-pip-version-check", "--only-binary", ":all:", *source, wheel],
            "pnc cannot be installed",
        )
        words = [str(venv / "bin" / "pnc"), "device", "run"]
        words += ["--checkpoint", str(folder / "checkpoint"), "--health", str(self.health_path)]
        script = folder / "start"
        script.write_text("#!/bin/sh\nexec " + shlex.join([*words, *plan["arguments"]]) + "\n")
        script.chmod(0o755)
        self.say("trying the encoder")
        probe = [words[0], "device", "probe", "--checkpoint", str(folder / "checkpoint")]
        answer = _run([*probe, "--num", "8", "--json"], "pnc does not run")
        try:
            return json.loads(answer)["encode"]
        except (ValueError, KeyError, TypeError) as error:
            raise RefusedError("pnc does not run: its probe gives no result") from error

    def _install_service(self, unit: str, rule: str) -> None:
        changed = False
        for text, path in ((unit, UNIT_PATH), (rule, RULE_PATH)):
            mine = self.folder / "run" / Path(path).name
            _write(mine, text)
            with contextlib.suppress(RefusedError):
                self._administer("cmp", "-s", str(mine), path)
                continue
            self._administer("install", "-D", "-m", "644", str(mine), path)
            changed = True
        if changed:
            self.say("installed the service and the rule for radios")
            self._administer("systemctl", "daemon-reload")
            with contextlib.suppress(RefusedError):
                self._administer("udevadm", "control", "--reload")
                self._administer("udevadm", "trigger", "--subsystem-match=tty")
        self._administer("systemctl", "enable", SERVICE)

    def _run_release(self, number: int, wait_s: float, steady_s: float) -> str | None:
        """Switch and start; return why it does not run, or None if it does."""
        fresh = self.folder / "current.new"
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
        fresh.symlink_to(Path("releases") / str(number))
        fresh.replace(self.current)
        begin = time.monotonic()
        try:
            self._administer("systemctl", "restart", SERVICE)
        except RefusedError as error:
            return str(error)
        process, since = None, begin
        while time.monotonic() < begin + wait_s:
            health = self.read_health()
            now = time.monotonic()
            if health is None or health.get("uptime_s", 0) > now - begin + 1:
                process = None
            elif health.get("pid") != process:
                process, since = health.get("pid"), now
            elif now >= since + steady_s:
                return None
            time.sleep(POLL_S)
        return f"it did not run steadily within {wait_s:g} s"

    def _last_good(self, number: int, before: int | None) -> int | None:
        good = [n for n in self.numbers() if self.confirmed(n) and n != number]
        return before if before in good else max(good, default=None)

    def _log_tail(self) -> list[str]:
        command = ["journalctl", "-u", SERVICE, "-n", "12", "-o", "cat", "--no-pager"]
        for words in (command, [*_administrator(), *command]):
            with contextlib.suppress(OSError):
                done = subprocess.run(words, capture_output=True, text=True, check=False)
                if done.stdout.strip():
                    return done.stdout.strip().splitlines()
        return []

    def _collect_garbage(self) -> None:
        current = self.current_number()
        others = [n for n in self.numbers() if n != current and self.confirmed(n)]
        keep = {current, *others[::-1][: KEEP_RELEASES - 1]}
        for number in self.numbers():
            if number not in keep:
                shutil.rmtree(self.releases / str(number), ignore_errors=True)
        used = {sha256 for n in self.numbers() for sha256 in self.read(n)["files"].values()}
        for path in self.store.iterdir():
            if path.name not in used:
                path.unlink()

    def _administer(self, *words: str) -> None:
        _run([*_administrator(), *words], f"`sudo {' '.join(words[:3])}` failed")


def _administrator() -> list[str]:
    return ["sudo", "-n"] if shutil.which("sudo") else []


def _may_administer() -> bool:
    if not shutil.which("sudo"):
        return os.getuid() == 0
    done = subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False)
    return done.returncode == 0


def _groups() -> list[str]:
    there = {line.partition(":")[0] for line in _text(Path("/etc/group")).splitlines()}
    return [name for name in GROUPS if name in there]


def _has_module(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _run(command: Sequence[str], problem: str) -> str:
    """Run a program; return what it prints.

    Raises:
        RefusedError: It failed; the line ends with the last one that it wrote.
    """
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise RefusedError(f"{problem}: {command[0]}: {error.strerror}") from error
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line.lower()]
        reason = (errors or lines or [f"status {done.returncode}"])[-1]
        raise RefusedError(f"{problem}: {reason.strip()}")
    return done.stdout


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _write(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all, even after a power cut."""
    partial = path.with_name(path.name + ".part")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def main(source: BinaryIO, target: BinaryIO) -> int:
    """Do one request.

    Args:
        source: Where the request and its files come from.
        target: Where the answer goes.

    Returns:
        The exit status.
    """

    def tell(kind: str, content: Any) -> None:
        target.write(json.dumps({kind: content}).encode() + b"\n")
        target.flush()

    request = json.loads(source.readline())
    operation = request.pop("operation")
    device = Device(
        Path(request.pop("folder")).expanduser().absolute(), lambda text: tell("say", text)
    )
    if operation == "receive":
        request["source"] = source
    try:
        tell("result", getattr(device, operation)(**request))
    except RefusedError as error:
        tell("error", str(error))
        return 1
    return 0


if __name__ == "__main__":
    os.chdir(Path.home())
    sys.exit(main(sys.stdin.buffer, sys.stdout.buffer))
