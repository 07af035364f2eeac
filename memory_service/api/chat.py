"""/v1/chat/completions and /v1/models: the upstream, with memory in front of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Annotated, Any, Literal, Protocol

import anyio
import anyio.to_thread
from fastapi import APIRouter, Depends, Header, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from memory_service.api.auth import Project, RequestCaller
from memory_service.api.body import JsonBody, RequestAttempt, RequestBody, documented
from memory_service.api.schemas import ChatCompletion
from memory_service.api.state import ServiceState
from memory_service.core.errors import InvalidRequest
from memory_service.gateway.request import ChatRequest, MemoryHeaders
from memory_service.items.strict_json import dumps
from memory_service.responses.foreign import as_chat_completion

router = APIRouter(prefix="/v1", tags=["chat"])

SKIPPED_HEADER = "x-memory-skipped"
_FORWARDED = ("openai-organization", "openai-project", "openai-beta", "http-referer", "x-title")


async def memory_headers(
    x_conversation_id: Annotated[  # noqa: ARG001 - documented here, read by `identify`
        str | None, Header(description="The conversation. An unknown id creates one.")
    ] = None,
    x_user_id: Annotated[  # noqa: ARG001 - as above
        str | None, Header(description="The user whose conversation this is.")
    ] = None,
    x_memory: Annotated[
        Literal["off", "read", "on"],
        Header(description="off: forward only; read: recall, but store nothing."),
    ] = "on",
    x_memory_scope: Annotated[Literal["user", "conversation"] | None, Header()] = None,
    x_memory_top_k: Annotated[int | None, Header(ge=0, le=100)] = None,
    x_memory_token_budget: Annotated[int | None, Header(ge=1, le=100_000_000)] = None,
) -> MemoryHeaders:
    """Return the headers about memory."""
    return MemoryHeaders(
        mode=x_memory,
        scope=x_memory_scope,
        top_k=x_memory_top_k,
        token_budget=x_memory_token_budget,
    )


async def _authorization(
    request: Request,
    service: ServiceState,
    project: Project,  # noqa: ARG001 - sets request.state.keyless
    x_upstream_authorization: Annotated[
        str | None,
        Header(description="The Authorization for the upstream, if the settings allow it."),
    ] = None,
) -> str | None:
    """Return the Authorization for the upstream; None leaves it to the server's own key."""
    if service.settings.upstream_authorization_header:
        # The callers pay with their own keys; a caller without one must not use the server's.
        return x_upstream_authorization or ""
    if x_upstream_authorization is not None:
        raise InvalidRequest(
            "'x-upstream-authorization' is not accepted by this server "
            "(MEMORY_UPSTREAM_AUTHORIZATION_HEADER).",
            param="x-upstream-authorization",
        )
    if request.state.keyless and not service.gateway.upstream.has_key:
        return request.headers.get("authorization")
    return None


UpstreamAuthorization = Annotated[str | None, Depends(_authorization)]


@router.post("/chat/completions", openapi_extra=documented(ChatCompletion))
async def complete(
    request: Request,
    project: Project,
    service: ServiceState,
    body: RequestBody,
    attempt: RequestAttempt,
    headers: Annotated[MemoryHeaders, Depends(memory_headers)],
    caller: RequestCaller,
    authorization: UpstreamAuthorization,
) -> Response:
    """Return a chat completion of the upstream, with memory if a conversation or user is named."""
    # Parsing a long history takes milliseconds, which would stop all streams in the event loop.
    text, value = await anyio.to_thread.run_sync(translated, body, as_chat_completion)
    chat_request = ChatRequest(
        text=text,
        body=value,
        headers=headers,
        caller=caller,
        is_retry=attempt.is_retry,
        authorization=authorization,
        forwarded_headers=forwarded_headers(request),
    )
    relay = await service.gateway.complete(project, chat_request)
    skipped = skipped_headers(chat_request)
    if relay.is_stream:
        return RelayResponse(relay, skipped)
    try:
        content = await relay.read()
    finally:
        await relay.close()
    return Response(content, relay.status, {**relay.headers, **skipped})


@router.get("/models")
async def list_models(
    request: Request,
    project: Project,  # noqa: ARG001 - authenticates the caller
    service: ServiceState,
    authorization: UpstreamAuthorization,
) -> Response:
    """List the upstream's models."""
    answer = await service.gateway.upstream.models(authorization, forwarded_headers(request))
    try:
        return Response(await answer.read(), answer.status, answer.headers)
    finally:
        await answer.close()


def skipped_headers(chat_request: ChatRequest) -> dict[str, str]:
    """Return the header that says why a request got no memory although it names somebody."""
    return {} if chat_request.skipped is None else {SKIPPED_HEADER: chat_request.skipped}


def forwarded_headers(request: Request) -> dict[str, str]:
    """Return the headers of a request that are for the upstream."""
    return {name: request.headers[name] for name in _FORWARDED if name in request.headers}


def translated(
    body: JsonBody, translate: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> tuple[str, Mapping[str, Any]]:
    """Return the text and the value of a body, translated if it is for another route."""
    text, value = body.text(), body.value()
    other = translate(value)
    return (text if other is value else dumps(other)), other


class Relay(Protocol):
    """A streamed answer that is passed on to the caller; it must always be closed."""

    @property
    def status(self) -> int:
        """The status of the response."""

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the response."""

    def chunks(self) -> AsyncGenerator[bytes]:
        """Yield the body as it arrives."""

    async def close(self) -> None:
        """Release the connection."""


class RelayResponse(Response):
    """Passes a stream on until it ends or the caller disconnects; then the relay stores it."""

    def __init__(self, relay: Relay, more_headers: Mapping[str, str]) -> None:
        self.status_code = relay.status
        self.background = None
        self.init_headers({**relay.headers, **more_headers})
        self._relay = relay

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_wait_for_disconnect, receive, group.cancel_scope)
                await send(
                    {
                        "type": "http.response.start",
                        "status": self.status_code,
                        "headers": self.raw_headers,
                    }
                )
                async with aclosing(self._relay.chunks()) as chunks:
                    async for chunk in chunks:
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                group.cancel_scope.cancel()
        finally:
            await self._relay.close()


async def _wait_for_disconnect(receive: Receive, scope: anyio.CancelScope) -> None:
    message: dict[str, Any] = {}
    while message.get("type") != "http.disconnect":
        message = dict(await receive())
    scope.cancel()
