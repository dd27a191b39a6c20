from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from pnc.signals import stopped_by_signals

WAIT_S = 10.0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_sets_the_event_and_acts_as_before_afterwards(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    stop = threading.Event()
    with stopped_by_signals(stop) as caught:
        os.kill(os.getpid(), number)
        assert stop.wait(WAIT_S)
        assert caught == [number]
    assert signal.getsignal(number) is before
    assert signal.set_wakeup_fd(-1) == -1
    assert "signals" not in [thread.name for thread in threading.enumerate()]


def test_without_a_signal_nothing_is_caught() -> None:
    stop = threading.Event()
    with stopped_by_signals(stop) as caught:
        pass
    assert caught == []
    assert not stop.is_set()


def test_a_second_ctrl_c_does_what_it_always_does() -> None:
    stop = threading.Event()
    with stopped_by_signals(stop):
        signal.raise_signal(signal.SIGINT)
        assert stop.wait(WAIT_S)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_burst_of_sigterm_ends_a_program_that_waits_without_a_limit() -> None:
    program = (
        "import threading\n"
        "from pnc.signals import stopped_by_signals\n"
        "stop = threading.Event()\n"
        "with stopped_by_signals(stop):\n"
        "    print('ready', flush=True)\n"
        "    stop.wait()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as output:
        output.readline()
        for _ in range(100):
            process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) in (0, -signal.SIGTERM)
