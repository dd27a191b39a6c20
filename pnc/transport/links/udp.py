"""``udp://HOST:PORT``: a link over a network that repairs nothing, so nothing waits for repairs.

A write is a datagram; a long one is several, cut where frames end, so that a lost datagram costs
whole frames and no others. The listening side (``udp://0.0.0.0:8810?listen=1``) answers whoever
speaks to it. Nobody says goodbye here: a peer that is gone is noticed where its machine says that
nobody listens any more, and otherwise by its silence.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from typing import Any

from pnc.errors import LinkLostError
from pnc.transport.links.options import check_options
from pnc.transport.links.sockets import (
    CLOSED,
    PEER_GONE,
    READ_BYTES,
    SEND_BUFFER_BYTES,
    WRITE_TIMEOUT_S,
    is_listening,
    lost_link,
    open_error,
    parse_endpoint,
    resolve,
    shut,
    wait_for,
)

__all__ = ["UdpLink", "cut_datagrams", "open_udp"]

MAX_DATAGRAM_BYTES = 1200
"""Fits every network that carries IPv6 (RFC 8200: 1280 with headers), and the longest frame."""

PEER_SILENCE_S = 2.0
"""A listening side keeps to its peer until that has been silent for so long: a device that was
started again comes from another port, and until then says HELLO every second at least."""


class UdpLink:
    """A socket for datagrams. Bytes for nobody are lost, as on a radio.

    Args:
        url: The address.
        sock: Connected to its peer, or bound to a port where one is awaited.
        listening: Whether the peer is whoever speaks.
    """

    def __init__(self, url: str, sock: socket.socket, *, listening: bool) -> None:
        self.url = url
        self._socket = sock
        self._listening = listening
        self._peer: Any = None
        self._heard_at = 0.0
        self._gone: str | None = None

    @property
    def port(self) -> int:
        """The port of this side: for who listens at port 0 to tell."""
        return int(self._socket.getsockname()[1])

    def read(self, timeout_s: float) -> bytes:
        """Wait for a datagram; see :class:`pnc.transport.links.base.Link`."""
        end = time.monotonic() + timeout_s
        while True:
            self._check()
            try:
                if wait_for([self._socket], [], end - time.monotonic()):
                    data, sender = self._socket.recvfrom(READ_BYTES)
                    if data and self._is_peer(sender):
                        return data
            except BlockingIOError:
                pass
            except OSError as error:
                raise self._give_up() from error
            if time.monotonic() >= end:
                return b""

    def write(self, data: bytes) -> None:
        """Send datagrams; what the network does not take in half a second is lost."""
        self._check()
        if self._listening and self._peer is None:
            return
        end = time.monotonic() + WRITE_TIMEOUT_S
        try:
            for datagram in cut_datagrams(data):
                while not self._send(datagram):
                    left_s = end - time.monotonic()
                    if left_s <= 0:
                        return
                    wait_for([], [self._socket], left_s)
        except OSError as error:
            raise self._give_up() from error

    def close(self) -> None:
        """Close the socket."""
        self._gone = self._gone or CLOSED
        shut(self._socket)

    def _send(self, datagram: bytes) -> bool:
        try:
            if self._listening:
                self._socket.sendto(datagram, self._peer)
            else:
                self._socket.send(datagram)
        except BlockingIOError:
            return False
        return True

    def _is_peer(self, sender: Any) -> bool:
        now = time.monotonic()
        if self._peer is None or now - self._heard_at > PEER_SILENCE_S:
            self._peer = sender
        if sender == self._peer:
            self._heard_at = now
        return bool(sender == self._peer)

    def _check(self) -> None:
        if self._gone is not None:
            raise lost_link(self.url, self._gone)

    def _give_up(self) -> LinkLostError:
        self._gone = self._gone or PEER_GONE
        return lost_link(self.url, self._gone)


def cut_datagrams(data: bytes) -> list[bytes]:
    """Cut bytes into datagrams, after the last zero that fits: that is where a frame ends."""
    datagrams = []
    while len(data) > MAX_DATAGRAM_BYTES:
        end = data.rfind(b"\0", 0, MAX_DATAGRAM_BYTES) + 1 or MAX_DATAGRAM_BYTES
        datagrams.append(data[:end])
        data = data[end:]
    return [*datagrams, data] if data else datagrams


def open_udp(url: str, target: str, settings: Mapping[str, str]) -> UdpLink:
    """Aim at an address, or begin to listen.

    Args:
        url: For messages.
        target: ``HOST:PORT``.
        settings: ``listen``.

    Raises:
        ConfigError: The address or an option is not understood.
        LinkError: Unknown host, no way there, port in use or not permitted.
    """
    check_options(url, settings, ("listen",))
    endpoint, listening = parse_endpoint(url, target), is_listening(url, settings)
    family, address = resolve(url, endpoint, socket.SOCK_DGRAM)[0]
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        sock.setblocking(False)
        if listening:
            sock.bind(address)
        else:
            sock.connect(address)
    except OSError as error:
        sock.close()
        raise open_error(url, endpoint, error) from error
    return UdpLink(url, sock, listening=listening)
