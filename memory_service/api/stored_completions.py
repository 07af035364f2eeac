"""/v1/chat/completions with an id: stored chat completions, as OpenAI has them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from memory_service.api import render
from memory_service.api.access import readable_completion
from memory_service.api.auth import Access, Project
from memory_service.api.body import RequestBody, documented
from memory_service.api.paging import After, Direction, Limit
from memory_service.api.schemas import StoredCompletionUpdate
from memory_service.api.state import ServiceState
from memory_service.core.errors import NotFound
from memory_service.core.models import StoredCompletion
from memory_service.items.fields import check_metadata
from memory_service.turn_log.transactions import ReadTransaction

router = APIRouter(prefix="/v1/chat/completions", tags=["chat"])

_METADATA = re.compile(r"metadata\[(.+)\]")


@router.get("")
def list_completions(
    request: Request,
    access: Access,
    service: ServiceState,
    model: Annotated[str | None, Query(description="Only completions of this model.")] = None,
    after: After = None,
    limit: Limit = 20,
    order: Direction = "asc",
) -> Response:
    """List the stored completions; `metadata[key]=value` selects those with that value."""
    names = ((_METADATA.fullmatch(name), value) for name, value in request.query_params.items())
    metadata = {match[1]: value for match, value in names if match is not None}
    project = access.project_key
    with service.log.read() as snapshot:
        begin = None
        if after is not None:
            last = _find(snapshot, project, after, "after")
            begin = readable_completion(snapshot, access, last, param="after").key
        page = snapshot.completions.page(
            project, begin, limit, order, user=access.user, model=model, metadata=metadata
        )
    return render.respond(render.listing(list(map(_shown, page.data)), has_more=page.has_more))


@router.get("/{completion_id}")
def get_completion(project: Project, service: ServiceState, completion_id: str) -> Response:
    """Return a stored completion."""
    with service.log.read() as snapshot:
        completion = _find(snapshot, project, completion_id)
    return render.respond(_shown(completion))


@router.post("/{completion_id}", openapi_extra=documented(StoredCompletionUpdate))
def update_completion(
    project: Project, service: ServiceState, completion_id: str, body: RequestBody
) -> Response:
    """Replace the metadata of a stored completion."""
    metadata = check_metadata(body.as_model(StoredCompletionUpdate).metadata, "metadata")
    with service.log.write() as transaction:
        _find(transaction, project, completion_id)
        transaction.completions.set_metadata(project, completion_id, metadata)
        completion = _find(transaction, project, completion_id)
    return render.respond(_shown(completion))


@router.delete("/{completion_id}")
def delete_completion(project: Project, service: ServiceState, completion_id: str) -> Response:
    """Delete a stored completion; the turns of its conversation stay."""
    service.deletions.delete_completion(project, completion_id)
    return render.respond(
        {"id": completion_id, "object": "chat.completion.deleted", "deleted": True}
    )


@router.get("/{completion_id}/messages")
def list_messages(
    project: Project,
    service: ServiceState,
    completion_id: str,
    after: After = None,
    limit: Limit = 20,
    order: Direction = "asc",
) -> Response:
    """List the messages of the request of a stored completion."""
    with service.log.read() as snapshot:
        completion = _find(snapshot, project, completion_id)
    messages = _messages(completion)
    ordered = messages if order == "asc" else messages[::-1]
    ids = [message["id"] for message in ordered]
    if after is not None and after not in ids:
        raise NotFound(f"No message {after!r}.", param="after")
    begin = 0 if after is None else ids.index(after) + 1
    page = ordered[begin : begin + limit]
    return render.respond(render.listing(page, has_more=begin + limit < len(ordered)))


def _find(
    snapshot: ReadTransaction, project: int, completion_id: str, param: str = "completion_id"
) -> StoredCompletion:
    completion = snapshot.completions.get(project, completion_id)
    if completion is None:
        raise NotFound(f"No stored chat completion {completion_id!r}.", param=param)
    return completion


def _shown(completion: StoredCompletion) -> dict[str, Any]:
    return {**completion.completion, "metadata": dict(completion.metadata)}


def _messages(completion: StoredCompletion) -> Sequence[dict[str, Any]]:
    return [
        {
            **message,
            "id": f"{completion.id}-{number}",
            "content": None if isinstance(content, list) else content,
            "content_parts": content if isinstance(content, list) else None,
        }
        for number, message in enumerate(completion.messages)
        if isinstance(message, Mapping)
        for content in [message.get("content")]
    ]
