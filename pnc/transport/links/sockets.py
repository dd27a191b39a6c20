"""What the links over sockets share: addresses, opening, waiting, and plain errors.

Sockets never block here. Whoever reads and whoever writes waits for the socket in a thread of its
own, for a time of its own: a timeout set on the socket itself would be one for both.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pnc.errors import ConfigError, LinkError, LinkLostError
from pnc.transport.links.options import take_option

__all__ = [
    "CLOSED",
    "PEER_GONE",
    "READ_BYTES",
    "WRITE_TIMEOUT_S",
    "Endpoint",
    "accept_peer",
    "connect_stream",
    "is_listening",
    "listen_stream",
    "lost_link",
    "open_error",
    "parse_endpoint",
    "send_some",
    "shut",
    "wait_for",
]

WRITE_TIMEOUT_S = 0.5
"""A write gives up after this, as on a serial port."""

CONNECT_TIMEOUT_S = 5.0
"""Whoever has not answered by then is not there: a host that is switched off never answers."""

SEND_BUFFER_BYTES = 8192
"""What the system is asked to hold at most on its way out."""

RECEIVE_BUFFER_BYTES = 16_384
"""The same on its way in: the largest window of a session. With both, a peer that does not read
swallows 35 kB of a stream before a write waits; with the system's own sizes it was 4 MB."""

UNSENT_BYTES = 2048
"""A stream takes more only while less than this has not been put on the network yet."""

USER_TIMEOUT_MS = 5000
"""A peer that acknowledges nothing for this long is gone (RFC 5482); the default is 15 minutes."""

KEEPALIVE_S = (2, 1, 3)
"""Idle time, interval and number of probes: an idle peer that is gone is noticed after 5 s."""

PEER_GONE = "the other side went away; is it still running?"
CLOSED = "the link was closed"
"""Why a link is gone."""

