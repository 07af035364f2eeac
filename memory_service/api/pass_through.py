"""Pass-through: routes below /v1 that the service does not have are the upstream's.

Method, query, body and answer are passed on unchanged, as they arrive. Which routes pass is
decided by `memory_service.upstreams.pass_routes`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import NamedTuple

import structlog
from fastapi import APIRouter, Depends, Request, WebSocket
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Send

from memory_service.api.auth import Project
from memory_service.api.azure_paths import deployment_of
from memory_service.api.errors import envelope, render
from memory_service.api.passed_bodies import PassedBody
from memory_service.api.relaying import RelayResponse
from memory_service.api.state import ServiceState
from memory_service.api.upstream_requests import (
    ForwardedHeaders,
    UpstreamAuthorization,
    UpstreamName,
)
from memory_service.core.errors import NotSupported, UpstreamDown
from memory_service.core.models import CallerKey
from memory_service.core.protocols import RawUpstreamAnswer, Upstream
from memory_service.items.strict_json import dumps
from memory_service.service import Service
from memory_service.upstreams.pass_routes import checked_path

logger = structlog.get_logger(__name__)

_OURS = frozenset(
    {"conversations", "receipts", "responses", "search", "summaries", "traces", "users"}
)
"""The first segments of paths that are never passed on: the upstream's would mean something else,
and their ids are this service's.
"""

_OF_THE_BODY = (
    *("accept", "accept-encoding", "content-type", "content-length", "content-encoding"),
    *("idempotency-key", "range", "if-none-match", "if-modified-since"),
)
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_CLIENT_CLOSED_REQUEST = 499
_MODELS = "models/"


async def _is_passed(path: str, service: ServiceState) -> None:
    """Raise the 404 of an unknown route if there is no upstream, or the path is the service's."""
    if service.gateway.upstreams.is_empty or path.partition("/")[0] in _OURS:
        raise HTTPException(404)


router = APIRouter(redirect_slashes=False, include_in_schema=False)
"""What the application's router calls if no route matches."""


@router.api_route("/v1/{path:path}", methods=_METHODS, dependencies=[Depends(_is_passed)])
async def pass_through(
    path: str,
    request: Request,
    project: Project,  # noqa: ARG001 - authenticates the caller
    service: ServiceState,
    caller: UpstreamAuthorization,
    forwarded: ForwardedHeaders,
    upstream_name: UpstreamName = None,
) -> Response:
    """Pass a request on to an upstream, and its answer back."""
    if request.headers.get("upgrade", "").lower() == "websocket":
        raise _no_websockets()
    call = _Call(request.method, path, checked_path(path), caller)
    if not caller.authorization:
        service.pass_policy.check(call.method, call.path)
    settings = service.settings
    body = PassedBody(
        request, limit=settings.max_passed_body_bytes, read_limit=settings.max_body_bytes
    )
    try:
        await body.begin()
        answer = await _ask(service, call, request, body, forwarded, upstream_name)
    except ClientDisconnect:
        return Response(status_code=_CLIENT_CLOSED_REQUEST)
    return _PassedResponse(_PassedAnswer(answer))


@router.websocket("/v1/{path:path}")
async def refuse_websocket(websocket: WebSocket) -> None:
    """Refuse a WebSocket, such as that of the Realtime API, with an error response."""
    await websocket.send_denial_response(render(_no_websockets()))


class _Call(NamedTuple):
    """A request to pass on: `path` is what follows /v1/, `encoded` is how it is sent."""

    method: str
    path: str
    encoded: str
    caller: CallerKey

    @property
    def model_of_path(self) -> str | None:
        """The model that a path below /v1/models names."""
        return self.path.removeprefix(_MODELS) if self.path.startswith(_MODELS) else None


async def _ask(
    service: Service,
    call: _Call,
    request: Request,
    body: PassedBody,
    forwarded: Mapping[str, str],
    upstream_name: str | None,
) -> RawUpstreamAnswer:
    upstreams = service.gateway.upstreams
    deployment = deployment_of(request)
    model = call.model_of_path or deployment
    if deployment is not None or (model is None and upstreams.needs_model):
        model_of_body = await body.model()
        model = model or model_of_body or request.query_params.get("model")
    upstream, upstream_model = await upstreams.route(model, upstream_name)
    _check(service, call, upstream)
    encoded = call.encoded
    if call.model_of_path is not None and upstream_model != model:
        encoded = checked_path(f"{_MODELS}{upstream_model}")
    content = body.content(upstream_model, is_renamed=upstream_model != model)
    headers = {name: request.headers[name] for name in _OF_THE_BODY if name in request.headers}
    if isinstance(content, bytes):
        headers["content-length"] = str(len(content))
    return await upstream.request(
        call.method,
        f"/{encoded}",
        call.caller,
        {**forwarded, **headers},
        query=request.url.query,
        content=content,
        model=upstream_model,
    )


def _check(service: Service, call: _Call, upstream: Upstream) -> None:
    """Raise Forbidden if a request needs the caller's own key and would be sent without it."""
    if not upstream.uses_key_of(call.caller):
        service.pass_policy.check(call.method, call.path)


def _no_websockets() -> NotSupported:
    return NotSupported(
        "WebSockets, such as those of the Realtime API, are not passed on. Connect to the model "
        "server itself."
    )


class _PassedAnswer:
    """An answer as it came; `broke_off` says that its end is missing."""

    def __init__(self, answer: RawUpstreamAnswer) -> None:
        self._answer = answer
        self.broke_off = False

    @property
    def status(self) -> int:
        """The upstream's status."""
        return self._answer.status

    @property
    def headers(self) -> Sequence[tuple[str, str]]:
        """The upstream's headers."""
        return self._answer.passed_headers

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Yield the body; a stream of events that breaks off ends with an error event."""
        try:
            async with aclosing(self._answer.chunks()) as chunks:
                async for chunk in chunks:
                    yield chunk
        except UpstreamDown as error:
            logger.warning("the upstream closed the connection early", error=error.message)
            content_type = self._answer.headers.get("content-type", "").lower()
            if content_type.startswith("text/event-stream"):
                content = envelope(error.message, error.type, error.param, error.code)
                yield f"data: {dumps(content)}\n\n".encode()
            else:
                self.broke_off = True

    async def close(self) -> None:
        """Release the connection."""
        await self._answer.close()


class _PassedResponse(RelayResponse):
    """A response whose connection is closed without an end if the upstream's answer broke off."""

    def __init__(self, answer: _PassedAnswer) -> None:
        super().__init__(answer)
        self._passed = answer

    async def send_end(self, send: Send) -> None:
        """Send the end of the body, unless the client would take a part for the whole."""
        if not self._passed.broke_off:
            await super().send_end(send)
