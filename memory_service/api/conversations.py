"""/v1/conversations: making, reading, listing, changing and deleting conversations."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from memory_service.api import render
from memory_service.api.auth import Project
from memory_service.api.body import RequestAttempt, RequestBody, documented
from memory_service.api.item_body import parse_items
from memory_service.api.paging import After, Direction, Limit
from memory_service.api.schemas import ConversationCreate, ConversationUpdate
from memory_service.api.state import ServiceState
from memory_service.conversations.requests import ConversationChange, NewConversation, Switch
from memory_service.core.clock import parse_time
from memory_service.core.errors import NotFound
from memory_service.core.models import Conversation
from memory_service.items.conversation_items import check_id, check_metadata, check_user_id
from memory_service.turn_log.transactions import ReadTransaction

router = APIRouter(prefix="/v1/conversations", tags=["conversations"])


@router.post("", openapi_extra=documented(ConversationCreate, required=False))
def create_conversation(
    project: Project, service: ServiceState, body: RequestBody, attempt: RequestAttempt
) -> Response:
    """Make a conversation, with its first items if there are any."""
    wanted = body.as_model(ConversationCreate, optional=True)
    turns = parse_items(service, body, wanted.items or [], wanted.stored_as)
    created_at = (
        None if wanted.created_at is None else parse_time(wanted.created_at, "created_at")[0]
    )
    new = NewConversation(
        id=None if wanted.id is None else check_id(wanted.id, "id"),
        user=None if wanted.user is None else check_user_id(wanted.user, "user"),
        title=wanted.title,
        metadata=check_metadata(wanted.metadata, "metadata"),
        created_at=created_at,
        summaries=wanted.summaries,
    )
    stored = service.writer.create_conversation(project, new, turns, attempt)
    return render.respond(render.conversation(stored.conversation))


@router.get("")
def list_conversations(
    project: Project,
    service: ServiceState,
    user: Annotated[str | None, Query(description="Only this user's.")] = None,
    after: After = None,
    limit: Limit = 20,
    order: Direction = "desc",
) -> Response:
    """List the project's conversations, newest first."""
    with service.log.read() as snapshot:
        user_key = None if user is None else snapshot.users.key_of(project, user)
        if user is not None and user_key is None:
            raise NotFound(f"No user {user!r}.", param="user")
        begin = None if after is None else found(snapshot, project, after).key
        page = snapshot.conversations.page(project, user_key, begin, limit, order)
    data = [render.conversation(one) for one in page.data]
    return render.respond(render.listing(data, has_more=page.has_more))


@router.get("/{conversation_id}")
def get_conversation(project: Project, service: ServiceState, conversation_id: str) -> Response:
    """Return a conversation."""
    with service.log.read() as snapshot:
        return render.respond(
            render.conversation(found(snapshot, project, conversation_id, "conversation_id"))
        )


@router.post("/{conversation_id}", openapi_extra=documented(ConversationUpdate))
def update_conversation(
    project: Project,
    service: ServiceState,
    conversation_id: str,
    body: RequestBody,
    attempt: RequestAttempt,
) -> Response:
    """Replace the metadata or the title, make another branch live, or switch summaries."""
    wanted = body.as_model(ConversationUpdate)
    metadata: dict[str, Any] | None = None
    if "metadata" in wanted.model_fields_set:
        metadata = check_metadata(wanted.metadata, "metadata")
    changed = service.writer.update_conversation(
        project,
        conversation_id,
        ConversationChange(
            metadata=metadata,
            title=wanted.title,
            head_id=wanted.head,
            summaries=Switch(wanted.summaries) if "summaries" in wanted.model_fields_set else None,
        ),
        attempt,
    )
    return render.respond(render.conversation(changed))


@router.delete("/{conversation_id}")
def delete_conversation(project: Project, service: ServiceState, conversation_id: str) -> Response:
    """Delete a conversation with all its items."""
    receipt = service.deletions.conversation(project, conversation_id)
    return render.respond(
        {
            "id": conversation_id,
            "object": "conversation.deleted",
            "deleted": True,
            "receipt": receipt.id,
        }
    )


def found(
    snapshot: ReadTransaction, project: int, conversation_id: str, param: str = "after"
) -> Conversation:
    """Return a conversation of the project; raises NotFound."""
    conversation = snapshot.conversations.get(project, conversation_id)
    if conversation is None:
        raise NotFound(f"No conversation {conversation_id!r}.", param=param)
    return conversation
