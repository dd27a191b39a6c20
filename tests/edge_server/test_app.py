from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from edge_server.app import STATIC, create_app
from edge_server.server import EdgeServer
from edge_server.store import Store
from edge_server.workers import Catalogue
from pnc.errors import StoreError
from pnc.transport.events import DeviceConnected
from tests.edge_server.conftest import CHECKPOINT_ID, make_key, make_packets, make_result


@pytest.fixture
def server(store: Store, catalogue: Catalogue) -> EdgeServer:
    return EdgeServer(store, catalogue)


@pytest.fixture
def client(server: EdgeServer) -> Iterator[TestClient]:
    with TestClient(create_app(server), raise_server_exceptions=False) as client:
        yield client


def grey_level(png: bytes) -> int:
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.format == "PNG"
        assert picture.size == (224, 224)
        level = picture.getpixel((0, 0))
    assert isinstance(level, tuple)
    return int(level[0])


def test_results_newest_first_in_pages(client: TestClient, store: Store) -> None:
    store.insert_many([make_result(number) for number in range(1, 6)])
    seen: list[int] = []
    before = ""
    for _ in range(3):
        page = client.get(f"/api/v1/results?limit=2{before}").json()
        seen += [row["picture_id"] for row in page["results"]]
        before = f"&before={page['next']}"
    assert seen == [5, 4, 3, 2, 1]
    assert page["next"] is None


def test_results_by_device_and_time(client: TestClient, store: Store) -> None:
    store.insert_many([make_result(1), make_result(2), make_result(key=make_key(3, device="ü/b"))])

    def ids(**query: str) -> list[int]:
        rows = client.get("/api/v1/results", params=query).json()["results"]
        return [row["picture_id"] for row in rows]

    assert ids(device="cam") == [2, 1]
    assert ids(device="ü/b") == [3]
    assert ids(since="1002.5", device="cam") == [2]
    assert ids(device="nobody") == []


def test_a_result_as_json(client: TestClient, store: Store) -> None:
    row = store.insert(make_result(1))
    body = client.get(f"/api/v1/results/{row.id}").json()
    assert body["device"] == "cam"
    assert body["top"][0] == {"label": "bright", "index": 2, "probability": 0.8}
    assert body["packet_bytes"] == [40, 40, 40]
    assert body["picture"] == f"/api/v1/results/{row.id}/picture.png"
    assert body["late_bytes"] == 11
    assert "payload" not in body


def test_the_picture_at_every_number_of_bytes(client: TestClient, store: Store) -> None:
    row = store.insert(make_result(1, packets=dict(enumerate(make_packets(2, size=16)))))
    for num_bytes in [*range(34), 10**6]:
        answer = client.get(f"/api/v1/results/{row.id}/picture.png?bytes={num_bytes}")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "image/png"
        assert answer.headers["x-pnc-bytes"] == str(min(num_bytes, 32))
        assert grey_level(answer.content) == (128 if num_bytes <= 4 else 200)


def test_a_picture_decoded_a_moment_ago_is_not_decoded_again(
    client: TestClient, server: EdgeServer, store: Store
) -> None:
    row = store.insert(make_result(1))
    pixels, _ = server.viewer.decode(make_packets(level=77), CHECKPOINT_ID)
    server.cache.put(row.key, pixels)
    assert grey_level(client.get(f"/api/v1/results/{row.id}/picture.png").content) == 77
    assert grey_level(client.get(f"/api/v1/results/{row.id}/picture.png?bytes=9").content) == 200


def test_a_picture_of_another_checkpoint_is_refused(client: TestClient, store: Store) -> None:
    row = store.insert(make_result(1, checkpoint_id="deadbeef"))
    answer = client.get(f"/api/v1/results/{row.id}/picture.png")
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "not_decodable"


def test_devices_stored_and_connected(client: TestClient, server: EdgeServer, store: Store) -> None:
    store.insert(make_result(1))
    server.device_connected("emu://x", DeviceConnected("new", CHECKPOINT_ID, 9))
    old, new = client.get("/api/v1/devices").json()["devices"]
    assert (old["device"], old["results"], old["connection"]) == ("cam", 1, None)
    assert (new["device"], new["connection"]["session_id"]) == ("new", 9)


def test_status_names_checkpoints_links_and_what_is_wrong(
    client: TestClient, server: EdgeServer
) -> None:
    server.device_connected("emu://x", DeviceConnected("cam", "deadbeef", 9))
    status = client.get("/api/v1/status").json()
    assert status["checkpoints"][0]["id"] == CHECKPOINT_ID
    (link,) = status["links"]
    assert (link["url"], link["state"], link["device_name"]) == ("emu://x", "connected", "cam")
    assert "deadbeef" in link["message"]
    assert status["store_error"] is None
    assert status["metrics"]["results"] == 0


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/v1/results/999", 404, "not_found"),
        ("/api/v1/results/999999999999999999999999", 404, "not_found"),
        ("/api/v1/results/-1/picture.png", 404, "not_found"),
        ("/api/v1/nothing", 404, "not_found"),
        ("/nothing.html", 404, "not_found"),
        ("/../../../etc/passwd", 404, "not_found"),
        ("/api/v1/devices/nobody/preview.png", 404, "not_found"),
        ("/api/v1/results/abc", 400, "invalid_parameter"),
        ("/api/v1/results?limit=0", 400, "invalid_parameter"),
        ("/api/v1/results?limit=many", 400, "invalid_parameter"),
        ("/api/v1/results?since=yesterday", 400, "invalid_parameter"),
        ("/api/v1/results?before=99999999999999999999", 400, "invalid_parameter"),
        ("/api/v1/results/1/picture.png?bytes=-1", 400, "invalid_parameter"),
    ],
)
def test_errors_have_one_shape(client: TestClient, path: str, status: int, code: str) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message"}
    assert body["error"]["code"] == code
    assert "\n" not in body["error"]["message"]


def test_a_wrong_method_has_the_same_shape(client: TestClient) -> None:
    answer = client.post("/api/v1/results")
    assert answer.status_code == 405
    assert answer.json()["error"]["code"] == "method_not_allowed"


def test_a_store_that_fails_is_503(
    client: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_limit: int) -> None:
        raise StoreError("results.sqlite: the store is damaged; restore a copy")

    monkeypatch.setattr(store, "get", fail)
    answer = client.get("/api/v1/results/1")
    assert answer.status_code == 503
    assert answer.json()["error"]["message"].startswith("results.sqlite:")


def test_a_defect_is_500_and_says_no_more(
    client: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_limit: int) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(store, "get", fail)
    answer = client.get("/api/v1/results/1")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["error"]["code"] == "internal"


def test_the_page_needs_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for path in STATIC.iterdir():
        assert client.get(f"/{path.name}").status_code == 200
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text
        assert "https://" not in text


def test_events_begin_with_the_status_and_then_follow(
    client: TestClient, server: EdgeServer
) -> None:
    server.events.close()
    with client.stream("GET", "/api/v1/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        kind, data = "".join(answer.iter_text()).strip().split("\n")
    assert kind == "event: status"
    assert json.loads(data.removeprefix("data: "))["uptime_s"] >= 0


def test_the_schema_describes_every_route(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths) == {
        "/api/v1/devices",
        "/api/v1/devices/{device}/preview.png",
        "/api/v1/events",
        "/api/v1/results",
        "/api/v1/results/{result_id}",
        "/api/v1/results/{result_id}/picture.png",
        "/api/v1/status",
    }
