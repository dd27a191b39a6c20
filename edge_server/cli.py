"""``pnc serve``: the edge server as a program."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pnc.errors import ConfigError
from pnc.signals import stopped_by_signals

if TYPE_CHECKING:
    from edge_server.server import EdgeServer

__all__ = ["serve"]

DEFAULT_PORT = 8800
"""Of the page; 0 takes a free one."""

LISTEN_BACKLOG = 128

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def serve(
    context: typer.Context,
    link: Annotated[
        list[str],
        typer.Option(help="Where devices are: serial:///dev/ttyACM0?baud=230400; may be repeated."),
    ],
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the page and the API; 0: a free one.")
    ] = DEFAULT_PORT,
    checkpoint: Annotated[
        list[str] | None,
        typer.Option(help="Checkpoint to decode with; may be repeated. [default: belt]"),
    ] = None,
    store: Annotated[Path, typer.Option(help="Result store, an SQLite file.")] = Path(
        "results.sqlite"
    ),
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 shows the page to the network.")
    ] = "127.0.0.1",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Decoding threads. [default: one per spare core]")
    ] = None,
    previews: Annotated[
        float, typer.Option(min=0, max=30, help="Previews per second of a picture; 0: none.")
    ] = 4.0,
    enough: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            help="End a picture early once a preview is this sure of its class, such as 0.9: "
            "saves air time, costs some accuracy. [default: never]",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Say what happens as JSON lines.")
    ] = False,
) -> None:
    """Receive, decode, classify, store and show: the edge server.

    Ends on Ctrl-C (status 130) or SIGTERM (status 0), with every finished result stored.

    Raises:
        ConfigError: The port is in use, an address is wrong, or ``enough`` is out of its range.
        LinkError: A link cannot be opened.
        StoreError: The store cannot be opened, or another server has it.
        CheckpointError: A checkpoint is missing or damaged.
    """
    _configure_logging(debug=bool(getattr(context.find_root().obj, "debug", False)))
    stop = threading.Event()
    with _listen(host, port) as listener, stopped_by_signals(stop) as caught:
        from edge_server.server import EdgeServer
        from edge_server.store import Store
        from edge_server.workers import Catalogue
        from pnc import open_link

        results = Store(store)
        try:
            server = EdgeServer(
                results,
                Catalogue(checkpoint or ["belt"]),
                num_workers=workers or max(1, (os.cpu_count() or 2) - 1),
                previews_per_second=previews,
                enough=enough,
            )
            try:
                server.start(link, open_link=open_link)
                _serve_until(stop, server, listener, host, as_json)
            finally:
                server.stop()
        finally:
            results.close()
    if caught[0] == signal.SIGINT:
        raise KeyboardInterrupt


def _serve_until(
    stop: threading.Event, server: EdgeServer, listener: socket.socket, host: str, as_json: bool
) -> None:
    """Run the web server in a thread until ``stop`` is set."""
    import uvicorn

    from edge_server.app import create_app

    config = uvicorn.Config(
        create_app(server),
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    web = uvicorn.Server(config)
    thread = threading.Thread(target=web.run, args=([listener],), name="web", daemon=True)
    thread.start()
    _announce(server, listener, host, as_json)
    stop.wait()
    server.events.close()
    web.should_exit = True
    thread.join(3.0)


def _announce(server: EdgeServer, listener: socket.socket, host: str, as_json: bool) -> None:
    address = f"[{host}]" if ":" in host else host
    url = f"http://{address}:{listener.getsockname()[1]}/"
    if as_json:
        links = [state["url"] for state in server.status()["links"]]
        facts = {"event": "ready", "url": url, "store": str(server.store.path), "links": links}
        typer.echo(json.dumps(facts))
    else:
        typer.echo(f"page and API at {url}, results in {server.store.path}; end with Ctrl-C")
    if host not in LOOPBACK:
        typer.echo(f"pnc serve: anyone who reaches {host} can see pictures and results", err=True)


@contextmanager
def _listen(host: str, port: int) -> Iterator[socket.socket]:
    """Take the port first: it is the likeliest thing to be wrong and the cheapest to check."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(LISTEN_BACKLOG)
        except OSError as error:
            raise ConfigError(_explain_address(host, port, error), host=host, port=port) from error
        yield listener
    finally:
        listener.close()


def _explain_address(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use; choose another with --port (0 takes a free one)"
    if error.errno == errno.EACCES:
        return f"port {port} needs more rights; choose one from 1024 on with --port"
    return f"cannot listen on {host}: {error.strerror or error}; check --host"


class _OneLine(logging.Formatter):
    """Log records as one line each; traces only for those who asked."""

    def __init__(self, debug: bool) -> None:
        super().__init__("pnc serve: %(message)s")
        self._debug = debug

    def format(self, record: logging.LogRecord) -> str:
        """Return the line. What a device calls itself may hold anything, also ends of lines."""
        if self._debug:
            return super().format(record)
        line = f"pnc serve: {record.getMessage()}"
        if record.exc_info:
            kind, reason = record.exc_info[:2]
            name = kind.__name__ if kind else "error"
            line += f" ({name}: {reason}; --debug shows where)"
        return "".join(letter if letter.isprintable() else "?" for letter in line)


def _configure_logging(debug: bool) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine(debug or os.environ.get("PNC_DEBUG", "") not in ("", "0")))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in ("uvicorn", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
