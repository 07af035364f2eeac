"""/v1/conversations/{id}/items: appending, listing, reading and deleting items."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from memory_service.api import render
from memory_service.api.auth import Project
from memory_service.api.body import RequestAttempt, RequestBody, documented
from memory_service.api.conversations import found
from memory_service.api.item_body import parse_items
from memory_service.api.paging import After, Direction, Limit
from memory_service.api.schemas import ItemsCreate
from memory_service.api.state import ServiceState
from memory_service.conversations.requests import Below
from memory_service.core.errors import NotFound
from memory_service.core.models import Turn
from memory_service.turn_log.transactions import ReadTransaction

router = APIRouter(prefix="/v1/conversations/{conversation_id}/items", tags=["items"])

LAG_HEADER = "x-memory-index-lag"
NEW_HEADER = "x-memory-items-new"
Include = Annotated[
    list[str] | None, Query(description="Accepted for OpenAI's clients; everything is included.")
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
    """Append items; they are on disk when the answer comes."""
    wanted = body.as_model(ItemsCreate)
    turns = parse_items(service, body, wanted.items, wanted.stored_as)
    stored = service.writer.append(
        project,
        conversation_id,
        turns,
        attempt,
        below=_below(wanted),
        gap_before=wanted.gap_before,
    )
    data = [render.item(turn) for turn in stored.turns]
    lag = service.index_lag()
    headers = {LAG_HEADER: str(lag), NEW_HEADER: str(stored.new_count)}
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
    """List the items of the live branch, newest first."""
    with service.log.read() as snapshot:
        conversation = found(snapshot, project, conversation_id, "conversation_id")
        begin = (
            None
            if after is None
            else _turn(snapshot, project, conversation.key, after, "after").seq
        )
        page = snapshot.turns.page(conversation.key, begin, limit, order)
    data = [render.item(turn) for turn in page.data]
    return render.respond(render.listing(data, has_more=page.has_more))


@router.get("/{item_id}")
def get_item(
    project: Project,
    service: ServiceState,
    conversation_id: str,
    item_id: str,
    include: Include = None,  # noqa: ARG001 - as above
) -> Response:
    """Return an item, of whatever branch."""
    with service.log.read() as snapshot:
        conversation = found(snapshot, project, conversation_id, "conversation_id")
        return render.respond(
            render.item(_turn(snapshot, project, conversation.key, item_id, "item_id"))
        )


@router.delete("/{item_id}")
def delete_item(
    project: Project, service: ServiceState, conversation_id: str, item_id: str
) -> Response:
    """Delete an item; of a tool call, the call and all its results. Returns the conversation."""
    conversation, receipt = service.deletions.item(project, conversation_id, item_id)
    return render.respond({**render.conversation(conversation), "receipt": receipt.id})


def _below(wanted: ItemsCreate) -> str | Below:
    if "parent" not in wanted.model_fields_set:
        return Below.HEAD
    return Below.ROOT if wanted.parent is None else wanted.parent


def _turn(
    snapshot: ReadTransaction, project: int, conversation_key: int, item_id: str, param: str
) -> Turn:
    turn = snapshot.turns.get(project, conversation_key, item_id)
    if turn is None:
        raise NotFound(f"No item {item_id!r} in this conversation.", param=param)
    return turn
