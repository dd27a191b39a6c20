"""``ws://HOST:PORT/PATH?token=...``: a link through WebSockets, for browsers and through proxies.

A write is one binary message; a message is no frame of PNC's, only a piece of the stream. Whoever
listens wants a token, and turns away who has none; a program sends it in a header, a browser,
which cannot, in the URL.

The package ``websockets`` keeps the protocol here (its sans-I/O layer), the sockets are ours: its
blocking face holds one lock for both directions while a send is blocked
(docs/decisions/0019-websockets.md).
"""

from __future__ import annotations

import contextlib
import hmac
import http
import logging
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs, quote

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidState, InvalidStatus
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import Event, State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from pnc.errors import ConfigError, LinkError, LinkLostError
from pnc.transport.links.options import check_options, hide_token
from pnc.transport.links.sockets import (
    CLOSED,
    CONNECT_TIMEOUT_S,
    PEER_GONE,
    READ_BYTES,
    WRITE_TIMEOUT_S,
    Endpoint,
    accept_peer,
    connect_stream,
    is_listening,
    listen_stream,
    lost_link,
    parse_endpoint,
    send_some,
    shut,
    wait_for,
)

__all__ = ["WebSocketLink", "open_websocket"]

MIN_TOKEN_LETTERS = 16
"""A shorter token can be guessed: these are 96 bits as ``secrets.token_urlsafe`` makes them."""

SENT_MESSAGE_BYTES = 4096
"""A longer write is several messages, so that little waits here for its last byte."""

MAX_MESSAGE_BYTES = 65_536
"""A longer message is refused: no window is as large."""

MAX_PENDING_BYTES = 65_536
"""A peer that asks for more answers than it takes is gone."""

HANDSHAKE_S = 5.0
"""A peer that has not shown its token by then is turned away."""

MAX_HANDSHAKES = 4
"""Peers whose token is awaited at a time; further ones are turned away."""

_QUIET = logging.Logger(__name__)
_QUIET.disabled = True
"""websockets would write requests to a log, and with them the token."""


class _Peer:
    """A WebSocket in any stage, with what it cannot send yet and what nobody has read yet."""

    def __init__(self, stream: socket.socket, protocol: ClientProtocol | ServerProtocol) -> None:
        self.stream = stream
        self.protocol = protocol
        self.since = time.monotonic()
        self.waiting = bytearray()
        self.inbox = bytearray()

    def receive(self) -> list[Event]:
        """Take what has arrived; bytes go into the inbox.

        Raises:
            OSError: The peer is gone.
        """
        data = self.stream.recv(READ_BYTES)
        if not data:
            raise ConnectionResetError
        self.protocol.receive_data(data)
        events = self.protocol.events_received()
        for event in events:
            if isinstance(event, Frame) and event.opcode in (Opcode.BINARY, Opcode.CONT):
                self.inbox += event.data
            elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                self.protocol.fail(CloseCode.UNSUPPORTED_DATA, "binary messages only")
        self.flush()
        return events

    def take(self) -> bytes:
        """Empty the inbox."""
        data = bytes(self.inbox)
        self.inbox.clear()
        return data

    def flush(self) -> None:
        """Send what waits, as far as the system takes it.

        Raises:
            OSError: The peer is gone, or lets too much wait.
        """
        self.waiting += b"".join(self.protocol.data_to_send())
        if self.waiting:
            del self.waiting[: send_some(self.stream, bytes(self.waiting))]
        if len(self.waiting) > MAX_PENDING_BYTES:
            raise ConnectionResetError