READ_BYTES = 65_536
"""Bytes taken at once: no datagram is longer."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(url: str, target: str) -> Endpoint:
    """Read ``HOST:PORT``; an IPv6 address stands in brackets, no host means this machine.

    Raises:
        ConfigError: It is not of that form.
    """
    host, colon, digits = target.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not (digits.isascii() and digits.isdigit()) or int(digits) > 65_535:
        raise ConfigError(f"{url}: no port is named; use HOST:PORT", url=url)
    if "/" in bare or "@" in bare or "[" in bare or (":" in bare and bare == host):
        raise ConfigError(f"{url}: {target!r} is not HOST:PORT", url=url)
    return Endpoint(bare or "127.0.0.1", int(digits))


def is_listening(url: str, settings: Mapping[str, str]) -> bool:
    """Read the option ``listen``: 1 waits for the other side, 0 goes to it.

    Raises:
        ConfigError: It is neither.
    """
    listen = take_option(url, settings, "listen", int, 0)
    if listen not in (0, 1):
        raise ConfigError(f"{url}: listen={listen} is not 0 or 1", url=url, option="listen")
    return listen == 1


def resolve(url: str, endpoint: Endpoint, kind: socket.SocketKind) -> list[tuple[int, Any]]:
    """Look a host up, which takes as long as the system's resolver takes.

    Returns:
        Pairs of address family and address, in the order in which to try them.

    Raises:
        LinkError: Nobody knows the host.
    """
    try:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=kind)
    except (OSError, UnicodeError) as error:
        raise LinkError(
            f"{url}: nobody knows the host {endpoint.host!r}; check its name and the network",
            url=url,
            reason="unknown host",
        ) from error
    return [(family, address) for family, _, _, _, address in found]


def connect_stream(url: str, endpoint: Endpoint) -> socket.socket:
    """Connect, within five seconds an address.

    Raises:
        LinkError: Nobody is there, or nobody listens there.
    """
    failure: OSError | None = None
    for family, address in resolve(url, endpoint, socket.SOCK_STREAM):
        stream = socket.socket(family, socket.SOCK_STREAM)
        try:
            tune(stream)
            stream.settimeout(CONNECT_TIMEOUT_S)
            stream.connect(address)
            stream.setblocking(False)
            return stream
        except OSError as error:
            stream.close()
            failure = error
    assert failure is not None, "a host that is known has an address"
    raise open_error(url, endpoint, failure) from failure


def listen_stream(url: str, endpoint: Endpoint) -> socket.socket:
    """Wait for peers at an address; port 0 takes any free one.

    Raises:
        LinkError: The port is in use or not permitted, or the address is not of this machine.
    """
    family, address = resolve(url, endpoint, socket.SOCK_STREAM)[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        listener.bind(address)
        listener.listen(4)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise open_error(url, endpoint, error) from error
    return listener


def accept_peer(listener: socket.socket) -> socket.socket | None:
    """Take a peer that waits; None if it has gone again, or there is no file left for it."""
    try:
        peer, _ = listener.accept()
    except OSError:
        return None
    peer.setblocking(False)
    with contextlib.suppress(OSError):
        tune(peer)
    return peer


def tune(stream: socket.socket) -> None:
    """Hold little back, notice a dead peer within seconds; as far as the system can."""
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    idle_s, interval_s, count = KEEPALIVE_S
    for name, value in (
        ("TCP_NOTSENT_LOWAT", UNSENT_BYTES),
        ("TCP_USER_TIMEOUT", USER_TIMEOUT_MS),
        ("TCP_KEEPIDLE", idle_s),
        ("TCP_KEEPINTVL", interval_s),
        ("TCP_KEEPCNT", count),
    ):
        if hasattr(socket, name):
            stream.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def wait_for(
    readable: list[socket.socket], writable: list[socket.socket], timeout_s: float
) -> set[socket.socket]:
    """Wait until one of the sockets can go on, or is in trouble, or this long.

    Raises:
        OSError: A socket was closed meanwhile.
    """
    events: dict[socket.socket, int] = dict.fromkeys(readable, select.POLLIN)
    for one in writable:
        events[one] = events.get(one, 0) | select.POLLOUT
    if any(one.fileno() < 0 for one in events):
        raise OSError(errno.EBADF, "the socket is closed")
    poll = select.poll()
    for one, event in events.items():
        poll.register(one, event)
    ready = {number for number, _ in poll.poll(max(0.0, 1000 * timeout_s))}
    return {one for one in events if one.fileno() in ready}


def send_some(stream: socket.socket, data: bytes) -> int:
    """Hand over what the system takes now, and return how much that was.

    Raises:
        OSError: The peer is gone.
    """
    try:
        return stream.send(data)
    except (BlockingIOError, InterruptedError):
        return 0


def shut(stream: socket.socket | None) -> None:
    """Close a socket; a thread that waits for it wakes up."""
    if stream is not None:
        with contextlib.suppress(OSError):
            stream.shutdown(socket.SHUT_RDWR)
        stream.close()


def lost_link(url: str, why: str) -> LinkLostError:
    """Make the error that says that an open link is gone."""
    return LinkLostError(f"{url}: {why}", url=url)


def open_error(url: str, endpoint: Endpoint, error: OSError) -> LinkError:
    """Say in one line why an address cannot be had, and what to do."""
    code = error.errno
    if isinstance(error, TimeoutError) or code in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        text, reason = f"{endpoint.host} does not answer; is it on, is it this network?", "missing"
    elif code == errno.ECONNREFUSED:
        text, reason = f"nobody listens at {endpoint}; start the other side first", "refused"
    elif code == errno.EADDRINUSE:
        text, reason = (
            f"port {endpoint.port} is in use; close that program, or take another",
            "busy",
        )
    elif code in (errno.EACCES, errno.EPERM):
        text = f"port {endpoint.port} is not permitted; take one of 1024 or more"
        reason = "not permitted"
    elif code == errno.EADDRNOTAVAIL:
        text = f"{endpoint.host} is not an address of this machine; 0.0.0.0 stands for all of them"
        reason = "not here"
    else:
        text, reason = f"cannot be opened: {error.strerror or error}", "other"
    return LinkError(f"{url}: {text}", url=url, reason=reason)
