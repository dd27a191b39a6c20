"""The device's loop around a link that comes and goes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, cast

import pytest

from device.agent import run_agent
from device.pacing import PacedSender
from pnc.errors import ConfigError, LinkError, LinkLostError
from pnc.transport.events import Event
from tests.device.bench import Bench, Notes


class FakeLink:
    url = "fake://"

    def __init__(self) -> None:
        self.closed = False

    def read(self, timeout_s: float) -> bytes:
        return b""

    def write(self, data: bytes) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def test_a_lost_link_is_opened_again_with_growing_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, notes, stop = Bench(count=1), Notes(), threading.Event()
    links: list[FakeLink] = []
    script: list[str] = ["opens", "fails", "fails", "opens"]
    monkeypatch.setattr(stop, "wait", lambda timeout: False)

    def open_link() -> FakeLink:
        if script.pop(0) == "fails":
            raise LinkError("fake://: missing")
        links.append(FakeLink())
        return links[-1]

    def pump(paced: PacedSender, link: FakeLink, on_event: Callable[[Event], None]) -> None:
        if len(links) == 1:
            raise LinkLostError("fake://: unplugged")
        bench.pair.run_until(5)
        for _, event in bench.pair.sender_events:
            on_event(event)
        assert stop.is_set()

    run_agent(bench.paced, open_link, cast("Any", pump), notes, stop)
    assert notes.losses == [0.25, 0.5, 1.0]
    assert notes.num_connected == 1
    assert len(notes.pictures) == 1
    assert all(link.closed for link in links)


def test_a_link_that_never_opened_is_an_error() -> None:
    bench, notes = Bench(), Notes()

    def open_link() -> FakeLink:
        raise LinkError("fake://: missing")

    with pytest.raises(LinkError, match="missing"):
        run_agent(bench.paced, open_link, cast("Any", None), notes, threading.Event())


def test_a_patient_agent_waits_for_a_link_that_never_was(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, notes, stop = Bench(), Notes(), threading.Event()

    def wait(timeout: float) -> None:
        if len(notes.losses) == 3:
            stop.set()

    monkeypatch.setattr(stop, "wait", wait)

    def open_link() -> FakeLink:
        raise LinkError("fake://: missing")

    run_agent(bench.paced, open_link, cast("Any", None), notes, stop, patient=True)
    assert notes.losses[:3] == [0.25, 0.5, 1.0]


def test_nothing_is_announced_before_the_address_was_understood() -> None:
    told: list[str] = []

    def open_link() -> FakeLink:
        raise ConfigError("fake: not the address of a link")

    def run() -> None:
        run_agent(
            Bench().paced,
            open_link,
            cast("Any", None),
            Notes(),
            threading.Event(),
            patient=True,
            on_begin=lambda: told.append("begun"),
        )

    with pytest.raises(ConfigError):
        run()
    assert told == []


def test_a_patient_agent_announces_itself_before_it_tells_of_the_link_it_misses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    notes, stop = Notes(), threading.Event()
    losses: list[int] = []
    monkeypatch.setattr(stop, "wait", lambda timeout: stop.set())

    def open_link() -> FakeLink:
        raise LinkError("fake://: missing")

    run_agent(
        Bench().paced,
        open_link,
        cast("Any", None),
        notes,
        stop,
        patient=True,
        on_begin=lambda: losses.append(len(notes.losses)),
    )
    assert losses == [0]
    assert len(notes.losses) == 1


def test_a_stop_reports_what_still_waits_for_its_result() -> None:
    bench, notes, stop = Bench(answers=False), Notes(), threading.Event()

    def pump(paced: PacedSender, link: FakeLink, on_event: Callable[[Event], None]) -> None:
        bench.pair.run_until(1.2)
        stop.set()

    run_agent(bench.paced, FakeLink, cast("Any", pump), notes, stop)
    assert [report.picture_id for report in notes.pictures] == [1, 2, 3]
    assert all(report.result_ms is None for report in notes.pictures)
