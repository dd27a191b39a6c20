"""The web face of the edge server: JSON API, pictures, live events, page.

Every error has one shape: ``{"error": {"code": "not_found", "message": "what, where, do this"}}``.
``docs/server.md`` describes every route.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from edge_server.events import encode_event
from edge_server.server import EdgeServer
from edge_server.store import MAX_PAGE_ROWS, StoredResult
from pnc import __version__
from pnc.codec.image import encode_png
from pnc.errors import BitstreamError, PncError, StoreError

__all__ = ["create_app"]

STATIC = Path(__file__).parent / "static"

MAX_ID = 2**63 - 1
"""Largest integer SQLite stores."""

_CODE_OF_STATUS = {404: "not_found", 405: "method_not_allowed"}

_HEADERS = [
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]


class ApiError(Exception):
    """An answer that is not the wanted one."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def create_app(server: EdgeServer) -> FastAPI:
    """Return the ASGI application of an edge server.

    Args:
        server: A running server, or one that is not started, for its stored results.
    """
    app = FastAPI(title="PNC edge server", version=__version__, docs_url=None, redoc_url=None)
    app.add_middleware(_SecurityHeaders)
    _add_error_handlers(app)
    _add_results(app, server)
    _add_live(app, server)
    app.mount("/", StaticFiles(directory=STATIC, html=True), name="page")
    return app


def _add_results(app: FastAPI, server: EdgeServer) -> None:
    @app.get("/api/v1/devices")
    def devices() -> dict[str, Any]:
        """Every device that ever had a result or said HELLO, with its totals."""
        connected = server.connected_devices()
        rows = {row["device"]: row for row in server.store.devices()}
        names = sorted({*rows, *connected})
        return {
            "devices": [
                {"device": name, **rows.get(name, {}), "connection": connected.get(name)}
                for name in names
            ]
        }

    @app.get("/api/v1/results")
    def results(
        device: Annotated[str | None, Query(max_length=128)] = None,
        since: Annotated[float | None, Query(description="seconds since 1970")] = None,
        before: Annotated[int | None, Query(ge=1, le=MAX_ID, description="row id")] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE_ROWS)] = 50,
    ) -> dict[str, Any]:
        """Results, newest first. ``next`` is the ``before`` of the following page, or null."""
        rows = server.store.page(device=device, since=since, before=before, limit=limit)
        following = rows[-1].id if len(rows) == limit else None
        return {"results": [row.to_json() for row in rows], "next": following}

    @app.get("/api/v1/results/{result_id}")
    def result(result_id: int) -> dict[str, Any]:
        """One result, with the sizes of its packets in priority order."""
        row = _find(server, result_id)
        return {**row.to_json(), "packet_bytes": list(map(len, server.store.packets(row.id)))}

    @app.get("/api/v1/results/{result_id}/picture.png", response_class=Response)
    def picture(
        result_id: int,
        num_bytes: Annotated[int | None, Query(alias="bytes", ge=0, le=MAX_ID)] = None,
    ) -> Response:
        """The picture from the first ``bytes`` bytes of what arrived in time; all if not given."""
        row = _find(server, result_id)
        used = row.received_bytes if num_bytes is None else min(num_bytes, row.received_bytes)
        pixels = server.viewer.cached(row.key) if used == row.received_bytes else None
        if pixels is None:
            packets = server.store.packets(row.id)
            pixels, used = server.viewer.decode(packets, row.checkpoint_id, used)
        headers = {
            "Cache-Control": "private, max-age=86400, immutable",
            "X-PNC-Bytes": str(used),
        }
        return Response(encode_png(pixels), media_type="image/png", headers=headers)


def _add_live(app: FastAPI, server: EdgeServer) -> None:
    @app.get("/api/v1/status")
    def status() -> dict[str, Any]:
        """Totals, links, checkpoints, store, and the goodput of the last two minutes."""
        return server.status()

    @app.get("/api/v1/devices/{device}/preview.png", response_class=Response)
    def preview(device: str) -> Response:
        """The current picture of a device as far as it has come; made while a page watches."""
        pixels = server.previewer.picture(device) if server.previewer else None
        if pixels is None:
            raise ApiError(404, "not_found", f"{device}: no preview; watch /api/v1/events")
        headers = {"Cache-Control": "no-store"}
        return Response(encode_png(pixels), media_type="image/png", headers=headers)

    @app.get("/api/v1/events", response_class=StreamingResponse)
    async def events() -> StreamingResponse:
        """Server-sent events: status, link, picture, progress, preview, ended, result, store."""
        stream = server.events.subscribe(lambda: encode_event("status", server.status()))
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


def _find(server: EdgeServer, result_id: int) -> StoredResult:
    row = server.store.get(result_id) if 0 < result_id <= MAX_ID else None
    if row is None:
        raise ApiError(404, "not_found", f"no result {result_id}; GET /api/v1/results lists them")
    return row


def _add_error_handlers(app: FastAPI) -> None:
    async def api_error(_request: Request, error: Any) -> Response:
        return _error(error.status, error.code, str(error))

    async def http_error(request: Request, error: Any) -> Response:
        code = _CODE_OF_STATUS.get(error.status_code, "http_error")
        message = f"{request.method} {request.url.path}: {str(error.detail).lower()}"
        return _error(error.status_code, code, message)

    async def invalid(_request: Request, error: Any) -> Response:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"][1:]) or "request"
        return _error(
            400, "invalid_parameter", f"{name}: {first['msg'][:1].lower()}{first['msg'][1:]}"
        )

    async def pnc_error(_request: Request, error: Any) -> Response:
        if isinstance(error, StoreError):
            return _error(503, "store_unavailable", str(error))
        if isinstance(error, BitstreamError):
            return _error(409, "not_decodable", str(error))
        return _error(500, "internal", str(error))

    app.add_exception_handler(ApiError, api_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(PncError, pnc_error)
    app.add_exception_handler(Exception, _internal_error)


async def _internal_error(_request: Request, error: Exception) -> Response:
    return _error(500, "internal", f"{type(error).__name__}; the server's log says more")


def _error(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse({"error": {"code": code, "message": message}}, status_code=status)


class _SecurityHeaders:
    """Pure ASGI, so that it costs nothing per event of a stream."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *_HEADERS]}
            await send(message)

        await self._app(scope, receive, send_with_headers)
