from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console
from rich.live import Live

from edge_server.progress import (
    PLAIN_INTERVAL_S,
    _LivePanel,
    open_progress,
    percent,
    print_summary,
)
from edge_server.summary import RadioLine, summarize
from tests.edge_server.test_summary import CLASSES, make_records, make_row

STATUS: dict[str, Any] = {
    "metrics": {"results": 3, "on_time_share": 0.5, "goodput_bps": 34_300.0},
    "goodput": [[-1.0, 0.0], [-0.5, 8000.0], [0.0, 16000.0]],
}


def test_percent() -> None:
    assert (percent(0.5), percent(None)) == ("50.0%", "–")


def test_plain_lines_come_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("edge_server.progress.time.monotonic", lambda: now[0])
    with open_progress(10, "http://x/", quiet=False) as progress:
        progress.note("hello")
        progress.update(STATUS, None)
        now[0] += PLAIN_INTERVAL_S
        progress.update(STATUS, make_row(3, 100, 1))
        progress.update(STATUS, None)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "hello",
        "3 of 10 results, 50.0% on time, goodput 34.3 kbit/s, last: bolt 90%",
    ]


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with open_progress(10, "http://x/", quiet=True) as progress:
        progress.note("hello")
        progress.update(STATUS, None)
    assert capsys.readouterr() == ("", "")


def test_the_live_panel_shows_results_rates_and_guesses() -> None:
    console = Console(record=True, width=100, file=None, force_terminal=False, quiet=False)
    with Live(console=console, auto_refresh=False) as live:
        panel = _LivePanel(10, "http://127.0.0.1:1/", live)
        panel.note("first picture")
        panel.update(STATUS, make_row(3, 100, 0))
    text = console.export_text()
    for part in ("http://127.0.0.1:1/", "3 of 10", "34.3 kbit/s", "hex nut", "90%"):
        assert part in text


def test_the_summary_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    radio = [RadioLine(90.0 + second, 1000 * second, 0) for second in range(30)]
    records = make_records()
    print_summary(summarize(records, classes=CLASSES, undamaged={1: 0}, radio=radio), "light")
    text = capsys.readouterr().out
    for part in ("NOT EXACTLY ONE EACH, 1 without", "56.0% of it", "512-1023", "undamaged"):
        assert part in text
    print_summary(summarize(records[:1], classes=()), "light")
    text = capsys.readouterr().out
    assert "every picture exactly one" in text
    assert "accuracy" not in text