class WebSocketLink:
    """A WebSocket, or a port where one is awaited. Bytes for nobody are lost, as on a radio.

    Args:
        url: The address, without the token.
        peer: The connection, on the side that opened it.
        listener: Where peers come in, on the listening side.
        path: What they have to ask for.
        token: What they have to know.
    """

    def __init__(
        self,
        url: str,
        peer: _Peer | None = None,
        listener: socket.socket | None = None,
        path: str = "",
        token: str = "",
    ) -> None:
        self.url = url
        self._peer = peer
        self._listener = listener
        self._path = path
        self._token = token
        self._handshakes: list[_Peer] = []
        self._lock = threading.Lock()
        self._gone: str | None = None

    @property
    def port(self) -> int:
        """The port of this side: for who listens at port 0 to tell."""
        stream = self._listener
        if stream is None:
            assert self._peer is not None, "a link has one of them"
            stream = self._peer.stream
        return int(stream.getsockname()[1])

    def read(self, timeout_s: float) -> bytes:
        """Wait for bytes; see :class:`pnc.transport.links.base.Link`.

        The listening side hears, checks and takes its peer here.
        """
        end = time.monotonic() + timeout_s
        while True:
            self._check()
            try:
                data = self._step(end - time.monotonic())
            except OSError as error:
                raise self._give_up() from error
            if data or time.monotonic() >= end:
                return data

    def write(self, data: bytes) -> None:
        """Send messages; what the network does not take in half a second is lost.

        A message that was begun is kept until it is sent: half of one would end the connection.
        """
        self._check()
        peer = self._peer
        if peer is None:
            return
        end = time.monotonic() + WRITE_TIMEOUT_S
        try:
            while self._drain(peer, end) and data:
                with self._lock:
                    peer.protocol.send_binary(data[:SENT_MESSAGE_BYTES])
                data = data[SENT_MESSAGE_BYTES:]
        except (OSError, InvalidState) as error:
            raise self._give_up() from error

    def close(self) -> None:
        """Say goodbye if that goes at once, and close the connection."""
        self._gone = self._gone or CLOSED
        peer = self._peer
        if peer is not None:
            with self._lock, contextlib.suppress(OSError, InvalidState):
                peer.protocol.send_close(CloseCode.GOING_AWAY)
                peer.flush()
            shut(peer.stream)
        for one in self._handshakes:
            shut(one.stream)
        shut(self._listener)

    def _drain(self, peer: _Peer, end: float) -> bool:
        """Wait until nothing waits any more; False if that takes too long."""
        while True:
            with self._lock:
                peer.flush()
                if not peer.waiting:
                    return True
            left_s = end - time.monotonic()
            if left_s <= 0:
                return False
            wait_for([], [peer.stream], left_s)

    def _step(self, timeout_s: float) -> bytes:
        """Wait for any of the sockets and do what can be done."""
        peer, listener = self._peer, self._listener
        if peer is not None and peer.inbox:
            return peer.take()
        streams = [one.stream for one in self._handshakes]
        if peer is not None:
            streams.append(peer.stream)
        if listener is not None:
            streams.append(listener)
        blocked = [peer.stream] if peer is not None and peer.waiting else []
        if self._handshakes:
            timeout_s = min(timeout_s, HANDSHAKE_S)
        ready = wait_for(streams, blocked, timeout_s)
        for one in list(self._handshakes):
            self._shake(one, one.stream in ready)
        if listener is not None and listener in ready:
            self._accept(listener)
        if peer is None or peer.stream not in ready:
            return b""
        with self._lock:
            peer.flush()
            with contextlib.suppress(BlockingIOError):
                peer.receive()
            if not peer.inbox and peer.protocol.state is not State.OPEN:
                raise ConnectionResetError
            return peer.take()

    def _accept(self, listener: socket.socket) -> None:
        stream = accept_peer(listener)
        if stream is None or len(self._handshakes) >= MAX_HANDSHAKES:
            shut(stream)
            return
        protocol = ServerProtocol(max_size=MAX_MESSAGE_BYTES, logger=_QUIET)
        self._handshakes.append(_Peer(stream, protocol))

    def _shake(self, one: _Peer, is_ready: bool) -> None:
        """Go on with the handshake of a peer, and take it or turn it away if that is decided."""
        protocol = one.protocol
        assert isinstance(protocol, ServerProtocol)
        decided = time.monotonic() - one.since > HANDSHAKE_S
        if is_ready and not decided:
            try:
                events = one.receive()
                if events and isinstance(events[0], Request):
                    protocol.send_response(self._answer(protocol, events[0]))
                    one.flush()
                decided = bool(events) or protocol.state is not State.CONNECTING
            except BlockingIOError:
                return
            except OSError:
                decided = True
            decided = decided or protocol.handshake_exc is not None
        if decided:
            self._handshakes.remove(one)
            if protocol.state is State.OPEN:
                self._peer = one
            else:
                shut(one.stream)

    def _answer(self, protocol: ServerProtocol, request: Request) -> Response:
        path, _, query = request.path.partition("?")
        given = parse_qs(query).get("token", [""])[-1]
        for value in request.headers.get_all("Authorization"):
            given = value.removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(errors="replace"), self._token.encode()):
            return protocol.reject(http.HTTPStatus.UNAUTHORIZED, "wrong token\n")
        if path != self._path:
            return protocol.reject(http.HTTPStatus.NOT_FOUND, "no link here\n")
        if self._peer is not None:
            return protocol.reject(http.HTTPStatus.SERVICE_UNAVAILABLE, "in use\n")
        return protocol.accept(request)

    def _check(self) -> None:
        if self._gone is not None:
            raise lost_link(self.url, self._gone)

    def _give_up(self) -> LinkLostError:
        self._gone = self._gone or PEER_GONE
        if self._peer is not None:
            shut(self._peer.stream)
        return lost_link(self.url, self._gone)


