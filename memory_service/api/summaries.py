"""/v1/conversations/{id}/summaries: the summaries of turns that left the recent window."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from memory_service.api import render
from memory_service.api.auth import Project
from memory_service.api.paging import After, Direction, Limit
from memory_service.api.state import ServiceState
from memory_service.conversations.lookup import find_conversation
from memory_service.core.errors import NotFound

router = APIRouter(prefix="/v1/conversations/{conversation_id}/summaries", tags=["summaries"])


@router.get("")
def list_summaries(
    project: Project,
    service: ServiceState,
    conversation_id: str,
    after: After = None,
    limit: Limit = 20,
    order: Direction = "desc",
) -> Response:
    """List the summaries of the active branch, newest first."""
    with service.log.read() as snapshot:
        conversation = find_conversation(snapshot, project, conversation_id)
        begin = None if after is None else snapshot.summaries.key_of(conversation.key, after)
        if after is not None and begin is None:
            raise NotFound(f"No summary {after!r} in this conversation.", param="after")
        page = snapshot.summaries.page(conversation.key, begin, limit, order)
    data = [render.summary(summary) for summary in page.data]
    return render.respond(render.listing(data, has_more=page.has_more))
