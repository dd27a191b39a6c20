"""tcp://, udp:// and ws://: what only they have."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.sync.client import connect

from pnc.errors import ConfigError, LinkError, LinkLostError
from pnc.transport.links import base, open_link, sockets, udp, websocket
from pnc.transport.links.base import Link
from pnc.transport.links.tcp import TcpLink, open_tcp
from pnc.transport.links.udp import MAX_DATAGRAM_BYTES, UdpLink, cut_datagrams, open_udp
from pnc.transport.links.websocket import WebSocketLink, open_websocket

TOKEN = "a-token-of-many-letters"
PATIENCE_S = 20.0


@contextmanager
def listening(scheme: str) -> Iterator[TcpLink | UdpLink]:
    opener = open_tcp if scheme == "tcp" else open_udp
    link: TcpLink | UdpLink = opener(f"{scheme}://", "127.0.0.1:0", {"listen": "1"})
    yield link
    link.close()


@contextmanager
def served() -> Iterator[WebSocketLink]:
    """A listening ws:// link that somebody reads; what comes is sent back."""
    link = open_websocket("ws://", "127.0.0.1:0/camera", {"listen": "1", "token": TOKEN})
    stop = threading.Event()

    def echo() -> None:
        try:
            while not stop.is_set():
                link.write(link.read(0.02))
        except LinkLostError:
            return

    thread = threading.Thread(target=echo)
    thread.start()
    yield link
    stop.set()
    thread.join()
    link.close()


def read_all(link: Link, count: int) -> bytes:
    got = b""
    end = time.monotonic() + PATIENCE_S
    while len(got) < count and time.monotonic() < end:
        got += link.read(0.2)
    return got


# --- opening


@pytest.mark.parametrize("scheme", ["tcp", "ws"])
def test_nobody_listens(scheme: str) -> None:
    with listening("tcp") as link:
        port = link.port
    with pytest.raises(LinkError, match="start the other side first") as caught:
        open_link(f"{scheme}://127.0.0.1:{port}")
    assert caught.value.reason == "refused"


@pytest.mark.parametrize("scheme", ["tcp", "udp", "ws"])
def test_nobody_knows_the_host(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(LinkError, match=r"nobody knows the host 'pi\.local'") as caught:
        open_link(f"{scheme}://pi.local:8810")
    assert caught.value.reason == "unknown host"


def test_an_address_of_another_machine_cannot_be_listened_at() -> None:
    with pytest.raises(LinkError, match=r"192\.0\.2\.1 is not an address of this machine"):
        open_link("tcp://192.0.2.1:0?listen=1")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError("timed out"), "missing"),
        (PermissionError(13, "Permission denied"), "not permitted"),
        (OSError(5, "Input/output error"), "other"),
    ],
)
def test_other_trouble_is_one_line(error: OSError, reason: str) -> None:
    explained = sockets.open_error("tcp://x:80", sockets.Endpoint("x", 80), error)
    assert explained.reason == reason
    assert "\n" not in str(explained)


@pytest.mark.parametrize(
    ("target", "host", "shown"),
    [
        ("pi.local:8810", "pi.local", "pi.local:8810"),
        (":8810", "127.0.0.1", "127.0.0.1:8810"),
        ("[::1]:8810", "::1", "[::1]:8810"),
    ],
)
def test_endpoints(target: str, host: str, shown: str) -> None:
    endpoint = sockets.parse_endpoint("tcp://", target)
    assert (endpoint.host, endpoint.port, str(endpoint)) == (host, 8810, shown)


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise ModuleNotFoundError("No module named 'websockets'", name="websockets")

    monkeypatch.setattr(base, "import_module", fail)
    with pytest.raises(ConfigError, match=r"package websockets; .*'pnc\[websocket\]'"):
        open_link("ws://127.0.0.1:1/x")


# --- tcp


def test_a_second_peer_is_turned_away() -> None:
    with listening("tcp") as server:
        url = f"tcp://127.0.0.1:{server.port}"
        first = open_link(url)
        first.write(b"first")
        assert read_all(server, 5) == b"first"
        second = open_link(url)
        assert server.read(0.05) == b""
        with pytest.raises(LinkLostError):
            read_all(second, 1)
        server.write(b"still here")
        assert read_all(first, 10) == b"still here"
        first.close()
        second.close()


def test_bytes_before_a_peer_comes_are_lost() -> None:
    with listening("tcp") as server, listening("udp") as other:
        server.write(b"x" * 100_000)
        other.write(b"x")


def test_a_peer_that_does_not_read_swallows_little() -> None:
    with listening("tcp") as server:
        client = open_tcp("tcp://", f"127.0.0.1:{server.port}", {})
        stream = client._peer
        assert stream is not None
        accepted, refused = 0, 0
        while refused < 3 and accepted < 10**6:
            count = sockets.send_some(stream, b"x" * 258)
            accepted += count
            if count:
                refused = 0
            else:
                sockets.wait_for([], [stream], 0.05)
                refused += 1
        assert accepted < 100_000
        client.close()


# --- udp


@settings(max_examples=30)
@given(st.lists(st.integers(1, 1500), max_size=8))
def test_datagrams_end_where_frames_end(sizes: list[int]) -> None:
    data = b"".join(b"x" * (size - 1) + b"\0" for size in sizes)
    datagrams = cut_datagrams(data)
    assert b"".join(datagrams) == data
    assert all(0 < len(datagram) <= MAX_DATAGRAM_BYTES for datagram in datagrams)
    if all(size <= MAX_DATAGRAM_BYTES for size in sizes):
        assert all(datagram.endswith(b"\0") for datagram in datagrams)


