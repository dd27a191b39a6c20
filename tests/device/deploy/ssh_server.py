"""An ssh server for the tests: runs what it is asked to, as a process of the board named as user.

Usage: python ssh_server.py FOLDER, which holds ``client.pub`` and gets ``host.pub`` and ``port``.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncssh

FOLDER = Path(sys.argv[1])


async def copy(reader: Any, writer: Any) -> None:
    """Carry bytes until there are no more."""
    with suppress(OSError, asyncssh.Error):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()


async def feed(reader: Any, child: asyncio.subprocess.Process) -> None:
    """Carry what the client sends; the child hears of its end, and of a broken connection too."""
    assert child.stdin is not None
    await copy(reader, child.stdin)
    child.stdin.close()


async def handle(process: Any) -> None:
    """Run one command until it ends."""
    board = FOLDER / process.get_extra_info("username")
    child = await asyncio.create_subprocess_shell(
        process.command or "exit 1",
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        cwd=board / "home",
        env=json.loads((board / "environment").read_text()),
    )
    feeding = asyncio.create_task(feed(process.stdin, child))
    await asyncio.gather(copy(child.stdout, process.stdout), copy(child.stderr, process.stderr))
    status = await child.wait()
    feeding.cancel()
    process.exit(max(0, status))


async def main() -> None:
    """Serve until the process is ended."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    server = await asyncssh.create_server(
        asyncssh.SSHServer,
        "127.0.0.1",
        0,
        server_host_keys=[key],
        authorized_client_keys=str(FOLDER / "client.pub"),
        process_factory=handle,
        encoding=None,
    )
    key.write_public_key(str(FOLDER / "host.pub"))
    partial = FOLDER / "port.part"
    partial.write_text(str(server.get_port()))
    partial.replace(FOLDER / "port")
    await server.wait_closed()


asyncio.run(main())
