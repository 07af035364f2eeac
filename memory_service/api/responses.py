"""/v1/responses: create, read and delete responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from memory_service.api import render
from memory_service.api.auth import Project
from memory_service.api.body import RequestBody, documented
from memory_service.api.gateway_requests import GatewayRequest, relayed
from memory_service.api.items import Include
from memory_service.api.paging import After, Direction, Limit
from memory_service.api.schemas import ResponseCreate
from memory_service.api.state import ServiceState
from memory_service.core.errors import InvalidRequest, NotFound
from memory_service.items.item_view import show_parts
from memory_service.responses.archive import ResponseInput
from memory_service.responses.counting import count_input
from memory_service.responses.events import encoded, replay
from memory_service.responses.foreign import as_response_request

router = APIRouter(prefix="/v1/responses", tags=["responses"])


@router.post("", openapi_extra=documented(ResponseCreate))
async def create_response(
    project: Project, service: ServiceState, sent: GatewayRequest
) -> Response:
    """Return a response of the upstream, with memory."""
    chat_request = await sent.chat_request(as_response_request)
    if chat_request.unreadable is not None:
        raise InvalidRequest("The body nests too deep.", code=chat_request.unreadable)
    return await relayed(await service.responses.create(project, chat_request), chat_request)


@router.post("/input_tokens", openapi_extra=documented(ResponseCreate))
def count_input_tokens(
    project: Project,  # noqa: ARG001 - authenticates the caller
    service: ServiceState,
    body: RequestBody,
) -> Response:
    """Count the tokens of an input, without what memory adds or leaves out."""
    tokens = count_input(as_response_request(body.value()), service.counter)
    return render.respond({"object": "response.input_tokens", "input_tokens": tokens})


@router.get("/{response_id}")
def get_response(
    project: Project,
    service: ServiceState,
    response_id: str,
    *,
    stream: bool = False,
    starting_after: Annotated[int | None, Query(ge=0)] = None,
    include: Include = None,  # noqa: ARG001 - a query parameter that OpenAI's clients may send
    include_obfuscation: bool = False,  # noqa: ARG001 - as above
) -> Response:
    """Return a response, or its events."""
    response = service.response_archive.response(project, response_id)
    if not stream:
        return render.respond(response)
    first = 0 if starting_after is None else starting_after + 1
    events = [{**event, "sequence_number": n} for n, event in enumerate(replay(response))]
    content = b"".join(map(encoded, events[first:]))
    return Response(content, media_type="text/event-stream")


@router.post("/{response_id}/cancel")
def cancel_response(project: Project, service: ServiceState, response_id: str) -> Response:
    """Refuse: only responses that run in the background can be cancelled."""
    service.response_archive.response(project, response_id)
    raise InvalidRequest(
        "Only responses that run in the background can be cancelled, and this one did not.",
        param="response_id",
        code="not_cancellable",
    )


@router.delete("/{response_id}")
def delete_response(project: Project, service: ServiceState, response_id: str) -> Response:
    """Delete a response."""
    receipt = service.deletions.delete_response(project, response_id)
    return render.respond(
        {"id": response_id, "object": "response", "deleted": True, "receipt": receipt.id}
    )


@router.get("/{response_id}/input_items")
def list_input_items(
    project: Project,
    service: ServiceState,
    response_id: str,
    after: After = None,
    limit: Limit = 20,
    order: Direction = "desc",
    include: Include = None,  # noqa: ARG001 - as above
) -> Response:
    """List the items of a response's input, the last one first."""
    items = _shown(service.response_archive.input(project, response_id))
    ordered = items if order == "asc" else items[::-1]
    begin = 0 if after is None else _position(ordered, after) + 1
    page = ordered[begin : begin + limit]
    return render.respond(render.listing(page, has_more=begin + limit < len(ordered)))


def _shown(response_input: ResponseInput) -> Sequence[Mapping[str, Any]]:
    system = [
        {**item, "content": show_parts(item.get("content"), str(item.get("role")))}
        for item in response_input.system
    ]
    return [*system, *(render.item(turn) for turn in response_input.turns)]


def _position(items: Sequence[Mapping[str, Any]], item_id: str) -> int:
    for position, item in enumerate(items):
        if item["id"] == item_id:
            return position
    raise NotFound(f"No item {item_id!r} in the input of this response.", param="after")