def test_a_listening_side_keeps_to_its_peer_until_that_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with listening("udp") as server:
        url = f"udp://127.0.0.1:{server.port}"
        first, second = open_link(url), open_link(url)
        first.write(b"first")
        assert read_all(server, 5) == b"first"
        second.write(b"second")
        assert server.read(0.1) == b""
        monkeypatch.setattr(udp, "PEER_SILENCE_S", 0.0)
        second.write(b"second")
        assert read_all(server, 6) == b"second"
        server.write(b"to the second")
        assert read_all(second, 13) == b"to the second"
        assert first.read(0.0) == b""
        first.close()
        second.close()


# --- ws


@pytest.mark.parametrize(
    ("path", "options", "reason"),
    [
        ("/camera", {"token": "wrong"}, "token"),
        ("/camera", {}, "token"),
        ("/other", {"token": TOKEN}, "path"),
    ],
)
def test_who_does_not_know_token_and_path_is_turned_away(
    path: str, options: dict[str, str], reason: str
) -> None:
    with served() as server, pytest.raises(LinkError) as caught:
        open_link(f"ws://127.0.0.1:{server.port}{path}", **options)
    assert caught.value.reason == reason
    assert TOKEN not in str(caught.value)


def test_a_second_websocket_is_turned_away_and_a_token_file_works(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n", encoding="ascii")
    with served() as server:
        url = f"ws://127.0.0.1:{server.port}/camera?token_file={path}"
        first = open_link(url)
        with pytest.raises(LinkError, match="in use by another device"):
            open_link(url)
        first.write(b"back")
        assert read_all(first, 4) == b"back"
        first.close()


def test_a_browser_may_put_the_token_into_the_url() -> None:
    with served() as server:
        url = f"ws://127.0.0.1:{server.port}/camera?token={TOKEN}"
        with connect(url, proxy=None, compression=None) as browser:
            data = os.urandom(3000)
            browser.send([data[:1000], data[1000:]])
            got = b""
            while len(got) < len(data):
                got += browser.recv(PATIENCE_S, decode=False)
            assert got == data
            assert browser.ping().wait(PATIENCE_S)


def test_text_messages_end_the_connection() -> None:
    with served() as server:
        url = f"ws://127.0.0.1:{server.port}/camera?token={TOKEN}"
        with connect(url, proxy=None, compression=None) as browser:
            browser.send("text")
            with pytest.raises(Exception, match="1003"):
                browser.recv(PATIENCE_S)


def test_strangers_without_a_handshake_do_not_hold_the_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websocket, "HANDSHAKE_S", 0.05)
    with served() as server:
        address = ("127.0.0.1", server.port)
        strangers = [socket.create_connection(address) for _ in range(6)]
        strangers[0].sendall(b"GET / HTTP/1.1\r\n\r\n")
        strangers[1].sendall(b"\x00\x01\x02\r\n\r\n")
        for stranger in strangers:
            stranger.settimeout(PATIENCE_S)
            try:
                while stranger.recv(1000):
                    pass
            except ConnectionResetError:
                pass
            stranger.close()
        device = open_link(f"ws://127.0.0.1:{server.port}/camera", token=TOKEN)
        device.write(b"x")
        assert read_all(device, 1) == b"x"
        device.close()


UPGRADE = (
    b"Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET //[ HTTP/1.1\r\n" + UPGRADE + b"\r\n",
        b"GET /camera?token=%ff%00;& HTTP/1.1\r\n" + UPGRADE + b"\r\n",
        b"GET /camera HTTP/1.1\r\nAuthorization: Bearer \xff\xfe\r\n" + UPGRADE + b"\r\n",
        b"GET /camera HTTP/1.1\r\nAuthorization: \r\nAuthorization: x\r\n" + UPGRADE + b"\r\n",
        f"GET /camera?token={TOKEN} HTTP/1.1\r\n\r\n".encode(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET " + b"/" * 20_000,
    ],
)
def test_no_request_harms_the_listening_side(request_bytes: bytes) -> None:
    with served() as server:
        with socket.create_connection(("127.0.0.1", server.port)) as stranger:
            stranger.sendall(request_bytes)
            stranger.shutdown(socket.SHUT_WR)
            stranger.settimeout(PATIENCE_S)
            with suppress(ConnectionResetError):
                answer = stranger.recv(1000)
                assert b" 101 " not in answer
        device = open_link(f"ws://127.0.0.1:{server.port}/camera", token=TOKEN)
        device.write(b"x")
        assert read_all(device, 1) == b"x"
        device.close()


def test_something_else_at_the_port_is_no_websocket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "CONNECT_TIMEOUT_S", 0.05)
    with listening("tcp") as silent, pytest.raises(LinkError, match="does not answer") as caught:
        open_link(f"ws://127.0.0.1:{silent.port}/camera", token=TOKEN)
    assert caught.value.reason == "not a websocket"


def test_a_page_at_the_port_is_no_websocket() -> None:
    with socket.create_server(("127.0.0.1", 0)) as page:

        def answer() -> None:
            peer, _ = page.accept()
            peer.recv(4096)
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            peer.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(LinkError, match="this is no link; is it the right port"):
            open_link(f"ws://127.0.0.1:{page.getsockname()[1]}/camera", token=TOKEN)
        thread.join()
