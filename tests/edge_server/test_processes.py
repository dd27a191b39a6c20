from __future__ import annotations

import queue
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_server.processes import Child, ChildDiedError, start_child, stop_children

WAIT_S = 30.0
LISTEN = "import signal, sys; print('ready', flush=True); signal.pause()"

Start = Callable[..., Child]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    children: list[Child] = []

    def start(code: str, name: str = "radio") -> Child:
        child = start_child(name, [sys.executable, "-c", code], tmp_path / f"{name}.log")
        children.append(child)
        return child

    yield start
    stop_children(children)


def test_lines_of_a_child_are_read(start: Start) -> None:
    lines: queue.Queue[str] = queue.Queue()
    child = start("print('first'); print('second'); print('third')")
    assert child.first_line(WAIT_S) == "first\n"
    child.drain(lines.put)
    assert [lines.get(timeout=WAIT_S) for _ in range(2)] == ["second\n", "third\n"]


def test_a_child_that_dies_says_why_in_one_line(start: Start) -> None:
    code = (
        "import sys; print('pnc: error: the port is gone\\nINFO: x', file=sys.stderr); sys.exit(1)"
    )
    child = start(code)
    with pytest.raises(ChildDiedError, match=r"^the radio ended: the port is gone$"):
        child.first_line(WAIT_S)
    with pytest.raises(ChildDiedError):
        child.check()


def test_a_child_that_dies_silently_tells_its_status(start: Start) -> None:
    child = start("import os; os._exit(3)")
    with pytest.raises(ChildDiedError, match="exit status 3") as caught:
        child.first_line(WAIT_S)
    assert caught.value.status == 3


def test_a_child_that_is_killed_tells_by_what(start: Start) -> None:
    child = start(
        "import os, sys; print('x', file=sys.stderr, flush=True); os.kill(os.getpid(), 9)"
    )
    with pytest.raises(ChildDiedError, match="killed by signal 9"):
        child.first_line(WAIT_S)


def test_a_child_that_says_nothing_did_not_start(start: Start) -> None:
    child = start("import signal; signal.pause()")
    with pytest.raises(ChildDiedError, match="did not start"):
        child.first_line(0.01)


def test_the_device_may_end_the_others_may_not(start: Start) -> None:
    device = start("pass", name="device")
    device.wait(WAIT_S)
    device.check()
    device.check_success()
    radio = start("pass")
    radio.wait(WAIT_S)
    with pytest.raises(ChildDiedError):
        radio.check()
    broken = start("raise SystemExit(2)", name="device")
    broken.wait(WAIT_S)
    with pytest.raises(ChildDiedError):
        broken.check_success()


def test_all_children_end_even_the_stubborn(start: Start) -> None:
    calm = start(LISTEN)
    stubborn = start(
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True)\n"
        "while True: signal.pause()",
        name="server",
    )
    for child in (calm, stubborn):
        assert child.first_line(WAIT_S) == "ready\n"
        child.drain()
    stubborn.stop(timeout_s=0.05)
    stop_children([calm, stubborn])
    assert not calm.is_running
    assert not stubborn.is_running


def test_a_child_ends_with_a_parent_that_is_killed(start: Start, tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("prctl is Linux's")
    log = tmp_path / "grandchild.log"
    middle = start(
        "import os, sys, signal\n"
        "from pathlib import Path\n"
        "from edge_server.processes import start_child\n"
        f"child = start_child('radio', [sys.executable, '-c', {LISTEN!r}], Path({str(log)!r}))\n"
        "child.first_line(30)\n"
        "print(child.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    pid = int(middle.first_line(WAIT_S))
    middle.wait(WAIT_S)
    assert _is_gone(pid)


def _is_gone(pid: int) -> bool:
    """Wait until a process has ended: its state in /proc is Z, or it has none."""
    import time

    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(") ", 1)[1][0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False
