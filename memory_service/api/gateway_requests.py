"""Requests that the gateway answers: what the routes of chat completions and responses share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import anyio.to_thread
from fastapi import Depends, Header
from starlette.responses import Response

from memory_service.api.auth import RequestCaller
from memory_service.api.body import ChatBody, JsonBody, RequestAttempt, RequestBody
from memory_service.api.relaying import RelayResponse
from memory_service.api.upstream_requests import (
    ForwardedHeaders,
    UpstreamAuthorization,
    UpstreamName,
)
from memory_service.conversations.idempotency import Attempt
from memory_service.core.models import CallerKey
from memory_service.gateway.relay import AnswerRelay
from memory_service.gateway.request import ChatRequest, MemoryHeaders
from memory_service.identity.identify import Caller
from memory_service.items.strict_json import dumps
from memory_service.responses.relay import ResponseRelay

SKIPPED_HEADER = "x-memory-skipped"


async def _memory_headers(
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
    return MemoryHeaders(
        mode=x_memory,
        scope=x_memory_scope,
        top_k=x_memory_top_k,
        token_budget=x_memory_token_budget,
    )


@dataclass(frozen=True, slots=True)
class SentToGateway:
    """A request for the gateway as it was sent; its body is not parsed yet."""

    body: JsonBody
    attempt: Attempt
    headers: MemoryHeaders
    caller: Caller
    authorization: CallerKey
    forwarded: Mapping[str, str]
    upstream_name: str | None

    async def chat_request(
        self, translate: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    ) -> ChatRequest:
        """Return the request, its body translated if it is for another route."""
        # Parsing a long history takes milliseconds, which would stop all streams in the event loop.
        parsed = await anyio.to_thread.run_sync(_translated, self.body, translate)
        return ChatRequest(
            text=parsed.text,
            body=parsed.value,
            unreadable=parsed.unreadable,
            headers=self.headers,
            caller=self.caller,
            is_retry=self.attempt.is_retry,
            authorization=self.authorization,
            forwarded_headers=self.forwarded,
            upstream_name=self.upstream_name,
        )


async def _sent_to_gateway(
    body: RequestBody,
    attempt: RequestAttempt,
    headers: Annotated[MemoryHeaders, Depends(_memory_headers)],
    caller: RequestCaller,
    authorization: UpstreamAuthorization,
    forwarded: ForwardedHeaders,
    upstream_name: UpstreamName = None,
) -> SentToGateway:
    return SentToGateway(body, attempt, headers, caller, authorization, forwarded, upstream_name)


GatewayRequest = Annotated[SentToGateway, Depends(_sent_to_gateway)]


async def relayed(relay: AnswerRelay | ResponseRelay, chat_request: ChatRequest) -> Response:
    """Return the response to a request, which passes its answer on.

    Its header says why the request got no memory although it names somebody.
    """
    reason = chat_request.skipped
    skipped = {} if reason is None else {SKIPPED_HEADER: reason}
    if relay.is_stream:
        return RelayResponse(relay, skipped)
    try:
        content = await relay.read()
    finally:
        await relay.close()
    return Response(content, relay.status, {**relay.headers, **skipped})


def _translated(
    body: JsonBody, translate: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> ChatBody:
    parsed = body.lenient()
    other = translate(parsed.value)
    return parsed if other is parsed.value else ChatBody(dumps(other), other)
