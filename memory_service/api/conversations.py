"""/v1/conversations: create, list, read, change and delete conversations."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from memory_service.api import render
from memory_service.api.access import owning_user, readable_conversation, readable_user
from memory_service.api.auth import Access, Project
from memory_service.api.body import RequestAttempt, RequestBody, documented
from memory_service.api.item_body import parse_items
from memory_service.api.paging import After, Direction, Limit
from memory_service.api.schemas import ConversationCreate, ConversationUpdate
from memory_service.api.state import ServiceState
from memory_service.conversations.lookup import find_conversation
from memory_service.conversations.requests import ConversationChange, NewConversation, Switch
from memory_service.core.clock import parse_time
from memory_service.core.errors import NotFound
from memory_service.core.models import Page
from memory_service.items.fields import check_id, check_metadata, check_user_id

router = APIRouter(prefix="/v1/conversations", tags=["conversations"])


@router.post("", openapi_extra=documented(ConversationCreate, required=False))
def create_conversation(
    access: Access, service: ServiceState, body: RequestBody, attempt: RequestAttempt
) -> Response:
    """Create a conversation, with its first items if there are any."""
    create = body.as_model(ConversationCreate, optional=True)
    turns = parse_items(service, body, create.items or [], create.stored_as)
    created_at = (
        None if create.created_at is None else parse_time(create.created_at, "created_at")[0]
    )
    user = None if create.user is None else check_user_id(create.user, "user")
    new = NewConversation(
        id=None if create.id is None else check_id(create.id, "id"),
        user=owning_user(access, user, param="user"),
        title=create.title,
        metadata=check_metadata(create.metadata, "metadata"),
        created_at=created_at,
        summaries=create.summaries,
    )
    stored = service.writer.create_conversation(access.project_key, new, turns, attempt)
    return render.respond(render.conversation(stored.conversation))


@router.get("")
def list_conversations(
    access: Access,
    service: ServiceState,
    user: Annotated[str | None, Query(description="Only conversations of this user.")] = None,
    after: After = None,
    limit: Limit = 20,
    order: Direction = "desc",
) -> Response:
    """List the project's conversations, newest first."""
    project, user = access.project_key, readable_user(access, user, param="user")
    with service.log.read() as snapshot:
        user_key = None if user is None else snapshot.users.key_of(project, user)
        if user_key is None and user not in (None, access.user):
            raise NotFound(f"No user {user!r}.", param="user")
        begin = (
            None
            if after is None
            else readable_conversation(snapshot, access, after, param="after").key
        )
        page = (
            Page([], has_more=False)  # The acting user has not said anything yet.
            if user is not None and user_key is None
            else snapshot.conversations.page(project, user_key, begin, limit, order)
        )
    data = [render.conversation(conversation) for conversation in page.data]
    return render.respond(render.listing(data, has_more=page.has_more))


@router.get("/{conversation_id}")
def get_conversation(project: Project, service: ServiceState, conversation_id: str) -> Response:
    """Return a conversation."""
    with service.log.read() as snapshot:
        conversation = find_conversation(snapshot, project, conversation_id)
    return render.respond(render.conversation(conversation))


@router.post("/{conversation_id}", openapi_extra=documented(ConversationUpdate))
def update_conversation(
    project: Project,
    service: ServiceState,
    conversation_id: str,
    body: RequestBody,
    attempt: RequestAttempt,
) -> Response:
    """Replace the metadata or the title, activate another branch, or switch summaries."""
    update = body.as_model(ConversationUpdate)
    given = update.model_fields_set
    changed = service.writer.update_conversation(
        project,
        conversation_id,
        ConversationChange(
            metadata=check_metadata(update.metadata, "metadata") if "metadata" in given else None,
            title=update.title,
            head_id=update.head,
            summaries=Switch(update.summaries) if "summaries" in given else None,
        ),
        attempt,
    )
    return render.respond(render.conversation(changed))


@router.delete("/{conversation_id}")
def delete_conversation(project: Project, service: ServiceState, conversation_id: str) -> Response:
    """Delete a conversation with all its items."""
    receipt = service.deletions.delete_conversation(project, conversation_id)
    return render.respond(
        {
            "id": conversation_id,
            "object": "conversation.deleted",
            "deleted": True,
            "receipt": receipt.id,
        }
    )
