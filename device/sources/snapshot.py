"""Pictures from a camera that answers HTTP with a snapshot."""

from __future__ import annotations

import base64
import http.client
import urllib.request
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit, urlunsplit

from device.sources.base import LiveSource, Picture, SourceLostError
from pnc.errors import ConfigError

__all__ = ["SnapshotSource"]

TIMEOUT_S = 5.0
"""How long a camera may take to answer, and between two pieces of its answer, seconds."""

MAX_SNAPSHOT_BYTES = 32 * 2**20
"""Largest snapshot that is read, bytes; a 12-megapixel JPEG has a quarter of it."""

_HINTS = {
    401: "put the user and the password into the address: http://USER:PASSWORD@...",
    403: "the user may not see this camera; give it the right to",
    404: "the camera has no snapshot there; look up its address in the camera's manual",
}


class SnapshotSource(LiveSource):
    """Asks a camera for a picture each time.

    Args:
        url: ``http://HOST/snapshot.jpg``; a user and a password in it are sent as basic
            authentication and appear in no message.
        timeout_s: Seconds.

    Raises:
        ConfigError: The URL names no host.
    """

    def __init__(self, url: str, *, timeout_s: float = TIMEOUT_S) -> None:
        try:
            parts = urlsplit(url)
            port = f":{parts.port}" if parts.port else ""
        except ValueError as error:
            raise ConfigError(f"{url}: not an address ({error})") from error
        if not parts.hostname:
            raise ConfigError(f"{url}: names no host; use http://HOST/snapshot.jpg")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        self._url = urlunsplit((parts.scheme, host + port, parts.path or "/", parts.query, ""))
        super().__init__(self._url)
        self._timeout_s = timeout_s
        self._headers = {"User-Agent": "pnc", "Cache-Control": "no-cache"}
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()

    def take(self) -> Picture | None:
        """Fetch a snapshot; None once the source is closed.

        Raises:
            SourceLostError: The camera does not answer, or not with a picture.
        """
        if self._closed.is_set():
            return None
        request = urllib.request.Request(self._url, headers=self._headers)  # noqa: S310 - http(s) only, see open_source
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as answer:  # noqa: S310
                content: bytes = answer.read(MAX_SNAPSHOT_BYTES + 1)
                missing = answer.length if len(content) <= MAX_SNAPSHOT_BYTES else None
        except HTTPError as error:
            error.close()
            hint = _HINTS.get(error.code, "look what the camera says in a browser")
            raise self._lost(f"answered {error.code} {error.reason}; {hint}") from error
        except TimeoutError as error:
            raise self._lost(
                f"no answer within {self._timeout_s:g} s; is the camera switched on?"
            ) from error
        except URLError as error:
            if isinstance(error.reason, TimeoutError):
                reason = f"no answer within {self._timeout_s:g} s"
            elif isinstance(error.reason, OSError):
                reason = (error.reason.strerror or str(error.reason)).lower()
            else:
                reason = str(error.reason)
            raise self._lost(f"cannot be reached ({reason}); check address and network") from error
        except (OSError, http.client.HTTPException) as error:
            raise self._lost(f"broke off ({error or type(error).__name__})") from error
        if missing:
            raise self._lost(f"broke off {missing} bytes before the end")
        if not content:
            raise self._lost("answered with nothing; look what the camera says in a browser")
        if len(content) > MAX_SNAPSHOT_BYTES:
            limit = MAX_SNAPSHOT_BYTES >> 20
            raise self._lost(f"sends more than {limit} MB; name a snapshot, not a video stream")
        return self._picture(content)

    def _lost(self, text: str) -> SourceLostError:
        return SourceLostError(f"{self._url}: {text}", url=self._url)
