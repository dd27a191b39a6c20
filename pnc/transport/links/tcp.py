"""``tcp://HOST:PORT``: a link over a network, for tests, wired sites, and radios that speak IP.

TCP repairs what it loses, so a byte may come late, never wrong. One side listens
(``tcp://0.0.0.0:8810?listen=1``) and takes one peer at a time: further ones are turned away.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping

from pnc.errors import LinkLostError
from pnc.transport.links.options import check_options
from pnc.transport.links.sockets import (
    CLOSED,
    PEER_GONE,
    READ_BYTES,
    WRITE_TIMEOUT_S,
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

__all__ = ["TcpLink", "open_tcp"]


class TcpLink:
    """A connection, or a port where one is awaited. Bytes for nobody are lost, as on a radio.

    Args:
        url: The address.
        peer: The connection, if there is one yet.
        listener: Where peers come in, on the listening side.
    """

    def __init__(
        self,
        url: str,
        peer: socket.socket | None = None,
        listener: socket.socket | None = None,
    ) -> None:
        self.url = url
        self._peer = peer
        self._listener = listener
        self._gone: str | None = None

    @property
    def port(self) -> int:
        """The port of this side: for who listens at port 0 to tell."""
        stream = self._listener or self._peer
        assert stream is not None, "a link has one of them"
        return int(stream.getsockname()[1])

    def read(self, timeout_s: float) -> bytes:
        """Wait for bytes; see :class:`pnc.transport.links.base.Link`.

        The listening side takes its peer here.
        """
        end = time.monotonic() + timeout_s
        while True:
            self._check()
            sockets = [one for one in (self._listener, self._peer) if one is not None]
            try:
                ready = wait_for(sockets, [], end - time.monotonic())
                if self._listener in ready:
                    self._accept(self._listener)
                if self._peer in ready and self._peer is not None:
                    return self._receive(self._peer)
            except BlockingIOError:
                pass
            except OSError as error:
                raise self._give_up() from error
            if time.monotonic() >= end:
                return b""

    def write(self, data: bytes) -> None:
        """Hand bytes over; what the network does not take in half a second is lost."""
        self._check()
        peer = self._peer
        if peer is None:
            return
        end = time.monotonic() + WRITE_TIMEOUT_S
        try:
            while data:
                data = data[send_some(peer, data) :]
                left_s = end - time.monotonic()
                if not data or left_s <= 0:
                    return
                wait_for([], [peer], left_s)
        except OSError as error:
            raise self._give_up() from error

    def close(self) -> None:
        """Close the connection; what is still on the way is dropped."""
        self._gone = self._gone or CLOSED
        shut(self._listener)
        shut(self._peer)

    def _accept(self, listener: socket.socket) -> None:
        peer = accept_peer(listener)
        if peer is not None and self._peer is None:
            self._peer = peer
        else:
            shut(peer)

    def _receive(self, peer: socket.socket) -> bytes:
        data = peer.recv(READ_BYTES)
        if not data:
            raise self._give_up()
        return data

    def _check(self) -> None:
        if self._gone is not None:
            raise lost_link(self.url, self._gone)

    def _give_up(self) -> LinkLostError:
        self._gone = self._gone or PEER_GONE
        return lost_link(self.url, self._gone)


def open_tcp(url: str, target: str, settings: Mapping[str, str]) -> TcpLink:
    """Connect, or begin to listen.

    Args:
        url: For messages.
        target: ``HOST:PORT``.
        settings: ``listen``.

    Raises:
        ConfigError: The address or an option is not understood.
        LinkError: Unknown host, nobody there, nobody listening, port in use or not permitted.
    """
    check_options(url, settings, ("listen",))
    endpoint = parse_endpoint(url, target)
    if is_listening(url, settings):
        return TcpLink(url, listener=listen_stream(url, endpoint))
    return TcpLink(url, peer=connect_stream(url, endpoint))