def open_websocket(url: str, target: str, settings: Mapping[str, str]) -> WebSocketLink:
    """Connect, or begin to listen.

    Args:
        url: For messages.
        target: ``HOST:PORT/PATH``.
        settings: ``listen``; ``token``, or ``token_file`` with it in its first line.

    Raises:
        ConfigError: The address or an option is not understood, or whoever listens has no token.
        LinkError: Unknown host, nobody there, port in use, or the other side turned us away.
    """
    url = hide_token(url)
    check_options(url, settings, ("listen", "token", "token_file"))
    place, _, path = target.partition("/")
    path = "/" + quote(path)
    endpoint, listening = parse_endpoint(url, place), is_listening(url, settings)
    token = _read_token(url, settings)
    if not listening:
        return WebSocketLink(url, _connect(url, endpoint, path, token))
    if len(token) < MIN_TOKEN_LETTERS:
        raise ConfigError(
            f"{url}: whoever listens needs a token of {MIN_TOKEN_LETTERS} or more letters; make "
            'one with: python -c "import secrets; print(secrets.token_urlsafe())"',
            url=url,
            option="token",
        )
    return WebSocketLink(url, listener=listen_stream(url, endpoint), path=path, token=token)


def _read_token(url: str, settings: Mapping[str, str]) -> str:
    token = settings.get("token", "")
    if "token_file" in settings:
        try:
            lines = Path(settings["token_file"]).read_text(encoding="ascii").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{url}: the token cannot be read: {error}", url=url) from error
        token = lines[0].strip() if lines else ""
    if not (token.isascii() and token.isprintable()):
        raise ConfigError(f"{url}: a token is made of ASCII letters", url=url, option="token")
    return token


def _connect(url: str, endpoint: Endpoint, path: str, token: str) -> _Peer:
    stream = connect_stream(url, endpoint)
    protocol = ClientProtocol(
        parse_uri(f"ws://{endpoint}{path}"), max_size=MAX_MESSAGE_BYTES, logger=_QUIET
    )
    peer = _Peer(stream, protocol)
    request = protocol.connect()
    if token:
        request.headers["Authorization"] = f"Bearer {token}"
    protocol.send_request(request)
    try:
        end = time.monotonic() + CONNECT_TIMEOUT_S
        peer.flush()
        while protocol.state is State.CONNECTING and protocol.handshake_exc is None:
            if not wait_for([stream], [], end - time.monotonic()):
                raise TimeoutError
            peer.receive()
    except OSError as error:
        shut(stream)
        raise LinkError(
            f"{url}: {endpoint} does not answer as a WebSocket; is this its port?",
            url=url,
            reason="not a websocket",
        ) from error
    if protocol.handshake_exc is not None:
        shut(stream)
        raise _refused(url, protocol.handshake_exc) from protocol.handshake_exc
    return peer


def _refused(url: str, error: Exception) -> LinkError:
    status = error.response.status_code if isinstance(error, InvalidStatus) else None
    match status:
        case http.HTTPStatus.UNAUTHORIZED:
            text, reason = "the token is wrong; give that of the other side", "token"
        case http.HTTPStatus.NOT_FOUND:
            text, reason = "the other side has another path after its port", "path"
        case http.HTTPStatus.SERVICE_UNAVAILABLE:
            text, reason = "in use by another device", "busy"
        case _:
            text, reason = "this is no link; is it the right port?", "not a websocket"
    return LinkError(f"{url}: {text}", url=url, reason=reason, status=status)
