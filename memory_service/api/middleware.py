"""Middleware for every request: an id, a log line, and a 500 response for an unexpected error."""

from __future__ import annotations

import time
import uuid

import structlog
from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memory_service.api.errors import envelope

logger = structlog.get_logger(__name__)

REQUEST_ID_HEADER = "x-request-id"


class RequestContext:
    """Gives each request an id, which its response and all its log lines contain."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = f"req_{uuid.uuid4().hex}"
        started, status = time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_id)
            except Exception:
                logger.exception("unexpected error in a request", route=_route(scope))
                if status:
                    raise
                await _bug_response(request_id)(scope, receive, send_with_id)
            logger.info(
                "request",
                method=scope["method"],
                route=_route(scope),
                status=status,
                milliseconds=round((time.perf_counter() - started) * 1000, 1),
            )


def _route(scope: Scope) -> str:
    """Return the template of the route: ids in paths may be names of people and are not logged."""
    return str(getattr(scope.get("route"), "path", "unknown"))


def _bug_response(request_id: str) -> JSONResponse:
    message = f"Unexpected error in the service. Its log has the details under {request_id}."
    return JSONResponse(envelope(message, "server_error", None, "internal_error"), 500)
