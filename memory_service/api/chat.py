"""/v1/chat/completions and /v1/models: the upstream, with memory in front of it."""

from __future__ import annotations

import anyio.to_thread
from fastapi import APIRouter, Request
from starlette.responses import Response

from memory_service.api.auth import Project
from memory_service.api.azure_paths import deployment_of
from memory_service.api.body import documented
from memory_service.api.gateway_requests import GatewayRequest, relayed
from memory_service.api.schemas import ChatCompletion
from memory_service.api.state import ServiceState
from memory_service.api.upstream_requests import ForwardedHeaders, UpstreamAuthorization
from memory_service.items.strict_json import dumps
from memory_service.responses.foreign import as_chat_completion

router = APIRouter(prefix="/v1", tags=["chat"])


@router.post("/chat/completions", openapi_extra=documented(ChatCompletion))
async def complete(
    request: Request, project: Project, service: ServiceState, sent: GatewayRequest
) -> Response:
    """Return a chat completion of the upstream, with memory if a conversation or user is named."""
    chat_request = (await sent.chat_request(as_chat_completion)).for_model(deployment_of(request))
    return await relayed(await service.gateway.complete(project, chat_request), chat_request)


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
