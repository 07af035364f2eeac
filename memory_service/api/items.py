"""/v1/conversations/{id}/items: append, list, read and delete items."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from memory_service.api import render
from memory_service.api.auth import Project
from memory_service.api.body import RequestAttempt, RequestBody, documented
from memory_service.api.item_body import parse_items
from memory_service.api.paging import After, Direction, Limit
from memory_service.api.schemas import ItemsCreate
from memory_service.api.state import ServiceState
from memory_service.conversations.lookup import find_conversation, find_item
from memory_service.conversations.requests import Below

router = APIRouter(prefix="/v1/conversations/{conversation_id}/items", tags=["items"])

LAG_HEADER = "x-memory-index-lag"
NEW_HEADER = "x-memory-items-new"
Include = Annotated[
    list[str] | None,
    Query(description="Accepted for OpenAI's clients, without effect: everything is included."),
]


@router.post("", openapi_extra=documented(ItemsCreate))
def create_items(
    project: Project,
    service: ServiceState,
    conversation_id: str,
    body: RequestBody,
    attempt: RequestAttempt,
    include: Include = None,  # noqa: ARG001 - a query parameter that OpenAI's clients may send
) -> Response:
    """Append items; they are durable before the response is sent."""
    create = body.as_model(ItemsCreate)
    turns = parse_items(service, body, create.items, create.stored_as)
    result = service.writer.append(
        project,
        conversation_id,
        turns,
        attempt,
        below=_below(create),
        gap_before=create.gap_before,
    )
    with service.log.read() as snapshot:
        stored = snapshot.media.with_media(result.turns)
    data = [render.item(turn) for turn in stored]
    lag = service.index_lag()
    headers = {LAG_HEADER: str(lag), NEW_HEADER: str(result.new_count)}
    return render.respond(render.listing(data, has_more=False), headers)


@router.get("")
def list_items(
    project: Project,
    service: ServiceState,
    conversation_id: str,
    after: After = None,
    limit: Limit = 20,
    order: Direction = "desc",
    include: Include = None,  # noqa: ARG001 - as above
) -> Response:
    """List the items of the active branch, newest first."""
    with service.log.read() as snapshot:
        conversation = find_conversation(snapshot, project, conversation_id)
        begin = (
            None
            if after is None
            else find_item(snapshot, project, conversation.key, after, param="after").seq
        )
        page = snapshot.turns.page(conversation.key, begin, limit, order)
        stored = snapshot.media.with_media(page.data)
    data = [render.item(turn) for turn in stored]
    return render.respond(render.listing(data, has_more=page.has_more))


@router.get("/{item_id}")
def get_item(
    project: Project,
    service: ServiceState,
    conversation_id: str,
    item_id: str,
    include: Include = None,  # noqa: ARG001 - as above
) -> Response:
    """Return an item of any branch."""
    with service.log.read() as snapshot:
        conversation = find_conversation(snapshot, project, conversation_id)
        turn = find_item(snapshot, project, conversation.key, item_id)
        (item,) = snapshot.media.with_media([turn])
    return render.respond(render.item(item))


@router.delete("/{item_id}")
def delete_item(
    project: Project, service: ServiceState, conversation_id: str, item_id: str
) -> Response:
    """Delete an item with its tool group, and return the conversation."""
    conversation, receipt = service.deletions.delete_item(project, conversation_id, item_id)
    return render.respond({**render.conversation(conversation), "receipt": receipt.id})


def _below(create: ItemsCreate) -> str | Below:
    if "parent" not in create.model_fields_set:
        return Below.HEAD
    return Below.ROOT if create.parent is None else create.parent
