"""A board: a home and a system that are thrown away, on which a device is deployed.

``systemctl`` and its kind are scripts that record their calls; the first one also starts and stops
what the unit names, so that a release really runs. ``sudo`` moves paths below ``/etc`` into the
board. What is installed is a wheel of ours that is called pnc and answers like it.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import textwrap
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

STUBS = {
    "sudo": """
        echo "sudo $*" >> "$BOARD/calls"
        [ "$1" = -n ] && shift
        [ -f "$BOARD/no-sudo" ] && exit 1
        for word; do
            shift
            case "$word" in /etc/*) word="$BOARD/root$word";; esac
            set -- "$@" "$word"
        done
        exec "$@"
    """,
    "systemctl": """
        unit="$BOARD/root/etc/systemd/system/pnc-device.service"
        alive() {
            [ -f "$BOARD/pid" ] || return 1
            grep -q '^State:[[:space:]]*[^ZX]' "/proc/$(cat "$BOARD/pid")/status" 2>/dev/null
        }
        stop() {
            alive && kill "$(cat "$BOARD/pid")"
            while alive; do sleep 0.02; done
            rm -f "$BOARD/pid"
        }
        case "$1" in
            is-active) alive || { echo inactive; exit 3; }; echo active;;
            restart)
                stop
                setsid "$(sed -n 's/^ExecStart=//p' "$unit")" \
                    >> "$BOARD/journal" 2>&1 < /dev/null &
                echo $! > "$BOARD/pid";;
            disable) stop;;
        esac
    """,
    "journalctl": """
        echo "journalctl $*" >> "$BOARD/calls"
        cat "$BOARD/journal"
    """,
    "udevadm": "",
}

AGENT = """
import json, os, socket, sys, time

def main(version, words):
    begin = time.monotonic()
    path = words[words.index("--health") + 1]
    if os.path.exists(path):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    while True:
        connection, _ = listener.accept()
        health = {
            "pid": os.getpid(), "uptime_s": time.monotonic() - begin, "version": version,
            "state": "connected", "pictures": 3, "results": 3, "words": words,
            "last_pictures": ["1 gear", "2 bolt", "3 gear"],
        }
        connection.sendall(json.dumps(health).encode())
        connection.close()
"""
"""Answers like a device that runs."""

START = """
import sys
from pnc.agent import main as run

def main():
    if "probe" in sys.argv:
        print('{{"encode": {{"median_ms": 5.0, "p95_ms": 9.0}}}}')
    else:
        run({version!r}, sys.argv[1:])
"""
"""The command of a wheel that pip really installs."""

FAKE_VENV = """
import os, sys
os.makedirs(sys.argv[-1] + "/bin")
os.symlink(os.environ["BOARD"] + "/bin/fake-python", sys.argv[-1] + "/bin/python")
"""
"""Makes an environment in no time, whose pip installs in no time."""

FAKE_PYTHON = """
for last; do :; done
while [ -f "$BOARD/hold-pip" ]; do sleep 0.05; done
if [ -f "$BOARD/no-network" ]; then
    echo "ERROR: No matching distribution found for numpy>=1.26" >&2
    exit 1
fi
wheel="${last#*file://}"
version="${wheel##*/pnc-}"
cat > "${0%/*}/pnc" <<END
#!/bin/sh
case "\\$2 $(grep -a -o 'cannot [a-z]*' "$wheel")" in
    "probe cannot encode") echo "pnc: error: this release is broken" >&2; exit 1;;
    "probe "*) echo '{"encode": {"median_ms": 5.0, "p95_ms": 9.0}}';;
    "run cannot run") echo "pnc: error: this release ends at once" >&2; exit 1;;
    *) exec PYTHON -S -E "$BOARD/agent.py" "${version%%-*}" "\\$@";;
esac
END
chmod +x "${0%/*}/pnc"
"""


class Board:
    """A machine to deploy to.

    Args:
        root: Its folder; short, since a socket's path is.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "home"
        self.folder = self.home / "pnc-device"
        self.system = root / "root"
        self.home.mkdir()
        for name, text in STUBS.items():
            self._program(root / "bin" / name, f"#!/bin/sh\n{textwrap.dedent(text)}")
        python = FAKE_PYTHON.replace("PYTHON", str(Path(sys.executable).resolve()))
        self._program(root / "bin" / "fake-python", "#!/bin/sh" + python)
        self._program(root / "fake" / "venv" / "__init__.py", "")
        self._program(root / "fake" / "venv" / "__main__.py", FAKE_VENV)
        self._program(root / "agent.py", AGENT + "\nmain(sys.argv[1], sys.argv[2:])\n")
        for name in ("calls", "journal"):
            (root / name).touch()

    @property
    def environment(self) -> dict[str, str]:
        """What a command there sees."""
        python = str(Path(sys.executable).resolve().parent)
        return {
            "PATH": f"{self.root / 'bin'}:{python}:/usr/bin:/bin",
            "HOME": str(self.home),
            "BOARD": str(self.root),
            "PYTHONPATH": str(self.root / "fake"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    @property
    def calls(self) -> list[str]:
        """What was asked of the system."""
        return (self.root / "calls").read_text().splitlines()

    @property
    def current(self) -> str:
        """Name of the release that is switched to."""
        return (self.folder / "current").resolve().name

    def forget_calls(self) -> None:
        """Begin the record anew."""
        (self.root / "calls").write_text("")

    def stop(self) -> None:
        """End what was started."""
        try:
            pid = int((self.root / "pid").read_text())
            os.kill(pid, signal.SIGKILL)
        except (OSError, ValueError):
            return

    def _program(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)


def make_wheel(folder: Path, version: str, broken: str = "", requires: Sequence[str] = ()) -> Path:
    """Make a wheel of something that is called pnc.

    Args:
        folder: Where to put it.
        version: Its version.
        broken: ``cannot encode`` or ``cannot run``; for the environment that is not real.
        requires: What it depends on.
    """
    path = folder / f"pnc-{version}-py3-none-any.whl"
    info = f"pnc-{version}.dist-info"
    files = {
        "pnc/__init__.py": "",
        "pnc/agent.py": AGENT,
        "pnc/start.py": START.format(version=version),
        f"{info}/METADATA": (
            f"Metadata-Version: 2.1\nName: pnc\nVersion: {version}\nProvides-Extra: device\n"
            f"Summary: {broken}\n" + "".join(f"Requires-Dist: {line}\n" for line in requires)
        ),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\npnc = pnc.start:main\n",
        f"{info}/RECORD": "",
    }
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(zipfile.ZipInfo(name), text)
    return path


@pytest.fixture
def board() -> Iterator[Board]:
    root = Path(tempfile.mkdtemp(prefix="pnc-board-"))
    board = Board(root)
    yield board
    board.stop()
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def wheels(tmp_path: Path) -> dict[str, Path]:
    """Wheels by what is wrong with them."""
    return {
        "good": make_wheel(tmp_path, "1.0"),
        "better": make_wheel(tmp_path, "2.0"),
        "cannot encode": make_wheel(tmp_path, "3.0", "cannot encode"),
        "cannot run": make_wheel(tmp_path, "4.0", "cannot run"),
    }


@pytest.fixture
def wheel_maker() -> Callable[..., Path]:
    """Give :func:`make_wheel`: this module cannot be imported by name."""
    return make_wheel
