"""/v1/chat/completions and /v1/models: the upstream, with memory in front of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import anyio.to_thread
from fastapi import APIRouter, Depends, Header, Request
from starlette.responses import Response

from memory_service.api.auth import Project, RequestCaller
from memory_service.api.azure_paths import deployment_of
from memory_service.api.body import ChatBody, JsonBody, RequestAttempt, RequestBody, documented
from memory_service.api.relaying import RelayResponse
from memory_service.api.schemas import ChatCompletion
from memory_service.api.state import ServiceState
from memory_service.api.upstream_requests import (
    ForwardedHeaders,
    UpstreamAuthorization,
    UpstreamName,
)
from memory_service.gateway.request import ChatRequest, MemoryHeaders
from memory_service.items.strict_json import dumps
from memory_service.responses.foreign import as_chat_completion

router = APIRouter(prefix="/v1", tags=["chat"])

SKIPPED_HEADER = "x-memory-skipped"


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
    forwarded: ForwardedHeaders,
    upstream_name: UpstreamName = None,
) -> Response:
    """Return a chat completion of the upstream, with memory if a conversation or user is named."""
    # Parsing a long history takes milliseconds, which would stop all streams in the event loop.
    parsed = await anyio.to_thread.run_sync(translated, body, as_chat_completion)
    chat_request = ChatRequest(
        text=parsed.text,
        body=parsed.value,
        unreadable=parsed.unreadable,
        headers=headers,
        caller=caller,
        is_retry=attempt.is_retry,
        authorization=authorization,
        forwarded_headers=forwarded,
        upstream_name=upstream_name,
    ).for_model(deployment_of(request))
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
    project: Project,  # noqa: ARG001 - authenticates the caller
    service: ServiceState,
    authorization: UpstreamAuthorization,
    forwarded: ForwardedHeaders,
) -> Response:
    """List the models of all upstreams, each with the context window that prompts have."""
    upstreams = service.gateway.upstreams
    upstreams.check()
    if upstreams.single is None:
        merged = await upstreams.models(authorization, forwarded)
        warnings = {"x-memory-warning": ", ".join(merged.warnings)} if merged.warnings else {}
        content = dumps({"object": "list", "data": merged.models}).encode("utf-8", "replace")
        content = await anyio.to_thread.run_sync(service.with_windows, content)
        return Response(content, headers={**warnings, "content-type": "application/json"})
    answered = upstreams.single
    answer = await answered.models(authorization, forwarded)
    try:
        content = await answer.read()
        if answer.status == 200:
            content = await anyio.to_thread.run_sync(service.with_windows, content, answered.name)
        return Response(content, answer.status, answer.headers)
    finally:
        await answer.close()


def skipped_headers(chat_request: ChatRequest) -> dict[str, str]:
    """Return the header that says why a request got no memory although it names somebody."""
    return {} if chat_request.skipped is None else {SKIPPED_HEADER: chat_request.skipped}


def translated(
    body: JsonBody, translate: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> ChatBody:
    """Return the text and the value of a body, translated if it is for another route."""
    parsed = body.lenient()
    other = translate(parsed.value)
    return parsed if other is parsed.value else ChatBody(dumps(other), other)
