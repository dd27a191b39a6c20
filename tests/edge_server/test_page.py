"""The page in a real browser; skipped where there is none."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import uvicorn

from edge_server.app import create_app
from edge_server.cli import _listen
from edge_server.server import EdgeServer
from edge_server.store import Store
from edge_server.workers import Catalogue
from pnc.transport.events import DeviceConnected
from tests.edge_server.conftest import CHECKPOINT_ID, make_key, make_result

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@contextmanager
def serving(server: EdgeServer) -> Iterator[str]:
    config = uvicorn.Config(
        create_app(server),
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    web = uvicorn.Server(config)
    with _listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=web.run, args=([listener],), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        server.events.close()
        web.should_exit = True
        thread.join(10)


@pytest.fixture
def server(store: Store, catalogue: Catalogue) -> EdgeServer:
    return EdgeServer(store, catalogue)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(server: EdgeServer, browser: Browser) -> Iterator[Page]:
    with serving(server) as url:
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.set_default_timeout(30_000)
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(url, wait_until="domcontentloaded")
        yield page
        page.close()
        assert problems == []


def test_the_page_shows_what_happens_as_it_happens(
    page: Page, server: EdgeServer, store: Store
) -> None:
    wait_until_connected(page)
    server.device_connected("emu://x", DeviceConnected("cam", CHECKPOINT_ID, 7))
    page.locator("#connection", has_text="cam").wait_for()
    server.picture_started(make_key(1), 0.5, 3)
    page.locator("#now-name", has_text="picture 1").wait_for()
    server._stored(store.insert(make_result(1)))
    page.locator("#recent button").wait_for()
    assert page.inner_text("#top li:first-child") == "bright\n80 %"
    assert page.inner_text("#stage") == "120 bytes, final"
    page.locator("#picture:not([hidden])").wait_for()
    page.click("#recent button")
    page.fill("#detail-slider", "9")
    assert page.inner_text("#detail-bytes") == "9"
    page.locator("#detail-picture[src$='bytes=9']").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_what_is_wrong_is_said_and_names_are_only_text(page: Page, server: EdgeServer) -> None:
    wait_until_connected(page)
    name = "<b id=evil>cam</b>"
    server.device_connected("emu://x", DeviceConnected(name, "deadbeef", 7))
    page.locator("#notice", has_text="deadbeef").wait_for()
    assert page.inner_text("#connection") == name
    assert page.query_selector("#evil") is None
    server._store_changed("results.sqlite: the disk is full; make room")
    page.locator("#notice", has_text="disk is full").wait_for()


def wait_until_connected(page: Page) -> None:
    """Wait until the page listens; scripts that poll in the page are against its own policy."""
    page.locator("#connection[data-state=wait]", has_text="waiting for a device").wait_for()
